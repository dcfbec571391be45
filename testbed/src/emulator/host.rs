//! One host: the model, the requests on it, what it counted.

use std::collections::BTreeMap;

use evenkeel_env::host::{Host, HostReport, Job, Notice, ServiceOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::EmulatorOptions;

/// A request as it came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Length of the prompt in tokens.
    pub prompt_tokens: u32,
    /// Tokens to generate.
    pub output_tokens: u32,
    /// Service time on a FIFO host of speed 1, in seconds of service time.
    pub service_s: f64,
    /// Ids of the prompt's blocks, from its start.
    pub prefix: Vec<u64>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many tokens are there in all.
    Tokens(u32),
    /// It is complete.
    Done,
    /// The host crashed.
    Lost,
}

/// What a host counted since it was started. Times in seconds of service time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Requests answered.
    pub answered: u64,
    /// Prompt tokens of all requests.
    pub prompt_tokens: u64,
    /// Those of them that were cached.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// From arrival to first token, summed.
    pub ttft_s: f64,
    /// Requests in that sum.
    pub first_tokens: u64,
    /// From token to token, summed.
    pub between_tokens_s: f64,
    /// Tokens in that sum.
    pub later_tokens: u64,
    /// From arrival to end, summed.
    pub latency_s: f64,
}

#[derive(Debug)]
struct Active {
    sender: UnboundedSender<Progress>,
    offered_s: f64,
    output_tokens: u32,
    generated: u32,
    /// When the last of those was counted.
    generated_s: f64,
}

/// A host with the requests that are on it.
#[derive(Debug)]
pub struct Emulated {
    host: Host,
    block_tokens: u32,
    /// How much its clock is behind the world's: as long as it hung.
    lag_s: f64,
    hung_since_s: Option<f64>,
    /// When caches are warm again after a restart, on the world's clock.
    warm_s: f64,
    active: BTreeMap<u32, Active>,
    next_request: u32,
    /// What came in while it hung.
    held: Vec<(Offer, UnboundedSender<Progress>)>,
    counters: Counters,
    notices: Vec<Notice>,
    progress: Vec<(u32, u32)>,
}

impl Emulated {
    /// An idle host.
    pub fn new(options: &EmulatorOptions, speed: f64) -> Self {
        let block_tokens = match options.service {
            ServiceOptions::Llm(_) => options.block_tokens,
            ServiceOptions::Fifo(_) => 0,
        };
        Self {
            host: Host::new(&options.service, speed, block_tokens),
            block_tokens,
            lag_s: 0.0,
            hung_since_s: None,
            warm_s: f64::INFINITY,
            active: BTreeMap::new(),
            next_request: 0,
            held: Vec::new(),
            counters: Counters::default(),
            notices: Vec::new(),
            progress: Vec::new(),
        }
    }

    /// When something happens next, on the world's clock; infinite for never.
    pub fn next_event_s(&self) -> f64 {
        if self.hung_since_s.is_some() {
            return f64::INFINITY;
        }
        (self.host.next_event_s() + self.lag_s).min(self.warm_s)
    }

    /// Whether it has requests, so that there may be tokens to tell of.
    pub fn is_busy(&self) -> bool {
        self.hung_since_s.is_none() && !self.active.is_empty()
    }

    /// A request arrives; `None` if the host is down.
    pub fn offer(&mut self, now_s: f64, offer: Offer) -> Option<UnboundedReceiver<Progress>> {
        if !self.host.is_up() {
            return None;
        }
        let (sender, receiver) = unbounded_channel();
        if self.hung_since_s.is_some() {
            self.held.push((offer, sender));
        } else {
            self.catch_up(now_s);
            self.begin(now_s, &offer, sender);
        }
        Some(receiver)
    }

    /// Lets everything happen that is due.
    pub fn catch_up(&mut self, now_s: f64) {
        if self.hung_since_s.is_some() {
            return;
        }
        let local_s = now_s - self.lag_s;
        loop {
            let at_s = self.host.next_event_s();
            if at_s > local_s {
                break;
            }
            let mut notices = std::mem::take(&mut self.notices);
            self.host.advance(at_s, &mut notices);
            for notice in notices.drain(..) {
                match notice {
                    Notice::FirstToken(request) => self.first_token(request, at_s),
                    Notice::Done(request) => self.done(request, at_s),
                }
            }
            self.notices = notices;
        }
        if self.warm_s <= now_s {
            self.warm_s = f64::INFINITY;
            self.host.set_warm(local_s);
        }
    }

    /// Tells everyone of the tokens generated since the last time.
    pub fn tell_progress(&mut self, now_s: f64) {
        if !self.is_busy() {
            return;
        }
        let local_s = now_s - self.lag_s;
        self.progress.clear();
        self.host.progress(local_s, &mut self.progress);
        for (request, generated) in &self.progress {
            if let Some(active) = self.active.get_mut(request)
                && active.generated > 0
                && *generated > active.generated
            {
                count_tokens(active, &mut self.counters, *generated, local_s);
                // A client that went away changes nothing: the host works on.
                let _ = active.sender.send(Progress::Tokens(*generated));
            }
        }
    }

