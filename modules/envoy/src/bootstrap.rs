//! The bootstrap extension: takes over new artifacts, reads telemetry, ticks the forecast,
//! and shows what goes on. All of it runs on the main thread.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::PathBuf;

use crate::abi::LogLevel;
use crate::artifact::Artifact;
use crate::demand;
use crate::envoy::{self, BootstrapMetrics, BootstrapView, MetricError, MetricId, Timer};
use crate::fields::{self, ConfigError, NoFields};
use crate::gauges::Gauges;
use crate::region::{self, Region, Used};
use crate::{status, telemetry};

/// Interval at which telemetry is read. Requests sent between a host's measurement and its reading
/// here are in neither count, so that time should be short.
const TICK_MS: u64 = 20;

/// Ticks in the second after which the rest is done.
const TICKS_PER_SECOND: u64 = 1_000 / TICK_MS;

/// Reason for refusing a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// The extension.
pub(crate) struct Bootstrap {
    view: BootstrapView,
    metrics: BootstrapMetrics,
    swaps: MetricId,
    refusals: MetricId,
    gauges: Gauges,
    timer: RefCell<Option<Timer>>,
    ticks: Cell<u64>,
    /// Telemetry files whose trouble has been told.
    troubled: RefCell<HashSet<PathBuf>>,
}

impl Bootstrap {
    /// Checks the configuration, which has no options.
    pub(crate) fn new(json: &[u8], view: BootstrapView, metrics: BootstrapMetrics) -> Result<Self, BootstrapError> {
        let NoFields {} = fields::parse(json)?;
        Ok(Self {
            swaps: metrics.define_counter("evenkeel_artifact_swaps", &[])?,
            refusals: metrics.define_counter("evenkeel_artifact_refusals", &[])?,
            gauges: Gauges::define(metrics)?,
            timer: RefCell::new(None),
            ticks: Cell::new(0),
            troubled: RefCell::default(),
            view,
            metrics,
        })
    }

    /// The server is up: from now on there are timers and an admin interface.
    pub(crate) fn start(&self) {
        for (path, help) in status::PAGES {
            if !self.view.add_page(path, help) {
                let said = format_args!("no admin interface, or {path} is taken: there will be no such page");
                envoy::log(LogLevel::Warn, said);
            }
        }
        let timer = self.view.timer();
        timer.arm(TICK_MS);
        self.timer.replace(Some(timer));
    }

    /// The timer fired.
    pub(crate) fn tick(&self) {
        let regions: Vec<_> =
            region::all().into_iter().filter_map(|region| region.used().map(|used| (region, used))).collect();
        for (region, used) in &regions {
            self.read_telemetry(region, used);
        }
        self.ticks.set(self.ticks.get() + 1);
        if self.ticks.get().is_multiple_of(TICKS_PER_SECOND) {
            self.refresh_artifacts();
            for (region, used) in &regions {
                self.refresh_gauges(region, used);
            }
        }
        if let Some(timer) = &*self.timer.borrow() {
            timer.arm(TICK_MS);
        }
    }

    fn refresh_artifacts(&self) {
        for artifact in Artifact::all() {
            match artifact.refresh() {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.add(self.swaps, [], 1);
                    let (path, identity) = (artifact.path().display(), artifact.identity());
                    envoy::log(LogLevel::Info, format_args!("artifact \"{path}\" is in force: {identity}"));
                }
                Err(error) => {
                    self.metrics.add(self.refusals, [], 1);
                    envoy::log(LogLevel::Error, format_args!("{error}; the one before stays in force"));
                }
            }
        }
    }

    fn read_telemetry(&self, region: &Region, used: &Used) {
        let Some(path) = &used.telemetry else { return };
        let mut troubled = self.troubled.borrow_mut();
        match telemetry::read(path, region) {
            Ok(_) => {
                if troubled.remove(path) {
                    envoy::log(LogLevel::Info, format_args!("telemetry file \"{}\" is read again", path.display()));
                }
            }
            Err(error) => {
                // Once: the agent may be away for long, and ages say so.
                if troubled.insert(path.clone()) {
                    envoy::log(
                        LogLevel::Warn,
                        format_args!("\"{}\": {error}; decisions go on without", path.display()),
                    );
                }
            }
        }
    }

    fn refresh_gauges(&self, region: &Region, used: &Used) {
        let artifact = used.artifact.current();
        region.tick(artifact.model(), used.slow_start);
        let replicas = demand::read(&region.upstream(), artifact.model(), &used.scale).replicas;
        self.gauges.set(self.metrics, region, replicas, &used.artifact.identity());
    }

    /// Answers a request to a page; returns the status.
    pub(crate) fn answer(&self, path: &str) -> u32 {
        let (status, body) = status::page(path);
        self.view.respond(&body);
        status
    }

    /// Timers must be gone before the server is.
    pub(crate) fn stop(&self) {
        self.timer.replace(None);
    }
}
