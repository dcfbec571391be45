//! `evenkeel eval` and `evenkeel tune`: what they write, what they look at, what they refuse.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    LLM_COLUMNS, SERVICE_COLUMNS, fail, noise, succeed, text, write_artifact, write_llm_trace, write_service_trace,
};

const POLICIES: &str = "round_robin,least_request,prequal,oracle_no_sizes,evenkeel";

struct Bench {
    folder: tempfile::TempDir,
    model: PathBuf,
    trace: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (model, trace) = (write_artifact(folder.path()), write_llm_trace(folder.path()));
        Self { folder, model, trace }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments<'a>(&'a self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec![command, "--trace", text(&self.trace), "--format", "csv", "--columns", LLM_COLUMNS];
        if command == "eval" {
            arguments.extend(["--model", text(&self.model)]);
        }
        arguments.extend(more);
        arguments
    }

    fn succeed(&self, command: &str, more: &[&str]) -> String {
        succeed(&self.arguments(command, more))
    }

    fn fail(&self, command: &str, more: &[&str]) -> String {
        fail(&self.arguments(command, more))
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON")
}

fn entry<'v>(entries: &'v Value, policy: &str, tuned: bool) -> &'v Value {
    let mut found = entries.as_array().expect("an array").iter();
    found.find(|entry| entry["policy"] == policy && entry["tuned"] == tuned).expect(policy)
}

#[test]
fn json_has_the_documented_form_and_repeats_bit_for_bit() {
    let bench = Bench::new();
    let (tuned, first, again) = (bench.path("tuned.json"), bench.path("a.json"), bench.path("b.json"));
    let report = bench.path("report.html");
    let quick = ["--loads", "0.7", "--requests", "400", "--seeds", "1"];
    bench.succeed("tune", &[&quick[..], &["--policies", "prequal", "--budget", "3", "--out", text(&tuned)]].concat());
    let evaluate = |json: &Path, more: &[&str]| {
        let common = ["--preset", "quick", "--requests", "400", "--policies", POLICIES, "--tuned", text(&tuned)];
        bench.succeed("eval", &[&common[..], &["--json", text(json)], more].concat())
    };
    let table = evaluate(&first, &["--report", text(&report)]);
    evaluate(&again, &[]);
    assert!(fs::read(&first).expect("a.json") == fs::read(&again).expect("b.json"), "equal seeds, other figures");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("> evenkeel") && table.contains("prequal*"), "{table}");
    assert!(fs::read_to_string(&report).expect("the report").contains("Prequal, tuned"));

    let entries = read(&first);
    // Two loads; Prequal twice.
    assert_eq!(entries.as_array().map(Vec::len), Some(2 * 6));
    for entry in entries.as_array().expect("an array") {
        let scenario = &entry["scenario"];
        assert!(scenario["trace"].is_string() && scenario["service"] == "llm" && scenario["fleet"] == "het");
        assert_eq!((scenario["hosts"].as_u64(), scenario["balancers"].as_u64()), (Some(16), Some(4)));
        assert_eq!(scenario["telemetry_ms"].as_f64(), Some(250.0));
        assert!(scenario["load"].as_f64().is_some() && entry["policy"].is_string() && entry["tuned"].is_boolean());
        assert_eq!(entry["seeds"].as_u64(), Some(2));
        for name in [
            "latency_mean_s",
            "latency_p50_s",
            "latency_p90_s",
            "latency_p99_s",
            "latency_p999_s",
            "ttft_mean_s",
            "ttft_p99_s",
            "timeout_share",
            "goodput_per_s",
            "balance_efficiency",
            "jain_index",
        ] {
            let figure = &entry["metrics"][name];
            let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{name}: {figure}"));
            let (value, low, high) = (number(&figure["value"]), number(&figure["ci95"][0]), number(&figure["ci95"][1]));
            assert!(low <= value && value <= high, "{name}: {figure}");
        }
        assert!(entry["metrics"]["headroom_closed_mean"]["ci95"].is_array());
    }
    let least = entry(&entries, "least_request", false);
    assert!(least["evenkeel_difference"]["latency_mean_s"]["value"].is_number());
    assert_eq!(least["metrics"]["headroom_closed_mean"]["value"].as_f64(), Some(0.0));
    assert!(entry(&entries, "evenkeel", true).get("evenkeel_difference").is_none());
    let (default, best) = (entry(&entries, "prequal", false), entry(&entries, "prequal", true));
    assert_eq!(best["parameters"], read(&tuned)["policies"][0]["parameters"]);
    assert!(default["parameters"]["rif_quantile"].is_number());
}

