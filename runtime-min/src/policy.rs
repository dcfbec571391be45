//! The balancing policy of an artifact: its network, held by a guard.
//!
//! ```text
//! residual = score − w · ln(estimate)
//! score'   = w · ln(estimate) + trust · knowledge · (residual − mean residual)
//! ```
//!
//! The network is trusted as far as it was trained: `trust` falls from 1 to 0 while what the
//! fleet looks like on the average (its step, latency, time to first token, and the prompt, each
//! relative to the service's typical one) leaves the range that training saw, by a factor of e.
//! `knowledge` is that of the host ([`HostSlot::knowledge`](crate::HostSlot::knowledge)). A fleet
//! that the network knows nothing of is balanced by the analytic estimate alone.

use crate::artifact::ArtifactError;
use crate::features::HOST_FEATURES;
use crate::program::{Program, stride};
use crate::simd::{Block, Kernel, Lanes, Level};

/// Bytes of an encoded guard: the weight, the ranges' lower ends, their upper ends, zeros.
pub const GUARD_BYTES: usize = 256;

/// Columns of the features that say how far a fleet is from what the network was trained on.
const ESTIMATE: usize = 0;
const KNOWLEDGE: usize = 8;
const STEP: usize = 9;
const LATENCY: usize = 10;
const TTFT: usize = 11;
const PROMPT: usize = 13;

/// Limits of the trust in a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// Weight `w` of the estimate's logarithm in the score.
    pub estimate_weight: f32,
    /// Of each feature, the least that training saw, outliers aside.
    pub low: [f32; HOST_FEATURES],
    /// The most.
    pub high: [f32; HOST_FEATURES],
}

impl Guard {
    /// A guard without limits: the network is trusted wherever the hosts are known.
    pub const fn unlimited(estimate_weight: f32) -> Self {
        Self { estimate_weight, low: [f32::MIN; HOST_FEATURES], high: [f32::MAX; HOST_FEATURES] }
    }

    /// Reads the GUARD section.
    ///
    /// # Errors
    /// [`ArtifactError::Guard`] if it is short, the weight is not between 0.001 and 1000, or a
    /// range is empty or not a number.
    pub fn decode(section: &[u8]) -> Result<Self, ArtifactError> {
        let words = section.get(..GUARD_BYTES).ok_or(ArtifactError::Guard)?.as_chunks::<4>().0;
        let number = |index: usize| words.get(index).map_or(f32::NAN, |word| f32::from_le_bytes(*word));
        let guard = Self {
            estimate_weight: number(0),
            low: core::array::from_fn(|feature| number(1 + feature)),
            high: core::array::from_fn(|feature| number(1 + HOST_FEATURES + feature)),
        };
        let ordered = guard.low.iter().zip(&guard.high).all(|(low, high)| low <= high);
        let is_valid = (1e-3..=1e3).contains(&guard.estimate_weight) && ordered;
        if is_valid { Ok(guard) } else { Err(ArtifactError::Guard) }
    }

    /// The GUARD section of this guard.
    pub fn encode(&self) -> [u8; GUARD_BYTES] {
        let mut section = [0; GUARD_BYTES];
        let numbers = core::iter::once(&self.estimate_weight).chain(&self.low).chain(&self.high);
        for (word, number) in section.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *word = number.to_le_bytes();
        }
        section
    }

    /// Trust in the network, 0 to 1, for a fleet with these means of the features.
    #[inline(always)]
    fn trust(&self, means: [(usize, f32); 4]) -> f32 {
        let mut beyond = 0.0f32;
        for (column, mean) in means {
            if let (Some(low), Some(high)) = (self.low.get(column), self.high.get(column)) {
                beyond = beyond.max(low - mean).max(mean - high);
            }
        }
        (1.0 - beyond).max(0.0)
    }
}

/// A policy's network and its guard.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    program: Program<'a>,
    guard: Option<Guard>,
}

impl<'a> Policy<'a> {
    /// A network of a policy, held by a guard if it comes with one.
    ///
    /// # Errors
    /// [`ArtifactError::ProgramInterface`] for one that does not take the features of hosts and
    /// give a score for each.
    pub(crate) fn new(program: Program<'a>, guard: Option<Guard>) -> Result<Self, ArtifactError> {
        let fits =
            program.input_width() == HOST_FEATURES && program.output_width() == 1 && !program.output_is_uniform();
        if fits { Ok(Self { program, guard }) } else { Err(ArtifactError::ProgramInterface) }
    }

