//! The steps of the ladder on which a host is chosen.

use core::ffi::CStr;

/// Reason of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// It had the lowest score.
    Policy = 0,
    /// It was the only one.
    OnlyHost = 1,
    /// No policy is loaded: fewer requests in flight, of two at random.
    NoPolicy = 2,
    /// A score was not finite or scratch memory was short: as [`Reason::NoPolicy`].
    NoScore = 3,
    /// None was chosen: no host is eligible.
    NoHost = 4,
    /// It had not been tried for so long that nothing is known of it any more.
    Untried = 5,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = 6;
    /// All reasons, in the order of their codes.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Policy, Self::OnlyHost, Self::NoPolicy, Self::NoScore, Self::NoHost, Self::Untried];

    /// Its name in logs, metrics and reports, for C too.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Self::Policy => c"policy",
            Self::OnlyHost => c"only_host",
            Self::NoPolicy => c"no_policy",
            Self::NoScore => c"no_score",
            Self::NoHost => c"no_host",
            Self::Untried => c"untried",
        }
    }

    /// Its name in logs, metrics and reports.
    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }
}