#[test]
fn what_is_not_a_number_is_null() {
    let bench = Bench::new();
    let json = bench.path("one.json");
    let one = ["--loads", "0.5", "--seeds", "1", "--requests", "300", "--telemetry-ms", "lost"];
    bench.succeed("eval", &[&one[..], &["--policies", "random,evenkeel", "--json", text(&json)]].concat());
    let entries = read(&json);
    let random = entry(&entries, "random", true);
    assert!(random["scenario"]["telemetry_ms"].is_null());
    assert!(random["metrics"]["latency_mean_s"]["value"].is_number());
    assert!(random["metrics"]["latency_mean_s"]["ci95"] == serde_json::json!([null, null]));
    assert!(random["metrics"]["headroom_closed_mean"]["value"].is_null(), "no oracle was replayed");
}

#[test]
fn tuning_never_looks_at_the_test_part() {
    let bench = Bench::new();
    let text_of_trace = fs::read_to_string(&bench.trace).expect("the trace");
    let lines: Vec<&str> = text_of_trace.lines().collect();
    let end_s = lines.last().and_then(|line| line.split(',').next()?.parse::<f64>().ok()).expect("a time");
    let changed: Vec<String> = (0..)
        .zip(&lines)
        .map(|(index, line)| match line.split(',').next().and_then(|time| time.parse::<f64>().ok()) {
            Some(time_s) if time_s > 0.76 * end_s => format!("{time_s:.4},{},{}", 1 + noise(index) % 9000, 7),
            _ => (*line).to_owned(),
        })
        .collect();
    let (first, again) = (bench.path("a.json"), bench.path("b.json"));
    let tune = |out: &Path| {
        let small = ["--loads", "0.8", "--requests", "300", "--seeds", "1", "--budget", "6"];
        bench.succeed("tune", &[&small[..], &["--out", text(out)]].concat())
    };
    let table = tune(&first);
    assert!(table.contains("prequal") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    fs::write(&bench.trace, changed.join("\n")).expect("a writable folder");
    tune(&again);
    assert_eq!(read(&first), read(&again));
    let tuned = read(&first);
    assert_eq!(tuned["search"]["split"], "validation");
    let policies = tuned["policies"].as_array().expect("an array");
    assert!(policies.len() > 1);
    for policy in policies {
        let objective = |name: &str| policy[name].as_f64().expect("a number");
        assert!(objective("objective") <= objective("objective_default"), "{policy}");
        assert_eq!(policy["simulations"].as_u64(), Some(6), "the same budget for each");
    }
}

#[test]
fn tuning_on_the_way_is_kept_beside_the_json() {
    let bench = Bench::new();
    let json = bench.path("results.json");
    let small = ["--loads", "0.7", "--seeds", "1", "--requests", "200", "--policies", "prequal,evenkeel"];
    let run = || bench.succeed("eval", &[&small[..], &["--tune", "2", "--json", text(&json)]].concat());
    run();
    let kept = bench.path("results.tuned.json");
    let before = fs::metadata(&kept).and_then(|data| data.modified()).expect("kept");
    run();
    assert_eq!(fs::metadata(&kept).and_then(|data| data.modified()).expect("kept"), before, "searched again");
    entry(&read(&json), "prequal", true);
}

#[test]
fn faults_and_fleets_from_files_are_replayed() {
    let bench = Bench::new();
    let (fleet, json) = (bench.path("mine.json"), bench.path("out.json"));
    fs::write(&fleet, r#"[{"name": "old", "speed": 1, "count": 3}, {"speed": 2}]"#).expect("a writable folder");
    let small = ["--loads", "0.5", "--seeds", "1", "--requests", "300", "--policies", "least_request,evenkeel"];
    let more = ["--fleet", text(&fleet), "--fault", "none,crash,reports-idle,fails-fast", "--json", text(&json)];
    bench.succeed("eval", &[&small[..], &more[..]].concat());
    let entries = read(&json);
    let entries = entries.as_array().expect("an array");
    assert_eq!(entries.len(), 4 * 2);
    for entry in entries {
        assert_eq!((entry["scenario"]["fleet"].as_str(), entry["scenario"]["hosts"].as_u64()), (Some("mine"), Some(4)));
        let is_faulty = entry["scenario"]["fault"] != "none";
        assert_eq!(entry["metrics"]["faulty_host_fair_share"]["value"].is_number(), is_faulty);
    }
}

#[test]
fn what_happens_to_real_fleets_is_replayed() {
    let bench = Bench::new();
    let json = bench.path("life.json");
    let small = ["--preset", "life", "--seeds", "1", "--requests", "300", "--policies", "least_request,evenkeel"];
    bench.succeed("eval", &[&small[..], &["--json", text(&json)]].concat());
    let entries = read(&json);
    let entries = entries.as_array().expect("an array");
    let share = |fault: &str, share: &str| {
        let is_it = |entry: &&Value| entry["scenario"]["fault"] == fault && entry["policy"] == "evenkeel";
        let entry = entries.iter().find(is_it).unwrap_or_else(|| panic!("no {fault}"));
        entry["metrics"][share]["value"].as_f64().unwrap_or_else(|| panic!("{fault}: no {share}"))
    };
    for fault in ["none", "slow-spells", "idle-nights", "restarts", "joins", "errors", "wrong-claims", "liars"] {
        assert_eq!(share(fault, "aborted_share") + share(fault, "no_work_share"), 0.0, "{fault}");
    }
    assert!(share("aborts", "aborted_share") > 0.0 && share("no-work", "no_work_share") > 0.0);
    assert!(share("long-exchanges", "no_work_share") > 0.0 && share("early-heads", "no_work_share") == 0.0);
    // The trace has no think times, so that no turn waits for another.
    assert_eq!(entries.len(), 2 * 12);
}

#[test]
fn refusals_name_what_is_wrong() {
    let bench = Bench::new();
    let junk = bench.path("junk.json");
    fs::write(&junk, "[1]").expect("a writable folder");
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("eval", &["--policies", "p2c,nonsense"], &["nonsense", "least_request"]),
        ("eval", &["--fleet", "no-such-fleet.json"], &["no-such-fleet.json", "two-class"]),
        ("eval", &["--fleet", text(&junk)], &["junk.json", "line 1"]),
        ("eval", &["--tuned", text(&junk)], &["junk.json", "evenkeel tune"]),
        ("eval", &["--service", "fifo"], &["fifo", "llm"]),
        ("eval", &["--loads", "0.5,-1"], &["-1", "0.01"]),
        ("eval", &["--telemetry-ms", "often"], &["often", "lost"]),
        ("eval", &["--fault", "closed-loop"], &["closed-loop", "think times"]),
        ("eval", &["--json", "no-such-folder/out.json"], &["no-such-folder"]),
        ("tune", &["--policies", "random"], &["random", "prequal"]),
    ];
    for (command, arguments, words) in cases {
        let said = bench.fail(command, arguments);
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}:\n{said}");
    }
    let plain = write_service_trace(bench.folder.path());
    let common = ["eval", "--model", text(&bench.model), "--trace", text(&plain), "--format", "csv"];
    let said = fail(&[&common[..], &["--columns", SERVICE_COLUMNS]].concat());
    assert!(said.contains("trace service") && said.contains("token counts"), "{said}");

    let tuned = bench.path("tuned.json");
    let small = ["--loads", "0.7", "--seeds", "1", "--requests", "100", "--budget", "1", "--policies", "prequal"];
    bench.succeed("tune", &[&small[..], &["--out", text(&tuned)]].concat());
    let written = fs::read_to_string(&tuned).expect("the file");
    fs::write(&tuned, written.replace("\"rif_quantile\": 0.84", "\"rif_quantile\": 84")).expect("a writable folder");
    let said = bench.fail("eval", &["--tuned", text(&tuned)]);
    assert!(said.contains("tuned.json") && said.contains("rif_quantile") && said.contains("84"), "{said}");
}
