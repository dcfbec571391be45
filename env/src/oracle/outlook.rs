//! What placing a request costs on a host where others keep arriving.
//!
//! Two copies of the host go on side by side, one with the request and one without, and
//! both with the same further arrivals: average requests, evenly spaced, at the host's share
//! of the offered rate by its present speed, up to a horizon; then both are drained. The
//! cost is by how much the first copy had more requests present, integrated over time, which
//! is the sum of all delays, those of later arrivals included, plus a weight times the same
//! for requests without a first token.
//!
//! That is one step of policy improvement (Hyytiä, Penttinen and Aalto, "Size- and
//! state-aware dispatching problem with queue-specific job sizes", EJOR 2012) on the rule that
//! splits arrivals at random by speed. The step of a host whose batch empties grows shorter;
//! without further arrivals every busy host would look quicker than it will be.

use crate::host::Notice;
use crate::host::fifo::FifoHost;
use crate::host::llm::{LlmHost, LlmJob};

/// Arrivals that a host is taken to have from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrivals {
    /// Time between two, in seconds.
    pub(super) every_s: f64,
    /// How long they go on, in seconds from now.
    pub(super) horizon_s: f64,
}

/// Requests present and requests without a first token, integrated over time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Presence {
    pub(super) present_s: f64,
    pub(super) tokenless_s: f64,
}

/// Runs a host until it is empty, with further arrivals like `average`.
pub(super) fn replay(
    host: &mut LlmHost,
    notices: &mut Vec<Notice>,
    now_s: f64,
    arrivals: &Arrivals,
    average: LlmJob,
) -> Presence {
    let mut presence = Presence::default();
    let mut at_s = now_s;
    let end_s = now_s + arrivals.horizon_s;
    let mut arrival_s = now_s + 0.5 * arrivals.every_s;
    loop {
        if arrival_s > end_s {
            arrival_s = f64::INFINITY;
        }
        let event_s = host.next_event_s();
        let next_s = event_s.min(arrival_s);
        if next_s.is_infinite() {
            return presence;
        }
        let requests = host.running() + host.waiting();
        presence.present_s += (next_s - at_s) * requests as f64;
        presence.tokenless_s += (next_s - at_s) * host.tokenless() as f64;
        at_s = next_s;
        if event_s <= arrival_s {
            notices.clear();
            host.advance(event_s, notices);
        } else {
            host.offer(arrival_s, average);
            arrival_s += arrivals.every_s;
        }
    }
}

/// By how much a request of `new_s` at the end of a queue delays later arrivals of `mean_s`
/// each, summed, in seconds of work. `free_at_s` has the times at which the servers will be
/// free, the new request not counted; all times are in seconds of work from now.
pub(super) fn inflicted_s(free_at_s: &[f64], new_s: f64, mean_s: f64, arrivals: &Arrivals) -> f64 {
    let mut without = free_at_s.to_vec();
    let mut with = without.clone();
    serve(&mut with, 0.0, new_s);
    let mut inflicted_s = 0.0;
    let mut arrival_s = 0.5 * arrivals.every_s;
    while arrival_s < arrivals.horizon_s {
        let delay_s = serve(&mut with, arrival_s, mean_s) - serve(&mut without, arrival_s, mean_s);
        inflicted_s += delay_s;
        // Once every server is idle in both, nothing is left of the request.
        if with.iter().all(|free_s| *free_s <= arrival_s + mean_s) && delay_s == 0.0 {
            break;
        }
        arrival_s += arrivals.every_s;
    }
    inflicted_s
}

/// Gives a request to the server that is free first; returns when it ends.
pub(super) fn serve(free_at_s: &mut [f64], arrival_s: f64, service_s: f64) -> f64 {
    let first = free_at_s.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("a host has servers");
    *first = first.max(arrival_s) + service_s;
    *first
}

/// Arrivals in seconds of work of a FIFO host.
pub(super) fn in_work(arrivals: &Arrivals, engine: &FifoHost) -> Arrivals {
    let stretch = engine.stretch();
    Arrivals { every_s: arrivals.every_s / stretch, horizon_s: arrivals.horizon_s / stretch }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Presence, inflicted_s, replay};
    use crate::host::llm::{LlmHost, LlmJob, LlmOptions};

    #[test]
    fn a_queue_passes_delays_on_until_it_is_empty() {
        let arrivals = Arrivals { every_s: 2.0, horizon_s: 100.0 };
        // Idle but for the new request of 4 s: arrivals at 1, 3, 5 … take 1 s each and start
        // at 4, 5, 6, and then 1 s late each time until a gap has made up for it.
        assert_eq!(inflicted_s(&[0.0], 4.0, 1.0, &arrivals), 3.0 + 2.0 + 1.0);
        assert_eq!(inflicted_s(&[0.0, 0.0], 4.0, 1.0, &arrivals), 0.0, "the other server is free");
        let quiet = Arrivals { every_s: f64::INFINITY, ..arrivals };
        assert_eq!(inflicted_s(&[7.0], 4.0, 1.0, &quiet), 0.0);
    }

    #[test]
    fn without_arrivals_a_replay_is_a_drain() {
        let job = LlmJob { request: 0, prompt_tokens: 100, output_tokens: 50, cached_tokens: 0 };
        let mut host = LlmHost::new(LlmOptions::default(), 1.0);
        host.offer(3.0, job);
        let quiet = Arrivals { every_s: f64::INFINITY, horizon_s: 10.0 };
        let Presence { present_s, tokenless_s } = replay(&mut host, &mut Vec::new(), 3.0, &quiet, job);
        let step = LlmOptions::default().step;
        assert!((tokenless_s - step.step_s(0, 0, 100)).abs() < 1e-9);
        let decoding_s: f64 = (0..49).map(|k| step.step_s(1, 101 + k, 0)).sum();
        assert!((present_s - tokenless_s - decoding_s).abs() < 1e-9, "{present_s} and {tokenless_s}");
    }
}
