//! Zstandard: frame after frame, since a file may hold several of them, and frames to be skipped
//! in between (RFC 8878, section 3).

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};

/// Largest window accepted: what the `zstd` tool accepts without being told to. A frame that
/// claims more could take any amount of memory.
const WINDOW_BYTES_MAX: u64 = 1 << 27;

/// Decompresses a whole file.
pub(super) struct Decoder<R> {
    source: BufReader<R>,
    frames: FrameDecoder,
    is_within_frame: bool,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(source: R) -> Self {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(WINDOW_BYTES_MAX);
        Self { source: BufReader::with_capacity(super::BUFFER_BYTES, source), frames, is_within_frame: false }
    }

    /// Enters the next frame; `false` at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frames.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                        return Err(incomplete());
                    }
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(false)
    }

    /// Compares a frame's checksum, where it has one, with that of what was decompressed.
    fn verify(&self) -> io::Result<()> {
        match (self.frames.get_checksum_from_data(), self.frames.get_calculated_checksum()) {
            (Some(stated), Some(calculated)) if stated != calculated => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match the contents"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within_frame && !self.next_frame()? {
                return Ok(0);
            }
            self.is_within_frame = true;
            while self.frames.can_collect() == 0 && !self.frames.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.frames.decode_blocks(&mut self.source, one).map_err(failure)?;
            }
            let read = self.frames.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.verify()?;
            self.is_within_frame = false;
        }
    }
}

/// A failure to decompress, told apart from a file that ends too early.
fn failure(error: FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|inner| inner.kind() == io::ErrorKind::UnexpectedEof) {
            return incomplete();
        }
        cause = inner.source();
    }
    io::Error::other(error)
}

fn incomplete() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decompressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        Decoder::new(bytes).read_to_end(&mut contents).map(|_| contents)
    }

    fn text(lines: usize) -> Vec<u8> {
        (0..lines).flat_map(|line| format!("{line},{}\n", line * line % 9973).into_bytes()).collect()
    }

    #[test]
    fn what_the_reference_compresses_is_read() {
        for (lines, level) in [(0, 1), (1, 3), (40_000, 1), (40_000, 19)] {
            let contents = text(lines);
            assert_eq!(decompressed(&zstd::encode_all(&contents[..], level).unwrap()).unwrap(), contents, "{lines}");
        }
    }

    #[test]
    fn all_frames_of_a_file_are_read() {
        let [one, two] = [text(1000), text(2000)];
        let skipped = [&0x184D_2A50_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let frames = [zstd::encode_all(&one[..], 1).unwrap(), skipped, zstd::encode_all(&two[..], 1).unwrap()];
        assert_eq!(decompressed(&frames.concat()).unwrap(), [one, two].concat());
    }

    #[test]
    fn damage_is_noticed() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        io::Write::write_all(&mut encoder, &text(5000)).unwrap();
        let good = encoder.finish().unwrap();
        assert!(decompressed(&good).is_ok());
        for at in (8..good.len()).step_by(good.len() / 40) {
            assert!(decompressed(&good[..at]).is_err(), "cut at {at}");
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            assert!(decompressed(&flipped).is_err(), "bit flipped at {at}");
        }
    }
}
