//! The C library, as a C program meets it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Skip;
use crate::dist;
use crate::process::{self, program};

/// What the compiler may call in any program, and all that the library may need.
const ALLOWED: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

pub(super) const STRICT: [&str; 6] = ["-std=c99", "-pedantic", "-O2", "-Wall", "-Wextra", "-Werror"];

/// Builds it, and checks what it exports and what it needs.
pub(super) fn build() -> Result<()> {
    compiler()?;
    dist::build()?;
    dist::collect(&folder())?;
    let header = std::fs::read_to_string(folder().join("include/evenkeel.h"))?;
    let declared = declared(&header);
    ensure!(!declared.is_empty(), "the header declares no function");
    let shared = shared_library();
    let exported = symbols(&process::output(&mut nm(&shared, &["--dynamic", "--defined-only"]))?);
    ensure!(exported == declared, "the shared library exports {exported:?}, the header declares {declared:?}");
    let needed = symbols(&process::output(&mut nm(&shared, &["--dynamic", "--undefined-only"]))?);
    let surprising: Vec<_> = needed.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    ensure!(surprising.is_empty(), "the shared library needs {surprising:?}, but may need {ALLOWED:?} only");
    let in_archive = process::output(nm(&static_library(), &["--defined-only", "--extern-only"]).arg("--quiet"))?;
    let in_archive = symbols(&in_archive);
    let missing: Vec<_> = declared.difference(&in_archive).collect();
    ensure!(missing.is_empty(), "the static library lacks {missing:?}");
    let panics: Vec<_> =
        symbols(&process::output(&mut nm(&shared, &[]))?).into_iter().filter(|name| can_panic(name)).collect();
    ensure!(panics.is_empty(), "the library can panic, which would stop its host: it calls {panics:?}");
    println!("{} functions; needs {needed:?}", declared.len());
    process::run(program("size", ["--format=sysv"]).arg(shared))
}

/// The behaviour test, linked both ways; with an artifact, it loads that too.
pub(super) fn behaviour(artifact: Option<&Path>) -> Result<()> {
    for linking in [Linking::Static, Linking::Shared] {
        let test = compile("runtime-min/capi/tests/c/abi.c", linking, &["-lm"])?;
        process::run(linking.environment(&mut Command::new(test)).args(artifact))?;
    }
    Ok(())
}

/// The rows of `modules/testing/cases.json` through the C interface alone, with the general model.
pub(super) fn cases() -> Result<()> {
    let test = compile("runtime-min/capi/tests/c/cases.c", Linking::Static, &["-lm"])?;
    process::run(Command::new(test).arg(general()))
}

/// The model that comes with the project.
pub(super) fn general() -> PathBuf {
    process::root().join("models/general.ekm")
}

/// A program without a libc links the static library and runs.
pub(super) fn freestanding() -> Result<()> {
    compiler()?;
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return Err(Skip("freestanding.c is written for Linux on x86-64 and AArch64".into()).into());
    }
    let flags = ["-ffreestanding", "-nostdlib", "-static"];
    let built = compile("examples/c/freestanding.c", Linking::Static, &flags)?;
    process::run(&mut Command::new(built))
}

/// The behaviour test and the example with a model that was just trained.
pub(super) fn on_artifact(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    behaviour(Some(artifact))?;
    for linking in [Linking::Static, Linking::Shared] {
        let example = compile("examples/c/balance.c", linking, &[])?;
        process::run(linking.environment(&mut Command::new(example)).arg(artifact))?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Linking {
    Static,
    Shared,
}

impl Linking {
    fn environment(self, command: &mut Command) -> &mut Command {
        match self {
            Self::Static => command,
            Self::Shared => command.env("LD_LIBRARY_PATH", folder().join("lib")),
        }
    }
}

/// Compiles and links a program; returns where it is.
fn compile(source: &str, linking: Linking, flags: &[&str]) -> Result<PathBuf> {
    let name = Path::new(source).file_stem().context("a source has a name")?.to_string_lossy();
    let out = folder().join(format!("{name}-{linking:?}").to_lowercase());
    let mut command = program(compiler()?, STRICT);
    command.arg("-I").arg(folder().join("include")).arg("-o").arg(&out).arg(source);
    match linking {
        Linking::Static => command.arg(static_library()),
        Linking::Shared => command.arg("-L").arg(folder().join("lib")).arg("-levenkeel"),
    };
    process::run(command.args(flags))?;
    Ok(out)
}

pub(super) fn compiler() -> Result<String> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if process::succeeds(&mut program(&compiler, ["--version"])) {
        Ok(compiler)
    } else {
        bail!("no C compiler: `{compiler}` does not run; install one (Debian: gcc) or name it in CC")
    }
}

pub(super) fn folder() -> PathBuf {
    process::target().join("c")
}

pub(super) fn static_library() -> PathBuf {
    folder().join("lib/libevenkeel.a")
}

fn shared_library() -> PathBuf {
    let name = format!("{}evenkeel{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    folder().join("lib").join(name)
}

fn nm(library: &Path, arguments: &[&str]) -> Command {
    let mut command = program("nm", arguments);
    command.arg(library);
    command
}

/// Whether a symbol is part of core's way to a panic. Where the compiler has proven that
/// none is reachable, the linker has dropped them all.
fn can_panic(name: &str) -> bool {
    name.contains("9panicking") || name.contains("slice_index_fail")
}

/// Names of the functions that a header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/', '#']));
    let declarations = code.filter_map(|line| line.split_once('(')).map(|(before, _)| before);
    let names = declarations.filter_map(|before| before.rsplit([' ', '*']).next());
    names.filter(|name| name.starts_with("ek_")).map(String::from).collect()
}

/// Names in the output of `nm`, without the weak ones that start files bring along.
fn symbols(output: &str) -> BTreeSet<String> {
    let named = output.lines().filter_map(|line| line.rsplit_once(' '));
    let strong = named.filter(|(before, _)| !before.trim_end().ends_with(['w', 'W']));
    // What a library is linked with has its version behind an @.
    strong.map(|(_, name)| name.split('@').next().unwrap_or(name).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found() {
        let header = "/**\n * See ek_b().\n */\n#define X (1)\nuint32_t ek_version(void);\n\
                      ek_code ek_upstream_begin(struct ek_upstream *upstream,\n                 uint32_t host);\n\
                      const char *ek_strerror(int32_t code);\n";
        assert_eq!(
            declared(header).into_iter().collect::<Vec<_>>(),
            ["ek_strerror", "ek_upstream_begin", "ek_version"]
        );
    }

    #[test]
    fn symbols_are_read_without_weak_ones_and_versions() {
        let output =
            "0000000000011720 T ek_version\n                 U memcpy@GLIBC_2.14\n                 w __gmon_start__\n";
        assert_eq!(symbols(output).into_iter().collect::<Vec<_>>(), ["ek_version", "memcpy"]);
    }
}
