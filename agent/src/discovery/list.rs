//! A file with a host a line.
//!
//! ```text
//! # address that proxies use   where the metrics are, if somewhere else
//! 10.0.0.1:8000
//! 10.0.0.2:8000                metrics=10.0.0.2:9400 path=/prometheus
//! vllm-3.internal:8000
//! ```

use std::path::Path;

use super::{DiscoveryError, Host, dns};

/// Reads the file and resolves its names.
pub(super) async fn read(path: &Path) -> Result<Vec<Host>, DiscoveryError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| DiscoveryError::Read { path: path.to_owned(), source })?;
    let mut hosts = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let wrong = || DiscoveryError::Line { path: path.to_owned(), line: number, found: line.to_owned() };
        if name.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(wrong());
        }
        let (mut metrics, mut metrics_path) = (None, None);
        for word in words {
            match word.split_once('=') {
                Some(("metrics", at)) => metrics = Some(dns::resolve(at).await?[0]),
                Some(("path", at)) if at.starts_with('/') => metrics_path = Some(at.to_owned()),
                _ => return Err(wrong()),
            }
        }
        for address in dns::resolve(name).await? {
            hosts.push(Host { address, metrics, path: metrics_path.clone() });
        }
    }
    Ok(hosts)
}
