//! Envoy with a port for each policy.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Backend, Running};
use crate::process::{self, program};

/// A policy of Envoy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    RoundRobin,
    LeastRequest,
    Evenkeel,
}

/// A port and the policy on it.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) policy: Policy,
}

const MODULE: &str = "evenkeel_envoy";

impl Policy {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "envoy round_robin",
            Self::LeastRequest => "envoy least_request",
            Self::Evenkeel => "envoy evenkeel",
        }
    }

    /// Its name in the simulator. Envoy's least request looks at two hosts.
    pub(crate) fn simulated_as(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "p2c",
            Self::Evenkeel => "evenkeel",
        }
    }

    fn config(self, backend: &Backend) -> Value {
        let (name, config) = match self {
            Self::RoundRobin => {
                ("round_robin", typed("envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin", json!({})))
            }
            Self::LeastRequest => (
                "least_request",
                typed("envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest", json!({})),
            ),
            Self::Evenkeel => {
                let mut options = json!({"artifact": backend.artifact, "telemetry": backend.telemetry});
                if backend.clients_tell {
                    options["tokens"] = json!("x-prompt-tokens");
                    options["key"] = json!("x-session");
                }
                let fields = json!({
                    "dynamic_module_config": module(),
                    "lb_policy_name": "evenkeel",
                    "lb_policy_config": typed("google.protobuf.Struct", json!({"value": options})),
                });
                let kind =
                    "envoy.extensions.load_balancing_policies.dynamic_modules.v3.DynamicModulesLoadBalancerConfig";
                ("dynamic_modules", typed(kind, fields))
            }
        };
        let name = format!("envoy.load_balancing_policies.{name}");
        json!({"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]})
    }
}

/// Writes a configuration and starts Envoy with it.
pub(crate) fn start(folder: &Path, binary: &Path, servers: &[Server], backend: &Backend) -> Result<Running> {
    let path = folder.join("envoy.json");
    fs::write(&path, serde_json::to_string_pretty(&configuration(servers, backend))?)?;
    let modules = folder.join("modules");
    fs::create_dir_all(&modules)?;
    let module = process::target().join("release/libevenkeel_envoy.so");
    fs::copy(&module, modules.join("libevenkeel_envoy.so"))?;
    let log = folder.join("envoy.log");
    let mut command = program(binary, ["-c"]);
    command.arg(&path).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
    command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", modules);
    let mut running = Running::start(&mut command, &log)?;
    for server in servers {
        running.wait_for(server.port, &log).context("Envoy")?;
    }
    Ok(running)
}

fn configuration(servers: &[Server], backend: &Backend) -> Value {
    let bootstrap = json!({
        "name": "envoy.bootstrap.dynamic_modules",
        "typed_config": typed(
            "envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension",
            json!({"dynamic_module_config": module(), "extension_name": "evenkeel"}),
        ),
    });
    json!({
        "bootstrap_extensions": [bootstrap],
        "static_resources": {
            "listeners": servers.iter().map(|server| listener(server, backend)).collect::<Vec<_>>(),
            "clusters": servers.iter().map(|server| cluster(server, backend)).collect::<Vec<_>>(),
        },
    })
}

fn listener(server: &Server, backend: &Backend) -> Value {
    let mut filters = Vec::new();
    let mut router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    if server.policy == Policy::Evenkeel {
        let fields = json!({"dynamic_module_config": module(), "logger_name": "evenkeel"});
        let kind = "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog";
        router["upstream_log"] =
            json!([{"name": "envoy.access_loggers.dynamic_modules", "typed_config": typed(kind, fields)}]);
        if !backend.clients_tell {
            filters.push(filter("request"));
        }
    }
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": router}));
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": name(server), "timeout": "0s"}});
    let manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": name(server),
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": filters,
        }),
    );
    json!({
        "name": name(server),
        "address": address(server.port),
        // What the request's filter may await of a prompt.
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]}],
    })
}

fn cluster(server: &Server, backend: &Backend) -> Value {
    let endpoints: Vec<Value> = backend.ports().map(|port| json!({"endpoint": {"address": address(port)}})).collect();
    let mut cluster = json!({
        "name": name(server),
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name(server), "endpoints": [{"lb_endpoints": endpoints}]},
        "load_balancing_policy": server.policy.config(backend),
        // Not to be what is compared.
        "circuit_breakers": {
            "thresholds": [{"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}],
        },
    });
    if server.policy == Policy::Evenkeel {
        cluster["typed_extension_protocol_options"] = early_news();
    }
    cluster
}

/// The module's filter that tells of a stream's first byte when it comes.
fn early_news() -> Value {
    let response = filter("response");
    let codec = json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({})),
    });
    let options = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        json!({"explicit_http_config": {"http_protocol_options": {}}, "http_filters": [response, codec]}),
    );
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options})
}

/// One of the module's HTTP filters.
fn filter(name: &str) -> Value {
    let fields = json!({"dynamic_module_config": module(), "filter_name": name});
    let config = typed("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", fields);
    json!({"name": format!("evenkeel.{name}"), "typed_config": config})
}

fn name(server: &Server) -> String {
    format!("p{}", server.port)
}

fn module() -> Value {
    json!({"name": MODULE, "do_not_close": true})
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// A message with its type.
fn typed(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/{kind}"));
    fields
}
