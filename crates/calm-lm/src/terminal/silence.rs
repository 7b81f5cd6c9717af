//! A sign of life from whatever is silent for long.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::bars::BARS;
use super::line::write_line;

/// Silence that is taken for a standstill.
const SILENCE: Duration = Duration::from_secs(2);
/// Time between two looks, and between two pictures of the spinner.
const LOOK: Duration = Duration::from_millis(120);

/// Silence of this process; none if it may be silent.
static WATCHED: Mutex<Option<Silence>> = Mutex::new(None);

struct Silence {
    /// The work that goes on.
    what: String,
    since: Instant,
    /// Whether it was told since it began.
    is_told: bool,
    /// Bars that are shown, and questions that wait for their answer.
    excuses: usize,
    spinner: Option<ProgressBar>,
}

/// From now on, tells what goes on whenever nothing was heard for two seconds: with a spinner on a
/// terminal, by a line elsewhere.
pub fn watch(what: &str) {
    let silence = Silence {
        what: what.to_owned(),
        since: Instant::now(),
        is_told: false,
        excuses: 0,
        spinner: None,
    };
    let is_first = watched().replace(silence).is_none();
    if is_first {
        // Without a thread there is silence, and nothing worse.
        let _ = thread::Builder::new().spawn(|| {
            loop {
                thread::sleep(LOOK);
                watched().as_mut().map(Silence::look);
            }
        });
    }
}

/// Says what goes on now.
pub fn doing(what: &str) {
    if let Some(silence) = watched().as_mut() {
        silence.heard();
        silence.is_told = false;
        what.clone_into(&mut silence.what);
    }
}

/// Notes that something was shown, before it is: the spinner makes room.
pub fn heard() {
    if let Some(silence) = watched().as_mut() {
        silence.heard();
    }
}

/// Silence that needs no sign of life, as long as this lives: a bar is shown, or a question is asked.
#[derive(Debug)]
pub struct Excuse(());

impl Excuse {
    /// From now on.
    pub fn new() -> Self {
        if let Some(silence) = watched().as_mut() {
            silence.heard();
            silence.excuses += 1;
        }
        Self(())
    }
}

impl Default for Excuse {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Excuse {
    fn drop(&mut self) {
        if let Some(silence) = watched().as_mut() {
            silence.heard();
            silence.excuses = silence.excuses.saturating_sub(1);
        }
    }
}

fn watched() -> MutexGuard<'static, Option<Silence>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Silence {
    fn heard(&mut self) {
        self.since = Instant::now();
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// Whether it has lasted for too long.
    fn is_due(&self) -> bool {
        self.excuses == 0 && self.since.elapsed() >= SILENCE
    }

    fn look(&mut self) {
        if !self.is_due() {
            return;
        }
        if std::io::stderr().is_terminal() {
            let spinner = self.spinner.get_or_insert_with(|| spinner(&self.what));
            spinner.tick();
        } else if !std::mem::replace(&mut self.is_told, true) {
            write_line(format_args!("{} …", self.what));
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
    let style = style.expect("the template is a constant");
    BARS.add(ProgressBar::new_spinner())
        .with_style(style)
        .with_elapsed(SILENCE)
        .with_message(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_broken_once_it_lasts() {
        let begun = |ago: Duration| Silence {
            what: String::new(),
            since: Instant::now().checked_sub(ago).unwrap(),
            is_told: false,
            excuses: 0,
            spinner: None,
        };
        assert!(!begun(SILENCE / 2).is_due());
        let mut silence = begun(SILENCE);
        assert!(silence.is_due());
        silence.heard();
        assert!(!silence.is_due(), "something was shown");
        let asked = Silence {
            excuses: 1,
            ..begun(2 * SILENCE)
        };
        assert!(!asked.is_due(), "somebody is asked");
    }
}
