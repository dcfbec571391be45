//! The bootstrap extension: takes over new artifacts, and shows what goes on.

use std::cell::RefCell;

use crate::abi::LogLevel;
use crate::artifact::Artifact;
use crate::config::{self, ConfigError};
use crate::envoy::{self, BootstrapMetrics, BootstrapView, MetricError, MetricId, Timer};
use crate::status;

/// How often files are looked at.
const TICK_MS: u64 = 1_000;

/// Path of the page on the admin interface.
const PAGE: &str = "/evenkeel";

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// The extension. All of it runs on the main thread.
pub(crate) struct Bootstrap {
    view: BootstrapView,
    metrics: BootstrapMetrics,
    swaps: MetricId,
    refusals: MetricId,
    timer: RefCell<Option<Timer>>,
}

impl Bootstrap {
    /// Checks the configuration, which has no options.
    pub(crate) fn new(json: &[u8], view: BootstrapView, metrics: BootstrapMetrics) -> Result<Self, BootstrapError> {
        config::object(json, &[])?;
        Ok(Self {
            swaps: metrics.define_counter("evenkeel_artifact_swaps", &[])?,
            refusals: metrics.define_counter("evenkeel_artifact_refusals", &[])?,
            timer: RefCell::new(None),
            view,
            metrics,
        })
    }

    /// The server is up: from now on there are timers and an admin interface.
    pub(crate) fn start(&self) {
        if !self.view.add_page(PAGE, "Evenkeel: hosts, decisions and artifacts (?format=json)") {
            envoy::log(LogLevel::Warn, format_args!("no admin interface, or {PAGE} is taken: there will be no page"));
        }
        let timer = self.view.timer();
        timer.arm(TICK_MS);
        self.timer.replace(Some(timer));
    }

    /// Once a second.
    pub(crate) fn tick(&self) {
        for artifact in Artifact::all() {
            match artifact.refresh() {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.add(self.swaps, [], 1);
                    envoy::log(LogLevel::Info, format_args!("artifact {:?} is in force", artifact.path()));
                }
                Err(error) => {
                    self.metrics.add(self.refusals, [], 1);
                    envoy::log(LogLevel::Error, format_args!("{error}; the one before stays in force"));
                }
            }
        }
        if let Some(timer) = &*self.timer.borrow() {
            timer.arm(TICK_MS);
        }
    }

    /// Answers a request to the admin page; returns the status.
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
