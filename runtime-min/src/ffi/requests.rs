//! What happens to requests and hosts: the calls that the runtime learns from.

use core::ffi::c_char;

use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::state::{self, EkState};
use super::types::{EkOutcome, EkTelemetry, EkTicket};
use crate::Model;
use crate::orca;
use crate::state::State;

/// Prompt tokens to book (`ek_begin`) for a request that claims to have so many: a client that
/// claims more than it sends must not turn others' requests away. As claimed for a model that is
/// NULL, or none.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_booked_prompt_tokens(model: *const EkModel, claimed: u32) -> u32 {
    // SAFETY: forwarded to the caller.
    let model = unsafe { model::optional(model) }.ok().flatten();
    model.map_or(claimed, |model| model.service().booked_prompt_tokens(claimed))
}

/// A request goes to a host: the decision's, or any other. Refused where processes share
/// the state, with `EK_CODE_PROCESS_UNKNOWN`: see `ek_process_begin`.
///
/// `ticket`: filled in; to be kept until `ek_finish`, which must be called once for it.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `ticket` points to an `ek_ticket`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_begin(
    state: *mut EkState,
    host: u32,
    prompt_tokens: u32,
    now_us: u64,
    ticket: *mut EkTicket,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        if unsafe { state::ledger(state) }?.is_some() {
            return Err(EkCode::ProcessUnknown);
        }
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        memory::check(ticket)?;
        let begun = state.begin(host, prompt_tokens, now_us).ok_or(EkCode::HostUnknown)?;
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket::from_runtime(&begun)) };
        Ok(())
    })
}

/// Notes the first token of a response with work. Calls after the first change nothing.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `ticket` points to an initialised `ek_ticket`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_first_token(state: *mut EkState, ticket: *mut EkTicket, now_us: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let known = unsafe { under_way(&state, ticket) }?;
        let mut runtime_ticket = known.to_runtime();
        state.first_token(&mut runtime_ticket, now_us);
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket { first_token_us: runtime_ticket.first_token_us, ..known }) };
        Ok(())
    })
}

/// A request ended. A second call for the same ticket is refused, so that counts stay
/// exact. So is one for a request of a killed process that was taken back.
///
/// `model`: tells what response times mean; may be NULL.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `ticket` points to an initialised `ek_ticket`.
/// - `outcome` points to `outcome->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_finish(
    state: *mut EkState,
    model: *const EkModel,
    ticket: *mut EkTicket,
    outcome: *const EkOutcome,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let ledger = unsafe { state::ledger(state) }?;
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let known = unsafe { under_way(&state, ticket) }?;
        // SAFETY: forwarded to the caller.
        let outcome = unsafe { memory::input(outcome) }?;
        if outcome.reserved != 0 {
            return Err(EkCode::Reserved);
        }
        let outcome = outcome.to_runtime().ok_or(EkCode::Enumeration)?;
        let service = model.map(Model::service);
        match (ledger, known.process()) {
            (None, None) => state.finish(&known.to_runtime(), &outcome, service, now_us),
            (Some(ledger), Some((process, generation))) => {
                ledger.finish(process, generation, &state, &known.to_runtime(), &outcome, service, now_us)?;
            }
            _ => return Err(EkCode::Ticket),
        }
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket { under_way: 0, ..known }) };
        Ok(())
    })
}

/// A host's own report came in: from response headers, a probe, or scraped metrics.
///
/// `measured_us`: when the host measured it, not when it arrived. `EK_CODE_REPORT_STALE` if that
/// is older than what is known, or lies after `now_us`.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `telemetry` points to `telemetry->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_report(
    state: *mut EkState,
    host: u32,
    telemetry: *const EkTelemetry,
    measured_us: u64,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let telemetry = unsafe { memory::input(telemetry) }?;
        if state.host(host).is_none() {
            return Err(EkCode::HostUnknown);
        }
        if state.report(host, &telemetry.to_runtime(), measured_us, now_us) { Ok(()) } else { Err(EkCode::ReportStale) }
    })
}

/// A host's own report came in with a response: the value of the header
/// `endpoint-load-metrics`, in ORCA's text or JSON form.
///
/// `header`: `header_len` bytes, from the host as they are. Returns `EK_CODE_REPORT_FORMAT`
/// for what does not follow the format, and for reports without a metric of use.
/// `now_us`: when the response's header came in.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `header` points to `header_len` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_report_orca(
    state: *mut EkState,
    host: u32,
    header: *const c_char,
    header_len: usize,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let header = unsafe { memory::slice(header.cast::<u8>(), header_len) }?;
        if state.host(host).is_none() {
            return Err(EkCode::HostUnknown);
        }
        let telemetry = orca::parse(header).ok_or(EkCode::ReportFormat)?;
        if state.report(host, &telemetry, now_us, now_us) { Ok(()) } else { Err(EkCode::ReportStale) }
    })
}

/// Reads a ticket and checks that its request is under way.
///
/// # Safety
/// - As [`read_ticket`].
unsafe fn under_way(state: &State<'_>, ticket: *const EkTicket) -> Result<EkTicket, EkCode> {
    // SAFETY: forwarded to the caller.
    let ticket = unsafe { read_ticket(ticket) }?;
    if (ticket.host as usize) < state.host_end() { Ok(ticket) } else { Err(EkCode::Ticket) }
}

/// Reads the ticket of a request that has begun and not ended.
///
/// # Safety
/// - If neither NULL nor misaligned, `ticket` points to an initialised [`EkTicket`].
pub(super) unsafe fn read_ticket(ticket: *const EkTicket) -> Result<EkTicket, EkCode> {
    memory::check(ticket)?;
    // SAFETY: aligned, initialised, and numbers only.
    let ticket = unsafe { ticket.read() };
    if ticket.under_way % 2 == 1 { Ok(ticket) } else { Err(EkCode::Ticket) }
}
