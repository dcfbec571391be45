//! One decision: which of the eligible hosts gets a request.
//!
//! The ladder, each step counted: a host that has not been tried for too long; the trained
//! policy; least request of two where there is no model or a score is not finite; the only
//! host where just one is eligible; nothing where none is.

use crate::artifact::Model;
use crate::candidates::{Candidates, Eligible};
use crate::features;
use crate::herding;
use crate::lowest::lowest;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::request::Request;
use crate::state::State;

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
    state.age(now_us);
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
    if let Some(host) = state.take_untried(|host| eligible.contains(host)) {
        return Decision { host: Some(host), score: f32::NAN, reason: Reason::Untried };
    }
    let fall_back =
        |reason| Decision { host: Some(least_request_of_two(state, eligible, rows)), score: f32::NAN, reason };
    let Some((model, policy)) = model.and_then(|model| Some((model, model.policy()?))) else {
        return fall_back(Reason::NoPolicy);
    };
    let temperature = herding::temperature(model.service(), state, eligible, now_us);
    let select = |scores: &[f32]| match temperature {
        Some(temperature) => herding::draw(scores.get(..rows)?, temperature, state),
        None => lowest(policy.level(), scores, rows, policy.tie_width(), |count| state.random_below(count)),
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
    policy: &Policy<'_>,
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
