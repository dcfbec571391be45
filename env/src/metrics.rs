//! Figures from outcomes.

mod statistics;

use evenkeel_runtime::{ServiceKind, ServiceModel};

use crate::outcome::{Outcome, Record, Status};

pub use statistics::{Estimate, Sample, difference, estimate, headroom_closed, relative_difference};

/// How outcomes are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricsOptions {
    /// A request that failed or timed out counts as having taken at least this long, in
    /// seconds, so that failing fast never looks like being fast.
    pub failed_latency_s: f64,
    /// A request within these counts towards goodput: latency, in seconds.
    pub slo_latency_s: f64,
    /// The same: time to first token, in seconds.
    pub slo_ttft_s: f64,
}

impl MetricsOptions {
    /// For a service: of an LLM the default; of a FIFO service an answer within 10 typical
    /// service times is good, and one that failed counts as 200.
    pub fn for_service(service: &ServiceModel) -> Self {
        match service.kind() {
            ServiceKind::Llm => Self::default(),
            ServiceKind::Fifo => {
                let typical_s = f64::from(service.latency_typical_s);
                let slo_s = 10.0 * typical_s;
                Self { failed_latency_s: 200.0 * typical_s, slo_latency_s: slo_s, slo_ttft_s: slo_s }
            }
        }
    }

    /// What a request's latency counts as, in seconds: of one that failed or timed out at least
    /// [`failed_latency_s`](Self::failed_latency_s), of one whose client left the time that it
    /// waited, which is the least that it would have taken.
    pub fn counted_latency_s(&self, record: &Record) -> f64 {
        match record.status {
            Status::Failed | Status::TimedOut => record.latency_s.max(self.failed_latency_s),
            Status::Answered | Status::Aborted | Status::NoWork => record.latency_s,
        }
    }

    /// The same for the time to first token: where none came, that of the latency.
    pub fn counted_ttft_s(&self, record: &Record) -> f64 {
        if !record.ttft_s.is_nan() {
            return record.ttft_s;
        }
        match record.status {
            Status::Aborted | Status::NoWork => record.latency_s,
            Status::Answered | Status::Failed | Status::TimedOut => record.latency_s.max(self.failed_latency_s),
        }
    }
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { failed_latency_s: 60.0, slo_latency_s: 30.0, slo_ttft_s: 2.0 }
    }
}

/// Figures of one outcome. Latencies in seconds, from arrival to end. All requests are counted
/// but those that ended without work, which say nothing of speed; one whose client left counts
/// as the time that it was waited for, in latency and, without a first token, in TTFT alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Mean latency.
    pub latency_mean_s: f64,
    /// Median latency.
    pub latency_p50_s: f64,
    /// 90th percentile of latency.
    pub latency_p90_s: f64,
    /// 99th percentile of latency.
    pub latency_p99_s: f64,
    /// 99.9th percentile of latency.
    pub latency_p999_s: f64,
    /// Mean time to first token (LLM) or byte (FIFO).
    pub ttft_mean_s: f64,
    /// Its 99th percentile.
    pub ttft_p99_s: f64,
    /// Share of the requests that timed out.
    pub timeout_share: f64,
    /// Share of the requests that failed.
    pub failed_share: f64,
    /// Share of the requests whose clients left.
    pub aborted_share: f64,
    /// Share of the requests that ended without work.
    pub no_work_share: f64,
    /// Answered requests within the SLO, a second of the measured arrivals' span.
    pub goodput_per_s: f64,
    /// Load-balancing efficiency: mean over maximum of the hosts' capacity-weighted
    /// utilisation, that is work done over speed; 1 if all hosts bore the same share of
    /// their capacity.
    pub balance_efficiency: f64,
    /// Jain's fairness index of the same: (Σu)² / (n·Σu²).
    pub balance_jain: f64,
    /// Greatest [`fair_share`] of a host.
    pub fair_share_max: f64,
}

impl Metrics {
    /// Number of the figures.
    pub const FIELDS: usize = 15;

    /// Judges an outcome.
    pub fn of(outcome: &Outcome, options: &MetricsOptions) -> Self {
        let measured = outcome.measured();
        let is_answered = |record: &&Record| record.status == Status::Answered;
        let worked = || measured.iter().filter(|record| record.status != Status::NoWork);
        let latencies = Sample::new(worked().map(|record| options.counted_latency_s(record)).collect());
        let ttfts = Sample::new(worked().map(|record| options.counted_ttft_s(record)).collect());
        let share = |status| {
            measured.iter().filter(|record| record.status == status).count() as f64 / measured.len().max(1) as f64
        };
        let is_good = |record: &&Record| {
            is_answered(record) && record.latency_s <= options.slo_latency_s && record.ttft_s <= options.slo_ttft_s
        };
        let arrivals_s = || measured.iter().map(|record| record.arrival_s);
        let span_s = arrivals_s().fold(f64::NEG_INFINITY, f64::max) - arrivals_s().fold(f64::INFINITY, f64::min);
        let good = measured.iter().filter(is_good).count() as f64;
        let (balance_efficiency, balance_jain) = balance(outcome);
        Self {
            latency_mean_s: latencies.mean(),
            latency_p50_s: latencies.quantile(0.5),
            latency_p90_s: latencies.quantile(0.9),
            latency_p99_s: latencies.quantile(0.99),
            latency_p999_s: latencies.quantile(0.999),
            ttft_mean_s: ttfts.mean(),
            ttft_p99_s: ttfts.quantile(0.99),
            timeout_share: share(Status::TimedOut),
            failed_share: share(Status::Failed),
            aborted_share: share(Status::Aborted),
            no_work_share: share(Status::NoWork),
            goodput_per_s: if span_s > 0.0 { good / span_s } else { 0.0 },
            balance_efficiency,
            balance_jain,
            fair_share_max: (0..outcome.hosts.len()).map(|host| fair_share(outcome, host)).fold(0.0, f64::max),
        }
    }

