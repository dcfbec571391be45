//! What the runtime knows of the service it balances, and the analytic estimate (EXT)
//! that every score starts from.

use crate::artifact::error::ArtifactError;

/// How a host of the service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ServiceKind {
    /// Continuous batching of a language model: all running requests share each step.
    Llm = 0,
    /// First in, first out, with a fixed number of servers.
    Fifo = 1,
}

/// Continuous batching of a language model. Times in seconds on a host of relative speed 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llm {
    /// Length of a step with an empty batch.
    pub step_base_s: f32,
    /// Growth of a step with each decoding request.
    pub step_per_request_s: f32,
    /// Growth of a step with each token in the KV cache.
    pub step_per_kv_token_s: f32,
    /// Growth of a step with each prompt token that it prefills.
    pub step_per_prefill_token_s: f32,
    /// Most requests in a batch.
    pub batch_max: f32,
    /// Tokens that fit in the KV cache.
    pub kv_capacity_tokens: f32,
}

/// First in, first out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fifo {
    /// Mean service time in seconds on a host of relative speed 1.
    pub service_mean_s: f32,
    /// Servers of a host.
    pub servers: f32,
}

/// Parameters of how a host works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Engine {
    /// A language model's.
    Llm(Llm),
    /// A queue's.
    Fifo(Fifo),
}

/// Parameters of the service, fitted by the trainer. Times in seconds on a host of
/// relative speed 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceModel {
    /// Parameters of its hosts.
    pub engine: Engine,
    /// Mean prompt length in tokens.
    pub prompt_tokens_mean: f32,
    /// Mean output length in tokens.
    pub output_tokens_mean: f32,
    /// Typical step (LLM) or service time (FIFO), to which measured ones are compared.
    pub step_typical_s: f32,
    /// Typical latency of a request.
    pub latency_typical_s: f32,
    /// Typical time to first token (LLM) or first byte (FIFO).
    pub ttft_typical_s: f32,
    /// Estimate: weight of prefill work ahead (LLM) or of the queue (FIFO).
    pub queue_weight: f32,
    /// Estimate: weight of KV cache demand beyond its capacity.
    pub kv_weight: f32,
    /// Estimate: weight of the delay inflicted on the requests already there.
    pub delay_weight: f32,
    /// Selection: how far choices are spread where balancers would herd (see
    /// [`crate::herding`]); 0 to take the lowest score always.
    pub herding_weight: f32,
}

/// Bytes of an encoded service model: the kind, then the fields in order, then zeros.
pub const SERVICE_BYTES: usize = 128;

const FIELDS: usize = 17;

/// What an estimate needs to know of one host.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests at the host, running and waiting.
    pub requests: f32,
    /// Prompt tokens that wait for their prefill.
    pub pending_prefill_tokens: f32,
    /// Share of the KV cache in use.
    pub kv_use: f32,
    /// Present length of a step (LLM), or mean service time (FIFO), in seconds.
    pub step_s: f32,
    /// Share of recent requests that failed.
    pub failure_share: f32,
}

/// How many times dearer a host becomes if every recent request failed there: a host
/// that fails fast must not look fast.
pub(crate) const FAILURE_COST: f32 = 20.0;

/// A prompt is booked as at most so many of the service's mean.
const BOOKED_PROMPTS_MAX: f32 = 8.0;

impl ServiceModel {
    /// The analytic estimate of what it costs, in seconds, to put a request on a host:
    /// its own expected completion time plus the delay inflicted on those already there
    /// (the externality). `prompt_tokens` are those not cached at the host, `output_tokens`
    /// those that it is expected to generate.
    ///
    /// Always positive and finite for finite arguments within the ranges of [`Load`].
    pub fn estimate_s(&self, load: &Load, prompt_tokens: f32, output_tokens: f32) -> f32 {
        let healthy = match &self.engine {
            Engine::Llm(llm) => self.llm_estimate_s(llm, load, prompt_tokens, output_tokens),
            Engine::Fifo(fifo) => self.fifo_estimate_s(fifo, load),
        };
        (healthy * (1.0 + FAILURE_COST * load.failure_share)).clamp(1e-9, 1e9)
    }

    fn llm_estimate_s(&self, llm: &Llm, load: &Load, prompt_tokens: f32, output_tokens: f32) -> f32 {
        // Everything on the host stretches with its slowness; a step of typical length
        // is taken to be one of speed 1.
        let slowness = load.step_s / self.step_typical_s;
        let queued = (load.requests + 1.0 - llm.batch_max).max(0.0) / llm.batch_max;
        let prefill_s = llm.step_per_prefill_token_s * slowness;
        let kv_after = self.kv_use_after(load, prompt_tokens, output_tokens);
        let own = load.step_s * output_tokens * (1.0 + queued)
            + self.queue_weight * prefill_s * (load.pending_prefill_tokens + prompt_tokens)
            + self.kv_weight * (kv_after - 1.0).max(0.0) * self.latency_typical_s;
        let context_tokens = prompt_tokens + 0.5 * output_tokens;
        let slower_steps_s =
            slowness * (llm.step_per_request_s + llm.step_per_kv_token_s * context_tokens) * output_tokens;
        let inflicted = load.requests.min(llm.batch_max) * (prefill_s * prompt_tokens + slower_steps_s);
        own + self.delay_weight * inflicted
    }

    fn fifo_estimate_s(&self, fifo: &Fifo, load: &Load) -> f32 {
        // Behind us nobody waits longer: in a FIFO queue there is no externality.
        let ahead = (load.requests + 1.0 - fifo.servers).max(0.0) / fifo.servers;
        load.step_s * (1.0 + self.queue_weight * ahead)
    }

