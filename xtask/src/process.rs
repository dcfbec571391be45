//! Running other programs, and where things are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside of the workspace")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The trainer, once it is built.
pub(crate) fn evenkeel() -> PathBuf {
    target().join("release/evenkeel").with_extension(std::env::consts::EXE_EXTENSION)
}

/// Where cargo puts what it builds of `lake/`, which is a workspace of its own.
pub(crate) fn lake_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("lake/target"), |folder| root().join(folder))
}

/// Cargo, in the workspace's folder.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Any other program, in the workspace's folder.
pub(crate) fn program<A: AsRef<OsStr>>(name: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// Python for a script in a proxy module's folder of tests, with what the two folders share.
pub(crate) fn module_tests<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = program("python3", ["-B"]);
    command.args(arguments).env("PYTHONPATH", "modules/testing");
    command
}

/// Says what runs, runs it with its output on the terminal, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", describe(command));
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs quietly and returns what came on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", describe(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote something else than UTF-8", describe(command)))
}

/// Runs a subcommand of the trainer in the user's folder, not the workspace's: paths in the
/// arguments are relative to it. On Unix the trainer takes this process's place, and with
/// it Ctrl-C and the exit status.
#[cfg(unix)]
pub(crate) fn hand_over(subcommand: &str, arguments: &[OsString]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = Command::new(evenkeel()).arg(subcommand).args(arguments).exec();
    Err(anyhow::Error::new(error).context(format!("{} could not be started", evenkeel().display())))
}

/// Runs a subcommand of the trainer in the user's folder, and ends with its exit status.
#[cfg(not(unix))]
pub(crate) fn hand_over(subcommand: &str, arguments: &[OsString]) -> Result<()> {
    let status = Command::new(evenkeel()).arg(subcommand).args(arguments).status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// Whether a program starts and succeeds, whatever it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The command as one would type it; cargo by its plain name.
fn describe(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("`{}` could not be started: is it installed?", command.get_program().to_string_lossy())
}
