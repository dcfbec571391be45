//! Smooth weighted round robin with weights from the hosts' load reports.
//!
//! The order is NGINX's: each host's credit grows by its weight, the host with the most
//! credit is chosen and pays the sum of the weights. Over a round each host is chosen in
//! proportion to its weight, and the choices of one host are spread evenly.
//!
//! The weights are those of Envoy's `client_side_weighted_round_robin` and gRFC A58,
//! `weight = qps / (utilization + eps / qps · error_utilization_penalty)`: requests a second
//! that a host answers for each unit of its utilisation. Utilisation is the KV cache's (LLM;
//! Envoy's `metric_names_for_computing_utilization` with `kv_cache_usage_perc`) or the share
//! of busy servers (FIFO; `cpu_utilization`). Hosts without a weight take the mean of the
//! others'; with fewer than two weights all are equal.

use evenkeel_runtime::{Engine, HostSlot, ServiceModel, Telemetry};

use super::Parameter;
use super::grid::Grid;
use crate::policy::{Decision, Policy, Setting, TelemetryEvent};

/// Parameters of weighted round robin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedRoundRobinOptions {
    /// Weights are computed anew this often, in seconds.
    pub update_period_s: f64,
    /// A host has no weight until it has reported for this long, in seconds.
    pub blackout_s: f64,
    /// Utilisation that a share of errors of 1 adds.
    pub error_penalty: f64,
    /// Memory of the average utilisation, in seconds.
    pub averaging_s: f64,
}

/// Envoy's defaults; its hosts average their utilisation themselves.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "update_period_s", default: 1.0, min: 0.05, max: 10.0 },
    Parameter { name: "blackout_s", default: 10.0, min: 0.0, max: 60.0 },
    Parameter { name: "error_penalty", default: 1.0, min: 0.0, max: 5.0 },
    Parameter { name: "averaging_s", default: 10.0, min: 0.5, max: 60.0 },
];

/// A host that has not reported for this long has no weight any more.
const EXPIRATION_S: f64 = 180.0;

impl WeightedRoundRobinOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { update_period_s: p[0], blackout_s: p[1], error_penalty: p[2], averaging_s: p[3] }
    }
}

/// Smooth weighted round robin.
#[derive(Clone, Debug)]
pub struct WeightedRoundRobin {
    options: WeightedRoundRobinOptions,
    service: Option<ServiceModel>,
    reports: Grid<Report>,
    shares: Grid<Share>,
    /// Of each balancer: when its weights are due.
    update_due_s: Vec<f64>,
}

/// What a host's reports amount to.
#[derive(Clone, Copy, Debug)]
struct Report {
    utilisation: f64,
    first_s: f64,
    last_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    weight: f64,
    credit: f64,
}

/// Envoy's weight; `None` where it makes no sense, as for a host that was never asked.
fn weight(queries_per_s: f64, errors_share: f64, utilisation: f64, error_penalty: f64) -> Option<f64> {
    let weight = queries_per_s / (utilisation + errors_share * error_penalty);
    (weight.is_finite() && weight > 0.0).then_some(weight)
}

/// The weights of hosts without one: the mean of the others', or 1 for all if fewer than
/// two have one.
fn fill_in(weights: &[Option<f64>]) -> impl Iterator<Item = f64> {
    let known = weights.iter().flatten().count();
    let mean = weights.iter().flatten().sum::<f64>() / known as f64;
    weights.iter().map(move |weight| if known < 2 { 1.0 } else { weight.unwrap_or(mean) })
}

/// One step of the smooth order.
fn next(shares: &mut [Share], eligible: &[u32]) -> usize {
    let mut total = 0.0;
    let mut chosen = eligible[0] as usize;
    for &host in eligible {
        let share = &mut shares[host as usize];
        share.credit += share.weight;
        total += share.weight;
        if share.credit > shares[chosen].credit {
            chosen = host as usize;
        }
    }
    shares[chosen].credit -= total;
    chosen
}

/// How busy a host is, 0 to 1; NaN where it does not say.
fn utilisation(service: &ServiceModel, telemetry: &Telemetry) -> f64 {
    match &service.engine {
        Engine::Llm(_) => f64::from(telemetry.kv_use),
        Engine::Fifo(fifo) => f64::from(telemetry.running / fifo.servers),
    }
}

