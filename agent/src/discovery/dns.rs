//! All addresses of a name: a headless Kubernetes service, say.

use std::io;
use std::net::SocketAddr;

use super::DiscoveryError;

/// Resolves `HOST:PORT`; an address stands for itself.
pub(super) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, DiscoveryError> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let failed = |source| DiscoveryError::Name { name: name.to_owned(), source };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(name).await.map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}
