//! NGINX with a port for each policy.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Backend, Running};
use crate::process::program;

/// A policy of NGINX.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    RoundRobin,
    LeastConn,
    WeightedLeastConn,
    RandomTwo,
    Evenkeel,
}

/// A port, the policy on it, and the hosts behind.
pub(crate) struct Server<'b> {
    pub(crate) port: u16,
    pub(crate) policy: Policy,
    pub(crate) backend: &'b Backend,
}

impl Policy {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "nginx round_robin",
            Self::LeastConn => "nginx least_conn",
            Self::WeightedLeastConn => "nginx least_conn, weights",
            Self::RandomTwo => "nginx random two",
            Self::Evenkeel => "nginx evenkeel",
        }
    }

    /// Its name in the simulator.
    pub(crate) fn simulated_as(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConn | Self::WeightedLeastConn => "least_request",
            Self::RandomTwo => "p2c",
            Self::Evenkeel => "evenkeel",
        }
    }

    fn directives(self, port: u16, backend: &Backend) -> String {
        match self {
            Self::RoundRobin => String::new(),
            Self::LeastConn | Self::WeightedLeastConn => "least_conn;".to_owned(),
            Self::RandomTwo => "random two least_conn;".to_owned(),
            Self::Evenkeel => format!(
                "evenkeel {} zone=z{port}:1m telemetry={};{}",
                backend.artifact.display(),
                backend.telemetry.display(),
                if backend.clients_tell {
                    " evenkeel_tokens $http_x_prompt_tokens; evenkeel_key $http_x_session;"
                } else {
                    ""
                }
            ),
        }
    }

    /// The weight of a host, with a space before it.
    fn weight(self, host: usize, backend: &Backend) -> String {
        let weight = backend.weights.get(host).filter(|_| self == Self::WeightedLeastConn);
        weight.map_or_else(String::new, |weight| format!(" weight={weight}"))
    }
}

/// Writes a configuration and starts NGINX with it.
pub(crate) fn start(folder: &Path, module: &Path, servers: &[Server<'_>]) -> Result<Running> {
    let path = folder.join("nginx.conf");
    fs::write(&path, configuration(folder, module, servers))?;
    let log = folder.join("nginx.log");
    // What `nginx -e` does not know of in older versions is said before the log is open.
    let mut running = Running::start(program("nginx", ["-p"]).arg(folder).arg("-c").arg(&path), &log)?;
    for server in servers {
        running.wait_for(server.port, &folder.join("error.log")).context("NGINX")?;
    }
    Ok(running)
}

fn configuration(folder: &Path, module: &Path, servers: &[Server<'_>]) -> String {
    let at = folder.display();
    let mut http = String::new();
    for Server { port, policy, backend } in servers {
        let line = |(host, at): (usize, u16)| {
            format!("server 127.0.0.1:{at} max_fails=0{};\n        ", policy.weight(host, backend))
        };
        let hosts: String = backend.ports().enumerate().map(line).collect();
        let _ = write!(
            http,
            "
    upstream u{port} {{
        {}
        {hosts}keepalive 512;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://u{port}; }}
        location = /evenkeel {{ evenkeel_status; }}
    }}",
            policy.directives(*port, backend),
        );
    }
    // One worker, which sees all requests: as one balancer in the simulator.
    format!(
        "daemon off;
{}
worker_processes 1;
pid {at}/nginx.pid;
error_log {at}/error.log warn;
load_module {};
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    client_max_body_size 0;
    client_body_buffer_size 2m;
    keepalive_requests 1000000;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_buffering off;
    proxy_read_timeout 600s;
    tcp_nodelay on;
{http}
}}
",
        if is_root() { "user root;" } else { "" },
        module.display()
    )
}

/// Whether NGINX may, and must, be told whom its workers belong to.
fn is_root() -> bool {
    crate::process::output(&mut program("id", ["-u"])).is_ok_and(|id| id.trim() == "0")
}
