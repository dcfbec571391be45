//! `cargo xtask test`: everything that checks the project, step by step.
//!
//! A step that fails does not stop the others. What a step needs from the system it
//! installs itself where it may; otherwise it is skipped and says what is missing.

mod cases;
mod checks;
mod clibrary;
mod csafety;
mod deploy;
pub(crate) mod envoy;
mod install;
mod instructions;
mod lake;
pub(crate) mod llama;
pub(crate) mod nginx;
mod nginx_source;
mod nginx_valgrind;
pub(crate) mod packages;
mod page;
pub(crate) mod python;
mod reports;
mod summary;
mod tidy;
pub(crate) mod training;

use std::cell::OnceCell;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use summary::{Record, Verdict};

#[derive(Args)]
pub(crate) struct Options {
    /// A skipped step counts as a failure
    #[arg(long, conflicts_with = "quick")]
    strict: bool,
    /// Leave out what trains, or installs anything
    #[arg(long)]
    quick: bool,
    /// Numbers of the steps to run, as the summary shows them; all but the engine of `lake` if none is given
    #[arg(value_parser = clap::value_parser!(u64).range(1..=STEPS.len() as u64))]
    steps: Vec<u64>,
}

/// Why a step was skipped rather than failed.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

struct Step {
    name: &'static str,
    /// Left out by `--quick`.
    slow: bool,
    /// Runs only where its number is given.
    by_number: bool,
    run: fn(&Machine) -> Result<()>,
}

const fn quick(name: &'static str, run: fn(&Machine) -> Result<()>) -> Step {
    Step { name, slow: false, by_number: false, run }
}

const fn slow(name: &'static str, run: fn(&Machine) -> Result<()>) -> Step {
    Step { name, slow: true, by_number: false, run }
}

const fn by_number(name: &'static str, run: fn(&Machine) -> Result<()>) -> Step {
    Step { name, slow: true, by_number: true, run }
}

/// Cheap ones first.
const STEPS: [Step; 34] = [
    quick("tidiness", |_| tidy::run()),
    quick("formatting", |_| checks::formatting()),
    quick("C library: build, symbols, size", |_| clibrary::build()),
    quick("C library: behaviour", |_| clibrary::behaviour(None).and_then(|()| clibrary::cases())),
    quick("C library: freestanding program", |_| clibrary::freestanding()),
    quick("C library: program of an older header", |_| csafety::previous_header()),
    quick("C library: text, dependencies", |_| csafety::size()),
    slow("C library: sanitizers, valgrind", |_| csafety::checkers()),
    slow("software Vulkan", Machine::vulkan),
    slow("Python with onnx and onnxruntime", Machine::python),
    quick("clippy", checks::clippy),
    quick("build of trainer and tests", checks::build),
    quick("tests", checks::tests),
    quick("doc tests", checks::doc_tests),
    quick("documentation", checks::documentation),
    quick("C header against its generator", checks::header),
    slow("training on the default", |_| training::default()),
    slow("training on real traces", |_| training::real_traces()),
    slow("C programs on the trained artifact", |_| clibrary::on_artifact(&training::default_artifact())),
    slow("audit of recorded decisions", |_| csafety::audit(&training::default_artifact())),
    slow("NGINX module", |_| nginx::run(&training::default_artifact())),
    slow("NGINX from source, address sanitizer", |_| nginx_source::run(&training::default_artifact())),
    slow("NGINX module, valgrind", |_| nginx_valgrind::run(&training::default_artifact())),
    slow("Envoy module", |_| envoy::run(&training::default_artifact())),
    slow("live page in Chromium", |_| page::run(&training::default_artifact())),
    slow("trained ONNX files in Python", python::check_trained),
    slow("training on wgpu against the CPU", training::wgpu),
    slow("gym-rs adapter", |_| checks::gym_rs()),
    slow("instructions of a decision", |_| instructions::run()),
    quick("recipe for plain machines", |_| deploy::machines()),
    slow("recipes against their schemas", deploy::schemas),
    slow("llama.cpp behind the proxies", |_| llama::run(&training::default_artifact())),
    slow("packages in a fresh Debian", |_| install::run()),
    // Its engine takes longer to build than all else together.
    by_number("lake: queries of logs at rest", lake::run),
];

/// What the step that trains leaves, for what else needs a model.
pub(crate) fn default_artifact() -> std::path::PathBuf {
    training::default_artifact()
}

/// What the steps share: what was installed, or why it was not.
struct Machine {
    quick: bool,
    vulkan: OnceCell<Result<(), String>>,
    python: OnceCell<Result<(), String>>,
}

impl Machine {
    /// A driver for wgpu, if only in software.
    fn vulkan(&self) -> Result<()> {
        self.once(&self.vulkan, || packages::ensure(&["libvulkan1", "mesa-vulkan-drivers"]))
    }

    /// A Python with what checks ONNX files.
    fn python(&self) -> Result<()> {
        self.once(&self.python, python::ensure)
    }

    /// Whether the trainer is built with its wgpu backend.
    fn with_wgpu(&self) -> bool {
        self.vulkan().is_ok()
    }

    fn once(&self, cell: &OnceCell<Result<(), String>>, install: fn() -> Result<()>) -> Result<()> {
        if self.quick {
            return Err(Skip("left out by --quick".into()).into());
        }
        let installed = cell.get_or_init(|| install().map_err(|error| format!("{error:#}")));
        installed.clone().map_err(|reason| Skip(reason).into())
    }
}

/// Runs all steps and prints a summary.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine { quick: options.quick, vulkan: OnceCell::new(), python: OnceCell::new() };
    let mut records = Vec::with_capacity(STEPS.len());
    for (number, step) in (1..).zip(&STEPS) {
        let is_asked_for = if options.steps.is_empty() { !step.by_number } else { options.steps.contains(&number) };
        if is_asked_for {
            records.push(run_step(step, &machine, number));
        }
    }
    print!("\n{}", summary::table(&records));
    println!("{}", summary::closing_line(&records));
    if summary::is_success(&records, options.strict) { Ok(()) } else { std::process::exit(1) }
}

fn run_step(step: &Step, machine: &Machine, number: u64) -> Record {
    let title = format!("[{number:>2}/{}] {}", STEPS.len(), step.name);
    println!("\n{title}");
    let start = Instant::now();
    let result =
        if step.slow && machine.quick { Err(Skip("left out by --quick".into()).into()) } else { (step.run)(machine) };
    let verdict = match result {
        Ok(()) => Verdict::Passed,
        Err(error) => match error.downcast::<Skip>() {
            Ok(skip) => Verdict::Skipped(skip.0),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        },
    };
    let record = Record { number, name: step.name, verdict, time: start.elapsed() };
    println!("{title}: {record}");
    record
}
