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
    String::from_utf8(header).expect("the header is UTF-8")
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
const TYPES: [(&str, &str); 31] = [
    ("EkCode", "ek_code"),
    ("EkStatus", "ek_status"),
    ("EkReason", "ek_reason"),
    ("EkModel", "ek_model"),
    ("EkState", "ek_state"),
    ("EkHistory", "ek_history"),
    ("EkHorizons", "ek_horizons"),
    ("EkForecast", "ek_forecast"),
    ("EkHistogram", "ek_histogram"),
    ("EkRequest", "ek_request"),
    ("EkDemand", "ek_demand"),
    ("EkDemandReading", "ek_demand_reading"),
    ("EkScale", "ek_scale"),
    ("EkDecision", "ek_decision"),
    ("EkTicket", "ek_ticket"),
    ("EkOutcome", "ek_outcome"),
    ("EkTelemetry", "ek_telemetry"),
    ("EkHostScore", "ek_host_score"),
    ("EkStats", "ek_stats"),
    ("EkIfOther", "ek_if_other"),
    ("EkStateOptions", "ek_state_options"),
    ("EkCounters", "ek_counters"),
    ("EkExplanation", "ek_explanation"),
    ("EkHostExplanation", "ek_host_explanation"),
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
 * From a model to a decision (examples/c/balance.c is the whole of it):
 *
 *     ek_model_load -> ek_state_init -> ek_host_register ...
 *     per request:  ek_decide -> ek_begin -> ek_first_token -> ek_finish
 *     per report:   ek_report
 *     per step:     ek_history_push -> ek_forecast_predict
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
