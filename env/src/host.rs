//! The hosts of the fleet: what serves a request once a balancer has chosen.

pub mod fifo;
pub mod file;
pub mod llm;
pub mod prefix_cache;

use evenkeel_runtime::Telemetry;

use fifo::{FifoHost, FifoJob, FifoOptions};
use llm::{LlmHost, LlmJob, LlmOptions};
use prefix_cache::PrefixCache;

/// What a host tells of a request (by the number it was offered under).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Its first token (LLM) or first byte (FIFO) is there.
    FirstToken(u32),
    /// It is complete.
    Done(u32),
}

/// A request as it is offered to a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job<'a> {
    /// The caller's number for the request, returned in every [`Notice`].
    pub request: u32,
    /// Length of the prompt in tokens.
    pub prompt_tokens: u32,
    /// Tokens to generate.
    pub output_tokens: u32,
    /// Service time on a FIFO host of speed 1, in seconds.
    pub service_s: f64,
    /// Ids of the prompt's blocks, from its start; empty where unknown.
    pub prefix: &'a [u64],
    /// Tokens in a block of `prefix`.
    pub prefix_block_tokens: u32,
}

/// The load of a host, measured on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostReport {
    /// Requests being processed.
    pub running: u32,
    /// Requests waiting.
    pub waiting: u32,
    /// Prompt tokens still to prefill, of running and of waiting requests.
    pub pending_prefill_tokens: u64,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_use: f64,
    /// Present (when idle: last) step of an LLM host, mean service time of a FIFO host.
    pub step_s: f64,
}

impl HostReport {
    /// The report in the form that balancers take in.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry {
            running: self.running as f32,
            waiting: self.waiting as f32,
            pending_prefill_tokens: self.pending_prefill_tokens as f32,
            kv_use: self.kv_use as f32,
            step_s: self.step_s as f32,
        }
    }
}

/// What kind of service the hosts run, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceOptions {
    /// Continuous batching of a language model.
    Llm(LlmOptions),
    /// First in, first out.
    Fifo(FifoOptions),
}

/// Either kind of service.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a fleet has a few dozen, and is all of one kind")]
pub(crate) enum Engine {
    Llm(LlmHost, PrefixCache),
    Fifo(FifoHost),
}

/// One host: a service on a machine of some speed, which may be slowed and may crash.
#[derive(Debug)]
pub struct Host {
    engine: Engine,
    speed: f64,
    /// Slowness by antagonists: 1 if there are none.
    slowness: f64,
    /// Slowness by a slow spell: 1 between spells.
    spell_slowness: f64,
    /// Slowness by cold caches after a restart: 1 once warm.
    warm_up_slowness: f64,
    up: bool,
}

impl Host {
    /// An idle host. `block_tokens` is the size of the blocks that prefixes come in.
    pub fn new(service: &ServiceOptions, speed: f64, block_tokens: u32) -> Self {
        assert!(speed > 0.0, "speed must be positive");
        let engine = match service {
            ServiceOptions::Llm(options) => {
                let cache_tokens = options.prefix_cache_share * f64::from(options.kv_capacity_tokens);
                let blocks = (cache_tokens / f64::from(block_tokens.max(1))) as usize;
                Engine::Llm(LlmHost::new(*options, 1.0 / speed), PrefixCache::new(blocks))
            }
            ServiceOptions::Fifo(options) => Engine::Fifo(FifoHost::new(*options, 1.0 / speed)),
        };
        Self { engine, speed, slowness: 1.0, spell_slowness: 1.0, warm_up_slowness: 1.0, up: true }
    }

    /// When [`advance`](Self::advance) must be called next; infinite while idle.
    pub fn next_event_s(&self) -> f64 {
        match &self.engine {
            Engine::Llm(host, _) => host.next_event_s(),
            Engine::Fifo(host) => host.next_event_s(),
        }
    }

    /// A request arrives.
    ///
    /// The prefix cache is looked up and filled at once: prompts are prefilled first come
    /// first served, so what an earlier request shares with this one will have been
    /// computed by the time this one is prefilled.
    ///
    /// # Panics
    /// If the host is down.
    pub fn offer(&mut self, now_s: f64, job: &Job<'_>) {
        assert!(self.up, "a request was offered to a host that is down");
        match &mut self.engine {
            Engine::Llm(host, cache) => {
                let cached_tokens = cached_tokens(cache, job);
                cache.touch(job.prefix);
                let Job { request, prompt_tokens, output_tokens, .. } = *job;
                host.offer(now_s, LlmJob { request, prompt_tokens, output_tokens, cached_tokens });
            }
            Engine::Fifo(host) => host.offer(now_s, FifoJob { request: job.request, service_s: job.service_s }),
        }
    }

