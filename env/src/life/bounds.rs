//! What options of life may be.

use std::ops::RangeInclusive;

use super::Life;

/// A day, in seconds.
const DAY_S: f64 = 86_400.0;
/// Shortest time that makes sense, in seconds.
const TIME_MIN_S: f64 = 1e-6;

/// An option that is out of its bounds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LifeError {
    /// A number is too small, too large, or none.
    #[error("life.{option} is {found}, expected {min} to {max}")]
    OutOfBounds {
        /// Which option.
        option: &'static str,
        /// Its value.
        found: f64,
        /// Least value that is allowed.
        min: f64,
        /// Greatest value that is allowed.
        max: f64,
    },
    /// A host that the fleet does not have.
    #[error("life.{option} names host {host}, but the fleet has {hosts}, numbered from 0")]
    NoSuchHost {
        /// Which option.
        option: &'static str,
        /// Index of the host.
        host: usize,
        /// Number of hosts.
        hosts: usize,
    },
    /// A host that joins twice.
    #[error("life.joins has host {host} more than once: a host can join but once")]
    JoinsTwice {
        /// Index of the host.
        host: usize,
    },
    /// All hosts join late.
    #[error("life.joins has all {hosts} hosts: at least one must be there from the start on")]
    NobodyThere {
        /// Number of hosts.
        hosts: usize,
    },
}

impl Life {
    /// Checks every option against its bounds, for a fleet of so many hosts.
    ///
    /// # Errors
    /// [`LifeError`] for the first option that is out of bounds.
    pub fn check(&self, hosts: usize) -> Result<(), LifeError> {
        let Self { spells, nights, claims, exchanges, patience, .. } = self;
        within("spells.every_mean_s", spells.every_mean_s, TIME_MIN_S..=f64::INFINITY)?;
        within("spells.lasts_min_s", spells.lasts_min_s, TIME_MIN_S..=DAY_S)?;
        within("spells.lasts_max_s", spells.lasts_max_s, spells.lasts_min_s..=DAY_S)?;
        within("spells.slowness_min", spells.slowness_min, 1.0..=1000.0)?;
        within("spells.slowness_max", spells.slowness_max, spells.slowness_min..=1000.0)?;
        for spell in &spells.scheduled {
            exists("spells.scheduled", spell.host, hosts)?;
            within("spells.scheduled.at_s", spell.at_s, 0.0..=f64::MAX)?;
            within("spells.scheduled.lasts_s", spell.lasts_s, TIME_MIN_S..=f64::MAX)?;
            within("spells.scheduled.slowness", spell.slowness, 1.0..=1000.0)?;
        }
        within("nights.count", f64::from(nights.count), 0.0..=1000.0)?;
        within("nights.lasts_s", nights.lasts_s, 0.0..=30.0 * DAY_S)?;
        self.check_joins(hosts)?;
        within("claims.wrong_share", claims.wrong_share, 0.0..=1.0)?;
        within("claims.factor_max", claims.factor_max, 1.0..=1e9)?;
        within("claims.unknown_share", claims.unknown_share, 0.0..=1.0)?;
        within("exchanges.share", exchanges.share, 0.0..=1.0)?;
        within("exchanges.mean_s", exchanges.mean_s, TIME_MIN_S..=DAY_S)?;
        within("patience.leaving_share", patience.leaving_share, 0.0..=1.0)?;
        within("patience.min_s", patience.min_s, TIME_MIN_S..=DAY_S)?;
        within("patience.max_s", patience.max_s, patience.min_s..=DAY_S)?;
        within("head_after_s", self.head_after_s, 0.0..=f64::INFINITY)
    }

    fn check_joins(&self, hosts: usize) -> Result<(), LifeError> {
        for (index, join) in self.joins.iter().enumerate() {
            exists("joins", join.host, hosts)?;
            within("joins.at_s", join.at_s, 0.0..=f64::MAX)?;
            if self.joins[..index].iter().any(|other| other.host == join.host) {
                return Err(LifeError::JoinsTwice { host: join.host });
            }
        }
        if self.joins.len() >= hosts && hosts > 0 { Err(LifeError::NobodyThere { hosts }) } else { Ok(()) }
    }
}

fn within(option: &'static str, found: f64, bounds: RangeInclusive<f64>) -> Result<(), LifeError> {
    if bounds.contains(&found) {
        return Ok(());
    }
    Err(LifeError::OutOfBounds { option, found, min: *bounds.start(), max: *bounds.end() })
}

fn exists(option: &'static str, host: usize, hosts: usize) -> Result<(), LifeError> {
    if host < hosts { Ok(()) } else { Err(LifeError::NoSuchHost { option, host, hosts }) }
}

#[cfg(test)]
mod tests {
    use super::super::{Join, Life, Patience, Spell, Spells};
    use super::LifeError;

    #[test]
    fn nothing_is_within_bounds() {
        assert_eq!(Life::NONE.check(1), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_name() {
        let message = |life: Life| life.check(4).expect_err("it is out of bounds").to_string();
        let spells = Spells { slowness_max: 1.1, ..Spells::NONE };
        assert_eq!(message(Life { spells, ..Life::NONE }), "life.spells.slowness_max is 1.1, expected 1.2 to 1000");
        let patience = Patience { leaving_share: f64::NAN, ..Patience::ENDLESS };
        let refused = message(Life { patience, ..Life::NONE });
        assert_eq!(refused, "life.patience.leaving_share is NaN, expected 0 to 1");
        let spell = Spell { host: 4, at_s: 0.0, lasts_s: 1.0, slowness: 2.0 };
        let spells = Spells { scheduled: vec![spell], ..Spells::NONE };
        let refused = message(Life { spells, ..Life::NONE });
        assert_eq!(refused, "life.spells.scheduled names host 4, but the fleet has 4, numbered from 0");
        let joins = |hosts: &[usize]| Life {
            joins: hosts.iter().map(|host| Join { host: *host, at_s: 1.0 }).collect(),
            ..Life::NONE
        };
        assert_eq!(joins(&[1, 2, 1]).check(4), Err(LifeError::JoinsTwice { host: 1 }));
        assert_eq!(joins(&[0, 1, 2, 3]).check(4), Err(LifeError::NobodyThere { hosts: 4 }));
        assert_eq!(joins(&[0, 1, 2]).check(4), Ok(()));
    }
}
