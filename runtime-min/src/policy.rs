//! The balancing policy of an artifact: its network, held by a guard.
//!
//! ```text
//! residual = score − w · ln(estimate)
//! score'   = w · ln(estimate) + trust · credit · (residual − mean residual)     (mean by credit)
//! credit   = max(0, 2 · knowledge − 1), to the fourth power where the residual is blame
//! ```
//!
//! The network is trusted as far as it was trained: `trust` falls from 1 to 0 while what the
//! fleet looks like on the average (its step, latency, time to first token, and the prompt, each
//! relative to the service's typical one) leaves the range that training saw, by a factor of 4.5.
//! `knowledge` is that of the host ([`HostSlot::knowledge`](crate::HostSlot::knowledge)): of one that
//! less than two fresh samples are known of, the estimate alone is heard. Networks learn that hosts of
//! which little is known were avoided for a reason, and one that is avoided for that alone would never be
//! known again. A fleet that the network knows nothing of is balanced by the analytic estimate alone.

use crate::artifact::error::ArtifactError;
use crate::features::HOST_FEATURES;
use crate::program::{Program, stride};
use crate::simd::Level;

/// Bytes of an encoded guard: the weight, the ranges' lower ends, their upper ends, zeros.
pub const GUARD_BYTES: usize = 256;

/// Columns of the features that say how far a fleet is from those that the network was trained on.
const ESTIMATE: usize = 0;
const KNOWLEDGE: usize = 8;
const STEP: usize = 9;
const LATENCY: usize = 10;
const TTFT: usize = 11;
const PROMPT: usize = 13;

/// Distance from the range of training, in logarithms, at which nothing is left of the trust.
const TRUST_ENDS: f32 = 1.5;

/// Limits of the trust in a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// Weight `w` of the estimate's logarithm in the score.
    pub estimate_weight: f32,
    /// Of each feature, the least mean over a fleet that training saw, outliers aside.
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
        let held = Held::parse(section)?;
        let mut guard = Self::unlimited(held.estimate_weight());
        for (feature, (low, high)) in guard.low.iter_mut().zip(&mut guard.high).enumerate() {
            (*low, *high) = held.range(feature);
        }
        Ok(guard)
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
}

/// A guard's section, checked and read in place.
#[derive(Clone, Copy, Debug)]
struct Held<'a>(&'a [[u8; 4]]);

impl<'a> Held<'a> {
    fn parse(section: &'a [u8]) -> Result<Self, ArtifactError> {
        let held = Self(section.get(..GUARD_BYTES).ok_or(ArtifactError::Guard)?.as_chunks::<4>().0);
        let mut is_valid = (1e-3..=1e3).contains(&held.estimate_weight());
        let mut feature = 0;
        while feature < HOST_FEATURES {
            let (low, high) = held.range(feature);
            is_valid &= low <= high;
            feature += 1;
        }
        if is_valid { Ok(held) } else { Err(ArtifactError::Guard) }
    }

    fn number(&self, index: usize) -> f32 {
        self.0.get(index).map_or(f32::NAN, |word| f32::from_le_bytes(*word))
    }

    fn estimate_weight(&self) -> f32 {
        self.number(0)
    }

    /// The least and the most of a feature that training saw.
    fn range(&self, feature: usize) -> (f32, f32) {
        (self.number(1 + feature), self.number(1 + HOST_FEATURES + feature))
    }

    /// Trust in the network, 0 to 1, for a fleet with these means of the features.
    fn trust(&self, means: [(usize, f32); 4]) -> f32 {
        let mut beyond = 0.0f32;
        for (feature, mean) in means {
            let (low, high) = self.range(feature);
            beyond = beyond.max(low - mean).max(mean - high);
        }
        (1.0 - beyond / TRUST_ENDS).max(0.0)
    }
}

/// A policy's network and its guard.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    program: Program<'a>,
    guard: Option<Held<'a>>,
}

