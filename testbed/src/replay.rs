//! Open-loop replay of a trace: requests are sent when the trace says so, whether or not the
//! earlier ones were answered.
//!
//! Latencies count from when a request was *due*. Where the replayer itself is late, the
//! request's latency grows by that, instead of the delay being omitted together with what
//! would have been sent meanwhile (coordinated omission).
//!
//! | Part | What it does |
//! |---|---|
//! | [`plan`] | which requests are due when |
//! | [`prompt_text`] | prompts with the trace's lengths and shared prefixes |
//! | [`client`] | connections, and one request over one of them |
//! | [`events`] | server-sent events, of which tokens are counted |
//! | [`observation`] | what was measured of a request |
//! | [`log`] | observations as a log that `evenkeel train --trace` reads |
//! | [`summary`] | figures and histograms |

pub mod client;
pub mod events;
pub mod log;
pub mod observation;
pub mod plan;
pub mod prompt_text;
pub mod summary;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::clock::{self, Clock};
use client::{Client, ClientOptions};
use observation::Observation;
use plan::Plan;

/// Sends the plan's requests, from now on, on the present runtime. What is received are the
/// observations, in the order in which requests end; after the last one the channel closes.
/// Dropping it stops the replay.
///
/// # Errors
/// If no thread can be started.
pub fn start(plan: Arc<Plan>, options: ClientOptions, clock: Clock) -> std::io::Result<UnboundedReceiver<Observation>> {
    let (sender, receiver) = unbounded_channel();
    let runtime = Handle::current();
    let client = Arc::new(Client::new(options, clock));
    // A thread of its own: an event loop's timers are a millisecond coarse, which a time scale
    // multiplies.
    std::thread::Builder::new().name("schedule".to_owned()).spawn(move || {
        let begin_s = clock.now_s() + START_DELAY.as_secs_f64() * clock.time_scale();
        for (index, request) in plan.requests.iter().enumerate() {
            let due_s = begin_s + request.due_s;
            clock::sleep_until(clock.instant(due_s));
            if sender.is_closed() {
                break;
            }
            let (client, plan, sender) = (Arc::clone(&client), Arc::clone(&plan), sender.clone());
            runtime.spawn(async move {
                let observation = client.send(&plan, index, due_s).await;
                // Nobody listens any more: the replay was stopped.
                let _ = sender.send(Observation { index, due_s: observation.due_s - begin_s, ..observation });
            });
        }
    })?;
    Ok(receiver)
}

/// Between the start of a replay and its clock's zero, so that the first request is not late.
const START_DELAY: Duration = Duration::from_millis(20);