impl WeightedRoundRobin {
    /// With these parameters.
    pub fn new(options: WeightedRoundRobinOptions) -> Self {
        Self { options, service: None, reports: Grid::default(), shares: Grid::default(), update_due_s: Vec::new() }
    }

    fn update_weights(&mut self, decision: &Decision<'_>) {
        let (now_s, options) = (decision.now_s, &self.options);
        let known = |(host, report): (u32, &Report)| {
            let is_heard = now_s - report.first_s >= options.blackout_s && now_s - report.last_s < EXPIRATION_S;
            let slot: &HostSlot = decision.state.host(host).filter(|_| is_heard)?;
            let failed = f64::from(slot.failure_share(decision.now_us));
            // Failed queries are queries too.
            let queries_per_s = f64::from(slot.completions_per_s(decision.now_us)) / (1.0 - failed).max(1e-3);
            weight(queries_per_s, failed, report.utilisation, options.error_penalty)
        };
        let weights: Vec<_> = (0..).zip(self.reports.row(decision.balancer)).map(known).collect();
        for (share, weight) in self.shares.row_mut(decision.balancer).iter_mut().zip(fill_in(&weights)) {
            // Credit is in units of weight, and goes with it.
            *share = Share { weight, credit: share.credit * weight / share.weight };
        }
    }
}

impl Policy for WeightedRoundRobin {
    fn name(&self) -> &'static str {
        "weighted_round_robin"
    }

    fn reset(&mut self, setting: &Setting) {
        self.service = Some(setting.service);
        self.reports = Grid::new(setting, Report { utilisation: 0.0, first_s: f64::INFINITY, last_s: 0.0 });
        self.shares = Grid::new(setting, Share { weight: 1.0, credit: 0.0 });
        for balancer in 0..setting.balancers {
            // As with round robin, each begins at a host of its own.
            self.shares.at(balancer, balancer * setting.hosts / setting.balancers).credit = 0.5;
        }
        self.update_due_s = vec![self.options.update_period_s; setting.balancers];
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        if decision.now_s >= self.update_due_s[decision.balancer] {
            self.update_due_s[decision.balancer] = decision.now_s + self.options.update_period_s;
            self.update_weights(decision);
        }
        next(self.shares.row_mut(decision.balancer), decision.eligible)
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        let Some(service) = &self.service else { return };
        let now = utilisation(service, &event.telemetry);
        if now.is_nan() {
            return;
        }
        let report = self.reports.at(event.balancer, event.host);
        if report.first_s.is_infinite() {
            *report = Report { utilisation: now, first_s: event.now_s, last_s: event.now_s };
        } else {
            let keep = libm::exp((report.last_s - event.now_s) / self.options.averaging_s);
            report.utilisation = report.utilisation * keep + now * (1.0 - keep);
            report.last_s = event.now_s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Share, fill_in, next, weight};

    #[test]
    fn the_order_is_smooth() {
        let mut shares = [5.0, 1.0, 1.0].map(|weight| Share { weight, credit: 0.0 });
        let order: Vec<_> = (0..7).map(|_| next(&mut shares, &[0, 1, 2])).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0], "NGINX's example: a a b a c a a");
        let without_first: Vec<_> = (0..4).map(|_| next(&mut shares, &[1, 2])).collect();
        assert_eq!(without_first, [1, 2, 1, 2]);
    }

    #[test]
    fn errors_count_as_utilisation() {
        assert_eq!(weight(100.0, 0.0, 0.5, 1.0), Some(200.0));
        assert_eq!(weight(100.0, 0.5, 0.5, 1.0), Some(100.0));
        assert_eq!(weight(0.0, 0.0, 0.5, 1.0), None, "no queries, no weight");
        assert_eq!(weight(100.0, 0.0, 0.0, 1.0), None, "no utilisation, no weight");
    }

    #[test]
    fn unknown_weights_are_average() {
        assert_eq!(fill_in(&[Some(1.0), None, Some(3.0)]).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert_eq!(fill_in(&[Some(9.0), None]).collect::<Vec<_>>(), [1.0, 1.0]);
    }
}
