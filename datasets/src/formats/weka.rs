//! Sessions of coding agents as Weka's KV cache tester and `AgentX` have them.
//!
//! A session is a JSON object, one a file (`traces/trace_0001.json` of a folder) or several behind one
//! another, with `id`, `block_size`, `hash_id_scope` and `requests`. A request has `t` (s since the session
//! began), `in` and `out` (tokens), `hash_ids` (its prompt's blocks), and in newer files `api_time` (s that
//! the answer took), `ttft` (s) and `think_time` (s that the client waited before). An entry of the type
//! `subagent` has `requests` of its own, which run beside the others as a session of their own.
//!
//! Blocks of the scope `local` are those of their session alone. The files do not say when sessions began:
//! they are spread evenly over the length of the longest one.

mod sessions;

use super::timed::Timed;
use crate::input::{Input, read_failure};
use crate::row::Fault;
use crate::{DataError, Format, LoadOptions};
use serde::de::DeserializeOwned;
use sessions::{Plan, Session};
use std::collections::VecDeque;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

pub(crate) use sessions::Outline;

const BUFFER_BYTES: usize = 256 * 1024;
/// Files of a folder that are looked at to tell its format.
const FILES_TRIED: usize = 3;

type Objects<T> = serde_json::StreamDeserializer<'static, serde_json::de::IoRead<BufReader<Input>>, T>;

/// Hands out the requests of sessions, session by session.
pub(crate) struct Weka {
    files: VecDeque<PathBuf>,
    file: PathBuf,
    kind: &'static str,
    sessions: Option<Objects<Session>>,
    waiting: VecDeque<Result<Timed, Fault>>,
    plan: Plan,
    handed_out: u64,
}

impl Weka {
    /// Whether a folder holds sessions.
    pub(crate) fn is_folder(path: &Path) -> bool {
        let is_session = |file: &PathBuf| {
            Input::open(file).is_ok_and(|input| super::sniff::sniff(input.head()).format == Some(Format::Weka))
        };
        files(path).is_ok_and(|files| files.iter().take(FILES_TRIED).any(is_session))
    }

    /// Opens a file or a folder of files, and reads all of it once, to know how long sessions are.
    pub(crate) fn open(path: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        let files = files(path)?;
        let mut plan = Plan::default();
        for file in &files {
            let (outlines, kind) = objects::<Outline>(file)?;
            for outline in outlines {
                let fault = plan.add(&outline.map_err(|error| failed(file, kind, error))?);
                fault.map_err(|fault| fault.of_file(file, Format::Weka))?;
            }
        }
        plan.settle(options.block_tokens);
        let file = path.to_owned();
        let (waiting, files) = (VecDeque::new(), files.into());
        Ok(Self { files, file, kind: "plain", sessions: None, waiting, plan, handed_out: 0 })
    }

    /// The next request.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Timed, Fault>>, DataError> {
        loop {
            if let Some(timed) = self.waiting.pop_front() {
                self.handed_out += 1;
                return Ok(Some(timed));
            }
            match self.sessions.as_mut().and_then(Iterator::next) {
                Some(session) => {
                    let session = session.map_err(|error| failed(&self.file, self.kind, error))?;
                    self.plan.requests(session, &mut self.waiting);
                }
                None => match self.files.pop_front() {
                    None => return Ok(None),
                    Some(file) => {
                        let (sessions, kind) = objects(&file)?;
                        (self.sessions, self.kind, self.file) = (Some(sessions), kind, file);
                    }
                },
            }
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The share of the requests that was handed out.
    pub(crate) fn progress(&self) -> f64 {
        self.handed_out as f64 / self.plan.requests.max(1) as f64
    }
}

/// The files of a folder in the order of their names, or the one file.
fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| DataError::Io { path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let is_json = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".json", ".jsonl", ".gz", ".zst"].iter().any(|suffix| name.ends_with(suffix))
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_json).collect();
    files.sort();
    Ok(files)
}

fn objects<T: DeserializeOwned>(path: &Path) -> Result<(Objects<T>, &'static str), DataError> {
    let input = Input::open(path)?;
    let kind = input.kind();
    Ok((serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER_BYTES, input)).into_iter(), kind))
}

fn failed(path: &Path, kind: &'static str, error: serde_json::Error) -> DataError {
    if error.is_io() {
        return read_failure(path, kind, error.line().saturating_sub(1) as u64, error.into());
    }
    DataError::WrongFormat {
        path: path.to_owned(),
        asked: Format::Weka,
        found: error.to_string(),
        advice:
            "expected sessions: JSON objects with `id`, `block_size` and `requests` of `t`, `in`, `out`, `hash_ids`"
                .to_owned(),
    }
}
