//! Proxies that are compared: started, each policy on a port of its own, and listed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::proxies::{Backend, Running, envoy, nginx, sglang};
use crate::test::Skip;

/// What runs in front of the hosts.
pub(super) struct LineUp<'a> {
    folder: &'a Path,
    backend: &'a Backend,
    listed: Vec<Value>,
    running: Vec<Running>,
}

impl<'a> LineUp<'a> {
    /// None yet.
    pub(super) fn new(folder: &'a Path, backend: &'a Backend) -> Self {
        Self { folder, backend, listed: Vec::new(), running: Vec::new() }
    }

    /// Starts NGINX with ports from `first` on.
    pub(super) fn nginx(&mut self, module: &Path, policies: &[nginx::Policy], first: u16) -> Result<()> {
        let servers: Vec<_> = (first..)
            .zip(policies)
            .map(|(port, policy)| nginx::Server { port, policy: *policy, backend: self.backend })
            .collect();
        for nginx::Server { port, policy, .. } in &servers {
            // Nobody knows the speeds of hosts: weights come with NGINX, but not these.
            let is_built_in = !matches!(policy, nginx::Policy::Evenkeel | nginx::Policy::WeightedLeastConn);
            self.list(*port, policy.name(), Some(policy.simulated_as()), is_built_in);
        }
        self.running.push(nginx::start(self.folder, module, &servers)?);
        Ok(())
    }

    /// Starts Envoy with ports from `first` on.
    pub(super) fn envoy(&mut self, binary: &Path, policies: &[envoy::Policy], first: u16) -> Result<()> {
        let servers: Vec<_> =
            (first..).zip(policies).map(|(port, policy)| envoy::Server { port, policy: *policy }).collect();
        for envoy::Server { port, policy } in &servers {
            self.list(*port, policy.name(), Some(policy.simulated_as()), *policy != envoy::Policy::Evenkeel);
        }
        self.running.push(envoy::start(self.folder, binary, &servers, self.backend)?);
        Ok(())
    }

    /// Starts SGLang's router with ports from `first` on, a process for each policy.
    pub(super) fn sglang(&mut self, python: &Path, policies: &[sglang::Policy], first: u16) -> Result<()> {
        let servers: Vec<_> =
            (first..).zip(policies).map(|(port, policy)| sglang::Server { port, policy: *policy }).collect();
        for sglang::Server { port, policy } in &servers {
            self.list(*port, policy.name(), Some(policy.simulated_as()), false);
        }
        self.running.extend(sglang::start(self.folder, python, &servers, self.backend)?);
        Ok(())
    }

    /// Lists a proxy. Built in are the policies that come with NGINX or Envoy: the best of them is what the
    /// others are held against.
    pub(super) fn list(&mut self, port: u16, name: &str, simulated_as: Option<&str>, is_built_in: bool) {
        self.listed.push(json!({
            "name": name,
            "authority": format!("127.0.0.1:{port}"),
            "simulated_as": simulated_as,
            "is_built_in": is_built_in,
        }));
    }

    /// Whether nothing is listed.
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Writes the list that the testbed's comparisons read.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let path = self.folder.join("proxies.json");
        fs::write(&path, serde_json::to_string_pretty(&self.listed)?)?;
        Ok(path)
    }
}

/// Proxies that could not be had, and why.
#[derive(Default)]
pub(super) struct LeftOut(Vec<String>);

impl LeftOut {
    /// What `install` returns, if it is wanted; where it cannot be had on this machine, that is
    /// noted and the others are compared.
    pub(super) fn install<T>(
        &mut self,
        is_wanted: bool,
        what: &str,
        install: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        if !is_wanted {
            return Ok(None);
        }
        match install() {
            Ok(installed) => Ok(Some(installed)),
            Err(error) if error.is::<Skip>() => {
                let reason = format!("{what}: {error:#}");
                eprintln!("warning: left out of the comparison: {reason}");
                self.0.push(reason);
                Ok(None)
            }
            Err(error) => Err(error.context(what.to_owned())),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|what| writeln!(formatter, "not compared: {what}"))
    }
}
