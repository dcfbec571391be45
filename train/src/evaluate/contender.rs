//! Who is compared: the trained policy, and rules with published or tuned parameters.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use evenkeel_env::Policy;
use evenkeel_env::policies::{self, Entry, Learned};
use evenkeel_runtime::Model;

use super::tuned::Tuned;

/// The name of the artifact's policy among the rules.
pub const TRAINED: &str = "evenkeel";

/// A policy with its parameters.
#[derive(Clone, Debug)]
pub enum Contender {
    /// The artifact's policy.
    Trained,
    /// A rule or an oracle.
    Rule {
        /// What it is.
        entry: &'static Entry,
        /// Its parameters, in the order of the registry.
        parameters: Vec<f64>,
        /// Whether the parameters were searched for, not published.
        searched: bool,
    },
}

impl Contender {
    /// A rule with its published parameters.
    pub fn published(entry: &'static Entry) -> Self {
        let parameters = entry.parameters.iter().map(|parameter| parameter.default).collect();
        Self::Rule { entry, parameters, searched: false }
    }

    /// A rule with other parameters.
    pub fn searched(entry: &'static Entry, parameters: Vec<f64>) -> Self {
        Self::Rule { entry, parameters, searched: true }
    }

    /// Its name; that of a rule with published parameters is that of the same rule tuned.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trained => TRAINED,
            Self::Rule { entry, .. } => entry.name,
        }
    }

    /// Whether nothing is left to tune: false for published parameters that could be tuned.
    pub fn is_tuned(&self) -> bool {
        match self {
            Self::Trained => true,
            Self::Rule { entry, searched, .. } => *searched || entry.parameters.is_empty(),
        }
    }

    /// Whether it knows what no balancer can.
    pub fn is_oracle(&self) -> bool {
        matches!(self, Self::Rule { entry, .. } if entry.is_oracle)
    }

    /// Parameters by name.
    pub fn parameters(&self) -> BTreeMap<String, f64> {
        match self {
            Self::Trained => BTreeMap::new(),
            Self::Rule { entry, parameters, .. } => {
                entry.parameters.iter().map(|parameter| parameter.name.to_owned()).zip(parameters.clone()).collect()
            }
        }
    }

    /// An instance for one replay.
    ///
    /// # Panics
    /// For the trained policy without a model.
    pub fn build<'m>(&self, model: Option<&Model<'m>>) -> Box<dyn Policy + 'm> {
        match self {
            Self::Trained => Box::new(Learned::new(*model.expect("a trained policy comes with its model"))),
            Self::Rule { entry, parameters, .. } => entry.build(parameters),
        }
    }
}

/// The policies of these names, in the order of the registry, the trained one last; `all`
/// stands for all of them. A rule of which tuned parameters are known appears twice.
///
/// # Errors
/// If there is no policy of a name.
pub fn contenders(names: &[String], tuned: Option<&Tuned>) -> Result<Vec<Contender>> {
    let asked = |name: &str| names.iter().any(|asked| asked == name || asked == "all");
    let known = || policies::REGISTRY.iter().map(|entry| entry.name).chain([TRAINED]);
    for name in names {
        ensure!(
            name == "all" || known().any(|known| known == name),
            "--policies: there is no policy `{name}`; expected `all` or some of {}",
            known().collect::<Vec<_>>().join(", ")
        );
    }
    let mut contenders = Vec::new();
    for entry in policies::REGISTRY.iter().filter(|entry| asked(entry.name)) {
        contenders.push(Contender::published(entry));
        if let Some(parameters) = tuned.and_then(|tuned| tuned.parameters(entry)) {
            contenders.push(Contender::searched(entry, parameters));
        }
    }
    if asked(TRAINED) {
        contenders.push(Contender::Trained);
    }
    Ok(contenders)
}

/// The rules of these names that have something to tune; `all` stands for all of them.
///
/// # Errors
/// If there is no rule of a name, or it has no parameters.
pub fn tunable(names: &[String]) -> Result<Vec<&'static Entry>> {
    let all = || policies::REGISTRY.iter().filter(|entry| !entry.parameters.is_empty() && !entry.is_oracle);
    if names.iter().any(|name| name == "all") {
        return Ok(all().collect());
    }
    let mut entries: Vec<&'static Entry> = Vec::new();
    for name in names {
        let entry = all().find(|entry| entry.name == name).with_context(|| {
            format!(
                "--policies: there is no policy `{name}` with parameters to tune; expected `all` or some of {}",
                all().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
            )
        })?;
        if !entries.iter().any(|known| known.name == entry.name) {
            entries.push(entry);
        }
    }
    Ok(entries)
}
