//! The engine: in this process with bounded memory, or on a cluster.

use crate::options::Options;
use anyhow::{Context as _, Result};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// Opens the engine that the options name.
pub(crate) async fn open(options: &Options) -> Result<SessionContext> {
    let runtime = runtime(options)?;
    match &options.cluster {
        None => {
            let mut config = SessionConfig::new();
            if let Some(threads) = options.threads {
                config = config.with_target_partitions(threads);
            }
            Ok(SessionContext::new_with_config_rt(settings(config), runtime))
        }
        #[cfg(feature = "cluster")]
        Some(scheduler) => crate::cluster::open(scheduler, options, runtime).await,
        #[cfg(not(feature = "cluster"))]
        Some(scheduler) => anyhow::bail!(
            "--cluster {scheduler}: this evenkeel-lake was built without Ballista; build it with `cargo build --release \
             --manifest-path lake/Cargo.toml --features cluster`"
        ),
    }
}

/// What is the same wherever queries run.
pub(crate) fn settings(mut config: SessionConfig) -> SessionConfig {
    let engine = config.options_mut();
    // Folders and patterns reach into folders within.
    engine.execution.listing_table_ignore_subdirectory = false;
    // A sort holds no more than this back for its last merge, so that small limits suffice.
    engine.execution.sort_spill_reservation_bytes = 4 * 1024 * 1024;
    config
}

/// Says whether rows that a condition leaves out are decoded for the next query. Where few rows stay, as those
/// of chosen windows, not decoding the others saves most of the time; where most stay, picking them costs more.
pub(crate) fn expect_few_rows(context: &SessionContext, is_few: bool) {
    let state = context.state_ref();
    let mut state = state.write();
    let parquet = &mut state.config_mut().options_mut().execution.parquet;
    parquet.pushdown_filters = is_few;
    parquet.reorder_filters = is_few;
}

fn runtime(options: &Options) -> Result<Arc<RuntimeEnv>> {
    let pool = FairSpillPool::new(options.memory_mb * 1024 * 1024);
    let mut builder = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool));
    if let Some(folder) = &options.temp {
        builder = builder.with_temp_file_path(folder);
    }
    builder.build_arc().context("the query engine cannot be set up")
}
