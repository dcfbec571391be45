//! Choices of a host, and their explanation.

use core::ffi::c_void;

use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::types::{EK_HOSTS_MAX, EK_NO_HOST, EkChoice, EkEligible, EkExplanation, EkFacts, EkHostExplanation};
use super::upstream::{self, EkUpstream};
use crate::affinity::Keys;
use crate::candidates::Eligible;
use crate::decide;
use crate::explain;
use crate::forecast::Forecaster;
use crate::state::HOST_WORDS;
use crate::upstream::{Attempt, Choice, Facts};

/// Size in bytes of the scratch memory for choices among up to `hosts` hosts, and for ticks. 0
/// for NULL, for a model that needs none, and for what is not a model.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_scratch_size(model: *const EkModel, hosts: u32) -> usize {
    // SAFETY: forwarded to the caller.
    let Ok(Some(model)) = (unsafe { model::optional(model) }) else { return 0 };
    let choice = decide::scratch_len(model, hosts.min(EK_HOSTS_MAX) as usize);
    let tick = model.forecaster().map_or(0, Forecaster::scratch_len);
    choice.max(tick) * size_of::<f32>()
}

/// Chooses a host for an attempt of a request. `ek_upstream_begin` counts it in.
///
/// Every host that may be chosen is scored; the lowest score wins, ties break at random. Hosts
/// that start slowly sit out until their turn comes. Where there is no model or no usable score (the choice's
/// `reason` says), the one with fewer requests in flight of two hosts drawn at random is chosen:
/// as long as a host may be chosen, the result is one.
///
/// `model`: may be NULL. `facts`: NULL for none. `eligible`: NULL for a first attempt, at any host.
/// `scratch`: `ek_scratch_size(model, hosts)` bytes or more, aligned as `float` (64 bytes
/// are faster), for the hosts that may be chosen; not shared with another thread. If it is
/// shorter, the choice is made without the model, `EK_REASON_NO_SCORE`.
/// `choice`: filled in; its `struct_size` must be set.
///
/// Returns `EK_CODE_NO_HOST` if no host may be chosen.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `facts` is NULL or points to `facts->struct_size` initialised bytes.
/// - `eligible` is NULL or points to `eligible->struct_size` initialised bytes, and its masks to
///   as many words as it says.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `choice` points to `choice->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_choose(
    upstream: *mut EkUpstream,
    model: *const EkModel,
    facts: *const EkFacts,
    eligible: *const EkEligible,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    choice: *mut EkChoice,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        // SAFETY: forwarded to the caller.
        let attempt = unsafe { read_attempt(eligible) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(choice) }? as u32;
        let made = upstream.choose(model, &facts, &attempt, now_us, scratch);
        let host = made.host.ok_or(EkCode::NoHost)?;
        let Choice { score, cached_tokens, output_tokens, .. } = made;
        let answer = EkChoice { struct_size, host, reason: made.reason as u32, score, cached_tokens, output_tokens };
        // SAFETY: checked above.
        unsafe { choice.write(answer) };
        Ok(())
    })
}

/// Explains the choice that `ek_upstream_choose` would make with the same arguments: what every
/// host looks like, which one is favoured, and which comes next. Changes nothing, and lets no host
/// sit out that starts slowly.
///
/// `explanation`: filled in; its `struct_size`, `host_size`, `hosts` and `hosts_len` must
/// be set. Returns `EK_CODE_CAPACITY` if the array is too short, with nothing written.
///
/// # Safety
/// - As for `ek_upstream_choose`.
/// - `explanation` points to `explanation->struct_size` bytes, and its `hosts` to
///   `hosts_len` elements of `host_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_explain(
    upstream: *const EkUpstream,
    model: *const EkModel,
    facts: *const EkFacts,
    eligible: *const EkEligible,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    explanation: *mut EkExplanation,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        // SAFETY: forwarded to the caller.
        let attempt = unsafe { read_attempt(eligible) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        unsafe { memory::struct_size(explanation) }?;
        // SAFETY: checked above.
        let asked = unsafe { explanation.read() };
        // SAFETY: forwarded to the caller.
        let hosts = unsafe { Elements::new(&asked) }?;
        if upstream.state().hosts().count() > hosts.len {
            return Err(EkCode::Capacity);
        }
        let mut written = 0;
        let mut words = [0; HOST_WORDS];
        let untried = attempt.untried(&mut words);
        let found = upstream.explain(model, &facts, untried, now_us, scratch, |host| {
            // A host that was registered since they were counted may find no room.
            if written < hosts.len {
                // SAFETY: the element lies inside of the array.
                unsafe { hosts.write(written, &to_c(&host)) };
                written += 1;
            }
        });
        let answer = EkExplanation {
            hosts_written: written as u32,
            reason: found.reason as u32,
            best: found.best.unwrap_or(EK_NO_HOST),
            runner_up: found.runner_up.unwrap_or(EK_NO_HOST),
            margin: found.margin,
            ..asked
        };
        // SAFETY: checked above.
        unsafe { explanation.write(answer) };
        Ok(())
    })
}

