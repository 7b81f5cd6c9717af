//! Files packed by Zstandard: any number of frames, one behind the other.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// First bytes of a frame.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The same of a frame that readers skip, such as the table of a seekable file. The lower half of its
/// first byte is free.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Whether a file that begins so is packed by Zstandard.
pub(super) fn is_zstd(begin: &[u8]) -> bool {
    let is_skipped = |first: &u8, rest: &[u8]| first & 0xf0 == 0x50 && rest.starts_with(&SKIPPED);
    begin.starts_with(&FRAME)
        || begin
            .split_first()
            .is_some_and(|(first, rest)| is_skipped(first, rest))
}

/// Text of a file that is packed by Zstandard. Its memory is bounded by the largest window that is
/// accepted, 128 MiB.
pub(super) struct ZstdReader<R> {
    packed: R,
    decoder: FrameDecoder,
    is_within_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(packed: R) -> Self {
        Self {
            packed,
            decoder: FrameDecoder::new(),
            is_within_frame: false,
        }
    }

    /// Begins the next frame that is not skipped; `false` at the end.
    fn begin_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => {
                    self.is_within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(length)?,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn skip(&mut self, bytes: u32) -> io::Result<()> {
        let mut skipped = self.packed.by_ref().take(bytes.into());
        match io::copy(&mut skipped, &mut io::sink())? == u64::from(bytes) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Ends a frame, whose check sum should be that of what was read.
    fn end_frame(&mut self) -> io::Result<()> {
        self.is_within_frame = false;
        let noted = self.decoder.get_checksum_from_data();
        if noted.is_some() && noted != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("its check sum is another"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.is_within_frame && !self.begin_frame()? {
                return Ok(0);
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            let decoded = calm_files::guard(|| self.decoder.decode_blocks(&mut self.packed, one));
            match decoded {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(io::Error::other(error)),
                Err(_) => return Err(io::Error::other("it contradicts itself")),
            }
        }
        Ok(0)
    }
}
