//! States that several processes share, some of which may be killed.
//!
//! Each process has a number, such as a worker's, and joins under it; requests that a
//! killed process left under way are taken back when the next one joins under its number.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use super::code::{EkCode, run};
use super::memory;
use super::state::{self, EkState};
use super::types::{EkIfOther, EkStateOptions, EkTicket};
use crate::ledger::LedgerError;

/// Size in bytes of the memory of a state for up to `hosts_max` hosts that up to
/// `processes_max` processes share; 0 if a number is out of range. With 0 processes, the
/// same as `ek_state_size`.
#[unsafe(no_mangle)]
pub extern "C" fn ek_shared_state_size(hosts_max: u32, processes_max: u32) -> usize {
    state::size(hosts_max, processes_max)
}

/// Finds the state in shared memory, or makes one.
///
/// Memory that is all zero gets a new state. So does, if
/// `options->if_other` is `EK_IF_OTHER_INITIALISE`, memory that holds something else: a
/// state of another version of this library, one for other numbers of hosts or processes,
/// one whose making was interrupted. Otherwise these are refused.
///
/// To be called by one process at a time.
///
/// `memory`: `ek_shared_state_size(hosts_max, processes_max)` bytes or more, aligned to
/// `EK_STATE_ALIGNMENT`, zero at first.
/// `state`: gets the state, which is the memory itself.
/// `was_made`: gets 1 for a new state, 0 for one that was found; may be NULL.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the state's as long as it
///   is used; if a state is made, nobody uses them during the call.
/// - `options` points to `options->struct_size` initialised bytes.
/// - `state` points to a pointer, `was_made` to a `uint32_t` if it is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_state_open(
    memory: *mut c_void,
    memory_size: usize,
    options: *const EkStateOptions,
    state: *mut *mut EkState,
    was_made: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let options = unsafe { memory::input(options) }?;
        memory::check(state)?;
        if !was_made.is_null() {
            memory::check(was_made)?;
        }
        if options.if_other > EkIfOther::Initialise as u32 {
            return Err(EkCode::Enumeration);
        }
        let size = state::size(options.hosts_max, options.processes_max);
        if size == 0 {
            return Err(EkCode::MaxHosts);
        }
        memory::check(memory.cast::<u64>())?;
        if memory_size < size {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: forwarded to the caller.
        let found = unsafe { state::attach(memory, memory_size) };
        let fits =
            |found: &state::Found| found.hosts_max == options.hosts_max && found.processes_max == options.processes_max;
        let (opened, is_new) = match found {
            Ok(found) if fits(&found) => (found.state, 0),
            Err(EkCode::NullPointer) => return Err(EkCode::NullPointer),
            Err(EkCode::Misaligned) => return Err(EkCode::Misaligned),
            other => {
                // SAFETY: the caller vouches for that many initialised bytes.
                let bytes = unsafe { core::slice::from_raw_parts(memory.cast::<u8>(), size) };
                let is_blank = bytes.iter().all(|byte| *byte == 0);
                if !is_blank && options.if_other == EkIfOther::Refuse as u32 {
                    return Err(other.err().unwrap_or(EkCode::StateLayout));
                }
                // SAFETY: forwarded to the caller.
                let made = unsafe {
                    state::init(memory, memory_size, options.hosts_max, options.processes_max, options.seed)
                }?;
                (made, 1)
            }
        };
        // SAFETY: checked above.
        unsafe { state.write(opened) };
        if !was_made.is_null() {
            // SAFETY: checked above.
            unsafe { was_made.write(is_new) };
        }
        Ok(())
    })
}

/// A process takes its number, and takes back the requests that a former process of this
/// number left under way. The former one must be dead. To be called before the first
/// `ek_process_begin`; also by anybody else for the number of a process that died and will
/// not be replaced.
///
/// Returns `EK_CODE_BUSY`, with nothing lost, while another process is joining, or was
/// suspended or killed inside an update of the same host: call again later, and have the
/// other one joined if it is dead.
///
/// `process`: below the state's `processes_max`.
/// `taken_back`: gets the number of requests taken back; may be NULL.
///
/// # Safety
/// - `state` comes from `ek_state_open` or `ek_state_attach`, its memory still in place.
/// - `taken_back` is NULL or points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_process_join(state: *mut EkState, process: u32, taken_back: *mut u32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let ledger = unsafe { state::ledger(state) }?.ok_or(EkCode::ProcessUnknown)?;
        // SAFETY: forwarded to the caller.
        let counters = unsafe { state::counters(state) }?;
        if !taken_back.is_null() {
            memory::check(taken_back)?;
        }
        let requests = ledger.join(process)?;
        counters.taken_back.fetch_add(u64::from(requests), Relaxed);
        if !taken_back.is_null() {
            // SAFETY: checked above.
            unsafe { taken_back.write(requests) };
        }
        Ok(())
    })
}

/// A request goes to a host: `ek_begin`, by a process that has joined. Its threads may
/// begin and finish requests one at a time.
///
/// `ticket`: filled in; to be kept until the same process calls `ek_finish`, once.
///
/// # Safety
/// - `state` comes from `ek_state_open` or `ek_state_attach`, its memory still in place.
/// - `ticket` points to an `ek_ticket`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_process_begin(
    state: *mut EkState,
    process: u32,
    host: u32,
    prompt_tokens: u32,
    now_us: u64,
    ticket: *mut EkTicket,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let view = unsafe { state::view(state) }?;
        // SAFETY: forwarded to the caller.
        let ledger = unsafe { state::ledger(state) }?.ok_or(EkCode::ProcessUnknown)?;
        memory::check(ticket)?;
        let generation = ledger.generation(process)?;
        let begun = ledger.begin(process, &view, host, prompt_tokens, now_us)?;
        // SAFETY: checked above.
        unsafe { ticket.write(EkTicket::from_process(&begun, process, generation)) };
        Ok(())
    })
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
