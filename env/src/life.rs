//! Events of real fleets that a quiet benchmark leaves out: slow spells, nights without
//! requests, hosts that join, claims that are wrong, exchanges that are no work, clients that
//! leave.
//!
//! Every option is off in [`Life::NONE`], which is the reference setting: then the figures are
//! those of a simulator without them, bit for bit. Each draws from a random stream of its own,
//! so that switching one on shifts nothing else. Hosts that mislead are in
//! [`liar`](crate::liar), crashes in [`Crashes`](crate::fleet::Crashes).

mod bounds;
pub mod kind;

pub use bounds::LifeError;
pub use kind::LifeKind;

/// What happens beside load, antagonists and crashes.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Spells in which a host is slow.
    pub spells: Spells,
    /// Pauses of the arrivals.
    pub nights: Nights,
    /// Hosts that join after the start, each at most once and not all of them.
    pub joins: Vec<Join>,
    /// Whether every balancer hears of a host that comes back after a crash at once, by health
    /// checks or service discovery, forgets what it knew of it and takes it in. If not, each
    /// finds out that requests fail, and tries again after
    /// [`ejection_s`](crate::Scenario::ejection_s).
    pub restarts_announced: bool,
    /// What clients claim of their prompts.
    pub claims: Claims,
    /// Exchanges that last long and are no work.
    pub exchanges: Exchanges,
    /// Clients that leave before they are answered.
    pub patience: Patience,
    /// Which failures are tried again, and where.
    pub retries: Retries,
    /// Time from sending a request to the head of its response, in seconds, 0 or more; infinite
    /// where the head comes with the first token. vLLM sends the head of a stream at once, even
    /// if the request waits. What has been passed on to the client cannot be tried again.
    pub head_after_s: f64,
    /// Whether a turn of a session starts its think time after the turn before it has ended,
    /// instead of at the time that the trace has. Concerns requests with a session and a finite
    /// think time whose session has an earlier turn in the replayed window; think times are
    /// stretched as the times of arrivals are, so that the load keeps its meaning.
    pub closed_loop: bool,
}

impl Life {
    /// Nothing of it.
    pub const NONE: Self = Self {
        spells: Spells::NONE,
        nights: Nights::NONE,
        joins: Vec::new(),
        restarts_announced: false,
        claims: Claims::TRUE,
        exchanges: Exchanges::NONE,
        patience: Patience::ENDLESS,
        retries: Retries::PLAIN,
        head_after_s: f64::INFINITY,
        closed_loop: false,
    };
}

/// Slow spells, after which a host is as fast as before: a neighbour's batch job, a throttled
/// accelerator, a failing disk. Lengths and slowness are drawn evenly over their logarithms.
/// On top of antagonists; not counted in the capacity that the load is a share of.
#[derive(Clone, Debug, PartialEq)]
pub struct Spells {
    /// Mean time of a host between two spells, in seconds, exponential; infinite for none at
    /// random.
    pub every_mean_s: f64,
    /// Shortest spell, in seconds, above 0.
    pub lasts_min_s: f64,
    /// Longest spell, in seconds, at most a day.
    pub lasts_max_s: f64,
    /// Least factor by which a host is slower, at least 1.
    pub slowness_min: f64,
    /// Greatest factor, at most 1000.
    pub slowness_max: f64,
    /// Spells at known times, beside those at random. Of two at once the later one counts.
    pub scheduled: Vec<Spell>,
}

/// A spell at a known time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spell {
    /// Index of the host.
    pub host: usize,
    /// When it begins, in seconds from the start.
    pub at_s: f64,
    /// How long it lasts, in seconds.
    pub lasts_s: f64,
    /// How much slower the host is.
    pub slowness: f64,
}

impl Spells {
    /// None.
    pub const NONE: Self = Self {
        every_mean_s: f64::INFINITY,
        lasts_min_s: 1.0,
        lasts_max_s: 600.0,
        slowness_min: 1.2,
        slowness_max: 50.0,
        scheduled: Vec::new(),
    };
}

/// Pauses in which nothing arrives, each before a request at random: idle nights, on the time
/// scale of the simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nights {
    /// How many, at most 1000.
    pub count: u32,
    /// How long each lasts, in seconds, 0 to 30 days.
    pub lasts_s: f64,
}

impl Nights {
    /// None.
    pub const NONE: Self = Self { count: 0, lasts_s: 0.0 };
}

/// A host that is not there from the start on. No balancer sends it a request before; then all
/// learn of it at once, with nothing cached and nothing measured, as after a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// Index of the host.
    pub host: usize,
    /// When it joins, in seconds from the start.
    pub at_s: f64,
}

/// What balancers are told of the length of prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims {
    /// Share of the requests that claim something else than their prompts have, 0 to 1.
    pub wrong_share: f64,
    /// Greatest factor by which these claims are too large or too small, 1 to 10⁹; drawn evenly
    /// over the logarithm. Claims are at least one token.
    pub factor_max: f64,
    /// Share of the requests that claim nothing, 0 to 1, of the others: of these not even the
    /// prefix is known.
    pub unknown_share: f64,
}

impl Claims {
    /// All are true.
    pub const TRUE: Self = Self { wrong_share: 0.0, factor_max: 1.0, unknown_share: 0.0 };
}

/// Exchanges that stay open without working, such as `WebSockets`: the host has nothing to do
/// with them, and balancers see a request in flight that ends without work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchanges {
    /// Share of the requests that are such exchanges instead, 0 to 1.
    pub share: f64,
    /// Mean length, in seconds, exponential, above 0 and at most a day.
    pub mean_s: f64,
}

impl Exchanges {
    /// None.
    pub const NONE: Self = Self { share: 0.0, mean_s: 120.0 };
}

/// Clients that leave if they are not answered in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Share of the requests whose clients leave at all, 0 to 1.
    pub leaving_share: f64,
    /// Shortest patience, in seconds from the arrival, above 0; drawn evenly over the
    /// logarithm.
    pub min_s: f64,
    /// Longest, in seconds, at most a day.
    pub max_s: f64,
    /// Whether hosts work on for clients that have left, as llama.cpp does without `stream`;
    /// otherwise they drop the request at the end of the step, as vLLM does.
    pub hosts_work_on: bool,
}

impl Patience {
    /// Nobody leaves.
    pub const ENDLESS: Self = Self { leaving_share: 0.0, min_s: 1.0, max_s: 60.0, hosts_work_on: false };
}

/// Which failures are tried again, and where. How often is
/// [`retries_max`](crate::Scenario::retries_max).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Whether an error that a host answers is tried again too, as with NGINX's
    /// `proxy_next_upstream http_500` and Envoy's `retry_on: 5xx`; otherwise the client gets it.
    pub on_error: bool,
    /// Whether hosts that a request has already been sent to are left out, as long as others
    /// are eligible.
    pub untried_only: bool,
}

impl Retries {
    /// Lost requests alone, at any host that is not left out.
    pub const PLAIN: Self = Self { on_error: false, untried_only: false };
}
