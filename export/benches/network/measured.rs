//! What a runtime took, and inputs that are the same for all.

use anyhow::{Result, ensure};

use crate::timing::{self, Flood};

/// Calls timed one by one with warm caches.
pub(crate) const CALLS: usize = 10_000;
/// And with cold ones.
pub(crate) const COLD_CALLS: usize = 300;
/// Largest difference between the scores of two runtimes, whose `tanh` differ.
const TOLERANCE: f32 = 1e-3;

/// Medians and 99th percentiles in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) warm: (f64, f64),
    pub(crate) cold: (f64, f64),
}

/// Times single calls; `prepare`, before each, is not timed.
pub(crate) fn measure(mut prepare: impl FnMut(), mut call: impl FnMut()) -> Measured {
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
pub(crate) struct Random(u32);

impl Default for Random {
    fn default() -> Self {
        Self(1)
    }
}

impl Random {
    pub(crate) fn fill(&mut self, numbers: &mut [f32]) {
        for number in numbers {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number = (self.0 >> 8) as f32 * 1e-7;
        }
    }
}

/// Whoever computes something else is not compared.
pub(crate) fn check(score: f32, expected: f32) -> Result<()> {
    ensure!((score - expected).abs() <= TOLERANCE, "gives {score} where this runtime gives {expected}");
    Ok(())
}
