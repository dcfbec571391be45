//! Addresses of names: those of a headless Kubernetes service, say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{DiscoveryError, Host};

/// A resolver that does not answer is not waited for longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses of names, as they were last resolved.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    known: BTreeMap<String, Vec<SocketAddr>>,
}

impl Addresses {
    /// Resolves names of the form `HOST:PORT`, all at the same time. A name that fails keeps
    /// the addresses that it had.
    pub(super) async fn resolve(&mut self, names: BTreeSet<String>) -> Vec<DiscoveryError> {
        let mut lookups = JoinSet::new();
        for name in names {
            // An address stands for itself.
            if let Ok(address) = name.parse() {
                self.known.insert(name, vec![address]);
            } else {
                lookups.spawn(async move {
                    let result = tokio::time::timeout(TIMEOUT, lookup(&name)).await;
                    (name, result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
                });
            }
        }
        let mut problems = Vec::new();
        while let Some(Ok((name, result))) = lookups.join_next().await {
            match result {
                Ok(addresses) => drop(self.known.insert(name, addresses)),
                Err(source) => problems.push(DiscoveryError::Name { name, source }),
            }
        }
        problems
    }

    /// The addresses of a name.
    pub(super) fn of(&self, name: &str) -> &[SocketAddr] {
        self.known.get(name).map_or(&[], Vec::as_slice)
    }
}

async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(name).await?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// A host at one of a name's addresses.
pub(super) fn host(name: &str, address: SocketAddr) -> Host {
    let name = (name.parse::<SocketAddr>().is_err()).then(|| name.rsplit_once(':')).flatten();
    Host { name: name.map(|(name, _)| name.to_owned()), ..Host::new(address) }
}
