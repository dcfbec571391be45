//! Gauges of each cluster, in Envoy's own statistics.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::envoy::{BootstrapMetrics, MetricError, MetricId};
use crate::identity::Identity;
use crate::region::Region;

/// Labels of the gauge that names the artifact.
const ARTIFACT_LABELS: [&str; 6] = ["cluster", "name", "version", "made_by", "date", "checksum"];

/// The gauges that are set once a second.
#[derive(Debug)]
pub(crate) struct Gauges {
    replicas: MetricId,
    millireplicas: MetricId,
    in_flight: MetricId,
    hosts: MetricId,
    hosts_not_scored: MetricId,
    artifact: MetricId,
    /// Labels of the artifact that each cluster had last.
    artifacts: RefCell<HashMap<Box<str>, Identity>>,
}

impl Gauges {
    /// Only while the configuration is made.
    pub(crate) fn define(metrics: BootstrapMetrics) -> Result<Self, MetricError> {
        let by_cluster = |name| metrics.define_gauge(name, &["cluster"]);
        Ok(Self {
            replicas: by_cluster("evenkeel_demand_replicas")?,
            millireplicas: by_cluster("evenkeel_demand_millireplicas")?,
            in_flight: by_cluster("evenkeel_requests_in_flight")?,
            hosts: by_cluster("evenkeel_hosts")?,
            hosts_not_scored: by_cluster("evenkeel_hosts_not_scored")?,
            artifact: metrics.define_gauge("evenkeel_artifact_info", &ARTIFACT_LABELS)?,
            artifacts: RefCell::default(),
        })
    }

    /// Sets the gauges of a cluster. `replicas` that are not known stay as they are.
    pub(crate) fn set(&self, metrics: BootstrapMetrics, region: &Region, replicas: f32, artifact: &Identity) {
        let cluster = region.cluster().as_bytes();
        let set = |gauge, value| metrics.set(gauge, [cluster], value);
        if replicas.is_finite() {
            set(self.replicas, replicas.round() as u64);
            set(self.millireplicas, (replicas * 1e3).round() as u64);
        }
        set(self.in_flight, region.upstream().state().hosts().map(|(_, host)| u64::from(host.in_flight())).sum());
        let (hosts, not_scored) = region.host_counts();
        set(self.hosts, hosts as u64);
        set(self.hosts_not_scored, not_scored as u64);
        self.set_artifact(metrics, region.cluster(), artifact);
    }

    /// Sets the gauge of the artifact in force to 1, and that of the one before to 0.
    fn set_artifact(&self, metrics: BootstrapMetrics, cluster: &str, artifact: &Identity) {
        let artifacts = &mut *self.artifacts.borrow_mut();
        let before = artifacts.get(cluster);
        if before == Some(artifact) {
            return;
        }
        for (identity, value) in before.map(|before| (before, 0)).into_iter().chain([(artifact, 1)]) {
            let Identity { name, version, made_by, date, checksum, .. } = identity;
            let labels = [cluster, name, version, made_by, date, checksum].map(str::as_bytes);
            metrics.set(self.artifact, labels, value);
        }
        artifacts.insert(cluster.into(), artifact.clone());
    }
}
