//! `evenkeel dataset ingest`: hands over to `evenkeel-lake`, a program of its own.
//!
//! It links `DataFusion`, several hundred crates, which nobody has to build who does not need it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const PROGRAM: &str = "evenkeel-lake";

/// Runs the program, and ends with its exit status if that is not 0.
pub(super) fn run(arguments: &[OsString]) -> Result<()> {
    let own = env::current_exe().ok();
    let folder = own.as_deref().and_then(Path::parent);
    let Some(lake) = find(folder, env::var_os("PATH").as_deref()) else {
        bail!(
            "dataset ingest: {PROGRAM} is neither beside {} nor on the PATH; it is a program of its own, since its query \
             engine takes minutes to build: run `cargo build --release --manifest-path lake/Cargo.toml` (with `--features \
             cluster` for Ballista), and copy lake/target/release/{PROGRAM} there",
            own.as_deref().unwrap_or(Path::new("evenkeel")).display()
        )
    };
    let status = Command::new(&lake).args(arguments).status();
    let status = status.with_context(|| format!("{}: could not be started", lake.display()))?;
    if status.success() { Ok(()) } else { std::process::exit(status.code().unwrap_or(1)) }
}

/// The program in a folder, or in the first of the folders of `path` that has it.
fn find(folder: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = folder.map(Path::to_owned).into_iter().chain(path.into_iter().flat_map(env::split_paths));
    let name = |folder: PathBuf| folder.join(PROGRAM).with_extension(env::consts::EXE_EXTENSION);
    folders.map(name).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_comes_before_those_of_the_path() -> Result<()> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
        let [beside, empty, on_path] = folders.each_ref().map(tempfile::TempDir::path);
        let path = env::join_paths([empty, on_path])?;
        assert_eq!(find(Some(beside), Some(&path)), None);
        let program = |folder: &Path| folder.join(PROGRAM).with_extension(env::consts::EXE_EXTENSION);
        std::fs::write(program(on_path), "")?;
        assert_eq!(find(Some(beside), Some(&path)), Some(program(on_path)));
        assert_eq!(find(None, Some(&path)), Some(program(on_path)));
        std::fs::write(program(beside), "")?;
        assert_eq!(find(Some(beside), Some(&path)), Some(program(beside)));
        assert_eq!(find(None, None), None);
        Ok(())
    }
}
