//! Lines of a reader, fast and in constant memory.

use super::{Input, ROW_BYTES_MAX};
use crate::DataError;
use std::io::{self, Read};

const BUFFER_BYTES: usize = 256 * 1024;

/// Hands out the lines of an [`Input`] as slices of its buffer, which grows only for a line that
/// is longer than it.
pub(crate) struct LineReader {
    input: Input,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    line: u64,
}

impl LineReader {
    pub(crate) fn new(mut input: Input) -> Self {
        if input.head().starts_with(b"\xef\xbb\xbf") {
            input.skip(3);
        }
        Self { input, buffer: vec![0; BUFFER_BYTES], begin: 0, end: 0, line: 0 }
    }

    /// Number of the line handed out last, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The next line without its end (`\n` or `\r\n`), or `None` at the end of the input.
    pub(crate) fn next_line(&mut self) -> Option<Result<&[u8], DataError>> {
        let mut searched = self.begin;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.begin..searched + at;
                if line.len() > ROW_BYTES_MAX {
                    return Some(Err(self.too_long()));
                }
                self.begin = line.end + 1;
                self.line += 1;
                return Some(Ok(without_return(&self.buffer[line])));
            }
            searched = self.end - self.begin;
            if self.end - self.begin > ROW_BYTES_MAX {
                return Some(Err(self.too_long()));
            }
            self.input.begin_row();
            match self.fill() {
                Err(error) => return Some(Err(self.input.failed(self.line, error))),
                Ok(true) => {}
                Ok(false) if self.begin == self.end => return None,
                Ok(false) => {
                    let line = self.begin..self.end;
                    self.begin = self.end;
                    self.line += 1;
                    return Some(Ok(without_return(&self.buffer[line])));
                }
            }
        }
    }

    fn too_long(&self) -> DataError {
        let path = self.input.path().to_owned();
        DataError::LongRow { path, line: self.line + 1, bytes_max: ROW_BYTES_MAX }
    }

    /// Moves the unfinished line to the buffer's begin and reads on; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(n) => {
                    self.end += n;
                    return Ok(n > 0);
                }
            }
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8]) -> Vec<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let mut reader = LineReader::new(Input::open(file.path()).unwrap());
        std::iter::from_fn(|| reader.next_line().map(|line| line.unwrap().to_vec())).collect()
    }

    #[test]
    fn lines_of_any_length_and_ending() {
        assert_eq!(lines(b"a\r\n\nbc"), [b"a".to_vec(), b"".to_vec(), b"bc".to_vec()]);
        let long = vec![b'x'; 3 * BUFFER_BYTES];
        let content = [b"first\n", &long[..], b"\nlast\n"].concat();
        assert_eq!(lines(&content), [b"first".to_vec(), long, b"last".to_vec()]);
    }

    #[test]
    fn many_lines_equal_the_naive_split() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(|i| format!("{i}:{}\n", i % 97).into_bytes()).collect();
        let naive: Vec<Vec<u8>> = content.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        assert_eq!(lines(&content), naive[..naive.len() - 1]);
    }
}
