//! `evenkeel-testbed faster`

use anyhow::{Context, Result};
use evenkeel_testbed::artifact;

use crate::cli::FasterArgs;

pub(crate) fn run(arguments: &FasterArgs) -> Result<()> {
    let path = &arguments.model;
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let faster = artifact::faster(&bytes, arguments.factor).with_context(|| path.display().to_string())?;
    let output = &arguments.output;
    std::fs::write(output, faster).with_context(|| format!("{} cannot be written", output.display()))
}
