//! Replays through proxies in front of hosts that run already, whatever they are.
//!
//! Nobody knows their model, so that there is no simulation beside it and a load is given in requests
//! a second. They are not started afresh between two replays: each replay has prompts of its own
//! instead, of which no cache has anything.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_datasets::Trace;
use evenkeel_datasets::random::{below, generator};
use evenkeel_env::Status;

use super::Proxy;
use super::setting::window;
use crate::clock::Clock;
use crate::replay::client::{Client, ClientOptions};
use crate::replay::observation::Observation;
use crate::replay::plan::Plan;
use crate::replay::{self};

/// Replays in front of hosts that run already.
#[derive(Debug)]
pub struct Running {
    /// The trace, of whose test part windows are replayed.
    pub trace: Trace,
    /// Requests of a replay.
    pub requests: usize,
    /// Requests a second.
    pub rate_per_s: f64,
    /// After this long a request is given up, in seconds.
    pub deadline_s: f64,
    /// Name of the model.
    pub model: String,
}

impl Running {
    /// Waits until a proxy answers a request.
    ///
    /// # Errors
    /// If it does not within a minute.
    pub async fn wait_until_ready(&self, proxy: &Proxy) -> std::io::Result<()> {
        const PATIENCE: Duration = Duration::from_mins(1);
        const PAUSE: Duration = Duration::from_millis(200);
        let mut short = window(&self.trace, 1, 0);
        for request in &mut short.requests {
            (request.prompt_tokens, request.output_tokens, request.prefix_len) = (16, 2, 0);
        }
        let plan = Plan::new(short, 1.0, 1, 0);
        let clock = Clock::start(1.0);
        let client = Client::new(self.client_options(proxy), clock);
        loop {
            let observation = client.send(&plan, 0, clock.now_s()).await;
            if observation.status == Status::Answered {
                return Ok(());
            }
            if clock.now_s() > PATIENCE.as_secs_f64() {
                let why = observation.error.unwrap_or_else(|| "no answer".to_owned());
                let message = format!("{} at {} does not serve: {why}", proxy.name, proxy.authority);
                return Err(std::io::Error::other(message));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Seconds until the last request of a replay is due.
    pub fn duration_s(&self) -> f64 {
        self.requests as f64 / self.rate_per_s
    }

    /// Replays the seed's window through a proxy, until the last answer has come. The place of the
    /// proxy in the comparison makes the prompts its own.
    ///
    /// # Errors
    /// If no thread can be started.
    pub async fn replay_through(&self, proxy: &Proxy, place: usize, seed: u64) -> std::io::Result<Vec<Observation>> {
        let mut plan = Plan::at_rate(window(&self.trace, self.requests, seed), self.rate_per_s, seed);
        plan.salt = seed << 16 | (place as u64 + 1);
        let mut receiver = replay::start(Arc::new(plan), self.client_options(proxy), Clock::start(1.0))?;
        let mut observations = Vec::new();
        while let Some(observation) = receiver.recv().await {
            observations.push(observation);
        }
        Ok(observations)
    }

    fn client_options(&self, proxy: &Proxy) -> ClientOptions {
        ClientOptions {
            authority: proxy.authority.clone(),
            path: None,
            model: self.model.clone(),
            stream: true,
            deadline_s: self.deadline_s,
            headers: Vec::new(),
        }
    }
}

/// The order in which a repeat takes its proxies: another one each time, so that no policy always finds
/// what the same other one left.
pub fn order(proxies: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..proxies).collect();
    let mut random = generator(seed, 1);
    for last in (1..proxies).rev() {
        order.swap(last, below(&mut random, last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_proxy_has_its_turn_and_not_always_the_same() {
        let orders: Vec<_> = (1..9).map(|seed| order(5, seed)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!((0..5).all(|proxy| orders.iter().any(|order| order[0] != proxy)));
        assert_eq!(orders[0], order(5, 1), "a seed gives the same order again");
    }
}