    /// Lets the events of `now_s`, which must be [`next_event_s`](Self::next_event_s),
    /// happen, and appends what there is to tell.
    pub fn advance(&mut self, now_s: f64, notices: &mut Vec<Notice>) {
        match &mut self.engine {
            Engine::Llm(host, _) => host.advance(now_s, notices),
            Engine::Fifo(host) => host.advance(now_s, notices),
        }
    }

    /// An antagonist comes or goes: everything takes `slowness` times as long as alone.
    pub fn set_slowness(&mut self, now_s: f64, slowness: f64) {
        self.slowness = slowness;
        self.apply_stretch(now_s);
    }

    /// A slow spell begins, or ends with a slowness of 1.
    pub fn set_spell(&mut self, now_s: f64, slowness: f64) {
        self.spell_slowness = slowness;
        self.apply_stretch(now_s);
    }

    /// A client has left: its request is dropped. A request that is not here is ignored.
    pub fn abort(&mut self, now_s: f64, request: u32) {
        match &mut self.engine {
            Engine::Llm(host, _) => host.abort(now_s, request),
            Engine::Fifo(host) => host.abort(now_s, request),
        }
    }

    /// The host crashes. What it was working on is appended to `lost`.
    pub fn crash(&mut self, now_s: f64, lost: &mut Vec<u32>) {
        self.up = false;
        match &mut self.engine {
            Engine::Llm(host, cache) => {
                cache.clear();
                host.crash(now_s, lost);
            }
            Engine::Fifo(host) => host.crash(now_s, lost),
        }
    }

    /// The host is back, slower by this factor until [`set_warm`](Self::set_warm).
    pub fn restart(&mut self, now_s: f64, warm_up_slowness: f64) {
        self.up = true;
        self.warm_up_slowness = warm_up_slowness;
        self.apply_stretch(now_s);
    }

    /// The host's caches are warm again.
    pub fn set_warm(&mut self, now_s: f64) {
        self.warm_up_slowness = 1.0;
        self.apply_stretch(now_s);
    }

    /// Whether the host takes requests.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Speed relative to the reference.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Present slowness, of antagonists, a slow spell and cold caches together.
    pub fn slowness(&self) -> f64 {
        self.slowness * self.spell_slowness * self.warm_up_slowness
    }

    /// What the host would report of itself at `now_s`.
    pub fn report(&self, now_s: f64) -> HostReport {
        match &self.engine {
            Engine::Llm(host, _) => host.report(now_s),
            Engine::Fifo(host) => host.report(),
        }
    }

    /// The step (mean service time, for FIFO) that the host reports while idle, in seconds.
    pub fn idle_step_s(&self) -> f64 {
        let stretch = self.slowness() / self.speed;
        match &self.engine {
            Engine::Llm(host, _) => host.options().step.base_s * stretch,
            Engine::Fifo(host) => host.options().service_mean_s * stretch,
        }
    }

    /// Appends, for each request being processed, its number and the tokens that it has
    /// generated by `now_s`; a FIFO host generates none. For those who stream.
    pub fn progress(&self, now_s: f64, generated: &mut Vec<(u32, u32)>) {
        if let Engine::Llm(host, _) = &self.engine {
            host.progress(now_s, generated);
        }
    }

    /// Requests running and waiting.
    pub fn requests(&self) -> usize {
        match &self.engine {
            Engine::Llm(host, _) => host.running() + host.waiting(),
            Engine::Fifo(host) => host.running() + host.waiting(),
        }
    }

    /// Seconds spent busy so far (share of the servers, for FIFO).
    pub fn busy_s(&self) -> f64 {
        match &self.engine {
            Engine::Llm(host, _) => host.busy_s(),
            Engine::Fifo(host) => host.busy_s(),
        }
    }

    /// Leading tokens of a prompt that the host has cached.
    pub fn cached_tokens(&self, job: &Job<'_>) -> u32 {
        match &self.engine {
            Engine::Llm(_, cache) => cached_tokens(cache, job),
            Engine::Fifo(_) => 0,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    fn apply_stretch(&mut self, now_s: f64) {
        let stretch = self.slowness() / self.speed;
        match &mut self.engine {
            Engine::Llm(host, _) => host.set_stretch(now_s, stretch),
            Engine::Fifo(host) => host.set_stretch(now_s, stretch),
        }
    }
}

fn cached_tokens(cache: &PrefixCache, job: &Job<'_>) -> u32 {
    if job.prefix.is_empty() {
        return 0;
    }
    let tokens = cache.cached_blocks(job.prefix) as u32 * job.prefix_block_tokens;
    tokens.min(job.prompt_tokens.saturating_sub(1))
}
