//! Which policy has which colour: the same in every chart of a page.

use crate::metrics::PolicyResult;

use super::compare::{Role, display_name, role};
use super::html::{escape, put};

const KNOWN: [&str; 5] = ["round_robin", "p2c", "least_request", "peak_ewma", "ext"];
const BASELINE_CLASSES: usize = 8;
const ORACLE_CLASSES: usize = 3;

/// Style classes of the policies of a run.
pub(super) struct Palette {
    entries: Vec<(String, String)>,
}

impl Palette {
    /// Known baselines keep their colour from run to run; others take what is left.
    pub(super) fn new(results: &[PolicyResult]) -> Self {
        let mut policies: Vec<&str> = Vec::new();
        for result in results {
            if !policies.contains(&result.policy.as_str()) {
                policies.push(&result.policy);
            }
        }
        policies.sort_by_key(|policy| role(policy));
        let (mut baselines, mut oracles) = (KNOWN.len(), 0);
        let entries = policies
            .into_iter()
            .map(|policy| {
                let class = match role(policy) {
                    Role::Ours => "ours".to_owned(),
                    Role::Oracle => {
                        oracles += 1;
                        format!("o{}", (oracles - 1) % ORACLE_CLASSES)
                    }
                    Role::Proxy | Role::Rule => {
                        let known = KNOWN.iter().position(|known| *known == policy);
                        let index = known.unwrap_or_else(|| {
                            baselines += 1;
                            baselines - 1
                        });
                        format!("s{}", index % BASELINE_CLASSES)
                    }
                };
                (policy.to_owned(), class)
            })
            .collect();
        Self { entries }
    }

    /// Class of a policy.
    pub(super) fn class(&self, policy: &str) -> &str {
        let entry = self.entries.iter().find(|(name, _)| name == policy);
        entry.map_or("s0", |(_, class)| class)
    }

    /// A legend of all policies.
    pub(super) fn legend(&self) -> String {
        let items: Vec<_> = self.entries.iter().map(|(policy, class)| (class.as_str(), display_name(policy))).collect();
        legend(&items)
    }
}

/// A legend: style classes and names.
pub(super) fn legend(items: &[(&str, String)]) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (class, name) in items {
        put!(
            out,
            "<li data-series=\"{class}\"><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">\
             <path class=\"line {class}\" d=\"M1 5H25\"/></svg>{}</li>",
            escape(name)
        );
    }
    out.push_str("</ul>");
    out
}
