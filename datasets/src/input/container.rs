//! Log lines in the wrappers of container runtimes.

use std::borrow::Cow;

/// What a container runtime puts around each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// `2025-11-24T16:00:00.123456789Z stdout F LINE`, as containerd and CRI-O write.
    Cri,
    /// `{"log": "LINE\n", "stream": "stdout", "time": "…"}`, as Docker writes.
    Docker,
}

/// A line as it was inside the wrapper.
enum Piece<'a> {
    /// A line, or its last part.
    Last(Cow<'a, [u8]>),
    /// Part of a line, which goes on in the next row.
    Part(Cow<'a, [u8]>),
    /// Written to standard error, where logs of requests are not written.
    Other,
    /// Not in the wrapper at all.
    Bare(&'a [u8]),
}

impl Container {
    /// The wrapper that a file's first line is in.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        if cri(line).is_some() {
            return Some(Self::Cri);
        }
        docker(line).is_some().then_some(Self::Docker)
    }

    /// The name of the runtime's form.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cri => "CRI (containerd, CRI-O)",
            Self::Docker => "Docker",
        }
    }

    fn piece(self, line: &[u8]) -> Piece<'_> {
        match self {
            Self::Cri => match cri(line) {
                None => Piece::Bare(line),
                Some(("stderr", ..)) => Piece::Other,
                Some((_, true, rest)) => Piece::Part(Cow::Borrowed(rest)),
                Some((_, false, rest)) => Piece::Last(Cow::Borrowed(rest)),
            },
            Self::Docker => match docker(line) {
                None => Piece::Bare(line),
                Some(Docker { stream, .. }) if stream == "stderr" => Piece::Other,
                Some(Docker { log, .. }) => match log.strip_suffix('\n') {
                    Some(log) => Piece::Last(Cow::Owned(log.as_bytes().to_vec())),
                    None => Piece::Part(Cow::Owned(log.into_owned().into_bytes())),
                },
            },
        }
    }
}

/// The stream, whether the line goes on in the next row, and the line.
fn cri(line: &[u8]) -> Option<(&'static str, bool, &[u8])> {
    let mut words = line.splitn(4, |&byte| byte == b' ');
    let time = words.next()?;
    super::time::written(time).filter(|_| time.contains(&b'T'))?;
    let stream = match words.next()? {
        b"stdout" => "stdout",
        b"stderr" => "stderr",
        _ => return None,
    };
    let is_part = match words.next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some((stream, is_part, words.next().unwrap_or_default()))
}

#[derive(serde::Deserialize)]
struct Docker<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    #[allow(dead_code, reason = "its presence tells Docker's rows from others with a `log`")]
    time: Cow<'a, str>,
}

fn docker(line: &[u8]) -> Option<Docker<'_>> {
    line.starts_with(b"{\"log\"").then(|| serde_json::from_slice(line).ok()).flatten()
}

/// Takes lines out of their wrapper, parts put together.
#[derive(Default)]
pub(crate) struct Unwrapper {
    line: Vec<u8>,
    is_open: bool,
}

impl Unwrapper {
    /// The line that is whole with this row; `None` where there is none yet. Lines longer than
    /// `bytes_max` are cut there, which makes them bad rows.
    pub(crate) fn line<'a>(&'a mut self, container: Container, row: &'a [u8], bytes_max: usize) -> Option<&'a [u8]> {
        if !self.is_open {
            self.line.clear();
        }
        let mut append = |piece: &[u8]| {
            let room = bytes_max.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        };
        match container.piece(row) {
            Piece::Bare(line) => Some(line),
            Piece::Other => None,
            Piece::Part(part) => {
                append(&part);
                self.is_open = true;
                None
            }
            Piece::Last(part) => {
                append(&part);
                self.is_open = false;
                Some(&self.line)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(container: Container, rows: &[&str]) -> Vec<String> {
        let mut unwrapper = Unwrapper::default();
        let line = |row: &&str| {
            let line = unwrapper.line(container, row.as_bytes(), 1000)?;
            Some(String::from_utf8_lossy(line).into_owned())
        };
        rows.iter().filter_map(line).collect()
    }

    #[test]
    fn wrappers_are_known_and_taken_off() {
        let cri = "2025-11-24T16:00:00.1Z stdout F {\"a\":1}";
        assert_eq!(Container::of(cri.as_bytes()), Some(Container::Cri));
        let rows = [
            cri,
            "2025-11-24T16:00:00.2+00:00 stdout P {\"b",
            "2025-11-24T16:00:00.3Z stderr F oh",
            "2025-11-24T16:00:00.4Z stdout F \":2}",
        ];
        assert_eq!(unwrapped(Container::Cri, &rows), ["{\"a\":1}", "{\"b\":2}"]);
        let docker = r#"{"log":"{\"a\":1}\n","stream":"stdout","time":"2025-11-24T16:00:00Z"}"#;
        assert_eq!(Container::of(docker.as_bytes()), Some(Container::Docker));
        let rows = [
            docker,
            r#"{"log":"{\"b","stream":"stdout","time":"2025-11-24T16:00:00Z"}"#,
            r#"{"log":"\":2}\n","stream":"stdout","time":"2025-11-24T16:00:00Z"}"#,
        ];
        assert_eq!(unwrapped(Container::Docker, &rows), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(Container::of(b"{\"start_time\": 1}"), None);
    }
}