impl<'a> Policy<'a> {
    /// A network of a policy, held by a guard if it comes with its section.
    ///
    /// # Errors
    /// [`ArtifactError::Guard`] for a section that makes no sense;
    /// [`ArtifactError::ProgramInterface`] for one that does not take the features of hosts and
    /// give a score for each.
    pub(crate) fn new(program: &Program<'a>, guard: Option<&'a [u8]>) -> Result<Self, ArtifactError> {
        let guard = guard.map(Held::parse).transpose()?;
        let fits =
            program.input_width() == HOST_FEATURES && program.output_width() == 1 && !program.output_is_uniform();
        if fits { Ok(Self { program: *program, guard }) } else { Err(ArtifactError::ProgramInterface) }
    }

    /// The network.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The guard, if the artifact has one.
    pub fn guard(&self) -> Option<Guard> {
        self.guard.and_then(|held| Guard::decode(held.0.as_flattened()).ok())
    }

    /// The vectors that it runs on.
    pub fn level(&self) -> Level {
        self.program.level()
    }

    /// Distance from the lowest score within which scores are as good: estimates that differ by
    /// less than a hundredth say nothing of which host is faster, and one of many equals must not
    /// get everything.
    #[inline(always)]
    pub fn tie_width(&self) -> f32 {
        const LN_TIE: f32 = 0.01;
        self.guard.map_or(0.0, |guard| LN_TIE * guard.estimate_weight())
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
    #[inline(never)]
    pub fn run<'s>(&self, rows: usize, scratch: &'s mut [f32]) -> Option<&'s [f32]> {
        let place = self.program.run_in_place(rows, scratch)?;
        let stride = stride(rows);
        if let Some(guard) = self.guard
            && let Some((features, scores)) = scratch.split_at_mut_checked(place.start)
            && features.len() >= HOST_FEATURES * stride
        {
            hold(guard, features, scores, rows, stride);
        }
        scratch.get(place)
    }
}

/// Puts the guard on the scores of `rows` hosts. In plain loops: there is too little to compute
/// for a copy at each level.
#[inline(never)]
fn hold(guard: Held<'_>, features: &[f32], scores: &mut [f32], rows: usize, stride: usize) {
    let column = |index: usize| features.get(index * stride..).and_then(|rest| rest.get(..rows)).unwrap_or(&[]);
    let weight = guard.estimate_weight();
    let per_row = 1.0 / rows as f32;
    let mean = |index: usize| column(index).iter().sum::<f32>() * per_row;
    // A host that nothing is known of says nothing of the others: its residual is not in the mean.
    let known = scores.iter().zip(column(ESTIMATE)).zip(column(KNOWLEDGE));
    let (residuals, sum) = known.fold((0.0, 1e-9), |(residuals, sum), ((score, estimate), knowledge)| {
        let credit = credit(*knowledge);
        (residuals + credit * (score - weight * estimate), sum + credit)
    });
    let mean_residual = residuals / sum;
    // The prompt is the same for all hosts.
    let prompt = column(PROMPT).first().copied().unwrap_or(0.0);
    let trust = guard.trust([(STEP, mean(STEP)), (LATENCY, mean(LATENCY)), (TTFT, mean(TTFT)), (PROMPT, prompt)]);
    for ((score, estimate), knowledge) in scores.iter_mut().zip(column(ESTIMATE)).zip(column(KNOWLEDGE)) {
        let estimate = weight * estimate;
        let residual = *score - estimate - mean_residual;
        let credit = credit(*knowledge);
        // Praise is put to the test by the requests that it draws, blame never is.
        let share = if residual > 0.0 { credit * credit * credit * credit } else { credit };
        *score = estimate + trust * share * residual;
    }
}

/// Share of the network's residual that a host of so much knowledge gets.
#[inline(always)]
fn credit(knowledge: f32) -> f32 {
    (2.0 * knowledge - 1.0).max(0.0)
}
