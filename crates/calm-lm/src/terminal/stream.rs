//! Texts on standard output while they are written.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

use super::{silence, visible};

/// Shows a text piece by piece. On a terminal control characters are written out; programs and
/// files get every byte.
#[derive(Debug)]
pub struct Stream {
    is_shown: bool,
    failed: Option<io::Error>,
}

impl Stream {
    /// A text that is shown, or not.
    pub fn new(is_shown: bool) -> Self {
        Self {
            is_shown,
            failed: None,
        }
    }

    /// Shows the next piece. Breaks when nobody reads any more.
    pub fn show(&mut self, text: &str) -> ControlFlow<()> {
        if !self.is_shown || text.is_empty() {
            return ControlFlow::Continue(());
        }
        silence::heard();
        let mut stdout = io::stdout().lock();
        let text = match io::stdout().is_terminal() {
            true => visible(text),
            false => Cow::Borrowed(text),
        };
        let written = stdout.write_all(text.as_bytes());
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// The end of the text.
    ///
    /// # Errors
    ///
    /// If a piece could not be written, other than to a reader that has gone away: it has seen
    /// enough.
    pub fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}
