//! `evenkeel forecast-eval`: an artifact's forecaster against its rivals, on series.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::commands::on_series::OnSeriesArgs;
use crate::forecast::baselines::External;
use crate::forecast::evaluate::{ORIGINS_MAX, Options, SeriesResult, evaluate};
use crate::forecast::score::FIGURES;
use crate::metrics::Estimate;
use crate::report;

/// Arguments of `evenkeel forecast-eval`.
#[derive(Clone, Debug, Args)]
pub struct ForecastEvalArgs {
    /// What to forecast, and with what.
    #[command(flatten)]
    pub on: OnSeriesArgs,
    /// Forecast as for a new service: with the artifact's own calibration, not one made
    /// from each series' validation part.
    #[arg(long)]
    pub zero_shot: bool,
    /// Forecast with the network in 8-bit integers too, as `evenkeel int8` stores it: what that
    /// costs in accuracy.
    #[arg(long)]
    pub int8: bool,
    /// Most forecasts of a series, evenly spaced over its test part.
    #[arg(long, value_name = "N", default_value_t = ORIGINS_MAX)]
    pub origins: usize,
    /// Write each series and the times it is forecast at into this folder, for other models.
    #[arg(long, value_name = "DIR")]
    pub export_windows: Option<PathBuf>,
    /// Forecasts of another model at the same times; repeatable.
    #[arg(long, value_name = "NAME=FILE.csv")]
    pub baseline: Vec<Baseline>,
}

/// Another model's forecasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Name in the results.
    pub name: String,
    /// File of its quantiles.
    pub path: PathBuf,
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("expected NAME=FILE.csv".to_owned()),
        }
    }
}

/// Evaluates, prints the tables, and writes the JSON and the report.
pub fn run(arguments: &ForecastEvalArgs) -> Result<()> {
    ensure!(arguments.origins > 0, "--origins: expected at least 1");
    let (artifact, series) = arguments.on.read()?;
    let others = arguments
        .baseline
        .iter()
        .map(|baseline| Ok((baseline.name.clone(), External::read(&baseline.path)?)))
        .collect::<Result<Vec<_>>>()?;
    let options = Options {
        origins_max: arguments.origins,
        calibrate: !arguments.zero_shot,
        int8: arguments.int8,
        others: &others,
        export: arguments.export_windows.as_deref(),
        ..Options::default()
    };
    let results = evaluate(&artifact, &series, &options).with_context(|| arguments.on.model.display().to_string())?;
    print!("{}", table(&results));
    arguments.on.write(&entries(&results), || report::forecast_page(&results))
}

/// An entry for each series and model. Figures that are not finite (a scaled error where
/// the training part repeats itself exactly, say) are `null`.
pub fn entries(results: &[SeriesResult]) -> Vec<Value> {
    let mut entries = Vec::new();
    for result in results {
        for (index, (model, figures)) in result.models.iter().enumerate() {
            let metrics: Map<String, Value> =
                FIGURES.iter().zip(figures).map(|(name, estimate)| ((*name).to_owned(), json!(estimate))).collect();
            entries.push(json!({
                "series": result.series,
                "model": model,
                "step_s": result.step_s,
                "origins": result.origins,
                "served_by": if index == 0 { result.served_by } else { model },
                "metrics": metrics,
            }));
        }
    }
    entries
}

/// A block for each series, and geometric means over series.
fn table(results: &[SeriesResult]) -> String {
    let mut text = String::new();
    let column = |name: &str| FIGURES.iter().position(|known| *known == name).expect("a name out of FIGURES");
    let columns = ["wql", "wql_over_seasonal_naive", "mase", "smape", "coverage_q10", "coverage_q90"].map(column);
    for result in results {
        let _ = writeln!(
            text,
            "{}, {} forecasts, served by {}\n{:<18}{:>22}{:>9}{:>8}{:>8}{:>10}{:>10}",
            result.series,
            result.origins,
            result.served_by,
            "model",
            "WQL [95 %]",
            "/ naive",
            "MASE",
            "sMAPE",
            "≤ q10",
            "≤ q90"
        );
        for (model, figures) in &result.models {
            let [wql, ratio, mase, smape, low, high] = columns.map(|column| figures[column]);
            let Estimate { value, ci95: [from, to] } = wql;
            let _ = writeln!(
                text,
                "{model:<18}{:>22}{:>9.3}{:>8.3}{:>8.3}{:>8.1} %{:>8.1} %",
                format!("{value:.4} [{from:.4} {to:.4}]"),
                ratio.value,
                mase.value,
                smape.value,
                100.0 * low.value,
                100.0 * high.value
            );
        }
        text.push('\n');
    }
    text.push_str(&means(results));
    text
}

/// Each model's geometric mean over the series it was evaluated on.
fn means(results: &[SeriesResult]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in results.iter().flat_map(|result| &result.models) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut text = format!("{:<18}{:>8}{:>14}{:>24}\n", "model", "series", "WQL / naive", "≤ q90 (least – most)");
    for name in names {
        let own = results.iter().filter_map(|result| result.models.iter().find(|(model, _)| model == name));
        let own: Vec<_> = own.map(|(_, figures)| figures).collect();
        let logarithm: f64 = own.iter().map(|figures| figures[1].value.ln()).sum();
        let high = own.iter().map(|figures| figures[FIGURES.len() - 1].value);
        let (least, most) = high.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let _ = writeln!(
            text,
            "{name:<18}{:>8}{:>14.3}{:>24}",
            own.len(),
            (logarithm / own.len() as f64).exp(),
            format!("{:.1} – {:.1} %", 100.0 * least, 100.0 * most)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ForecastPlot;

    #[test]
    fn figures_that_are_not_finite_are_null() {
        let mut figures = [Estimate { value: 0.5, ci95: [0.4, 0.6] }; FIGURES.len()];
        figures[2].value = f64::INFINITY;
        let result = SeriesResult {
            series: "s".to_owned(),
            step_s: 60.0,
            origins: 3,
            served_by: "network",
            models: vec![("evenkeel".to_owned(), figures), ("seasonal_naive".to_owned(), figures)],
            plot: ForecastPlot::default(),
        };
        let entries = entries(&[result]);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0]["model"], "evenkeel");
        assert_eq!(entries[0]["served_by"], "network");
        assert_eq!(entries[0]["metrics"]["wql"], json!({"value": 0.5, "ci95": [0.4, 0.6]}));
        assert_eq!(entries[0]["metrics"]["coverage_q90"]["ci95"][1], 0.6);
        assert!(entries[0]["metrics"]["mase"]["value"].is_null());
    }

    #[test]
    fn baselines_have_a_name_and_a_file() {
        let baseline: Baseline = "flair=out/flair.csv".parse().expect("well-formed");
        assert_eq!((baseline.name.as_str(), baseline.path), ("flair", PathBuf::from("out/flair.csv")));
        assert!("flair.csv".parse::<Baseline>().is_err());
    }
}