    /// Stops: nothing moves, nothing is answered.
    pub fn hang(&mut self, now_s: f64) {
        self.catch_up(now_s);
        self.hung_since_s.get_or_insert(now_s);
    }

    /// Goes on where it stopped.
    pub fn resume(&mut self, now_s: f64) {
        if let Some(since_s) = self.hung_since_s.take() {
            self.lag_s += now_s - since_s;
            for (offer, sender) in std::mem::take(&mut self.held) {
                self.begin(now_s, &offer, sender);
            }
        }
    }

    /// Everything takes `slowness` times as long as alone.
    pub fn set_slowness(&mut self, now_s: f64, slowness: f64) {
        self.catch_up(now_s);
        self.host.set_slowness(self.local_s(now_s), slowness);
    }

    /// Drops everything and is down.
    pub fn crash(&mut self, now_s: f64) {
        self.resume(now_s);
        self.catch_up(now_s);
        if self.host.is_up() {
            self.host.crash(now_s - self.lag_s, &mut Vec::new());
        }
        for active in std::mem::take(&mut self.active).into_values() {
            let _ = active.sender.send(Progress::Lost);
        }
        self.counters = Counters::default();
    }

    /// Is back, slower by `slowness` for `warm_up_s` seconds of service time.
    pub fn restart(&mut self, now_s: f64, warm_up_s: f64, slowness: f64) {
        if !self.host.is_up() {
            self.host.restart(now_s - self.lag_s, slowness);
            self.warm_s = now_s + warm_up_s;
        }
    }

    /// Whether it takes requests.
    pub fn is_up(&self) -> bool {
        self.host.is_up()
    }

    /// Whether it hangs.
    pub fn is_hung(&self) -> bool {
        self.hung_since_s.is_some()
    }

    /// Present slowness, of antagonists and of cold caches together.
    pub fn slowness(&self) -> f64 {
        self.host.slowness()
    }

    /// Relative speed.
    pub fn speed(&self) -> f64 {
        self.host.speed()
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it would report of itself, in service time.
    pub fn report(&self, now_s: f64) -> HostReport {
        self.host.report(self.local_s(now_s))
    }

    /// The same in the words of engines, for which a request runs once a step has worked on
    /// it: of those that the model has admitted, all but one of those without a token wait.
    pub fn engine_report(&mut self, now_s: f64) -> HostReport {
        let report = self.report(now_s);
        self.progress.clear();
        self.host.progress(self.local_s(now_s), &mut self.progress);
        let tokenless = self.progress.iter().filter(|(_, generated)| *generated == 0).count() as u32;
        let untouched = tokenless.saturating_sub(1);
        HostReport { running: report.running - untouched, waiting: report.waiting + untouched, ..report }
    }

    /// Seconds of service time that it was busy.
    pub fn busy_s(&self) -> f64 {
        self.host.busy_s()
    }

    /// The host's own clock, which stands while it hangs.
    fn local_s(&self, now_s: f64) -> f64 {
        self.hung_since_s.unwrap_or(now_s) - self.lag_s
    }

    fn begin(&mut self, now_s: f64, offer: &Offer, sender: UnboundedSender<Progress>) {
        let local_s = now_s - self.lag_s;
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let job = Job {
            request,
            prompt_tokens: offer.prompt_tokens,
            output_tokens: offer.output_tokens,
            service_s: offer.service_s,
            prefix: &offer.prefix,
            prefix_block_tokens: self.block_tokens,
        };
        self.counters.prompt_tokens += u64::from(offer.prompt_tokens);
        self.counters.cached_tokens += u64::from(self.host.cached_tokens(&job));
        self.host.offer(local_s, &job);
        let output_tokens = offer.output_tokens.max(1);
        let active = Active { sender, offered_s: local_s, output_tokens, generated: 0, generated_s: local_s };
        self.active.insert(request, active);
    }

    fn first_token(&mut self, request: u32, at_s: f64) {
        if let Some(active) = self.active.get_mut(&request) {
            active.generated = 1;
            active.generated_s = at_s;
            self.counters.generated_tokens += 1;
            self.counters.first_tokens += 1;
            self.counters.ttft_s += at_s - active.offered_s;
            let _ = active.sender.send(Progress::Tokens(1));
        }
    }

    fn done(&mut self, request: u32, at_s: f64) {
        if let Some(mut active) = self.active.remove(&request) {
            let all = active.output_tokens;
            count_tokens(&mut active, &mut self.counters, all, at_s);
            self.counters.answered += 1;
            self.counters.latency_s += at_s - active.offered_s;
            let _ = active.sender.send(Progress::Done);
        }
    }
}

fn count_tokens(active: &mut Active, counters: &mut Counters, generated: u32, at_s: f64) {
    let tokens = u64::from(generated.saturating_sub(active.generated));
    counters.generated_tokens += tokens;
    counters.later_tokens += tokens;
    if tokens > 0 {
        counters.between_tokens_s += at_s - active.generated_s;
    }
    active.generated = generated;
    active.generated_s = at_s;
}
