//! The folder of a run: where results and checkpoints are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder: the named one, or `artifacts/TIMESTAMP`.
    ///
    /// # Errors
    /// If it cannot be made, or holds checkpoints: those of another run, with other data or
    /// options, are never gone on from unasked.
    pub fn create(out: Option<&Path>) -> Result<Self> {
        let path = out.map_or_else(|| Path::new("artifacts").join(timestamp()), Path::to_path_buf);
        let folder = Self { path };
        if out.is_none() {
            folder.check_latest()?;
        }
        anyhow::ensure!(
            !folder.holds_progress(),
            "--out {0}: holds the checkpoints of another run ({1}); go on with that one by `evenkeel train --resume \
             {0}`, name another folder, or remove {1} to begin anew",
            folder.path.display(),
            folder.path.join("checkpoint").display()
        );
        fs::create_dir_all(folder.checkpoint(""))
            .with_context(|| format!("cannot create {}; name a writable folder with --out", folder.path.display()))?;
        Ok(folder)
    }

    /// Whether a run came as far as a checkpoint: its options alone are none.
    fn holds_progress(&self) -> bool {
        let files = fs::read_dir(self.checkpoint("")).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name() != RUN)
    }

    /// Opens the folder of an interrupted run.
    pub fn resume(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_path_buf() };
        anyhow::ensure!(
            folder.checkpoint(RUN).is_file(),
            "{} holds no interrupted run ({} is missing); name the folder that an interrupted `train` printed",
            path.display(),
            folder.checkpoint(RUN).display()
        );
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A result file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A checkpoint file.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.path.join("checkpoint").join(name)
    }

    /// Writes a result file whole or not at all.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        write_whole(&self.file(name), contents.as_ref())
    }

    /// Saves a checkpoint as JSON, whole or not at all.
    pub fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        write_whole(&self.checkpoint(name), &serde_json::to_vec(value)?)
    }

    /// Loads a checkpoint; `None` if it was never saved.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.checkpoint(name);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value = serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is not a checkpoint of this release; train again without --resume", path.display())
        })?;
        Ok(Some(value))
    }

    /// Points `latest` beside the folder to it, at once: whoever reads finds the run before or this
    /// one. Only a run that has everything is pointed to.
    ///
    /// # Errors
    /// If something else than a link is there, or the link cannot be made.
    pub fn point_latest_here(&self) -> Result<()> {
        self.check_latest()?;
        let (link, target) = (self.latest(), self.path.file_name().unwrap_or_default());
        let beside = link.with_added_extension("part");
        if beside.is_symlink() {
            fs::remove_file(&beside).with_context(|| format!("cannot replace {}", beside.display()))?;
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(target, &beside)
            .and_then(|()| fs::rename(&beside, &link))
            .with_context(|| format!("cannot point {} to {}", link.display(), self.path.display()))?;
        Ok(())
    }

    fn latest(&self) -> PathBuf {
        self.path.with_file_name("latest")
    }

    /// Hours of training should not end at a folder in the link's place.
    fn check_latest(&self) -> Result<()> {
        let link = self.latest();
        anyhow::ensure!(
            link.is_symlink() || !link.exists(),
            "{} is no link: it is to point to the last finished run; move it away, or name another folder with --out",
            link.display()
        );
        Ok(())
    }
}

/// Name of the checkpoint that holds a run's options.
pub const RUN: &str = "run.json";

/// Writes beside the target and renames, so that a reader never sees half a file.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let beside = path.with_added_extension("part");
    fs::write(&beside, contents)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Seconds since the epoch as `YYYYMMDD-HHMMSS` in UTC.
fn timestamp() -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_date(now_s / 86_400);
    let (hour, minute, second) = (now_s / 3600 % 24, now_s / 60 % 60, now_s % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// The date so many days after 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_780), (2026, 11, 23));
    }

    #[test]
    fn a_folder_without_a_run_cannot_be_resumed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let error = RunFolder::resume(folder.path()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("no interrupted run"), "{error}");
        Ok(())
    }

    #[test]
    fn the_checkpoints_of_another_run_are_not_gone_on_from() -> Result<()> {
        let folder = tempfile::tempdir()?;
        RunFolder::create(Some(folder.path()))?;
        RunFolder::create(Some(folder.path()))?.save(RUN, &1)?;
        RunFolder::create(Some(folder.path()))?.save("policy.json", &1)?;
        let error = RunFolder::create(Some(folder.path())).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("--resume") && error.contains("another run"), "{error}");
        assert!(RunFolder::resume(folder.path()).is_ok());
        fs::remove_dir_all(folder.path().join("checkpoint"))?;
        assert!(RunFolder::create(Some(folder.path())).is_ok());
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn the_latest_run_is_the_last_that_was_finished() -> Result<()> {
        let parent = tempfile::tempdir()?;
        let run = |name: &str| RunFolder::create(Some(&parent.path().join(name)));
        let latest = parent.path().join("latest");
        let (first, second) = (run("first")?, run("second")?);
        assert!(!latest.exists(), "no run is finished yet");
        first.point_latest_here()?;
        run("third")?;
        assert_eq!(fs::read_link(&latest)?, Path::new("first"));
        second.point_latest_here()?;
        assert_eq!(fs::read_link(&latest)?, Path::new("second"));
        fs::remove_file(&latest)?;
        fs::create_dir(&latest)?;
        let error = first.point_latest_here().unwrap_err().to_string();
        assert!(error.contains("is no link"), "{error}");
        Ok(())
    }

    #[test]
    fn checkpoints_survive_and_damage_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = RunFolder::create(Some(folder.path()))?;
        assert_eq!(run.load::<Vec<f32>>("x.json")?, None);
        run.save("x.json", &vec![1.5f32])?;
        assert_eq!(run.load::<Vec<f32>>("x.json")?, Some(vec![1.5]));
        fs::write(run.checkpoint("x.json"), "[1.")?;
        assert!(run.load::<Vec<f32>>("x.json").is_err());
        Ok(())
    }
}
