//! All that a benchmark found out: what tables and the report are made from.

use super::contender::Contender;
use super::entry::{self, Entry};
use super::mean_quantiles;
use super::replay::Run;
use super::setting::{Label, Setting};

/// Loads of which the mean is taken where they were replayed: where policies differ, and none
/// is lost yet.
const MEAN_LOADS: [f64; 3] = [0.7, 0.8, 0.9];

/// The results of a benchmark.
#[derive(Debug)]
pub struct Benchmark {
    results: Vec<SettingResult>,
    contenders: Vec<Contender>,
    requests_max: usize,
}

/// The results of one setting.
#[derive(Debug)]
pub struct SettingResult {
    /// The setting.
    pub label: Label,
    /// One entry for each contender.
    pub entries: Vec<Entry>,
    /// Latency in seconds at evenly spaced quantiles from 0 to 1, for each contender.
    pub latency_quantiles_s: Vec<Vec<f64>>,
    runs: Vec<Vec<Run>>,
}

/// Settings that differ in nothing but the load.
#[derive(Debug)]
pub struct Sweep<'b> {
    /// The settings, by load.
    pub settings: &'b [SettingResult],
    /// The loads of which `mean` is the mean.
    pub mean_loads: Vec<f64>,
    /// Means over those loads, taken seed by seed, one entry for each contender.
    pub mean: Vec<Entry>,
}

impl Benchmark {
    /// From runs by setting, contender and seed.
    pub fn new(settings: Vec<Setting>, contenders: Vec<Contender>, runs: Vec<Vec<Vec<Run>>>) -> Self {
        let requests_max = settings.iter().map(|setting| setting.scenario.requests_max).max().unwrap_or(0);
        let result = |(setting, runs): (Setting, Vec<Vec<Run>>)| SettingResult {
            entries: entry::entries(&setting, &contenders, &runs),
            latency_quantiles_s: runs.iter().map(|runs| mean_quantiles(runs)).collect(),
            label: setting.label,
            runs,
        };
        let mut results: Vec<SettingResult> = settings.into_iter().zip(runs).map(result).collect();
        // Loads of one sweep come from several studies.
        let mut order: Vec<Label> = Vec::new();
        for result in &results {
            if !order.iter().any(|known| known.is_same_but_for_load(&result.label)) {
                order.push(result.label.clone());
            }
        }
        let place = |label: &Label| order.iter().position(|known| known.is_same_but_for_load(label));
        results.sort_by(|a, b| place(&a.label).cmp(&place(&b.label)).then(a.label.load.total_cmp(&b.label.load)));
        Self { results, contenders, requests_max }
    }

    /// All entries: setting by setting, in the order of the contenders.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.results.iter().flat_map(|result| &result.entries)
    }

    /// The settings, sweep by sweep.
    pub fn settings(&self) -> &[SettingResult] {
        &self.results
    }

    /// Who was compared.
    pub fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// Most requests of a replay.
    pub fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// The settings grouped by all but the load.
    pub fn sweeps(&self) -> Vec<Sweep<'_>> {
        self.results
            .chunk_by(|a, b| a.label.is_same_but_for_load(&b.label))
            .map(|settings| self.sweep(settings))
            .collect()
    }

    fn sweep<'b>(&'b self, settings: &'b [SettingResult]) -> Sweep<'b> {
        let is_chosen = |result: &&SettingResult| MEAN_LOADS.iter().any(|load| (load - result.label.load).abs() < 1e-9);
        let mut averaged: Vec<&SettingResult> = settings.iter().filter(is_chosen).collect();
        if averaged.is_empty() {
            averaged = settings.iter().collect();
        }
        let runs: Vec<&Vec<Vec<Run>>> = averaged.iter().map(|result| &result.runs).collect();
        Sweep {
            settings,
            mean_loads: averaged.iter().map(|result| result.label.load).collect(),
            mean: entry::mean_entries(&averaged[0].label, &self.contenders, &runs),
        }
    }
}
