//! Progress of files, one after another.

use calm_models::Fetching;

use super::Progress;

/// A bar for the file that is fetched or read, and another one when the next file begins.
#[derive(Debug, Default)]
pub struct FileProgress {
    shown: Option<(String, Progress)>,
}

impl FileProgress {
    /// Shows a file of the Hub, of which a part may have been here before.
    pub fn show_fetching(&mut self, fetching: &Fetching<'_>) {
        let (bytes, total) = (fetching.bytes, fetching.total_bytes);
        self.show(format!("fetching {}", fetching.file), bytes, total, bytes);
    }

    /// Shows that `done` of `total` bytes are done; `begun_at` are those that were done when the
    /// file was first shown.
    pub(super) fn show(&mut self, name: String, done: u64, total: u64, begun_at: u64) {
        let progress = match self.shown.take() {
            Some((shown, progress)) if shown == name => progress,
            _ => Progress::of_bytes(&name, total as usize, begun_at as usize),
        };
        let (_, progress) = self.shown.insert((name, progress));
        progress.advance(done as usize, "");
        if done >= total {
            self.shown = None;
        }
    }
}
