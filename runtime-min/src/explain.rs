//! What a decision rests on, host by host.
//!
//! ```text
//! score = ln(estimate) + residual
//! ```
//!
//! The estimate is the analytic rule, which anybody can check by hand; the residual is all
//! that the network adds to it. A policy of another form than the trained one is taken
//! apart the same way.

use crate::artifact::Model;
use crate::candidates::Eligible;
use crate::decide;
use crate::features::View;
use crate::math;
use crate::reason::Reason;
use crate::request::Request;
use crate::state::State;

/// One host as a decision sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostExplanation {
    /// Index of the host.
    pub host: u32,
    /// `true` if it may be chosen.
    pub eligible: bool,
    /// Requests of this balancer under way there.
    pub in_flight: u32,
    /// Analytic estimate of the request's cost in seconds: its expected completion time
    /// and the delay it inflicts on those already there. NaN without a model.
    pub estimate_s: f32,
    /// Addition of the network to the logarithm of the estimate; NaN where there is no score.
    pub residual: f32,
    /// The policy's score, lower is better; NaN for hosts that are not eligible, and where
    /// there is no policy.
    pub score: f32,
    /// Age of the host's last report in seconds; NaN if it never reported.
    pub telemetry_age_s: f32,
}

/// A decision, explained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explanation {
    /// The step of the ladder on which the decision would be made.
    pub reason: Reason,
    /// The host that the decision favours: the lowest score, or the only host. `None`
    /// where it would be drawn at random, or where there is no host.
    pub best: Option<u32>,
    /// The host that would be chosen if [`best`](Self::best) were not eligible; `None`
    /// without two scores.
    pub runner_up: Option<u32>,
    /// Score of the runner-up minus that of the best, not negative; NaN without two
    /// scores. The logarithm of how many times costlier the runner-up is taken to be.
    pub margin: f32,
}

/// Explains the decision that [`decide::decide`] would make now, and changes nothing.
///
/// `each` gets every registered host, in order of the hosts' indices. `scratch` is as for
/// a decision; where it is short, there are no scores.
pub fn explain(
    model: Option<&Model<'_>>,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    now_us: u64,
    scratch: &mut [f32],
    mut each: impl FnMut(HostExplanation),
) -> Explanation {
    let rows = eligible.hosts(state).count();
    let policy = model.and_then(|model| Some((model, model.policy()?)));
    let scores = policy
        .filter(|_| rows > 0)
        .and_then(|(model, policy)| decide::scores(model, policy, state, request, eligible, rows, now_us, scratch));
    let mut scores_left = scores.unwrap_or(&[]).iter();
    let mut ranking = Ranking::default();
    for (host, slot) in state.hosts() {
        let is_eligible = eligible.contains(host);
        let score = is_eligible.then(|| scores_left.next()).flatten().copied().unwrap_or(f32::NAN);
        let estimate_s = model.map_or(f32::NAN, |model| {
            View::new(model.service(), state, host, slot, request, now_us).estimate_s(model.service())
        });
        if is_eligible {
            ranking.add(host, score);
        }
        each(HostExplanation {
            host,
            eligible: is_eligible,
            in_flight: slot.in_flight(),
            estimate_s,
            residual: score - math::ln(estimate_s),
            score,
            telemetry_age_s: slot.telemetry_age_s(now_us).unwrap_or(f32::NAN),
        });
    }
    ranking.explanation(policy.is_some())
}

/// The two lowest scores among the hosts seen so far.
#[derive(Clone, Copy, Debug, Default)]
struct Ranking {
    hosts: usize,
    first_host: Option<u32>,
    has_unusable_score: bool,
    best: Option<(u32, f32)>,
    runner_up: Option<(u32, f32)>,
}

impl Ranking {
    fn add(&mut self, host: u32, score: f32) {
        self.hosts += 1;
        self.first_host = self.first_host.or(Some(host));
        self.has_unusable_score |= !score.is_finite();
        let below = |other: Option<(u32, f32)>| other.is_none_or(|(_, other)| score < other);
        if below(self.best) {
            self.runner_up = self.best;
            self.best = Some((host, score));
        } else if below(self.runner_up) {
            self.runner_up = Some((host, score));
        }
    }

    fn explanation(self, has_policy: bool) -> Explanation {
        let without_scores = |reason, best| Explanation { reason, best, runner_up: None, margin: f32::NAN };
        match self.hosts {
            0 => without_scores(Reason::NoHost, None),
            1 => without_scores(Reason::OnlyHost, self.first_host),
            _ if !has_policy => without_scores(Reason::NoPolicy, None),
            _ if self.has_unusable_score => without_scores(Reason::NoScore, None),
            _ => {
                let margin = match (self.best, self.runner_up) {
                    (Some((_, best)), Some((_, runner_up))) => runner_up - best,
                    _ => f32::NAN,
                };
                Explanation {
                    reason: Reason::Policy,
                    best: self.best.map(|(host, _)| host),
                    runner_up: self.runner_up.map(|(host, _)| host),
                    margin,
                }
            }
        }
    }
}
