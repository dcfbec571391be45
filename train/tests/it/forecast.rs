//! `forecast-train` and `forecast-eval`, from a series to a table of models.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{fail, noise, succeed, text};

/// Half-hours of a noisy daily wave that repeats itself, with a gap.
pub(crate) fn write_series(folder: &Path) -> PathBuf {
    let mut csv = String::from("t_s,web\n");
    for index in (0..24 * 48u64).filter(|index| !(300..320).contains(index)) {
        let turn = (index % 48) as f64 / 48.0 * std::f64::consts::TAU;
        let value = (100.0 + 60.0 * turn.sin()) * (0.9 + noise(index) as f64 % 200.0 * 1e-3);
        let _ = writeln!(csv, "{},{value:.3}", index * 1800);
    }
    let path = folder.join("rates.csv");
    fs::write(&path, csv).expect("a writable folder");
    path
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("it was written")).expect("JSON")
}

#[test]
fn equal_seeds_give_equal_models_and_figures_and_other_models_join_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let series = write_series(folder.path());
    let mut results = Vec::new();
    for run in ["first", "second"] {
        let (model, figures) = (at(&format!("{run}.ekm")), at(&format!("{run}.json")));
        succeed(&["forecast-train", "--quick", "--seed", "7", "--series", text(&series), "-o", text(&model)]);
        let said =
            succeed(&["forecast-eval", "--model", text(&model), "--series", text(&series), "--json", text(&figures)]);
        assert!(said.contains("evenkeel") && said.contains("seasonal_naive"), "{said}");
        results.push((fs::read(&model).expect("it was written"), json(&figures)));
    }
    assert!(results[0] == results[1], "two runs with one seed differ");

    let entries = results[0].1.as_array().expect("an array");
    let models: Vec<&str> = entries.iter().map(|entry| entry["model"].as_str().expect("a name")).collect();
    assert_eq!(models, ["evenkeel", "seasonal_naive", "mean_of_last_6"]);
    let figure = |entry: &Value, name: &str| entry["metrics"][name]["value"].as_f64().expect("a number");
    assert_eq!(figure(&entries[1], "wql_over_seasonal_naive"), 1.0);
    assert!(figure(&entries[0], "wql_over_seasonal_naive") < 0.7, "{}", entries[0]);
    for name in ["wql", "mase", "smape", "coverage_q10", "coverage_q50", "coverage_q90"] {
        let [low, high] = [0, 1].map(|end| entries[0]["metrics"][name]["ci95"][end].as_f64().expect("a number"));
        let value = figure(&entries[0], name);
        assert!(low <= value && value <= high, "{name}: {value} outside {low} to {high}");
    }

    // Another model forecasts the windows that were exported; here it knows the future.
    let (windows, other, report) = (at("windows"), at("oracle.csv"), at("report.html"));
    let model = at("first.ekm");
    let common = ["forecast-eval", "--model", text(&model), "--series", text(&series), "--origins", "20"];
    succeed(&[&common[..], &["--export-windows", text(&windows)]].concat());
    let window = json(&windows.join("000.json"));
    let (values, name) = (window["values"].as_array().expect("values"), window["series"].as_str().expect("a name"));
    let mut csv = String::from("series,origin,horizon,q10,q20,q30,q40,q50,q60,q70,q80,q90\n");
    for origin in window["origins"].as_array().expect("origins").iter().map(|origin| origin.as_u64().expect("an index"))
    {
        for (index, horizon) in window["horizons"].as_array().expect("horizons").iter().enumerate() {
            let target = (origin + horizon.as_u64().expect("steps")) as usize;
            let truth = values.get(target).and_then(Value::as_f64).unwrap_or(0.0);
            let _ = writeln!(csv, "{name},{origin},{index}{}", format!(",{truth}").repeat(9));
        }
    }
    fs::write(&other, csv).expect("a writable folder");
    let baseline = format!("oracle={}", text(&other));
    let said = succeed(&[&common[..], &["--baseline", &baseline, "--report", text(&report)]].concat());
    let oracle = said.lines().find(|line| line.starts_with("oracle")).expect("its row");
    assert!(oracle.contains("0.0000"), "{oracle}");
    let page = fs::read_to_string(&report).expect("it was written");
    assert!(page.contains("oracle") && page.contains("<svg") && page.ends_with("</html>\n"));

    // The same file at other windows is no comparison.
    let few = ["forecast-eval", "--model", text(&model), "--series", text(&series), "--origins", "33"];
    let refused = fail(&[&few[..], &["--baseline", &baseline]].concat());
    assert!(refused.contains("no forecast at origin"), "{refused}");
}
