//! What an autoscaler cost, and what it missed.

use super::TICK_S;
use super::fleet::Tick;

/// Sums over a run.
///
/// Provisioning accuracy and time shares, and instability, are those of the SPEC research
/// group's autoscaling metrics (Herbst et al., "Ready for Rain?", 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    ticks: f64,
    paid: f64,
    requests: f64,
    missed: f64,
    under_ticks: f64,
    over_ticks: f64,
    under_relative: f64,
    over_relative: f64,
    changes: f64,
    reversals: f64,
    last_change: i64,
    demand: f64,
    capacity: f64,
    paid_capacity: f64,
}

impl Bill {
    pub(super) fn add(&mut self, tick: &Tick, arriving_per_s: f64) {
        self.ticks += 1.0;
        self.paid += f64::from(tick.paid);
        self.requests += arriving_per_s;
        self.missed += arriving_per_s * tick.missed_share;
        let excess = tick.capacity_per_s - arriving_per_s;
        let relative = excess / arriving_per_s.max(1e-9);
        if excess < 0.0 {
            self.under_ticks += 1.0;
            self.under_relative -= relative;
        } else {
            self.over_ticks += 1.0;
            // An idle service has any capacity too much: count it once.
            self.over_relative += relative.min(1e3);
        }
        self.demand += arriving_per_s;
        self.capacity += tick.capacity_per_s;
        self.paid_capacity += tick.paid_per_s;
        if tick.change != 0 {
            self.changes += 1.0;
            if tick.change.signum() == -self.last_change.signum() {
                self.reversals += 1.0;
            }
            self.last_change = tick.change;
        }
    }

    /// Hours of replicas paid for.
    pub fn replica_hours(&self) -> f64 {
        self.paid * TICK_S / 3600.0
    }

    /// The same over those that the demand takes at a utilisation of 1, had replicas no cold
    /// start and came in fractions.
    pub fn replica_hours_over_needed(&self) -> f64 {
        self.paid_capacity / self.demand.max(1e-12)
    }

    /// Hours that the run took.
    pub fn hours(&self) -> f64 {
        self.ticks * TICK_S / 3600.0
    }

    /// Share of the requests that missed the objective.
    pub fn missed_share(&self) -> f64 {
        self.missed / self.requests.max(1e-12)
    }

    /// Share of the time with less capacity than demand.
    pub fn under_time_share(&self) -> f64 {
        self.under_ticks / self.ticks.max(1.0)
    }

    /// Share of the time with more capacity than demand.
    pub fn over_time_share(&self) -> f64 {
        self.over_ticks / self.ticks.max(1.0)
    }

    /// Capacity that was missing, over demand, averaged over the run.
    pub fn under_accuracy(&self) -> f64 {
        self.under_relative / self.ticks.max(1.0)
    }

    /// Capacity that was too much, over demand, averaged over the run.
    pub fn over_accuracy(&self) -> f64 {
        self.over_relative / self.ticks.max(1.0)
    }

    /// Changes of size in an hour.
    pub fn changes_per_hour(&self) -> f64 {
        self.changes / self.hours().max(1e-12)
    }

    /// Changes in an hour that undid the direction of the one before.
    pub fn reversals_per_hour(&self) -> f64 {
        self.reversals / self.hours().max(1e-12)
    }

    /// Ready capacity over demand, of the whole run.
    pub fn capacity_over_demand(&self) -> f64 {
        self.capacity / self.demand.max(1e-12)
    }
}
