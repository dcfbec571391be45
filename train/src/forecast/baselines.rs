//! Forecasts that the trained model is compared with.
//!
//! Two rules are computed here. The statistical models come from `bench/forecast_baselines.py`,
//! which reads the windows that [`export`] writes and answers with a CSV file for [`External::read`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::Series;
use evenkeel_runtime::forecast::{HORIZONS, QUANTILE_COUNT, QUANTILES, Quantiles, steps_per_day};
use serde_json::json;

use super::dataset::Windows;
use crate::output::write_whole;

/// Values that the moving mean is taken of.
const MEAN_VALUES: usize = 6;

/// The value a day before each target as a point: every quantile is that value. Where it is
/// missing, that of the day before, and so on.
pub fn seasonal_naive(series: &Series, origin: usize, horizons: &[u32; HORIZONS]) -> Quantiles {
    let day = steps_per_day(series.step_s as f32);
    horizons.map(|horizon| {
        let target = origin + horizon as usize;
        let earlier = (1..).map_while(|days| target.checked_sub(days * day)).filter(|index| *index <= origin);
        let known = earlier.map(|index| series.values[index]).find(|value| !value.is_nan());
        [known.unwrap_or_else(|| newest(series, origin)); QUANTILE_COUNT]
    })
}

/// The mean of the last six values that are known as a point, at every horizon.
pub fn mean_of_last(series: &Series, origin: usize) -> Quantiles {
    let last = series.values[..=origin].iter().rev().filter(|value| !value.is_nan()).take(MEAN_VALUES);
    let (sum, count) = last.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    [[if count > 0.0 { sum / count } else { 0.0 }; QUANTILE_COUNT]; HORIZONS]
}

fn newest(series: &Series, origin: usize) -> f32 {
    series.values[..=origin].iter().rev().copied().find(|value| !value.is_nan()).unwrap_or(0.0)
}

/// Writes a series and the windows at which it is forecast into `folder`, as
/// `<index>.json`: name, step, values (`null` where missing), horizons in steps, quantiles,
/// steps of a day, and the index of the newest known value of each window.
pub fn export(
    folder: &Path,
    index: usize,
    series: &Series,
    windows: &Windows,
    horizons: &[u32; HORIZONS],
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let known = |value: &f32| (!value.is_nan()).then_some(*value);
    let text = json!({
        "series": series.name,
        "step_s": series.step_s,
        "start_epoch_s": series.start_epoch_s,
        "steps_per_day": steps_per_day(series.step_s as f32),
        "horizons": horizons,
        "quantiles": QUANTILES.map(|quantile| (f64::from(quantile) * 10.0).round() / 10.0),
        "origins": windows.origins,
        "values": series.values.iter().map(known).collect::<Vec<_>>(),
    });
    write_whole(&folder.join(format!("{index:03}.json")), &serde_json::to_vec(&text)?)
}

/// Forecasts of one model read from a file: series, origin, and a row for each horizon.
#[derive(Clone, Debug, Default)]
pub struct External {
    forecasts: BTreeMap<String, BTreeMap<usize, Quantiles>>,
}

impl External {
    /// Reads a CSV file with the columns `series`, `origin` (index of the newest known
    /// value), `horizon` (place among the sixteen, from 0) and the nine quantiles.
    ///
    /// # Errors
    /// What cannot be read, with its line, and an origin that lacks a horizon.
    pub fn read(path: &Path) -> Result<Self> {
        let mut external = Self::default();
        let mut seen: BTreeMap<(String, usize), usize> = BTreeMap::new();
        let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
        for row in reader.deserialize::<(String, usize, usize, [f32; QUANTILE_COUNT])>() {
            let (series, origin, horizon, quantiles) = row
                .with_context(|| format!("{}: expected the columns series,origin,horizon,q10,…,q90", path.display()))?;
            ensure!(
                horizon < HORIZONS && quantiles.iter().all(|value| value.is_finite()),
                "{}: {series}, origin {origin}: expected a horizon from 0 to {} and finite quantiles, found \
                 {horizon} and {quantiles:?}",
                path.display(),
                HORIZONS - 1
            );
            let rows = external.forecasts.entry(series.clone()).or_default();
            rows.entry(origin).or_insert([[0.0; QUANTILE_COUNT]; HORIZONS])[horizon] = quantiles;
            *seen.entry((series, origin)).or_default() += 1;
        }
        for ((series, origin), count) in seen {
            ensure!(
                count == HORIZONS,
                "{}: {series}, origin {origin}: found {count} horizons, expected {HORIZONS}",
                path.display()
            );
        }
        Ok(external)
    }

    /// The forecasts of a series at these origins; `None` if the file has nothing of it.
    ///
    /// # Errors
    /// If the file has the series but not all of the origins: a comparison on fewer windows
    /// would not be one.
    pub fn at(&self, series: &str, origins: &[usize]) -> Result<Option<Vec<Quantiles>>> {
        let Some(known) = self.forecasts.get(series) else { return Ok(None) };
        let found = origins.iter().map(|origin| {
            known.get(origin).copied().with_context(|| {
                format!(
                    "{series}: no forecast at origin {origin}; make the file from the same windows (--export-windows)"
                )
            })
        });
        found.collect::<Result<Vec<_>>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: Vec<f32>) -> Series {
        // Four steps a day.
        Series { name: "s".to_owned(), step_s: 21_600.0, values, ..Series::default() }
    }

    #[test]
    fn seasonal_naive_looks_a_whole_day_back_from_the_target() {
        let nan = f32::NAN;
        let series = series(vec![1.0, 2.0, 3.0, nan, 5.0, 6.0, 7.0, nan]);
        let points = seasonal_naive(&series, 6, &std::array::from_fn(|index| index as u32 + 1)).map(|row| row[4]);
        // Targets 7, 8, 9, 10, 11, 12 …: values 3 (missing, and nothing a day earlier: the
        // newest stands in), 4, 5, 6, then 7 and 8 of which only 3 and 4 are known.
        assert_eq!(points[..6], [7.0, 5.0, 6.0, 7.0, 7.0, 5.0]);
    }

    #[test]
    fn the_mean_skips_missing_values() {
        let series = series(vec![100.0, 1.0, 2.0, 3.0, f32::NAN, 4.0, 5.0, 6.0, 900.0]);
        assert_eq!(mean_of_last(&series, 7)[15][0], 3.5);
    }

    #[test]
    fn files_of_forecasts_are_checked() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("other.csv");
        let header = "series,origin,horizon,q10,q20,q30,q40,q50,q60,q70,q80,q90\n";
        let rows =
            |count: usize| (0..count).map(|h| format!("a,7,{h},1,2,3,4,5,6,7,8,{h}\n")).collect::<Vec<_>>().concat();
        fs::write(&path, format!("{header}{}", rows(HORIZONS)))?;
        let external = External::read(&path)?;
        assert_eq!(external.at("a", &[7])?.expect("it is there")[0][15][8], 15.0);
        assert!(external.at("b", &[7])?.is_none());
        let error = external.at("a", &[7, 8]).unwrap_err().to_string();
        assert!(error.contains("origin 8"), "{error}");
        fs::write(&path, format!("{header}{}", rows(3)))?;
        let error = External::read(&path).unwrap_err().to_string();
        assert!(error.contains("found 3 horizons"), "{error}");
        Ok(())
    }
}
