//! Which hosts there are: from a file, from DNS, or from Envoy's endpoints.
//!
//! Sources are asked again and again; one that fails keeps the hosts that it had.

pub mod dns;
pub mod eds;
pub mod list;

use std::net::SocketAddr;
use std::path::PathBuf;

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Where proxies send requests: what its key is made from.
    pub address: SocketAddr,
    /// Where its metrics are, if somewhere else.
    pub metrics: Option<SocketAddr>,
    /// Path of its metrics, if another than the others'.
    pub path: Option<String>,
}

impl Host {
    /// A host with its metrics where they usually are.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, metrics: None, path: None }
    }
}

/// Where hosts are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file with a host a line.
    List(PathBuf),
    /// A name, of which all addresses are hosts.
    Dns(String),
    /// Envoy's endpoint discovery, as the file that Envoy watches.
    Eds(PathBuf),
}

/// Why hosts are not known.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of a list makes no sense.
    #[error("{}, line {line}: found {found:?}, expected HOST:PORT [metrics=HOST:PORT] [path=/PATH]", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is there.
        found: String,
    },
    /// A name has no address.
    #[error("{name}: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no discovery response.
    #[error("{}: {source}; expected a DiscoveryResponse in JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Source {
    /// The hosts, sorted, each once.
    ///
    /// # Errors
    /// If the source cannot be read: the hosts known before are still there.
    pub async fn hosts(&self) -> Result<Vec<Host>, DiscoveryError> {
        let mut hosts = match self {
            Self::List(path) => list::read(path).await?,
            Self::Dns(name) => dns::resolve(name).await?.into_iter().map(Host::new).collect(),
            Self::Eds(path) => eds::read(path)?,
        };
        hosts.sort();
        hosts.dedup_by_key(|host| host.address);
        Ok(hosts)
    }
}
