//! The life of a request at a host, from its beginning to what is learned of its end.

use super::choose::read_facts;
use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::types::{EK_NO_PROCESS, EK_UNKNOWN_TOKENS, EkFacts, EkOutcome, EkTicket};
use super::upstream::{self, EkUpstream};
use crate::Model;
use crate::ledger::LedgerError;
use crate::outcome::Outcome;
use crate::upstream::Upstream;

/// Counts a request of the demand; not to be called again for its retries.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_arrived(upstream: *mut EkUpstream) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        unsafe { upstream::view(upstream) }?.arrived();
        Ok(())
    })
}

/// Counts a request in at a host: the chosen one, or any other.
///
/// `process`: the caller's number, which has joined; its threads may begin and finish requests
/// one at a time. `EK_NO_PROCESS` where processes do not share the memory.
/// `model`: bounds what a prompt may claim; may be NULL.
/// `facts`: those of the choice, which stay the caller's until `ek_upstream_finish`; NULL for
/// none.
/// `ticket`: filled in; to be kept until `ek_upstream_finish`, which must be called once for it
/// by the same process.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `facts` is NULL or points to `facts->struct_size` initialised bytes.
/// - `ticket` points to an `ek_ticket`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_begin(
    upstream: *mut EkUpstream,
    process: u32,
    model: *const EkModel,
    facts: *const EkFacts,
    host: u32,
    now_us: u64,
    ticket: *mut EkTicket,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let service = unsafe { model::optional(model) }?.map(Model::service);
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        memory::check(ticket)?;
        let process = (process != EK_NO_PROCESS).then_some(process);
        let begun = upstream.begin(process, service, &facts, host, now_us)?;
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket::from_runtime(&begun)) };
        Ok(())
    })
}

/// Notes the first token of a response with work. Calls after the first change nothing.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `ticket` points to an initialised `ek_ticket`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_first_token(
    upstream: *mut EkUpstream,
    ticket: *mut EkTicket,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let known = unsafe { under_way(&upstream, ticket) }?;
        let mut runtime_ticket = known.to_runtime();
        upstream.first_token(&mut runtime_ticket, now_us);
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket { first_token_us: runtime_ticket.first_token_us, ..known }) };
        Ok(())
    })
}

/// Counts a request out and learns from its end. A second call for the same ticket is refused,
/// so that counts stay exact. So is one for a request of a killed process that was taken back.
///
/// `model`: says what response times mean; may be NULL.
/// `facts`: those of `ek_upstream_begin`; NULL for none.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `ticket` points to an initialised `ek_ticket`.
/// - `facts` is NULL or points to `facts->struct_size` initialised bytes.
/// - `outcome` points to `outcome->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_finish(
    upstream: *mut EkUpstream,
    model: *const EkModel,
    ticket: *mut EkTicket,
    facts: *const EkFacts,
    outcome: *const EkOutcome,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let service = unsafe { model::optional(model) }?.map(Model::service);
        // SAFETY: forwarded to the caller.
        let known = unsafe { under_way(&upstream, ticket) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        // SAFETY: forwarded to the caller.
        let outcome = unsafe { read_outcome(outcome) }?;
        upstream.finish(service, &known.to_runtime(), &facts, &outcome, now_us)?;
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket { under_way: 0, ..known }) };
        Ok(())
    })
}

/// Learns from a prompt that an engine has counted, `prompt_tokens` in all, how many bytes of text make a
/// token. To be called at most once for a request that has ended, whatever it came to.
///
/// `facts`: those of `ek_upstream_begin`.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `facts` is NULL or points to `facts->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_counted(
    upstream: *mut EkUpstream,
    facts: *const EkFacts,
    prompt_tokens: u32,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        upstream.counted(&facts, prompt_tokens, now_us);
        Ok(())
    })
}

/// Estimates the tokens of a prompt: those that its facts name, and its text at as many bytes a token as
/// engines have counted in prompts of its class.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `facts` is NULL or points to `facts->struct_size` initialised bytes.
/// - `prompt_tokens` is NULL or points to a number that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_prompt_tokens(
    upstream: *const EkUpstream,
    facts: *const EkFacts,
    now_us: u64,
    prompt_tokens: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        memory::check(prompt_tokens)?;
        // SAFETY: checked above.
        unsafe { prompt_tokens.write(upstream.prompt_tokens(&facts, now_us)) };
        Ok(())
    })
}

/// Reads an outcome.
///
/// # Safety
/// - If neither NULL nor misaligned, `outcome` points to as many initialised bytes as its
///   `struct_size` says.
pub(super) unsafe fn read_outcome(outcome: *const EkOutcome) -> Result<Outcome, EkCode> {
    // SAFETY: forwarded to the caller.
    let outcome = unsafe { memory::input(outcome) }?;
    let cached_tokens = (outcome.cached_tokens != EK_UNKNOWN_TOKENS).then_some(outcome.cached_tokens);
    let status = outcome.status().ok_or(EkCode::Enumeration)?;
    Ok(Outcome { status, output_tokens: outcome.output_tokens, cached_tokens })
}

/// Reads a ticket and checks that its request is under way.
///
/// # Safety
/// - As [`read_ticket`].
unsafe fn under_way(upstream: &Upstream<'_>, ticket: *const EkTicket) -> Result<EkTicket, EkCode> {
    // SAFETY: forwarded to the caller.
    let ticket = unsafe { read_ticket(ticket) }?;
    if (ticket.host as usize) < upstream.state().host_end() { Ok(ticket) } else { Err(EkCode::Ticket) }
}

/// Reads the ticket of a request that has begun and not ended.
///
/// # Safety
/// - If neither NULL nor misaligned, `ticket` points to an initialised [`EkTicket`].
pub(super) unsafe fn read_ticket(ticket: *const EkTicket) -> Result<EkTicket, EkCode> {
    memory::check(ticket)?;
    // SAFETY: aligned, initialised, and numbers only.
    let ticket = unsafe { ticket.read() };
    if ticket.under_way == 1 { Ok(ticket) } else { Err(EkCode::Ticket) }
}

impl From<LedgerError> for EkCode {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Process => Self::ProcessUnknown,
            LedgerError::Busy => Self::Busy,
            LedgerError::Host => Self::HostUnknown,
            LedgerError::Gone => Self::Ticket,
        }
    }
}
