//! Which hosts there are: from a file, from DNS, or from Envoy's endpoints.
//!
//! Sources are asked again and again. One that fails keeps the hosts that it had; of a list,
//! lines that make no sense and names that have no address do not stop the others.

pub mod dns;
pub mod eds;
pub mod list;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::access::Header;
use dns::Addresses;

/// A host, and how its metrics are asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// The address that proxies send requests to, from which its key is made.
    pub address: SocketAddr,
    /// The address of its metrics, if another.
    pub metrics: Option<SocketAddr>,
    /// The name of that server, for its certificate and the Host header.
    pub name: Option<String>,
    /// Path of its metrics, if another than the others'.
    pub path: Option<String>,
    /// Set or cleared if TLS is used otherwise than for the other hosts.
    pub is_tls: Option<bool>,
    /// File with a bearer token, if another than the others'.
    pub token_file: Option<PathBuf>,
    /// Headers beside the others'.
    pub headers: Vec<Header>,
    /// After so many idle seconds it goes to sleep, if it is let alone (llama.cpp's
    /// `--sleep-idle-seconds`).
    pub sleeps_after_s: Option<u32>,
}

impl Host {
    /// A host with its metrics where they usually are.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            metrics: None,
            name: None,
            path: None,
            is_tls: None,
            token_file: None,
            headers: Vec::new(),
            sleeps_after_s: None,
        }
    }
}

/// The sources of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file with a host a line.
    List(PathBuf),
    /// A name, of which all addresses are hosts.
    Dns(String),
    /// Envoy's endpoint discovery, as the file that Envoy watches.
    Eds(PathBuf),
}

/// Errors of finding hosts.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A file cannot be read.
    #[error("hosts file {}: {source}; {expected}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
        /// A description of valid content.
        expected: &'static str,
    },
    /// A line of a list makes no sense.
    #[error("{}, line {line}: {found:?}: {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The text found.
        found: String,
        /// A description of valid input.
        expected: String,
    },
    /// A name has no address.
    #[error("{name}: {source}")]
    Name {
        /// The name.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is no discovery response.
    #[error("{}: {source}; expected a DiscoveryResponse in JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        source: serde_json::Error,
    },
}

/// The hosts of a source, and its problems.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The hosts, sorted, each once.
    pub hosts: Vec<Host>,
    /// The parts that could not be read.
    pub problems: Vec<DiscoveryError>,
}

impl Discovered {
    /// Returns true if nothing of the source could be read: then the hosts known before stay.
    pub fn has_failed(&self) -> bool {
        self.hosts.is_empty() && !self.problems.is_empty()
    }
}

impl Source {
    /// The hosts. Names that have no address at present keep those that `addresses` remembers.
    pub async fn discover(&self, addresses: &mut Addresses) -> Discovered {
        let mut found = match self {
            Self::List(path) => list::read(path, addresses).await,
            Self::Dns(name) => {
                let problems = addresses.resolve([name.clone()].into()).await;
                let hosts = addresses.of(name).iter().map(|address| dns::host(name, *address)).collect();
                Discovered { hosts, problems }
            }
            Self::Eds(path) => match eds::read(path) {
                Ok(hosts) => Discovered { hosts, problems: Vec::new() },
                Err(problem) => Discovered { hosts: Vec::new(), problems: vec![problem] },
            },
        };
        found.hosts.sort();
        found.hosts.dedup_by_key(|host| host.address);
        found
    }
}
