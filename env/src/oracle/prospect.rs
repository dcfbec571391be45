//! What comes of placing the request on a host, for critics and rewards.

use super::{Scratch, Truth};
use crate::host::llm::LlmHost;
use crate::host::{Engine, Host, Notice};
use crate::sizes::Sizes;

/// What comes of placing the request on a host if nothing else arrives, in seconds;
/// infinite on a host that is down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prospect {
    /// By how much the sum of the completion times of all requests present grows, the new
    /// one included.
    pub marginal_s: f64,
    /// The request's own latency.
    pub latency_s: f64,
    /// Its time to first token.
    pub ttft_s: f64,
}

impl Truth<'_> {
    /// What comes of placing the request on a host.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn prospect(&self, host: usize, sizes: Sizes) -> Prospect {
        let host = &self.hosts[host];
        if !host.is_up() {
            return Prospect { marginal_s: f64::INFINITY, latency_s: f64::INFINITY, ttft_s: f64::INFINITY };
        }
        let scratch = &mut *self.scratch.borrow_mut();
        match host.engine() {
            Engine::Llm(engine, _) => self.llm_prospect(host, engine, sizes, scratch),
            Engine::Fifo(engine) => {
                let latency_s = self.fifo_cost_s(engine, sizes, None, scratch);
                Prospect { marginal_s: latency_s, latency_s, ttft_s: latency_s }
            }
        }
    }

    fn llm_prospect(&self, host: &Host, engine: &LlmHost, sizes: Sizes, scratch: &mut Scratch) -> Prospect {
        let Scratch { present, drained, notices, .. } = scratch;
        let with = present.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let without = drained.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let at_s = self.settle(engine, sizes, with, notices);
        without.clone_from(with);
        without.resume(at_s, None);
        with.resume(at_s, Some(self.llm_job(host, sizes)));
        let mut prospect = Prospect { marginal_s: 0.0, latency_s: 0.0, ttft_s: 0.0 };
        let watched = self.job.request;
        drain(without, notices, |notice, at_s| {
            if let Notice::Done(_) = notice {
                prospect.marginal_s -= at_s - self.now_s;
            }
        });
        drain(with, notices, |notice, at_s| match notice {
            Notice::FirstToken(request) if request == watched => prospect.ttft_s = at_s - self.now_s,
            Notice::FirstToken(_) => {}
            Notice::Done(request) => {
                prospect.marginal_s += at_s - self.now_s;
                if request == watched {
                    prospect.latency_s = at_s - self.now_s;
                }
            }
        });
        prospect
    }
}

/// Runs a host until it is empty, and tells of every notice and its time.
fn drain(host: &mut LlmHost, notices: &mut Vec<Notice>, mut tell: impl FnMut(Notice, f64)) {
    loop {
        let at_s = host.next_event_s();
        if at_s.is_infinite() {
            return;
        }
        notices.clear();
        host.advance(at_s, notices);
        for notice in &*notices {
            tell(*notice, at_s);
        }
    }
}
