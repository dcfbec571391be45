//! What goes wrong on command.

/// A command to one host. Times in seconds of service time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Everything takes so many times as long as alone, from the next step on; 1 ends it.
    Slow(f64),
    /// Nothing is answered any more, connections stay open; `Heal` goes on where it stopped.
    Hang,
    /// All connections break, further ones are refused, what was under way is lost.
    Crash,
    /// After a crash: back, with cold caches, slower for a while.
    Restart {
        /// For how long, in seconds of service time.
        warm_up_s: f64,
        /// How many times slower.
        slowness: f64,
    },
    /// Further connections are refused; those there are served.
    Refuse,
    /// This share of the requests is answered with this status.
    Status {
        /// 400 to 599.
        code: u16,
        /// 0 to 1.
        share: f64,
    },
    /// This share of the responses breaks off in the middle.
    Truncate {
        /// 0 to 1.
        share: f64,
    },
    /// The sending half of new connections is closed at once; what they send is read.
    HalfClose,
    /// Everything but a crash is over.
    Heal,
}

/// Faults that the server, rather than the model, acts out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Connections are refused.
    pub refuses: bool,
    /// The sending half of new connections is closed.
    pub half_closes: bool,
    /// Status of failing responses, and how many of them fail.
    pub status: (u16, Share),
    /// How many responses break off.
    pub truncated: Share,
}

impl Default for Faults {
    fn default() -> Self {
        Self { refuses: false, half_closes: false, status: (500, Share::default()), truncated: Share::default() }
    }
}

/// A share of the requests, spread as evenly as can be and without chance: of every ten at
/// 0.3, three.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    share: f64,
    owed: f64,
}

impl Share {
    /// None for 0, all for 1.
    pub fn new(share: f64) -> Self {
        Self { share, owed: 0.0 }
    }

    /// Whether the next one is among them.
    pub fn take(&mut self) -> bool {
        self.owed += self.share;
        let is_hit = self.owed >= 1.0 - 1e-9;
        if is_hit {
            self.owed -= 1.0;
        }
        is_hit
    }

    /// The share, 0 to 1.
    pub fn share(&self) -> f64 {
        self.share
    }
}

impl Fault {
    /// Reads a command: its name, and the value of a parameter by name.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(name: &str, parameter: impl Fn(&str) -> Option<f64>) -> Result<Self, String> {
        let within = |key: &str, default: f64, min: f64, max: f64| match parameter(key) {
            None => Ok(default),
            Some(value) if (min..=max).contains(&value) => Ok(value),
            Some(value) => Err(format!("{name}: {key} is {value}, expected a number from {min} to {max}")),
        };
        Ok(match name {
            "slow" => Self::Slow(within("factor", 3.0, 0.01, 1e4)?),
            "hang" => Self::Hang,
            "crash" => Self::Crash,
            "restart" => Self::Restart {
                warm_up_s: within("warm_up_s", 30.0, 0.0, 1e6)?,
                slowness: within("slowness", 2.0, 1.0, 1e4)?,
            },
            "refuse" => Self::Refuse,
            "status" => Self::Status {
                code: within("code", 500.0, 400.0, 599.0)? as u16,
                share: within("share", 1.0, 0.0, 1.0)?,
            },
            "truncate" => Self::Truncate { share: within("share", 1.0, 0.0, 1.0)? },
            "half-close" => Self::HalfClose,
            "heal" => Self::Heal,
            _ => {
                return Err(format!(
                    "there is no command {name:?}; expected slow, hang, crash, restart, refuse, status, truncate, \
                     half-close or heal"
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Share};

    #[test]
    fn shares_are_kept_exactly() {
        for (share, expected) in [(0.0, 0), (0.3, 30), (0.5, 50), (1.0, 100)] {
            let mut of = Share::new(share);
            assert_eq!((0..100).filter(|_| of.take()).count(), expected, "{share}");
        }
    }

    #[test]
    fn commands_are_read_and_bad_ones_explained() {
        let none = |_: &str| None;
        assert_eq!(Fault::parse("slow", none), Ok(Fault::Slow(3.0)));
        let share = |key: &str| (key == "share").then_some(0.25);
        assert_eq!(Fault::parse("status", share), Ok(Fault::Status { code: 500, share: 0.25 }));
        assert!(Fault::parse("explode", none).unwrap_err().contains("half-close"));
        assert!(Fault::parse("slow", |_| Some(-1.0)).unwrap_err().contains("factor is -1"));
    }
}
