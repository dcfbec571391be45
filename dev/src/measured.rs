//! Times of a runtime, and inputs that are the same for all.

use anyhow::{Result, ensure};

use crate::timing::{self, Flood};

/// Calls timed one by one with warm caches.
pub const CALLS: usize = 10_000;
/// And with cold ones.
pub const COLD_CALLS: usize = 300;
/// Largest difference between the scores of two runtimes, whose `tanh` differ.
const TOLERANCE: f32 = 1e-3;

/// Medians and 99th percentiles in nanoseconds.
#[derive(Clone, Copy)]
pub struct Measured {
    /// With warm caches.
    pub warm: (f64, f64),
    /// With cold ones.
    pub cold: (f64, f64),
}

/// Times single calls; `prepare`, before each, is not timed.
pub fn measure(mut prepare: impl FnMut(), mut call: impl FnMut()) -> Measured {
    let warm = timing::singles_of(CALLS, &mut prepare, &mut |()| call());
    let mut flood = Flood::default();
    let mut evicted = || {
        prepare();
        flood.evict();
    };
    let cold = timing::singles_of(COLD_CALLS, &mut evicted, &mut |()| call());
    Measured { warm, cold }
}

/// A linear congruential generator, the same as in `timing.h`: enough for inputs.
pub struct Random(u32);

impl Default for Random {
    fn default() -> Self {
        Self(1)
    }
}

impl Random {
    /// Fills a row of inputs.
    pub fn fill(&mut self, numbers: &mut [f32]) {
        for number in numbers {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number = (self.0 >> 8) as f32 * 1e-7;
        }
    }
}

/// Refuses a runtime that computes something else.
pub fn check(score: f32, expected: f32) -> Result<()> {
    ensure!((score - expected).abs() <= TOLERANCE, "gives {score} where this runtime gives {expected}");
    Ok(())
}
