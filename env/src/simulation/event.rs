//! What may happen, other than arrivals and what hosts tell.

/// Events other than arrivals and the hosts' own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A balancer polls every host.
    Poll { balancer: u32 },
    /// The reports of the oldest poll under way arrive.
    PollArrives,
    /// A probe reaches its host.
    ProbeMeasures { balancer: u32, host: u32 },
    /// The answer of the oldest probe under way arrives.
    ProbeArrives,
    /// An antagonist comes or goes.
    Slowness { host: u32, slow: bool },
    /// A host crashes.
    Crash { host: u32 },
    /// A host comes back.
    Restart { host: u32 },
    /// A host's caches are warm again, unless it has crashed since.
    Warm { host: u32, restarts: u32 },
    /// A host answers a request with an error, unless it has ended.
    Error { request: u32 },
    /// A request has taken too long, unless it has ended.
    Timeout { request: u32 },
    /// A slow spell begins: one of those at known times, or one at random.
    Spell { host: u32, scheduled: Option<u32> },
    /// A slow spell ends, unless another has begun since.
    SpellEnds { host: u32, spells: u32 },
    /// A host joins.
    Join { host: u32 },
    /// An attempt ends without work, unless it has ended before.
    NoWork { request: u32, attempt: u16 },
    /// A client leaves, unless its request has ended.
    Leave { request: u32 },
    /// A session's next turn arrives.
    Turn { request: u32 },
}

/// Lanes of the event queue: probes on their way to hosts, and back (each takes half a
/// round trip).
pub(super) const PROBE_LANE: usize = 0;

/// Requests' timeouts.
pub(super) const TIMEOUT_LANE: usize = 1;
