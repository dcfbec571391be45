//! Envoy's endpoints: the file of a filesystem subscription, a `DiscoveryResponse` in JSON.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::{DiscoveryError, Host};

/// Reads the addresses of all endpoints of all clusters.
pub(super) fn read(path: &Path) -> Result<Vec<Host>, DiscoveryError> {
    let expected = "expected Envoy's endpoints, a DiscoveryResponse in JSON";
    let text = std::fs::read_to_string(path).map_err(|source| DiscoveryError::Read {
        path: path.to_owned(),
        source,
        expected,
    })?;
    let response: Value =
        serde_json::from_str(&text).map_err(|source| DiscoveryError::Json { path: path.to_owned(), source })?;
    let mut addresses = Vec::new();
    collect(&response["resources"], &mut addresses);
    Ok(addresses.into_iter().map(Host::new).collect())
}

/// Every socket address below: Envoy takes both spellings of protobuf's JSON.
fn collect(value: &Value, addresses: &mut Vec<SocketAddr>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, addresses)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "socket_address" || name == "socketAddress" {
                    addresses.extend(socket_address(value));
                } else if name != "health_check_config" && name != "healthCheckConfig" {
                    collect(value, addresses);
                }
            }
        }
        _ => {}
    }
}

fn socket_address(value: &Value) -> Option<SocketAddr> {
    let port = value.get("port_value").or_else(|| value.get("portValue"))?.as_u64()?;
    Some(SocketAddr::new(value.get("address")?.as_str()?.parse().ok()?, u16::try_from(port).ok()?))
}
