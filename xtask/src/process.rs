//! Running other programs, and where things are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::ending;

/// The workspace's folder: that of the checkout in hand, which need not be the one that this
/// program was compiled in. A copied checkout comes with its compiled programs.
pub(crate) fn root() -> &'static Path {
    workspace().expect("main has found the workspace")
}

/// Finds the workspace: above the package that cargo runs, or else above the current folder.
pub(crate) fn workspace() -> Result<&'static Path> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = FOUND.get() {
        return Ok(folder);
    }
    // Cargo sets it for what it runs, also where it was called from elsewhere with `--manifest-path`.
    let begin = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => PathBuf::from(package),
        None => std::env::current_dir().context("the current folder cannot be read: change to one that exists")?,
    };
    let found = workspace_above(&begin).with_context(|| {
        let begin = begin.display();
        format!("neither {begin} nor a folder above it is a checkout of Evenkeel: change to one and try again")
    })?;
    Ok(FOUND.get_or_init(|| found))
}

/// The nearest folder, this one or one above it, with the manifest of a workspace that has this package.
fn workspace_above(begin: &Path) -> Option<PathBuf> {
    let is_ours = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim() == "[workspace]") && folder.join("xtask/src/main.rs").is_file()
    };
    begin.ancestors().find(|folder| is_ours(folder)).map(Path::to_path_buf)
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

/// Cargo, in the workspace's folder and in the environment that it has when a user types it: build
/// scripts, ring's for one, run again where a variable of a package has changed.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    for (name, _) in std::env::vars_os().filter(|(name, _)| describes_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether `cargo run` sets a variable to describe the package that it runs.
fn describes_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "OUT_DIR" || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Any other program, in the workspace's folder.
pub(crate) fn program<A: AsRef<OsStr>>(name: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// Python for a script in a proxy module's folder of tests, with what the two folders share, and
/// with the agent and the writer of telemetry files, which it builds.
pub(crate) fn module_tests<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Command> {
    run(&mut cargo(["build", "--release", "--package", "evenkeel-agent"]))?;
    run(&mut cargo(["build", "--release", "--package", "evenkeel-runtime", "--example", "telemetry_file"]))?;
    let release = std::path::absolute(target().join("release"))?;
    let mut command = program("python3", ["-B"]);
    command.args(arguments).env("PYTHONPATH", "modules/testing");
    command.env("EVENKEEL_AGENT", release.join("evenkeel-agent"));
    command.env("EVENKEEL_TELEMETRY_WRITER", release.join("examples/telemetry_file"));
    Ok(command)
}

/// Says what runs, runs it with its output on the terminal, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", describe(command));
    let status = ending::wait(&mut command.spawn().with_context(|| cannot_start(command))?)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_nearest_one_that_has_this_package() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/target/copy"));
        for workspace in [&outer, &inner] {
            std::fs::create_dir_all(workspace.join("xtask/src"))?;
            std::fs::create_dir_all(workspace.join("env/src"))?;
            std::fs::write(workspace.join("xtask/src/main.rs"), "")?;
            std::fs::write(workspace.join("Cargo.toml"), "[workspace]\n")?;
            std::fs::write(workspace.join("env/Cargo.toml"), "[package]\n")?;
        }
        for workspace in [&outer, &inner] {
            assert_eq!(workspace_above(&workspace.join("env/src")).as_ref(), Some(workspace));
            assert_eq!(workspace_above(workspace).as_ref(), Some(workspace));
        }
        // Another project's workspace is passed over.
        std::fs::remove_file(inner.join("xtask/src/main.rs"))?;
        assert_eq!(workspace_above(&inner.join("env")), Some(outer));
        // Temporary folders may lie in a checkout.
        assert!(workspace_above(folder.path()).is_none_or(|found| folder.path().starts_with(found)));
        Ok(())
    }

    #[test]
    fn cargo_is_not_given_the_variables_of_this_package() {
        // Cargo sets some of them for tests, as it does for `cargo run`.
        let removed: Vec<_> = cargo(["build"])
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            assert!(removed.iter().any(|other| other == name), "{name} is not among {removed:?}");
        }
        for name in ["PATH", "CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_NET_OFFLINE"] {
            assert!(!describes_package(OsStr::new(name)), "{name}");
        }
    }
}
