//! Progress of the building of a dataset.

use std::time::{Duration, Instant};

use calm_data::builders::{BuildObserver, BuildPart};

use super::{Progress, interrupt};

/// What takes no longer needs no progress.
const SHORT: Duration = Duration::from_secs(2);

/// A bar for each part of the work. Ctrl-C ends the build, of which nothing is left then.
#[derive(Debug)]
pub struct BuildDisplay {
    begun: Instant,
    shown: Option<(BuildPart, Progress)>,
    is_quiet: bool,
}

impl BuildDisplay {
    /// Listens for Ctrl-C from now on.
    pub fn new(is_quiet: bool) -> Self {
        interrupt::listen();
        Self {
            begun: Instant::now(),
            shown: None,
            is_quiet,
        }
    }
}

impl BuildObserver for BuildDisplay {
    fn advance(&mut self, part: BuildPart, done: u64, total: u64) -> bool {
        if !self.is_quiet && self.begun.elapsed() > SHORT {
            let total = total as usize;
            let progress = match self.shown.take() {
                Some((shown, progress)) if shown == part => progress,
                _ => match part {
                    BuildPart::Reading => Progress::of_bytes("reading and cleaning", total, 0),
                    BuildPart::Comparing => Progress::new("comparing records", total, 0),
                    BuildPart::Writing => Progress::new("writing records", total, 0),
                },
            };
            let (_, progress) = self.shown.insert((part, progress));
            progress.advance(done as usize, "");
        }
        !interrupt::requested()
    }
}