    /// The network.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The guard, if the artifact has one.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The vectors that it runs on.
    pub fn level(&self) -> Level {
        self.program.level()
    }

    /// Distance from the lowest score within which scores are as good: estimates that differ by
    /// less than a hundredth say nothing of which host is faster, and one of many equals must not
    /// get everything.
    #[inline(always)]
    pub(crate) fn tie_width(&self) -> f32 {
        const LN_TIE: f32 = 0.01;
        self.guard.as_ref().map_or(0.0, |guard| LN_TIE * guard.estimate_weight)
    }

    /// The same policy on narrower vectors; the results are the same bits.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        Self { program: self.program.with_level(level), ..self }
    }

    /// Length of the scratch memory that [`run`](Self::run) needs, in `f32`s.
    pub fn scratch_len(&self, rows: usize) -> usize {
        self.program.scratch_len(rows)
    }

    /// Scores of `rows` hosts, whose features the caller has put at the start of `scratch` (see
    /// [`features::write`](crate::features::write())). `None` if `scratch` is shorter than
    /// [`scratch_len`](Self::scratch_len) or `rows` is 0.
    #[inline]
    pub fn run<'s>(&self, rows: usize, scratch: &'s mut [f32]) -> Option<&'s [f32]> {
        let place = self.program.run_in_place(rows, scratch)?;
        let stride = stride(rows);
        if let Some(guard) = &self.guard
            && let Some((features, scores)) = scratch.split_at_mut_checked(place.start)
            && features.len() >= HOST_FEATURES * stride
        {
            self.level().run_rows(rows, Guarded { guard, features, scores, rows, stride });
        }
        scratch.get(place)
    }
}

/// Puts the guard on scores.
struct Guarded<'a> {
    guard: &'a Guard,
    features: &'a [f32],
    scores: &'a mut [f32],
    rows: usize,
    stride: usize,
}

impl Guarded<'_> {
    #[inline(always)]
    fn column<V: Lanes>(&self, lanes: V, column: usize, begin: usize) -> V {
        let block: Option<&Block> =
            self.features.get(column * self.stride + begin..).and_then(|rest| rest.first_chunk());
        block.map_or(lanes.fill(0.0), |block| lanes.load(block))
    }
}

impl Kernel for Guarded<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self, lanes: V) {
        let zero = lanes.fill(0.0);
        let weight = lanes.fill(self.guard.estimate_weight);
        let mut sums = [zero; 4];
        let mut begin = 0;
        while begin < self.rows {
            let in_use = lanes.first(self.rows - begin);
            let Some(scores) = self.scores.get(begin..).and_then(|rest| rest.first_chunk::<{ crate::LANES }>()) else {
                return;
            };
            let residual = lanes.load(scores) - weight * self.column(lanes, ESTIMATE, begin);
            let addends = [
                residual,
                self.column(lanes, STEP, begin),
                self.column(lanes, LATENCY, begin),
                self.column(lanes, TTFT, begin),
            ];
            for (sum, addend) in sums.iter_mut().zip(addends) {
                *sum = *sum + zero.replaced(in_use, addend);
            }
            begin += crate::LANES;
        }
        let per_row = 1.0 / self.rows as f32;
        let [residual, step, latency, ttft] = V::sums(sums).map(|sum| sum * per_row);
        // The prompt is the same for all hosts.
        let prompt = self.features.get(PROMPT * self.stride).copied().unwrap_or(0.0);
        let trust = self.guard.trust([(STEP, step), (LATENCY, latency), (TTFT, ttft), (PROMPT, prompt)]);
        let (trust, mean) = (lanes.fill(trust), lanes.fill(residual));
        begin = 0;
        while begin < self.rows {
            let estimate = weight * self.column(lanes, ESTIMATE, begin);
            let trusted = trust * self.column(lanes, KNOWLEDGE, begin);
            if let Some(scores) = self.scores.get_mut(begin..).and_then(|rest| rest.first_chunk_mut()) {
                let residual = lanes.load(scores) - estimate;
                trusted.mul_add(residual - mean, estimate).store(scores);
            }
            begin += crate::LANES;
        }
    }
}
