//! A Ballista scheduler or executor on this machine, for the tests and `cargo xtask bench lake`.
//!
//! ```text
//! cluster scheduler PORT
//! cluster executor SCHEDULER_PORT FLIGHT_PORT GRPC_PORT FOLDER
//! ```

use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Executors' stacks, as Ballista's own programs have them.
const STACK_BYTES: usize = 32 * 1024 * 1024;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?;
    match words.as_slice() {
        ["scheduler", port] => runtime.block_on(scheduler(port.parse()?)),
        ["executor", scheduler, flight, grpc, folder] => {
            runtime.block_on(executor(scheduler.parse()?, flight.parse()?, grpc.parse()?, folder))
        }
        _ => Err("expected scheduler PORT, or executor SCHEDULER_PORT FLIGHT_PORT GRPC_PORT FOLDER".into()),
    }
}

async fn scheduler(port: u16) -> Result<()> {
    let config = SchedulerConfig {
        external_host: "127.0.0.1".to_owned(),
        bind_port: port,
        // An executor that was killed is known to be gone within seconds.
        executor_timeout_seconds: 8,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: 8,
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    start_server(cluster, format!("127.0.0.1:{port}").parse()?, Arc::new(config)).await?;
    Ok(())
}

async fn executor(scheduler_port: u16, port: u16, grpc_port: u16, folder: &str) -> Result<()> {
    let config = ExecutorProcessConfig {
        external_host: Some("127.0.0.1".to_owned()),
        scheduler_host: "127.0.0.1".to_owned(),
        scheduler_port,
        scheduler_connect_timeout_seconds: 20,
        port,
        grpc_port,
        vcores: 1,
        work_dir: Some(folder.to_owned()),
        executor_heartbeat_interval_seconds: 1,
        memory_pool_size: Some(256 * 1024 * 1024),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await?;
    Ok(())
}
