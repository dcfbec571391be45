//! The C library's promises: small, without a libc, true to older headers, and sound under
//! every checker of memory and threads that C has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::clibrary::{STRICT, compiler, folder, general, static_library};
use super::packages;
use crate::process::{self, cargo, program};

/// Text that a program with the library should have, at most.
const TEXT_BYTES_TARGET: u64 = 64 * 1024;

/// Text that it may have until then, so that it does not grow unnoticed; to be lowered with
/// what is reached. `docs/runtime.md` says where the text is.
const TEXT_BYTES_MAX: u64 = 280 * 1024;

const TESTS: &str = "runtime-min/capi/tests/c";

/// What the checkers of threads do not understand: atomics that are plain loads and stores
/// to the processor. Races in the program around the library are still found.
const ATOMICS: &str = "\
{
   the library's atomics
   Helgrind:Race
   ...
   fun:ek_*
}
{
   the library's atomics
   drd:ConflictingAccess
   ...
   fun:ek_*
}
";

/// A program built with the header of the version before works with this library.
pub(super) fn previous_header() -> Result<()> {
    let previous = format!("{TESTS}/previous");
    let built = compile(&format!("{previous}/abi.c"), Path::new(&previous), "previous", &["-lm"])?;
    process::run(&mut Command::new(built))
}

/// How much text the library adds to a program, and that nothing stands behind it: no other
/// crate, and hence neither `std` nor `alloc`.
pub(super) fn size() -> Result<()> {
    let tree =
        process::output(&mut cargo(["tree", "--package", "evenkeel-capi", "--edges", "normal", "--prefix", "none"]))?;
    let crates: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(crates == ["evenkeel-capi", "evenkeel-runtime", "evenkeel-numbers"], "the library depends on {crates:?}");
    let built = compile("examples/c/balance.c", &include(), "sections", &["-Wl,--gc-sections"])?;
    let text = text_bytes(&process::output(program("size", ["--format=berkeley"]).arg(built))?)?;
    println!("a program with the library has {text} bytes of text; the target is {TEXT_BYTES_TARGET}");
    ensure!(text <= TEXT_BYTES_MAX, "a program with the library has {text} bytes of text, more than {TEXT_BYTES_MAX}");
    Ok(())
}

/// The tests under the compiler's sanitizers and valgrind's tools.
pub(super) fn checkers() -> Result<()> {
    let include = include();
    for (name, source, flags) in [
        ("asan", "abi.c", &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-lm"][..]),
        ("asan", "threads.c", &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-lpthread"][..]),
        ("tsan", "threads.c", &["-g", "-fsanitize=thread", "-lpthread"][..]),
    ] {
        let built = compile(&format!("{TESTS}/{source}"), &include, name, flags)?;
        // The programs end without giving memory back, as programs may.
        process::run(Command::new(built).env("ASAN_OPTIONS", "detect_leaks=0"))?;
    }
    let flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-lm"];
    let cases = compile(&format!("{TESTS}/cases.c"), &include, "asan", &flags)?;
    process::run(Command::new(cases).arg(general()).env("ASAN_OPTIONS", "detect_leaks=0"))?;
    packages::ensure(&["valgrind"])?;
    let suppressions = folder().join("atomics.supp");
    std::fs::write(&suppressions, ATOMICS)?;
    let suppressions = format!("--suppressions={}", suppressions.display());
    for (tool, source, library) in [
        ("memcheck", "abi.c", "-lm"),
        ("memcheck", "threads.c", "-lpthread"),
        ("helgrind", "threads.c", "-lpthread"),
        ("drd", "threads.c", "-lpthread"),
    ] {
        let built = compile(&format!("{TESTS}/{source}"), &include, "plain", &["-g", library])?;
        let tool = format!("--tool={tool}");
        process::run(program("valgrind", ["--quiet", "--error-exitcode=9", &tool, &suppressions]).arg(built))?;
    }
    Ok(())
}

/// Decisions are recorded in shadow mode, and made again.
pub(super) fn audit(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    let built = compile("examples/c/shadow.c", &include(), "example", &[])?;
    let (ring, found) = (folder().join("ring"), folder().join("audit.json"));
    process::run(Command::new(built).arg(artifact).arg(&ring))?;
    let mut audit = program(process::evenkeel(), ["audit", "--model"]);
    process::run(audit.arg(artifact).arg("--record").arg(&ring).arg("--json").arg(&found))?;
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(&found)?).context("the audit is JSON")?;
    let agree = found["agreement"]["agree"].as_u64();
    ensure!(agree == Some(1024), "of 1024 recorded decisions, {agree:?} were made again");
    Ok(())
}

fn include() -> PathBuf {
    folder().join("include")
}

fn compile(source: &str, include: &Path, name: &str, flags: &[&str]) -> Result<PathBuf> {
    let stem = Path::new(source).file_stem().context("a source has a name")?.to_string_lossy();
    let out = folder().join(format!("{stem}-{name}"));
    let mut command = program(compiler()?, STRICT);
    command.arg("-I").arg(include).arg("-o").arg(&out).arg(source).arg(static_library());
    process::run(command.args(flags))?;
    Ok(out)
}

/// The first number of the second line of `size --format=berkeley`.
fn text_bytes(output: &str) -> Result<u64> {
    let number = output.lines().nth(1).and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("`size` printed something else: {output}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read() -> Result<()> {
        let output =
            "   text\t   data\t    bss\t    dec\t    hex\tfilename\n  40960\t   1880\t  22440\t  65280\t   ff00\tx\n";
        assert_eq!(text_bytes(output)?, 40960);
        assert!(text_bytes("size: no such file").is_err());
        Ok(())
    }
}
