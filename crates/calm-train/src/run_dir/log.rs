//! JSON Lines files that grow by a line per step.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::io;
use crate::TrainError;

/// A line of a log. Lines are in the order of their steps.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The file in the run directory that holds them.
    const FILE: &'static str;

    /// The step that it belongs to.
    fn step(&self) -> usize;
}

/// A log that this process alone writes to.
#[derive(Debug)]
pub(super) struct Log<R> {
    path: PathBuf,
    file: File,
    records: PhantomData<R>,
}

impl<R: Record> Log<R> {
    /// The log of the run in this directory.
    pub(super) fn open(directory: &Path) -> Result<Self, TrainError> {
        let path = directory.join(R::FILE);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io(&path))?;
        Ok(Self {
            path,
            file,
            records: PhantomData,
        })
    }

    pub(super) fn append(&mut self, record: &R) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(record).expect("a record is plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(io(&self.path))
    }

    /// Waits until all lines are on the disk.
    pub(super) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(io(&self.path))
    }

    /// Drops the lines of steps after `step`, and with them what a process that died in the middle
    /// of a line left behind. Returns how many lines are left, and how many are gone.
    pub(super) fn rewind(&mut self, step: usize) -> Result<(usize, usize), TrainError> {
        let failed = io(&self.path);
        let file = File::open(&self.path).map_err(&failed)?;
        let (mut kept, mut kept_bytes, mut lost) = (0, 0, 0);
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(&failed)?;
            match serde_json::from_slice::<R>(&line) {
                Ok(record) if lost == 0 && record.step() <= step => {
                    kept += 1;
                    kept_bytes += line.len() as u64 + 1;
                }
                _ => lost += 1,
            }
        }
        // A last line may be whole but for its end.
        let length = self.file.metadata().map_err(&failed)?.len();
        if kept_bytes > length {
            self.file.write_all(b"\n").map_err(&failed)?;
        }
        self.file.set_len(kept_bytes).map_err(&failed)?;
        Ok((kept, lost))
    }
}

/// Longest line that is read, and longest description of a run.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// Every line of the log in a directory, in order; none if there is no log. The last line may not
/// be whole yet, or never have become so; then it is left out.
pub(super) fn read_lines<R: Record>(directory: &Path) -> Result<Vec<R>, TrainError> {
    let path = directory.join(R::FILE);
    let failed = io(&path);
    let mut reader = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut records = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut bounded = reader.by_ref().take(MAX_BYTES);
        bounded.read_until(b'\n', &mut line).map_err(&failed)?;
        if line.is_empty() {
            return Ok(records);
        }
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with(b"\n") => return Ok(records),
            Err(error) => {
                return Err(TrainError::Malformed {
                    path: path.clone(),
                    reason: format!("line {}: {error}", records.len() + 1),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::StepMetrics;
    use super::*;

    fn metrics(step: usize) -> StepMetrics {
        StepMetrics {
            step,
            ..StepMetrics::default()
        }
    }

    fn steps(directory: &Path) -> Vec<usize> {
        let records = read_lines::<StepMetrics>(directory).unwrap();
        records.iter().map(Record::step).collect()
    }

    #[test]
    fn lines_of_lost_steps_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        for step in 1..=5 {
            log.append(&metrics(step)).unwrap();
        }
        log.file.write_all(b"{\"step\": 6, \"lo").unwrap();
        assert_eq!(log.rewind(3).unwrap(), (3, 3));
        log.append(&metrics(4)).unwrap();
        assert_eq!(steps(dir.path()), [1, 2, 3, 4]);
    }

    #[test]
    fn a_line_without_its_end_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.append(&metrics(1)).unwrap();
        let length = log.file.metadata().unwrap().len();
        log.file.set_len(length - 1).unwrap();
        assert_eq!(log.rewind(1).unwrap(), (1, 0));
        log.append(&metrics(2)).unwrap();
        assert_eq!(steps(dir.path()), [1, 2]);
    }

    #[test]
    fn a_line_that_is_being_written_is_not_read_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(StepMetrics::FILE);
        let read = || read_lines::<StepMetrics>(dir.path()).map(|lines| lines.len());
        assert_eq!(read().unwrap(), 0, "there is none");
        let line = serde_json::to_string(&metrics(1)).unwrap();
        std::fs::write(&path, format!("{line}\n{}", &line[..20])).unwrap();
        assert_eq!(read().unwrap(), 1);
        std::fs::write(&path, format!("{line}\nx\n{line}\n")).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: line 2"), "{error}");
    }
}
