//! The checked-in header is the one that the pinned cbindgen makes of the C interface.
//!
//! After a change of the interface, write it anew with
//! `EVENKEEL_BLESS=1 cargo test --release -p evenkeel-capi`.

use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config, DocumentationStyle, EnumConfig, Language, RenameRule, Style};

#[test]
fn the_header_is_up_to_date() {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("capi lies inside of the runtime's folder");
    let path = runtime.join("include/evenkeel.h");
    let generated = generate(runtime);
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(&path, &generated).expect("the header is writable");
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = generated.lines().zip(checked_in.lines()).position(|(new, old)| new != old);
    assert!(
        generated == checked_in,
        "{} is not what the sources declare (first difference in line {}): \
         run `EVENKEEL_BLESS=1 cargo test --release -p evenkeel-capi` and commit the result",
        path.display(),
        difference.unwrap_or_else(|| generated.lines().count().min(checked_in.lines().count())) + 1,
    );
}

fn generate(runtime: &Path) -> String {
    let mut builder = Builder::new().with_config(config());
    for source in sources(&runtime.join("src/ffi")) {
        builder = builder.with_src(source);
    }
    let bindings = builder.generate().expect("cbindgen reads the sources of the C interface");
    let mut header = Vec::new();
    bindings.write(&mut header);
    shortened(&String::from_utf8(header).expect("the header is UTF-8"))
}

/// The header without the sections on safety, which say for Rust what the introduction says for C,
/// and with comments of a line on one line.
fn shortened(header: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut is_safety = false;
    for line in header.lines() {
        let ends = line.trim_start() == "*/";
        is_safety = !ends && (is_safety || line == " * # Safety");
        if ends && kept.last().is_some_and(|last| last == " *") {
            kept.pop();
        }
        let is_short = ends && kept.len() >= 2 && kept[kept.len() - 2].trim_start() == "/**";
        if is_short && let (Some(text), Some(begin)) = (kept.pop(), kept.pop()) {
            let text = text.trim_start().trim_start_matches('*');
            kept.push(format!("{begin}{text} */"));
        } else if !is_safety {
            kept.push(line.to_owned());
        }
    }
    kept.join("\n") + "\n"
}

/// The sources in an order that does not depend on the file system.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the C interface has a folder");
    let mut sources: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources.sort();
    sources
}

/// Names as C knows them.
const TYPES: [(&str, &str); 28] = [
    ("EkCode", "ek_code"),
    ("EkStatus", "ek_status"),
    ("EkReason", "ek_reason"),
    ("EkIfOther", "ek_if_other"),
    ("EkModel", "ek_model"),
    ("EkIdentity", "ek_identity"),
    ("EkUpstream", "ek_upstream"),
    ("EkUpstreamOptions", "ek_upstream_options"),
    ("EkFacts", "ek_facts"),
    ("EkEligible", "ek_eligible"),
    ("EkChoice", "ek_choice"),
    ("EkTicket", "ek_ticket"),
    ("EkOutcome", "ek_outcome"),
    ("EkTelemetry", "ek_telemetry"),
    ("EkStats", "ek_stats"),
    ("EkCounters", "ek_counters"),
    ("EkExplanation", "ek_explanation"),
    ("EkHostExplanation", "ek_host_explanation"),
    ("EkScale", "ek_scale"),
    ("EkDemandReading", "ek_demand_reading"),
    ("EkForecast", "ek_forecast"),
    ("EkRing", "ek_ring"),
    ("EkRingCounts", "ek_ring_counts"),
    ("EkBodyKind", "ek_body_kind"),
    ("EkRequestReader", "ek_request_reader"),
    ("EkRequestBody", "ek_request_body"),
    ("EkResponseReader", "ek_response_reader"),
    ("EkResponseBody", "ek_response_body"),
];

fn config() -> Config {
    let mut config = Config {
        language: Language::C,
        style: Style::Both,
        cpp_compat: true,
        include_guard: Some("EVENKEEL_H".into()),
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        header: Some(INTRODUCTION.into()),
        after_includes: Some(version_macros()),
        documentation_style: DocumentationStyle::Doxy,
        usize_is_size_t: true,
        line_length: 100,
        enumeration: EnumConfig { rename_variants: RenameRule::QualifiedScreamingSnakeCase, ..EnumConfig::default() },
        ..Config::default()
    };
    config.function.args = cbindgen::Layout::Auto;
    config.export.rename = TYPES.map(|(rust, c)| (rust.into(), c.into())).into_iter().collect();
    // Enumerations are passed as integers, so that a wrong one is an error and not undefined.
    config.export.include = ["EkStatus", "EkReason", "EkIfOther", "EkBodyKind"].map(String::from).into();
    config
}

const INTRODUCTION: &str = "\
/*
 * Evenkeel: learned load balancing inside an existing load balancer.
 *
 * All memory is the caller's; nothing is allocated, no clock is read, no file opened.
 * Functions return an ek_code and write their outputs only on success. Times are in
 * microseconds of one monotonic clock of the caller's choice. Structures that begin with
 * struct_size may grow: set it to the structure's sizeof. Reserved fields must be 0.
 *
 * A pointer is NULL only where that is said. What it points to is as large and as aligned as its
 * type and the function's description ask, initialised where it is read, and in place as long as
 * it is used; handles (ek_model, ek_upstream, ek_ring, the readers) come from their own functions.
 *
 * From a model to a choice (examples/c/balance.c is the whole of it):
 *
 *     ek_model_load -> ek_upstream_open -> ek_host_register ...
 *     per request:  ek_upstream_arrived -> ek_upstream_choose -> ek_upstream_begin
 *                   -> ek_upstream_first_token -> ek_upstream_finish
 *     per report:   ek_host_report
 *     per second:   ek_upstream_tick
 *
 * Generated by cbindgen from runtime-min/src/ffi: do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */";

fn version_macros() -> String {
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    format!(
        "
/** Version of this header; `EVENKEEL_VERSION` compares with `ek_version()`. */
#define EVENKEEL_VERSION_MAJOR {major}
#define EVENKEEL_VERSION_MINOR {minor}
#define EVENKEEL_VERSION_PATCH {patch}
#define EVENKEEL_VERSION \\
    (EVENKEEL_VERSION_MAJOR * 10000 + EVENKEEL_VERSION_MINOR * 100 + EVENKEEL_VERSION_PATCH)"
    )
}