/// Reads the facts of a request; NULL stands for none.
///
/// # Safety
/// - If neither NULL nor misaligned, `facts` points to as many initialised bytes as its
///   `struct_size` says.
pub(super) unsafe fn read_facts(facts: *const EkFacts) -> Result<Facts, EkCode> {
    if facts.is_null() {
        return Ok(Facts::default());
    }
    // SAFETY: forwarded to the caller.
    let facts = unsafe { memory::input(facts) }?;
    Ok(Facts {
        prompt_tokens: facts.prompt_tokens,
        text_bytes: facts.text_bytes,
        output_tokens_max: facts.output_tokens_max,
        keys: Keys { prefixes: facts.prefix_keys, session: facts.session_key },
        class: facts.class_key,
    })
}

/// Reads masks of hosts; NULL stands for a first attempt among all hosts.
///
/// # Safety
/// - If neither NULL nor misaligned, `eligible` points to as many initialised bytes as its
///   `struct_size` says, and its masks to as many words as it says for `'a`.
pub(super) unsafe fn read_attempt<'a>(eligible: *const EkEligible) -> Result<Attempt<'a>, EkCode> {
    if eligible.is_null() {
        return Ok(Attempt::first(Eligible::All));
    }
    // SAFETY: forwarded to the caller.
    let eligible = unsafe { memory::input(eligible) }?;
    let words = eligible.words as usize;
    let mask = |mask: *const u64| {
        // SAFETY: forwarded to the caller.
        (!mask.is_null()).then(|| unsafe { memory::slice(mask, words) }).transpose()
    };
    Ok(Attempt {
        eligible: mask(eligible.hosts)?.map_or(Eligible::All, Eligible::Mask),
        tried: mask(eligible.tried)?.unwrap_or(&[]),
    })
}

/// The caller's array of hosts, whose elements may be larger than those of this version.
#[derive(Clone, Copy, Debug)]
struct Elements {
    first: *mut EkHostExplanation,
    len: usize,
    stride: usize,
}

impl Elements {
    /// Checks the array.
    ///
    /// # Safety
    /// - If neither NULL nor misaligned, `hosts` points to `hosts_len` elements of
    ///   `host_size` bytes.
    unsafe fn new(asked: &EkExplanation) -> Result<Self, EkCode> {
        let stride = asked.host_size as usize;
        if stride < size_of::<EkHostExplanation>() || !stride.is_multiple_of(align_of::<EkHostExplanation>()) {
            return Err(EkCode::StructSize);
        }
        if asked.hosts_len > 0 {
            memory::check(asked.hosts)?;
        }
        Ok(Self { first: asked.hosts, len: asked.hosts_len as usize, stride })
    }

    /// Fills in an element.
    ///
    /// # Safety
    /// - `index` is below `len`.
    unsafe fn write(self, index: usize, host: &EkHostExplanation) {
        // SAFETY: inside of the caller's array; aligned, since array and stride are.
        unsafe { self.first.byte_add(index * self.stride).write(*host) };
    }
}

fn to_c(host: &explain::HostExplanation) -> EkHostExplanation {
    EkHostExplanation {
        host: host.host,
        eligible: u32::from(host.eligible),
        in_flight: host.in_flight,
        estimate_s: host.estimate_s,
        residual: host.residual,
        score: host.score,
        telemetry_age_s: host.telemetry_age_s,
        reserved: 0,
    }
}
