//! `cargo xtask fuzz`: hostile artifacts for as long as one likes.
//!
//! The harness is an ignored test of the runtime, in the process itself and without
//! feedback from the compiler: it needs neither a nightly toolchain nor a fuzzer to be
//! installed. Files and scratch memory end at forbidden pages, so that a single byte read
//! beyond them ends the process; the file in hand survives in shared memory, and is kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::{self, cargo};

#[derive(Args)]
pub(crate) struct Options {
    /// How long
    #[arg(default_value_t = 60)]
    seconds: u64,
    /// What the files follow from: the same ones for the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the harness. Files named `seed-…` in `target/fuzz` are mutated along with its own.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = process::target().join("fuzz");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let arguments = ["test", "--release", "--package", "evenkeel-runtime", "--test", "it", "--"];
    let mut harness = cargo(arguments);
    harness.args(["hostile::fuzz", "--exact", "--ignored", "--nocapture"]);
    harness.env("EVENKEEL_FUZZ_SECONDS", options.seconds.to_string());
    harness.env("EVENKEEL_FUZZ_SEED", options.seed.to_string());
    harness.env("EVENKEEL_FUZZ_FOLDER", &folder);
    let result = process::run(&mut harness);
    match (result, in_hand(&folder.join("in-hand.ekm"))) {
        (Ok(()), _) => Ok(()),
        (Err(error), None) => Err(error),
        (Err(error), Some(file)) => {
            let kept = keep(&folder, &file)?;
            bail!("{error:#}; the file that did it: {} ({} bytes)", kept.display(), file.len())
        }
    }
}

/// The file that the harness had in hand when it ended: its length in 8 bytes, and itself.
fn in_hand(path: &Path) -> Option<Vec<u8>> {
    let contents = fs::read(path).ok()?;
    let (len, rest) = contents.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|len| *len > 0)?;
    rest.get(..len).map(<[u8]>::to_vec)
}

/// Keeps a file under a name that follows from its contents, as a seed of later runs.
fn keep(folder: &Path, file: &[u8]) -> Result<PathBuf> {
    // FNV-1a, for a name.
    let hash = file
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let path = folder.join(format!("seed-{hash:016x}.ekm"));
    fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_hand_is_kept() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("in-hand.ekm");
        assert_eq!(in_hand(&path), None);
        fs::write(&path, [&3u64.to_le_bytes()[..], b"abcdef"].concat())?;
        let file = in_hand(&path).context("a file")?;
        assert_eq!(file, b"abc");
        assert_eq!(fs::read(keep(folder.path(), &file)?)?, b"abc");
        fs::write(&path, 9u64.to_le_bytes())?;
        assert_eq!(in_hand(&path), None, "shorter than it says");
        Ok(())
    }
}