    /// Kind of its hosts.
    pub const fn kind(&self) -> ServiceKind {
        match self.engine {
            Engine::Llm(_) => ServiceKind::Llm,
            Engine::Fifo(_) => ServiceKind::Fifo,
        }
    }

    /// Requests that a host works on at once: its batch, or its servers.
    pub const fn concurrency_max(&self) -> f32 {
        match self.engine {
            Engine::Llm(Llm { batch_max, .. }) => batch_max,
            Engine::Fifo(Fifo { servers, .. }) => servers,
        }
    }

    /// Tokens that fit in the KV cache; infinitely many where there is none.
    pub const fn kv_capacity_tokens(&self) -> f32 {
        match self.engine {
            Engine::Llm(Llm { kv_capacity_tokens, .. }) => kv_capacity_tokens,
            Engine::Fifo(_) => f32::INFINITY,
        }
    }

    /// Time that a host of speed 1 takes for a prompt token; 0 where prompts cost nothing.
    pub const fn step_per_prefill_token_s(&self) -> f32 {
        match self.engine {
            Engine::Llm(Llm { step_per_prefill_token_s, .. }) => step_per_prefill_token_s,
            Engine::Fifo(_) => 0.0,
        }
    }

    /// Longest prompt that a host could take, in tokens: claims beyond it count for this.
    pub fn prompt_tokens_max(&self) -> f32 {
        self.kv_capacity_tokens()
    }

    /// Prompt tokens that are booked at a host for a request which claims to have so many: a
    /// client that claims more than it sends must not turn others' requests away.
    pub fn booked_prompt_tokens(&self, claimed: u32) -> u32 {
        let most = (BOOKED_PROMPTS_MAX * self.prompt_tokens_mean).min(self.prompt_tokens_max());
        claimed.min(most as u32)
    }

    /// Share of the KV cache in use once a request is there and half generated.
    pub fn kv_use_after(&self, load: &Load, prompt_tokens: f32, output_tokens: f32) -> f32 {
        load.kv_use + (load.pending_prefill_tokens + prompt_tokens + 0.5 * output_tokens) / self.kv_capacity_tokens()
    }

    /// Reads the SERVICE section.
    ///
    /// # Errors
    /// [`ArtifactError::Service`] if it is short or a value is not positive and finite
    /// (weights may be 0).
    pub fn decode(section: &[u8]) -> Result<Self, ArtifactError> {
        let words = section.get(..SERVICE_BYTES).ok_or(ArtifactError::Service)?.as_chunks::<4>().0;
        let mut f = [0.0; FIELDS];
        for (field, word) in f.iter_mut().zip(&words[1..]) {
            *field = f32::from_le_bytes(*word);
        }
        let (engine, sizes) = match u32::from_le_bytes(words[0]) {
            0 => (
                Engine::Llm(Llm {
                    step_base_s: f[0],
                    step_per_request_s: f[1],
                    step_per_kv_token_s: f[2],
                    step_per_prefill_token_s: f[3],
                    batch_max: f[4],
                    kv_capacity_tokens: f[5],
                }),
                [f[4], f[5]],
            ),
            1 => (Engine::Fifo(Fifo { service_mean_s: f[8], servers: f[9] }), [f[9]; 2]),
            _ => return Err(ArtifactError::Service),
        };
        let model = Self {
            engine,
            prompt_tokens_mean: f[6],
            output_tokens_mean: f[7],
            step_typical_s: f[10],
            latency_typical_s: f[11],
            ttft_typical_s: f[12],
            queue_weight: f[13],
            kv_weight: f[14],
            delay_weight: f[15],
            herding_weight: f[16],
        };
        let typical = [model.step_typical_s, model.latency_typical_s, model.ttft_typical_s, model.prompt_tokens_mean];
        let in_range = f.iter().all(|f| (0.0..=1e12).contains(f)) && sizes.iter().chain(&typical).all(|f| *f >= 1e-9);
        if in_range { Ok(model) } else { Err(ArtifactError::Service) }
    }

    /// The SERVICE section of this model.
    pub fn encode(&self) -> [u8; SERVICE_BYTES] {
        let mut section = [0; SERVICE_BYTES];
        section[..4].copy_from_slice(&(self.kind() as u32).to_le_bytes());
        for (word, field) in section[4..].as_chunks_mut::<4>().0.iter_mut().zip(self.fields()) {
            *word = field.to_le_bytes();
        }
        section
    }

    /// The fields in the order of the section; those of the other kind are 0.
    fn fields(&self) -> [f32; FIELDS] {
        let (
            [base_s, per_request_s, per_kv_token_s, per_prefill_token_s],
            [batch_max, kv_capacity_tokens],
            [service_mean_s, servers],
        ) = match self.engine {
            Engine::Llm(Llm {
                step_base_s,
                step_per_request_s,
                step_per_kv_token_s,
                step_per_prefill_token_s,
                batch_max,
                kv_capacity_tokens,
            }) => {
                let steps_s = [step_base_s, step_per_request_s, step_per_kv_token_s, step_per_prefill_token_s];
                (steps_s, [batch_max, kv_capacity_tokens], [0.0; 2])
            }
            Engine::Fifo(Fifo { service_mean_s, servers }) => ([0.0; 4], [0.0; 2], [service_mean_s, servers]),
        };
        [
            base_s,
            per_request_s,
            per_kv_token_s,
            per_prefill_token_s,
            batch_max,
            kv_capacity_tokens,
            self.prompt_tokens_mean,
            self.output_tokens_mean,
            service_mean_s,
            servers,
            self.step_typical_s,
            self.latency_typical_s,
            self.ttft_typical_s,
            self.queue_weight,
            self.kv_weight,
            self.delay_weight,
            self.herding_weight,
        ]
    }
}
