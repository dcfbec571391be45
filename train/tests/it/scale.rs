//! Scaling from the command line: `capacity`, `scale-tune`, `autoscale-eval`, `dataset rates`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::forecast::{json, write_series};
use crate::support::{LLM_COLUMNS, fail, succeed, text, write_llm_trace};

fn forecaster(folder: &Path) -> (PathBuf, PathBuf) {
    let (series, model) = (write_series(folder), folder.join("forecast.ekm"));
    succeed(&["forecast-train", "--quick", "--seed", "7", "--series", text(&series), "-o", text(&model)]);
    (series, model)
}

#[test]
fn searches_are_compared_and_an_interrupted_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (series, model) = forecaster(folder.path());
    let (checkpoint, report) = (at("runs.jsonl"), at("report.html"));
    let tune = |name: &str, more: &[&str]| {
        let (figures, scaled) = (at(&format!("{name}.json")), at(&format!("{name}.ekm")));
        let common = ["scale-tune", "--model", text(&model), "--series", text(&series), "--replica-capacity", "0.005"];
        let budget = ["--evaluations", "30", "--compare", "2", "--json", text(&figures), "-o", text(&scaled)];
        let said = succeed(&[&common[..], &budget, more].concat());
        (said, json(&figures), fs::read(&scaled).expect("it was written"))
    };
    let (said, figures, scaled) = tune("whole", &["--checkpoint", text(&checkpoint), "--report", text(&report)]);
    assert!(said.contains("by least cost") && said.contains("Pareto front"), "{said}");
    let searches: Vec<&str> =
        figures["searches"].as_array().expect("a list").iter().map(|s| s["search"].as_str().expect("a name")).collect();
    assert_eq!(searches, ["ga_pso", "random", "cma_es", "nsga2"]);
    let front = figures["front"].as_array().expect("a list");
    let missed = |point: &Value| point["missed_share"].as_f64().expect("a number");
    assert!(front.windows(2).all(|pair| missed(&pair[0]) > missed(&pair[1])), "{front:?}");
    assert!(fs::read_to_string(&report).expect("it was written").contains("Pareto fronts"));

    // What was cut off in the middle is made good, and nothing differs.
    let kept = fs::read_to_string(&checkpoint).expect("it was written");
    fs::write(&checkpoint, &kept[..kept.len() / 2]).expect("a writable file");
    let (said, again, resumed) = tune("resumed", &["--checkpoint", text(&checkpoint)]);
    assert!(said.contains("runs are remembered"), "{said}");
    assert!(again == figures && resumed == scaled, "a run that was resumed differs");
    assert_eq!(fs::read_to_string(&checkpoint).expect("it is there").lines().count(), kept.lines().count());
}

#[test]
fn autoscalers_are_compared_at_several_shares_of_misses() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (series, model) = forecaster(folder.path());
    let (figures, report) = (at("figures.json"), at("report.html"));
    let common = ["autoscale-eval", "--model", text(&model), "--series", text(&series), "--cold-start", "900"];
    let budget = ["--missed-max", "0.003,0.03", "--evaluations", "20", "--seeds", "2"];
    let output = ["--json", text(&figures), "--report", text(&report)];
    let said = succeed(&[&common[..], &budget, &output].concat());
    assert!(said.contains("against the best reactive rule"), "{said}");
    let figures = json(&figures);
    let entries = figures.as_array().expect("an array");
    let of = |policy: &str| entries.iter().filter(|entry| entry["policy"] == policy).collect::<Vec<_>>();
    assert_eq!((of("hpa").len(), of("clairvoyant").len(), of("reactive").len()), (2, 1, 1));
    for entry in of("evenkeel").iter().filter(|entry| !entry["cold_start_s"].is_null()) {
        for name in ["replica_hours", "missed_share", "under_accuracy", "over_time_share", "reversals_per_hour"] {
            let figure = &entry["metrics"][name];
            let [low, high] = [0, 1].map(|end| figure["ci95"][end].as_f64().expect("a number"));
            assert!((low..=high).contains(&figure["value"].as_f64().expect("a number")), "{name}: {figure}");
        }
    }
    // A daily wave of half-hours is foreseen better than it is followed.
    let needed = entries.iter().find(|entry| entry["policy"] == "evenkeel" && entry["cold_start_s"].is_null());
    let ratio = &needed.expect("it was measured")["metrics"]["capacity_needed_over_reactive"]["value"];
    assert!(ratio.as_f64().expect("a number") < 1.0, "{ratio}");
    assert!(fs::read_to_string(&report).expect("it was written").contains("Capacity needed"));
    let refused = fail(&[&common[..], &["--missed-max", "0"]].concat());
    assert!(refused.contains("--missed-max"), "{refused}");
}

#[test]
fn a_trace_gives_its_rates_and_what_a_replica_carries() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let trace = write_llm_trace(folder.path());
    let columns = ["--format", "csv", "--columns", LLM_COLUMNS];
    let rates = at("rates.csv");
    succeed(&[&["dataset", "rates", text(&trace), "--step", "60", "-o", text(&rates)], &columns[..]].concat());
    let rates = fs::read_to_string(&rates).expect("it was written");
    let mut lines = rates.lines();
    assert_eq!(lines.next(), Some("t_s,requests_per_s,prompt_tokens_per_s,output_tokens_per_s"));
    let requests = |line: &str| line.split(',').nth(1).and_then(|rate| rate.parse::<f64>().ok()).expect("a rate");
    // Arrivals are 70 ms apart on average.
    let per_s: Vec<f64> = lines.map(requests).collect();
    assert!(per_s.len() == 3 && per_s.iter().all(|rate| (13.0..16.0).contains(rate)), "{rates}");

    let figures = at("capacity.json");
    let common = ["capacity", "--trace", text(&trace), "--requests", "600", "--seeds", "1", "--speed", "1,2"];
    let said = succeed(&[&common[..], &columns, &["--json", text(&figures)]].concat());
    assert!(said.contains("demand/capacity"), "{said}");
    let figures = json(&figures);
    let rate = |class: usize| figures["classes"][class]["capacity"]["requests_per_s"].as_f64().expect("a number");
    assert!(rate(0) > 0.0 && (1.5..3.0).contains(&(rate(1) / rate(0))), "{figures}");
    // What is carried with ease misses nothing, in the simulator and in the fluid.
    let easy = &figures["fluid"][0];
    assert!(easy["missed_share"].as_f64().expect("a number") < 0.01 && easy["fluid_missed_share"] == 0.0, "{easy}");
}