    /// Names and values, in the order of the fields.
    pub fn fields(&self) -> [(&'static str, f64); Self::FIELDS] {
        [
            ("latency_mean_s", self.latency_mean_s),
            ("latency_p50_s", self.latency_p50_s),
            ("latency_p90_s", self.latency_p90_s),
            ("latency_p99_s", self.latency_p99_s),
            ("latency_p999_s", self.latency_p999_s),
            ("ttft_mean_s", self.ttft_mean_s),
            ("ttft_p99_s", self.ttft_p99_s),
            ("timeout_share", self.timeout_share),
            ("failed_share", self.failed_share),
            ("aborted_share", self.aborted_share),
            ("no_work_share", self.no_work_share),
            ("goodput_per_s", self.goodput_per_s),
            ("balance_efficiency", self.balance_efficiency),
            ("balance_jain", self.balance_jain),
            ("fair_share_max", self.fair_share_max),
        ]
    }
}

/// Requests sent to a host, as a multiple of its fair share of all, which is its share of
/// the fleet's speed; NaN if none were sent at all. Repeated requests count each time.
///
/// # Panics
/// If there is no such host.
pub fn fair_share(outcome: &Outcome, host: usize) -> f64 {
    let sent: u64 = outcome.hosts.iter().map(|host| host.sent).sum();
    let speed: f64 = outcome.hosts.iter().map(|host| host.speed).sum();
    let own = &outcome.hosts[host];
    own.sent as f64 / sent as f64 / (own.speed / speed)
}

/// Mean over maximum, and Jain's index, of the hosts' work per speed.
fn balance(outcome: &Outcome) -> (f64, f64) {
    let uses: Vec<f64> = outcome.hosts.iter().map(|host| host.work_s / host.speed).collect();
    let sum: f64 = uses.iter().sum();
    let squares: f64 = uses.iter().map(|u| u * u).sum();
    let max = uses.iter().copied().fold(0.0, f64::max);
    if max == 0.0 {
        return (1.0, 1.0);
    }
    let hosts = uses.len() as f64;
    (sum / hosts / max, sum * sum / (hosts * squares))
}

#[cfg(test)]
mod tests {
    use super::{Metrics, MetricsOptions, fair_share};
    use crate::outcome::{HostUse, Outcome, Record, Status};

    fn record(arrival_s: f64, latency_s: f64, status: Status) -> Record {
        let ttft_s = if status == Status::Answered { 0.5 * latency_s } else { f64::NAN };
        Record { arrival_s, latency_s, ttft_s, host: 0, balancer: 0, attempts: 1, status }
    }

    fn host(speed: f64, work_s: f64, sent: u64) -> HostUse {
        HostUse { speed, busy_s: 0.0, work_s, answered: sent, sent }
    }

    #[test]
    fn failing_fast_is_not_being_fast() {
        let outcome = Outcome {
            records: vec![
                record(0.0, 1.0, Status::Answered),
                record(1.0, 0.001, Status::Failed),
                record(2.0, 90.0, Status::TimedOut),
                record(4.0, 40.0, Status::Answered),
            ],
            hosts: vec![host(1.0, 2.0, 1), host(3.0, 2.0, 3)],
            span_s: 100.0,
            warm_up_share: 0.0,
        };
        let metrics = Metrics::of(&outcome, &MetricsOptions::default());
        assert_eq!(metrics.latency_mean_s, (1.0 + 60.0 + 90.0 + 40.0) / 4.0);
        assert_eq!((metrics.timeout_share, metrics.failed_share), (0.25, 0.25));
        assert_eq!(metrics.goodput_per_s, 0.25, "one good answer in the 4 s of arrivals");
        assert!((metrics.balance_efficiency - (2.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12);
        assert_eq!((fair_share(&outcome, 0), fair_share(&outcome, 1)), (1.0, 1.0));
        assert_eq!(metrics.fair_share_max, 1.0);
        let names: Vec<_> = metrics.fields().iter().map(|(name, _)| *name).collect();
        let json = serde_json::to_value(metrics).expect("figures are numbers");
        assert!(
            names.iter().all(|name| json.get(name).is_some()) && json.as_object().map(serde_json::Map::len) == Some(15)
        );
    }
}
