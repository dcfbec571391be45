//! The bill of materials: every crate that is linked into something that a release hands out, as
//! `CycloneDX` 1.5.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::VERSION;
use crate::process;

/// Crates that are handed out; what only they need counts.
const HANDED_OUT: [&str; 5] =
    ["evenkeel-train", "evenkeel-agent", "evenkeel-testbed", "evenkeel-capi", "evenkeel-envoy"];

/// Asks cargo, and writes the bill.
pub(super) fn write(path: &Path) -> Result<()> {
    let host = process::output(&mut process::program("rustc", ["--print", "host-tuple"]))?;
    let mut metadata = process::cargo(["metadata", "--format-version", "1", "--locked"]);
    metadata.args(["--features", "evenkeel-train/wgpu", "--filter-platform", host.trim()]);
    let metadata: Value =
        serde_json::from_str(&process::output(&mut metadata)?).context("cargo metadata printed no JSON")?;
    let bill = bill(&metadata).context("cargo metadata has another shape than expected")?;
    fs::write(path, serde_json::to_string_pretty(&bill)? + "\n")?;
    Ok(())
}

/// The bill, of what `cargo metadata` says.
fn bill(metadata: &Value) -> Option<Value> {
    let packages: BTreeMap<_, _> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let needs = linked(metadata)?;
    let mut waiting: Vec<_> = packages
        .iter()
        .filter(|(_, package)| package["name"].as_str().is_some_and(|name| HANDED_OUT.contains(&name)))
        .map(|(id, _)| *id)
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(needs.get(id).into_iter().flatten());
        }
    }
    let components: Option<Vec<_>> = reached.iter().map(|id| component(packages.get(id)?)).collect();
    let dependencies: Option<Vec<_>> = reached
        .iter()
        .map(|id| {
            let on: Option<BTreeSet<_>> =
                needs.get(id).into_iter().flatten().map(|other| reference(packages.get(other)?)).collect();
            Some(json!({ "ref": reference(packages.get(id)?)?, "dependsOn": on? }))
        })
        .collect();
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "evenkeel", "version": VERSION } },
        "components": components?,
        "dependencies": dependencies?,
    }))
}

/// What each package links: neither build scripts' needs nor tests'.
fn linked(metadata: &Value) -> Option<BTreeMap<&str, Vec<&str>>> {
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    nodes
        .iter()
        .map(|node| {
            let links = node["deps"].as_array()?.iter().filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            });
            Some((node["id"].as_str()?, links.filter_map(|dependency| dependency["pkg"].as_str()).collect()))
        })
        .collect()
}

fn component(package: &Value) -> Option<Value> {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package)?,
        "name": package["name"],
        "version": package["version"],
    });
    if let Some(licence) = package["license"].as_str() {
        // The older way to write a choice is no expression of SPDX.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if package["source"].is_string() {
        component["purl"] = reference(package)?.into();
    }
    Some(component)
}

/// The package's address, which also names it within the bill.
fn reference(package: &Value) -> Option<String> {
    Some(format!("pkg:cargo/{}@{}", package["name"].as_str()?, package["version"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let needs = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("evenkeel-agent"), package("linked"), package("only-tests"), package("other")],
            "resolve": { "nodes": [
                { "id": "evenkeel-agent", "deps": [needs("linked", Value::Null), needs("only-tests", "dev".into())] },
                { "id": "linked", "deps": [] },
                { "id": "only-tests", "deps": [] },
                { "id": "other", "deps": [] },
            ] },
        });
        let bill = bill(&metadata).expect("the metadata is whole");
        let names: Vec<_> = bill["components"].as_array().into_iter().flatten().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["evenkeel-agent", "linked"]);
        assert_eq!(bill["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/linked@1.0.0"]));
    }
}
