//! Lines of standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use calm_lm::terminal::interrupt;
use calm_lm::terminal::silence::Excuse;

use crate::failure::Failure;

/// Behind which a person types.
const PROMPT: &str = "> ";
const MORE: &str = "… ";

/// The answer to Ctrl-C while nothing is written.
const IDLE: &str = "Ctrl-C once more ends the conversation, and so do /quit and Ctrl-D";

/// Lines of a person or a program.
pub(super) struct Input {
    is_terminal: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stdin().is_terminal(),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The next line, with those that it goes on in; none at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<String>, Failure> {
        let _asked = Excuse::new();
        interrupt::when_idle(Some(IDLE));
        let line = self.read_lines();
        interrupt::when_idle(None);
        interrupt::take();
        line.map_err(|source| Failure::Io {
            origin: "standard input".to_owned(),
            source,
        })
    }

    fn read_lines(&self) -> io::Result<Option<String>> {
        let mut text = String::new();
        let mut is_first = true;
        loop {
            self.ask(if is_first { PROMPT } else { MORE })?;
            let mut bytes = Vec::new();
            if io::stdin().lock().read_until(b'\n', &mut bytes)? == 0 {
                return Ok((!is_first).then_some(text));
            }
            let line = calm_files::text(bytes)?;
            let line = line.trim_end_matches(['\n', '\r']);
            match line.strip_suffix('\\') {
                Some(line) => text = text + line + "\n",
                None => return Ok(Some(text + line)),
            }
            is_first = false;
        }
    }

    fn ask(&self, prompt: &str) -> io::Result<()> {
        if self.is_terminal {
            write!(io::stderr(), "{prompt}")?;
        }
        Ok(())
    }
}
