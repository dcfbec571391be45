//! Queries on a Ballista cluster.

use crate::options::Options;
use crate::session::settings;
use anyhow::{Context as _, Result};
use ballista::prelude::{SessionConfigExt as _, SessionContextExt as _};
use datafusion::common::extensions_options;
use datafusion::config::ConfigExtension;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::env;
use std::sync::Arc;

extensions_options! {
    /// How executors reach S3: Ballista's own executors know these names.
    struct S3Settings {
        access_key_id: Option<String>, default = None
        secret_access_key: Option<String>, default = None
        session_token: Option<String>, default = None
        region: Option<String>, default = None
        endpoint: Option<String>, default = None
        allow_http: Option<bool>, default = None
    }
}

impl ConfigExtension for S3Settings {
    const PREFIX: &'static str = "s3";
}

/// Connects to a scheduler.
pub(crate) async fn open(scheduler: &str, options: &Options, runtime: Arc<RuntimeEnv>) -> Result<SessionContext> {
    let mut config = settings(SessionConfig::new_with_ballista());
    if let Some(threads) = options.threads {
        config = config.with_target_partitions(threads);
    }
    let has_s3 = options.paths.iter().any(|path| path.starts_with("s3"));
    if has_s3 {
        config = config.with_option_extension(S3Settings {
            access_key_id: env::var("AWS_ACCESS_KEY_ID").ok(),
            secret_access_key: env::var("AWS_SECRET_ACCESS_KEY").ok(),
            session_token: env::var("AWS_SESSION_TOKEN").ok(),
            region: env::var("AWS_REGION").or_else(|_| env::var("AWS_DEFAULT_REGION")).ok(),
            endpoint: env::var("AWS_ENDPOINT").or_else(|_| env::var("AWS_ENDPOINT_URL")).ok(),
            allow_http: env::var("AWS_ALLOW_HTTP").ok().and_then(|value| value.parse().ok()),
        });
    }
    let state =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
    let url = if scheduler.contains("://") { scheduler.to_owned() } else { format!("df://{scheduler}") };
    SessionContext::remote_with_state(&url, state)
        .await
        .with_context(|| format!("--cluster {scheduler}: expected HOST:PORT of a Ballista scheduler"))
}
