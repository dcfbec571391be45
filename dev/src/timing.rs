//! Timing of calls that last a fraction of a microsecond.

#![allow(unsafe_code, reason = "reading the time-stamp counter")]

use std::time::Instant;

use evenkeel_runtime::simd::Level;

/// Calls timed together, so that reading the clock does not count.
const CALLS: u32 = 16;
/// Batches of calls.
const BATCHES: usize = 4000;
/// Calls timed one by one, for the tail.
const SINGLE_CALLS: usize = 30_000;

/// Words of memory that displace what the nearer caches hold: 8 MiB.
pub const FLOOD_WORDS: usize = 1 << 20;

/// Nanoseconds a call.
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// The least.
    pub least: f64,
    /// The median.
    pub median: f64,
}

/// Least and median over batches.
pub fn batches(mut call: impl FnMut()) -> Times {
    let sorted = sorted((0..BATCHES).map(|_| {
        let begin = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
    }));
    Times { least: sorted[0], median: sorted[BATCHES / 2] }
}

/// Median and 99th percentile of single calls, each between two readings of the
/// time-stamp counter, whose own cost is taken off. `prepare` is not timed.
pub fn singles<T>(mut prepare: impl FnMut() -> T, mut call: impl FnMut(T)) -> (f64, f64) {
    singles_of(SINGLE_CALLS, &mut prepare, &mut call)
}

/// [`singles`], so many of them.
pub fn singles_of<T>(count: usize, prepare: &mut impl FnMut() -> T, call: &mut impl FnMut(T)) -> (f64, f64) {
    let ticks_per_ns = ticks_per_ns();
    let mut time = |call: &mut dyn FnMut(T)| {
        let input = prepare();
        let begin = ticks();
        call(input);
        ticks() - begin
    };
    let empty = sorted((0..2000).map(|_| time(&mut |_| {}) as f64))[1000];
    let sorted = sorted((0..count).map(|_| (time(call) as f64 - empty).max(0.0) / ticks_per_ns));
    (sorted[count / 2], sorted[count * 99 / 100])
}

/// Other memory, which is touched before a call with cold caches.
pub struct Flood(Vec<u64>);

impl Default for Flood {
    fn default() -> Self {
        Self(vec![1; FLOOD_WORDS])
    }
}

impl Flood {
    /// Displaces what the first and second cache hold.
    pub fn evict(&mut self) {
        for word in &mut self.0 {
            *word = word.wrapping_mul(3);
        }
        std::hint::black_box(&mut self.0);
    }
}

/// Clock of the core in GHz: a chain of shifts and exclusive ors takes a cycle for each.
pub fn clock_ghz() -> f64 {
    const ROUNDS: u64 = 200_000;
    let runs = (0..200).map(|_| {
        let begin = Instant::now();
        let mut state = std::hint::black_box(88_172_645_463_325_252_u64);
        for _ in 0..ROUNDS {
            // Marsaglia's xorshift: six operations, each waiting for the one before.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        std::hint::black_box(state);
        ROUNDS as f64 * 6.0 / begin.elapsed().as_nanos() as f64
    });
    runs.fold(0.0, f64::max)
}

/// Multiply-adds of numbers, fused, that the core does in a nanosecond at best: measured, for CPUs with
/// the same instructions do one or two vectors of them a cycle. On the baseline, which may have no such
/// instruction, two vectors of four a cycle.
pub fn multiply_adds_per_ns(level: Level, clock_ghz: f64) -> f64 {
    const ROUNDS: usize = 20_000;
    let (run, lanes): (fn(usize), usize) = match level.name() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is one that the machine has.
        "avx512" => (|rounds| unsafe { peak::avx512(rounds) }, 16),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        "avx2" => (|rounds| unsafe { peak::avx2(rounds) }, 8),
        _ => return 8.0 * clock_ghz,
    };
    let times = sorted((0..200).map(|_| {
        let begin = Instant::now();
        run(ROUNDS);
        begin.elapsed().as_nanos() as f64
    }));
    (ROUNDS * CHAINS * lanes) as f64 / times[0]
}

/// Multiply-adds that run side by side, enough to hide how long each takes.
const CHAINS: usize = 12;

/// Multiply-adds and nothing else.
#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    use super::CHAINS;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(rounds: usize) {
        let (x, mut sums) = (black_box(_mm512_set1_ps(0.5)), [_mm512_set1_ps(0.0); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(x, x, *sum);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(rounds: usize) {
        let (x, mut sums) = (black_box(_mm256_set1_ps(0.5)), [_mm256_set1_ps(0.0); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(x, x, *sum);
            }
        }
        black_box(sums);
    }
}

fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has the time-stamp counter; the fence keeps the reading
    // behind what was to be timed.
    unsafe {
        std::arch::x86_64::_mm_lfence();
        let ticks = std::arch::x86_64::_rdtsc();
        std::arch::x86_64::_mm_lfence();
        ticks
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGIN.elapsed().as_nanos() as u64
}

fn ticks_per_ns() -> f64 {
    let (begin, tick) = (Instant::now(), ticks());
    while begin.elapsed().as_millis() < 5 {}
    (ticks() - tick) as f64 / begin.elapsed().as_nanos() as f64
}
