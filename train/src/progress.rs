//! Progress bars: stage, steps a second, time left, current loss. On a terminal they
//! move; in a log each stage leaves one line when it ends.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::metrics::StageTime;

/// Shows the stages of a run, one after the other.
#[derive(Debug, Default)]
pub struct Stages {
    times: Vec<StageTime>,
}

/// A stage under way.
#[derive(Debug)]
pub struct Stage<'s> {
    stages: &'s mut Stages,
    name: &'static str,
    bar: ProgressBar,
    begin: Instant,
}

impl Stages {
    /// Begins a stage of `steps` steps (0: not known).
    pub fn begin(&mut self, name: &'static str, steps: usize) -> Stage<'_> {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(steps as u64) } else { ProgressBar::hidden() };
        let template = if steps > 0 {
            "{prefix:<10} {bar:24} {pos:>6}/{len:<6} {per_sec:>10} eta {eta:>4}  {msg}"
        } else {
            "{prefix:<10} {spinner} {elapsed:>4}  {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(120));
        Stage { stages: self, name, bar, begin: Instant::now() }
    }

    /// What each finished stage took.
    pub fn times(&self) -> &[StageTime] {
        &self.times
    }
}

impl Stage<'_> {
    /// Sets how far the stage is.
    pub fn at(&self, step: usize) {
        self.bar.set_position(step as u64);
    }

    /// Sets the number of steps, where it is known only now.
    pub fn set_steps(&self, steps: usize) {
        self.bar.set_length(steps as u64);
    }

    /// Shows a loss.
    pub fn loss(&self, loss: f64) {
        self.bar.set_message(format!("loss {loss:.4}"));
    }

    /// Shows a short text.
    pub fn note(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Ends the stage and leaves a line that says what came of it.
    pub fn done(self, result: &str) {
        let wall_s = self.begin.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        eprintln!("{:<10} {result} ({wall_s:.1} s)", self.name);
        self.stages.times.push(StageTime { stage: self.name.to_owned(), wall_s });
    }
}
