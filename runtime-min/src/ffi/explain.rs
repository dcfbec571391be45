//! Decisions, explained; and what a state has counted.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use super::code::{EkCode, run};
use super::decide::{read_eligible, read_request};
use super::memory;
use super::model::{self, EkModel};
use super::state::{self, EkState};
use super::types::{EK_NO_HOST, EkCounters, EkExplanation, EkHostExplanation, EkRequest};
use crate::explain;
use crate::reason::Reason;

/// Explains the decision that `ek_decide` would make with the same arguments: what every
/// host looks like, which one is favoured, and which comes next. Changes nothing.
///
/// `explanation`: filled in; its `struct_size`, `host_size`, `hosts` and `hosts_len` must
/// be set. Returns `EK_CODE_CAPACITY` if the array is too short, with nothing written.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `request` points to `request->struct_size` initialised bytes, and its
///   `cached_tokens` to `cached_tokens_len` numbers.
/// - `eligible` points to `eligible_words` words.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `explanation` points to `explanation->struct_size` bytes, and its `hosts` to
///   `hosts_len` elements of `host_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_explain(
    model: *const EkModel,
    state: *const EkState,
    request: *const EkRequest,
    eligible: *const u64,
    eligible_words: usize,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    explanation: *mut EkExplanation,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let request = unsafe { read_request(request) }?;
        // SAFETY: forwarded to the caller.
        let eligible = unsafe { read_eligible(eligible, eligible_words) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        unsafe { memory::struct_size(explanation) }?;
        // SAFETY: checked above.
        let asked = unsafe { explanation.read() };
        // SAFETY: forwarded to the caller.
        let hosts = unsafe { Elements::new(&asked) }?;
        if state.hosts().count() > hosts.len {
            return Err(EkCode::Capacity);
        }
        let mut written = 0;
        let found = explain::explain(model, &state, &request, eligible, now_us, scratch, |host| {
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

/// Reads what a state has counted.
///
/// `counters`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `counters` points to `counters->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_counters_read(state: *const EkState, counters: *mut EkCounters) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let own = unsafe { state::counters(state) }?;
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(counters) }? as u32;
        let read = EkCounters {
            struct_size,
            reserved: 0,
            policy: state.decisions(Reason::Policy),
            stale_telemetry: own.stale_decisions.load(Relaxed),
            only_host: state.decisions(Reason::OnlyHost),
            no_policy: state.decisions(Reason::NoPolicy),
            no_score: state.decisions(Reason::NoScore),
            no_host: state.decisions(Reason::NoHost),
            taken_back: own.taken_back.load(Relaxed),
            untried: state.decisions(Reason::Untried),
        };
        // SAFETY: checked above.
        unsafe { counters.write(read) };
        Ok(())
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
