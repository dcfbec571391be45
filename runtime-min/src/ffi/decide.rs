//! Decisions and their explanation.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::state::{self, EkState};
use super::types::{EK_HOSTS_MAX, EkDecision, EkHostScore, EkRequest};
use crate::candidates::Eligible;
use crate::decide;
use crate::features::{TELEMETRY_STALE_S, View};
use crate::reason::Reason;
use crate::request::Request;
use crate::state::State;

/// Size in bytes of the scratch memory for decisions among up to `hosts` hosts. 0 for
/// NULL, for a model without a policy, and for what is not a model.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_scratch_size(model: *const EkModel, hosts: u32) -> usize {
    // SAFETY: forwarded to the caller.
    match unsafe { model::optional(model) } {
        Ok(Some(model)) => decide::scratch_len(model, hosts.min(EK_HOSTS_MAX) as usize) * size_of::<f32>(),
        _ => 0,
    }
}

/// Chooses a host for a request. Tell the state where it went with `ek_begin`.
///
/// Every eligible host is scored; the lowest score wins, ties break at random. Where there
/// is no model or no usable score (`ek_reason` tells), the one with fewer requests in
/// flight of two eligible hosts drawn at random is chosen: as long as a host is eligible,
/// the result is one.
///
/// `model`: may be NULL.
/// `eligible`: host `i` may be chosen if bit `i % 64` of word `i / 64` is set; hosts beyond
/// the end may not. NULL (with 0 words) stands for all hosts.
/// `scratch`: `ek_scratch_size(model, hosts)` bytes or more, aligned as `float` (64 bytes
/// are faster), for the hosts that are eligible; not shared with another thread. If it is
/// shorter, the decision is made without the model, `EK_REASON_NO_SCORE`.
/// `decision`: filled in; its `struct_size` must be set.
///
/// Returns `EK_CODE_NO_HOST` if no host is eligible.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `request` points to `request->struct_size` initialised bytes, and its
///   `cached_tokens` to `cached_tokens_len` numbers.
/// - `eligible` points to `eligible_words` words.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `decision` points to `decision->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_decide(
    model: *const EkModel,
    state: *mut EkState,
    request: *const EkRequest,
    eligible: *const u64,
    eligible_words: usize,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    decision: *mut EkDecision,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let counters = unsafe { state::counters(state) }?;
        // SAFETY: forwarded to the caller.
        let view = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let request = unsafe { read_request(request) }?;
        // SAFETY: forwarded to the caller.
        let eligible = unsafe { read_eligible(eligible, eligible_words) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(decision) }? as u32;
        let made = decide::decide(model, &view, &request, eligible, now_us, scratch);
        let host = made.host.ok_or(EkCode::NoHost)?;
        if made.reason == Reason::Policy && is_stale(&view, host, now_us) {
            counters.stale_decisions.fetch_add(1, Relaxed);
        }
        // SAFETY: checked above.
        unsafe { decision.write(EkDecision { struct_size, host, reason: made.reason as u32, score: made.score }) };
        Ok(())
    })
}

/// Explains a decision: every eligible host's score and analytic estimate, in order of
/// their indices. Changes nothing.
///
/// `scratch`: as for `ek_decide`, but long enough for all eligible hosts.
/// `scores`: an array of `scores_len` elements, of which the first `*scores_written` are
/// filled in. As many as the state has hosts are always enough.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `request` points to `request->struct_size` initialised bytes, and its
///   `cached_tokens` to `cached_tokens_len` numbers.
/// - `eligible` points to `eligible_words` words.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `scores` points to `scores_len` elements, `scores_written` to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_scores(
    model: *const EkModel,
    state: *const EkState,
    request: *const EkRequest,
    eligible: *const u64,
    eligible_words: usize,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    scores: *mut EkHostScore,
    scores_len: usize,
    scores_written: *mut usize,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let request = unsafe { read_request(request) }?;
        // SAFETY: forwarded to the caller.
        let eligible = unsafe { read_eligible(eligible, eligible_words) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        memory::check(scores)?;
        memory::check(scores_written)?;
        let rows = eligible.hosts(&state).count();
        if rows > scores_len {
            return Err(EkCode::Capacity);
        }
        let by_policy = match model.policy() {
            Some(policy) if rows > 0 => {
                let by_policy = decide::scores(model, policy, &state, &request, eligible, rows, now_us, scratch);
                by_policy.ok_or(EkCode::MemorySize)?
            }
            _ => &[],
        };
        let mut written = 0;
        for (row, (host, slot)) in eligible.hosts(&state).take(rows).enumerate() {
            let estimate_s =
                View::new(model.service(), &state, host, slot, &request, now_us).estimate_s(model.service());
            let score = by_policy.get(row).copied().unwrap_or(f32::NAN);
            // SAFETY: `row` is below `rows`, which is at most `scores_len`.
            unsafe { scores.add(row).write(EkHostScore { host, score, estimate_s, in_flight: slot.in_flight() }) };
            written = row + 1;
        }
        // SAFETY: checked above.
        unsafe { scores_written.write(written) };
        Ok(())
    })
}

/// Counts the decisions of a state that were made for a reason.
///
/// `reason`: an `ek_reason`.
/// `decisions`: gets the count.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `decisions` points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_decisions(state: *const EkState, reason: u32, decisions: *mut u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state: State<'_> = unsafe { state::view(state) }?;
        memory::check(decisions)?;
        let reason = Reason::ALL.get(reason as usize).ok_or(EkCode::Enumeration)?;
        // SAFETY: checked above.
        unsafe { decisions.write(state.decisions(*reason)) };
        Ok(())
    })
}

/// Whether a host's last report says nothing of its present load, or there was none.
fn is_stale(state: &State<'_>, host: u32, now_us: u64) -> bool {
    let age_s = state.host(host).and_then(|slot| slot.telemetry_age_s(now_us));
    age_s.is_none_or(|age_s| age_s >= TELEMETRY_STALE_S)
}

/// Reads a request.
///
/// # Safety
/// - If neither NULL nor misaligned, `request` points to as many initialised bytes as its
///   `struct_size` says, and its `cached_tokens` to as many numbers as it says, for `'a`.
pub(super) unsafe fn read_request<'a>(request: *const EkRequest) -> Result<Request<'a>, EkCode> {
    // SAFETY: forwarded to the caller.
    let request = unsafe { memory::input(request) }?;
    // SAFETY: forwarded to the caller.
    let cached_tokens = unsafe { memory::slice(request.cached_tokens, request.cached_tokens_len as usize) }?;
    Ok(Request { prompt_tokens: request.prompt_tokens, cached_tokens, output_tokens: request.output_tokens })
}

/// Reads a mask of hosts: NULL with no words stands for all.
///
/// # Safety
/// - If neither NULL nor misaligned, `words` points to `len` words for `'a`.
pub(super) unsafe fn read_eligible<'a>(words: *const u64, len: usize) -> Result<Eligible<'a>, EkCode> {
    if words.is_null() && len == 0 {
        return Ok(Eligible::All);
    }
    // SAFETY: forwarded to the caller.
    unsafe { memory::slice(words, len) }.map(Eligible::Mask)
}
