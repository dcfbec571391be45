//! Replicas: they start slowly, sometimes fail to, and stop at once.

use evenkeel_datasets::random::{self, Pcg64Mcg};

use super::TICK_S;

/// What replicas are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplicaOptions {
    /// Requests a second that a warm replica carries at the objective.
    pub replica_per_s: f64,
    /// How much more it can carry before requests pile up, objective or not.
    pub saturation: f64,
    /// Mean seconds from asking for a replica until it serves.
    pub cold_start_s: f64,
    /// Standard deviation of that over its mean; the distribution is log-normal.
    pub cold_start_cv: f64,
    /// Share of starts that fail, and begin again.
    pub failure_share: f64,
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas.
    pub replicas_max: u32,
}

impl ReplicaOptions {
    /// Replicas of this capacity and cold start: a quarter of spread, one start in a
    /// hundred fails, a fifth more load until they are saturated.
    pub fn new(replica_per_s: f64, cold_start_s: f64) -> Self {
        Self {
            replica_per_s,
            saturation: 1.2,
            cold_start_s,
            cold_start_cv: 0.25,
            failure_share: 0.01,
            replicas_min: 1,
            replicas_max: 10_000,
        }
    }
}

/// A fleet of replicas.
#[derive(Clone, Debug)]
pub struct Replicas {
    options: ReplicaOptions,
    ready: u32,
    /// Seconds that are left, of each replica that starts.
    starting_s: Vec<f64>,
    /// Requests that wait, since they came when the fleet was saturated.
    backlog: f64,
    measured_s: f64,
    rng: Pcg64Mcg,
}

/// What came of a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Replicas that served.
    pub ready: u32,
    /// Replicas that were paid for: those that start as well.
    pub paid: u32,
    /// Requests a second that the ready ones carry at the objective.
    pub capacity_per_s: f64,
    /// Requests a second that all that are paid for would carry.
    pub paid_per_s: f64,
    /// Share of the arriving requests that missed the objective.
    pub missed_share: f64,
    /// Change of the number of replicas asked for.
    pub change: i64,
}

impl Replicas {
    /// A fleet that is warm and large enough for a demand.
    pub fn new(options: &ReplicaOptions, demand_per_s: f64, seed: u64) -> Self {
        let ready = (demand_per_s / options.replica_per_s).ceil() as u32;
        Self {
            options: *options,
            ready: ready.clamp(options.replicas_min, options.replicas_max),
            starting_s: Vec::new(),
            backlog: 0.0,
            measured_s: options.cold_start_s,
            rng: random::generator(seed, 0x5CA1E),
        }
    }

    /// Replicas that serve.
    pub fn ready(&self) -> u32 {
        self.ready
    }

    /// Replicas that start.
    pub fn starting(&self) -> u32 {
        self.starting_s.len() as u32
    }

    /// Cold start as measured: the average of those seen so far.
    pub fn measured_cold_start_s(&self) -> f64 {
        self.measured_s
    }

    /// Changes to `wanted` replicas and serves for a tick.
    pub fn step(&mut self, wanted: u32, arriving_per_s: f64) -> Tick {
        let before = self.ready + self.starting();
        if wanted < before {
            // Those that start go first: they serve nobody.
            let excess = before - wanted;
            let cancelled = excess.min(self.starting());
            self.starting_s.truncate(self.starting_s.len() - cancelled as usize);
            self.ready -= excess - cancelled;
        }
        for _ in before..wanted {
            let start_s = self.draw_start_s();
            self.starting_s.push(start_s);
        }
        let tick = self.serve(arriving_per_s, i64::from(wanted) - i64::from(before));
        self.warm_up();
        tick
    }

    fn serve(&mut self, arriving_per_s: f64, change: i64) -> Tick {
        let capacity_per_s = f64::from(self.ready) * self.options.replica_per_s;
        let most_per_s = capacity_per_s * self.options.saturation;
        let was_behind = self.backlog > 0.0;
        self.backlog = (self.backlog + (arriving_per_s - most_per_s) * TICK_S).max(0.0);
        // Whoever comes behind a queue misses the objective; otherwise, those beyond capacity do.
        let missed_share = if was_behind || self.backlog > 0.0 {
            1.0
        } else {
            ((arriving_per_s - capacity_per_s) / arriving_per_s.max(1e-12)).clamp(0.0, 1.0)
        };
        let paid = self.ready + self.starting();
        let paid_per_s = f64::from(paid) * self.options.replica_per_s;
        Tick { ready: self.ready, paid, capacity_per_s, paid_per_s, missed_share, change }
    }

    fn warm_up(&mut self) {
        let mut waiting_s = std::mem::take(&mut self.starting_s);
        waiting_s.retain_mut(|left_s| {
            *left_s -= TICK_S;
            if *left_s <= 0.0 {
                self.ready += 1;
            }
            *left_s > 0.0
        });
        self.starting_s = waiting_s;
    }

    /// Seconds until a replica serves, its failed attempts included.
    fn draw_start_s(&mut self) -> f64 {
        let sigma = libm::sqrt(libm::log(1.0 + self.options.cold_start_cv * self.options.cold_start_cv));
        let mu = libm::log(self.options.cold_start_s.max(1e-3)) - 0.5 * sigma * sigma;
        let mut start_s = random::log_normal(&mut self.rng, mu, sigma);
        // Ten attempts: a share of 1 must end as well.
        for _ in 0..10 {
            if random::uniform(&mut self.rng) >= self.options.failure_share {
                break;
            }
            start_s += random::log_normal(&mut self.rng, mu, sigma);
        }
        self.measured_s += (start_s - self.measured_s) / 16.0;
        start_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ReplicaOptions {
        ReplicaOptions { cold_start_cv: 0.0, failure_share: 0.0, ..ReplicaOptions::new(2.0, 60.0) }
    }

    #[test]
    fn a_replica_serves_after_its_cold_start() {
        let mut fleet = Replicas::new(&options(), 4.0, 1);
        assert_eq!((fleet.ready(), fleet.starting()), (2, 0));
        for tick in 0..4 {
            assert_eq!(fleet.step(3, 4.0).ready, 2, "{tick}");
        }
        let tick = fleet.step(3, 4.0);
        assert_eq!((tick.ready, tick.paid, tick.missed_share), (3, 3, 0.0));
        assert_eq!(fleet.step(1, 4.0).ready, 1);
    }

    #[test]
    fn what_is_beyond_capacity_misses_and_what_is_beyond_saturation_waits() {
        let mut fleet = Replicas::new(&options(), 4.0, 1);
        assert!((fleet.step(2, 4.4).missed_share - 0.4 / 4.4).abs() < 1e-12);
        assert_eq!(fleet.step(2, 6.0).missed_share, 1.0);
        // 18 requests wait; the tick after has to work them off.
        assert_eq!(fleet.step(2, 3.9).missed_share, 1.0);
        assert_eq!(fleet.step(2, 3.0).missed_share, 1.0);
        assert_eq!(fleet.step(2, 3.0).missed_share, 0.0);
    }

    #[test]
    fn equal_seeds_start_alike() {
        let mut fleets = [1, 1, 2].map(|seed| Replicas::new(&ReplicaOptions::new(2.0, 100.0), 2.0, seed));
        let ready = |fleet: &mut Replicas| (0..20).map(|_| fleet.step(30, 60.0).ready).collect::<Vec<_>>();
        let [a, b, c] = fleets.each_mut().map(ready);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
