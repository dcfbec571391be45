//! One decision: which of the eligible hosts gets a request.
//!
//! The ladder, each step counted: the trained policy; least request of two where there
//! is no model or a score is not finite; the only host where just one is eligible;
//! nothing where none is.

use core::ffi::CStr;

use crate::artifact::Model;
use crate::candidates::Candidates;
use crate::features;
use crate::herding;
use crate::lowest::lowest;
use crate::program::Program;
use crate::service::ServiceModel;
use crate::slot::HostSlot;
use crate::state::State;

/// What the balancer knows of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Prompt length in tokens, 0 where unknown: then it is taken to be like the service's
    /// others ([`ServiceModel::prompt_tokens_mean`]).
    pub prompt_tokens: u32,
    /// Of each host, by index: tokens of the prompt's prefix that it probably has cached.
    /// Hosts beyond the end have none.
    pub cached_tokens: &'a [u32],
    /// Tokens that the request will probably generate, 0 where unknown: then it is taken to
    /// be like the service's others ([`ServiceModel::output_tokens_mean`]). Tells nothing
    /// about hosts that work first in, first out, one request after the other.
    pub output_tokens: u32,
}

impl Request<'_> {
    /// Tokens that the prompt is expected to have.
    pub(crate) fn expected_prompt_tokens(&self, service: &ServiceModel) -> f32 {
        if self.prompt_tokens == 0 { service.prompt_tokens_mean } else { self.prompt_tokens as f32 }
    }

    /// Tokens that the request is expected to generate.
    pub(crate) fn expected_output_tokens(&self, service: &ServiceModel) -> f32 {
        if self.output_tokens == 0 { service.output_tokens_mean } else { self.output_tokens as f32 }
    }
}

/// The hosts that may be chosen.
#[derive(Clone, Copy, Debug)]
pub enum Eligible<'a> {
    /// Every registered host.
    All,
    /// The registered hosts whose bit is set: host `i` is bit `i % 64` of word `i / 64`.
    Mask(&'a [u64]),
}

impl<'a> Eligible<'a> {
    /// The eligible hosts with their indices, in order.
    pub fn hosts<'m>(self, state: &State<'m>) -> impl Iterator<Item = (u32, &'m HostSlot)> + use<'a, 'm> {
        state.hosts().filter(move |(index, _)| self.contains(*index))
    }

    /// The hosts `64 · index ..` that may be chosen, a bit for each.
    #[inline(always)]
    pub(crate) fn word(self, index: usize) -> u64 {
        match self {
            Self::All => u64::MAX,
            Self::Mask(words) => words.get(index).copied().unwrap_or(0),
        }
    }

    /// Whether a host may be chosen.
    pub fn contains(self, host: u32) -> bool {
        match self {
            Self::All => true,
            Self::Mask(words) => words.get(host as usize / 64).is_some_and(|word| word >> (host % 64) & 1 == 1),
        }
    }
}

/// Why a host was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// It had the lowest score.
    Policy = 0,
    /// It was the only one.
    OnlyHost = 1,
    /// No policy is loaded: fewer requests in flight, of two at random.
    NoPolicy = 2,
    /// A score was not finite or scratch memory was short: as [`Reason::NoPolicy`].
    NoScore = 3,
    /// None was chosen: no host is eligible.
    NoHost = 4,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = 5;
    /// All reasons, in the order of their codes.
    pub const ALL: [Self; Self::COUNT] = [Self::Policy, Self::OnlyHost, Self::NoPolicy, Self::NoScore, Self::NoHost];

    /// Its name in logs, metrics and reports, for C too.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Self::Policy => c"policy",
            Self::OnlyHost => c"only_host",
            Self::NoPolicy => c"no_policy",
            Self::NoScore => c"no_score",
            Self::NoHost => c"no_host",
        }
    }

    /// Its name in logs, metrics and reports.
    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Index of the chosen host; `None` only for [`Reason::NoHost`].
    pub host: Option<u32>,
    /// Its score, lower is better; NaN unless the reason is [`Reason::Policy`].
    pub score: f32,
    /// Why.
    pub reason: Reason,
}

