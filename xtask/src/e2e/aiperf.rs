//! NVIDIA's aiperf as a client that this project did not write.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::mockers::MODEL;
use crate::process::{self, program};
use crate::test::python;

/// The package, and the version that was tried.
const PACKAGE: &str = "aiperf==0.13.0";

/// The script that has it replay windows of a trace through each proxy and prints ratios; without the size
/// of the comparison. aiperf is installed under `target/`.
pub(super) fn compare(tokenizer: &Path, folder: &Path, proxies: &Path, trace: &Path) -> Result<Command> {
    let python = python::environment("aiperf", &[PACKAGE], &["aiperf"])?;
    let mut compare = program(python, [process::root().join("xtask/src/e2e/aiperf.py")]);
    compare.arg("--proxies").arg(proxies).arg("--trace").arg(trace).args(["--model-name", MODEL]);
    compare.arg("--tokenizer").arg(tokenizer).arg("--folder").arg(folder.join("aiperf"));
    Ok(compare)
}
