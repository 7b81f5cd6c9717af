//! Text that is made of other bytes, piece by piece.

use std::io::{self, Cursor, Read};

/// Makes pieces of text.
pub(super) trait Pieces {
    /// The next piece, which may be empty; none at the end.
    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>>;
}

/// Reads one piece after the other.
pub(super) struct PieceReader<P> {
    pieces: P,
    piece: Cursor<Vec<u8>>,
}

impl<P: Pieces> PieceReader<P> {
    pub(super) fn new(pieces: P) -> Self {
        Self {
            pieces,
            piece: Cursor::default(),
        }
    }
}

impl<P: Pieces> Read for PieceReader<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.piece.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            match self.pieces.next_piece()? {
                Some(piece) => self.piece = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}