/// Scratch memory that [`decide`] needs for up to `hosts` hosts, in `f32`s.
pub fn scratch_len(model: &Model<'_>, hosts: usize) -> usize {
    model.policy().map_or(0, |policy| policy.scratch_len(hosts))
}

/// Chooses a host. Every eligible host is scored; the lowest score wins, ties break at
/// random. Where many balancers decide on old reports, and the model asks for it, the
/// choice is spread over hosts with nearly the lowest score instead (see [`herding`]).
/// Without a model, or where a score cannot be had, falls back as the module's description
/// says: the result is always an eligible host if there is one.
pub fn decide(
    model: Option<&Model<'_>>,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    now_us: u64,
    scratch: &mut [f32],
) -> Decision {
    let candidates = Candidates::new(state, eligible);
    let decision = match candidates.count {
        0 => Decision { host: None, score: f32::NAN, reason: Reason::NoHost },
        1 => Decision { host: candidates.host(0), score: f32::NAN, reason: Reason::OnlyHost },
        _ => choose(model, state, request, eligible, &candidates, now_us, scratch),
    };
    state.count(decision.reason);
    decision
}

fn choose(
    model: Option<&Model<'_>>,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    candidates: &Candidates<'_>,
    now_us: u64,
    scratch: &mut [f32],
) -> Decision {
    let rows = candidates.count;
    let fall_back =
        |reason| Decision { host: Some(least_request_of_two(state, eligible, rows)), score: f32::NAN, reason };
    let Some((model, policy)) = model.and_then(|model| Some((model, model.policy()?))) else {
        return fall_back(Reason::NoPolicy);
    };
    let temperature = herding::temperature(model.service(), state, eligible, now_us);
    let select = |scores: &[f32]| match temperature {
        Some(temperature) => herding::draw(scores.get(..rows)?, temperature, state),
        None => lowest(policy.level(), scores, rows, |count| state.random_below(count)),
    };
    features::write_rows(policy.level(), model.service(), state, request, candidates, rows, now_us, scratch);
    match policy.run(rows, scratch).and_then(select) {
        Some((row, score)) => Decision { host: candidates.host(row), score, reason: Reason::Policy },
        None => fall_back(Reason::NoScore),
    }
}

/// The score of every eligible host, in order of the hosts' indices; `rows` is their
/// number. `None` if `scratch` is shorter than [`scratch_len`].
#[expect(clippy::too_many_arguments, reason = "the inputs of a decision, each on its own")]
pub fn scores<'s>(
    model: &Model<'_>,
    policy: &Program<'_>,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    rows: usize,
    now_us: u64,
    scratch: &'s mut [f32],
) -> Option<&'s [f32]> {
    features::write(model.service(), state, request, eligible, rows, now_us, scratch);
    policy.run(rows, scratch)?.get(..rows)
}

/// The one with fewer requests in flight, for its weight, of two different eligible hosts
/// drawn at random (Mitzenmacher's power of two choices). `rows`, the number of eligible hosts, is at
/// least 2.
fn least_request_of_two(state: &State<'_>, eligible: Eligible<'_>, rows: usize) -> u32 {
    let first = state.random_below(rows);
    let second = first + 1 + state.random_below(rows - 1);
    let second = if second >= rows { second - rows } else { second };
    let candidate = |row| eligible.hosts(state).nth(row);
    match (candidate(first), candidate(second)) {
        (Some((a, slot_a)), Some((b, slot_b))) => {
            if slot_b.requests_for_weight() < slot_a.requests_for_weight() {
                b
            } else {
                a
            }
        }
        // A host was removed in between: any that is left.
        (a, b) => a.or(b).or_else(|| eligible.hosts(state).next()).map_or(0, |(index, _)| index),
    }
}
