//! What a decision reads of a slot, as words for the kernels.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{AtomicF32, HostSlot};

/// Words of 32 bits at the beginning of a slot which decisions read.
pub(crate) const HOT_WORDS: usize = 24;

/// Which word is which field. Times are two words, the lower first.
pub(crate) mod word {
    use super::{HostSlot, offset_of};

    macro_rules! words {
        ($($name:ident = $field:ident;)*) => {
            $(pub(crate) const $name: usize = offset_of!(HostSlot, $field) / 4;)*
        };
    }

    words! {
        IN_FLIGHT = in_flight;
        IN_FLIGHT_PROMPT_TOKENS = in_flight_prompt_tokens;
        SENT_SINCE_TELEMETRY = sent_since_telemetry;
        DONE_SINCE_TELEMETRY = done_since_telemetry;
        PROMPT_TOKENS_SINCE_TELEMETRY = prompt_tokens_since_telemetry;
        WEIGHT = weight;
        LATENCY_EWMA_S = latency_ewma_s;
        PEAK_LATENCY_S = peak_latency_s;
        TTFT_EWMA_S = ttft_ewma_s;
        LOCAL_STEP_S = local_step_s;
        COMPLETIONS_PER_S = completions_per_s;
        FAILURE_SHARE = failure_share;
        RUNNING = running;
        WAITING = waiting;
        PENDING_PREFILL_TOKENS = pending_prefill_tokens;
        KV_USE = kv_use;
        TELEMETRY_STEP_S = telemetry_step_s;
        TELEMETRY_US = telemetry_us;
        LAST_SIGN_US = last_sign_us;
        UNWORKED = unworked;
        KNOWLEDGE = knowledge;
    }
}

// The kernels read whole groups of four words; a slot is four cache lines, of which decisions
// read the first and half of the second.
const _: () = assert!(word::KNOWLEDGE < HOT_WORDS && HOT_WORDS.is_multiple_of(4));
const _: () = assert!(size_of::<HostSlot>() == 256);

impl HostSlot {
    /// The first [`HOT_WORDS`] words, each read atomically.
    #[inline(always)]
    pub(crate) fn hot_words(&self) -> [u32; HOT_WORDS] {
        let number = |field: &AtomicF32| field.load().to_bits();
        let halves = |field: &AtomicU64| {
            let time_us = field.load(Relaxed);
            [time_us as u32, (time_us >> 32) as u32]
        };
        let [telemetry_low, telemetry_high] = halves(&self.telemetry_us);
        let [sign_low, sign_high] = halves(&self.last_sign_us);
        [
            self.in_flight.load(Relaxed),
            self.in_flight_prompt_tokens.load(Relaxed),
            self.sent_since_telemetry.load(Relaxed),
            self.done_since_telemetry.load(Relaxed),
            self.prompt_tokens_since_telemetry.load(Relaxed),
            number(&self.weight),
            number(&self.latency_ewma_s),
            number(&self.peak_latency_s),
            number(&self.ttft_ewma_s),
            number(&self.local_step_s),
            number(&self.completions_per_s),
            number(&self.failure_share),
            number(&self.running),
            number(&self.waiting),
            number(&self.pending_prefill_tokens),
            number(&self.kv_use),
            number(&self.telemetry_step_s),
            number(&self.full_share),
            telemetry_low,
            telemetry_high,
            sign_low,
            sign_high,
            number(&self.unworked),
            number(&self.knowledge),
        ]
    }

    /// Address of one of the first [`HOT_WORDS`] words.
    #[inline(always)]
    pub(crate) fn hot_address(&self, word: usize) -> *const u32 {
        core::ptr::from_ref(self).cast::<u32>().wrapping_add(word)
    }
}
