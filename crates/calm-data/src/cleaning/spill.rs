//! Sorting of more entries than fit in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::slice::ParallelSliceMut;

use crate::DataError;

/// Least bytes that are read of a sorted run at a time.
const LEAST_READ: usize = 1 << 12;

/// Entries of `N` bytes each, which [`finish`](Self::finish) gives back in order of their bytes. What
/// exceeds the memory stands in a temporary file, in sorted runs. The file has no name where the system
/// allows that, so that nothing of it outlives the process.
///
/// The order depends on the entries alone: neither the memory nor the threads change it.
#[derive(Debug)]
pub struct Spill<const N: usize> {
    directory: PathBuf,
    /// Entries that fit in memory.
    limit: usize,
    entries: Vec<[u8; N]>,
    file: Option<File>,
    /// Where each run begins and ends in the file, in bytes.
    runs: Vec<Range<u64>>,
}

impl<const N: usize> Spill<N> {
    /// No entries yet. `memory` is in bytes; the temporary file is made in `directory`.
    pub fn new(directory: &Path, memory: usize) -> Self {
        Self {
            directory: directory.to_owned(),
            limit: (memory / N).max(1),
            entries: Vec::new(),
            file: None,
            runs: Vec::new(),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the temporary file cannot be written.
    pub fn push(&mut self, entry: [u8; N]) -> Result<(), DataError> {
        if self.entries.len() == self.limit {
            self.write_run().map_err(DataError::io(&self.directory))?;
        }
        if self.entries.capacity() == 0 {
            // All at once, since growing would need the old and the new place. Systems give pages when
            // they are written to.
            self.entries.reserve_exact(self.limit);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// All entries, sorted.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the temporary file cannot be written.
    pub fn finish(mut self) -> Result<Sorted<N>, DataError> {
        let read_size = self.limit * N / (self.runs.len() + 1);
        if self.file.is_some() {
            self.write_run().map_err(DataError::io(&self.directory))?;
            self.entries = Vec::new();
        } else {
            self.entries.par_sort_unstable();
        }
        let entries_read = read_size.max(LEAST_READ) / N;
        let run = |range| Run {
            range,
            bytes: Vec::new(),
            at: 0,
            read_size: entries_read.max(1) * N,
        };
        let mut sorted = Sorted {
            directory: self.directory,
            entries: self.entries.into_iter(),
            file: self.file,
            runs: self.runs.into_iter().map(run).collect(),
            heap: BinaryHeap::new(),
        };
        for index in 0..sorted.runs.len() {
            sorted.advance(index)?;
        }
        Ok(sorted)
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.entries.par_sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all(self.entries.as_flattened())?;
        let start = self.runs.last().map_or(0, |run| run.end);
        self.runs
            .push(start..start + (self.entries.len() * N) as u64);
        self.entries.clear();
        Ok(())
    }
}

/// Entries in order; an iterator.
#[derive(Debug)]
pub struct Sorted<const N: usize> {
    directory: PathBuf,
    /// All of them, if they fit in memory.
    entries: std::vec::IntoIter<[u8; N]>,
    file: Option<File>,
    runs: Vec<Run>,
    /// The next entry of each run.
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Sorted<N> {
    /// Puts the next entry of a run on the heap.
    fn advance(&mut self, index: usize) -> Result<(), DataError> {
        let (Some(file), run) = (&mut self.file, &mut self.runs[index]) else {
            return Ok(());
        };
        if let Some(entry) = run.next(file).map_err(DataError::io(&self.directory))? {
            self.heap.push(Reverse((entry, index)));
        }
        Ok(())
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u8; N], DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.entries.next() {
            return Some(Ok(entry));
        }
        let Reverse((entry, index)) = self.heap.pop()?;
        Some(self.advance(index).map(|()| entry))
    }
}

/// A sorted run, of which a part is in memory.
#[derive(Debug)]
struct Run {
    /// What is still in the file.
    range: Range<u64>,
    bytes: Vec<u8>,
    at: usize,
    read_size: usize,
}

impl Run {
    fn next<const N: usize>(&mut self, file: &mut File) -> io::Result<Option<[u8; N]>> {
        if self.at == self.bytes.len() {
            let left = self.range.end - self.range.start;
            let size = left.min(self.read_size as u64);
            self.bytes.resize(size as usize, 0);
            file.seek(SeekFrom::Start(self.range.start))?;
            file.read_exact(&mut self.bytes)?;
            self.range.start += size;
            self.at = 0;
        }
        let entry = self.bytes[self.at..].first_chunk::<N>().copied();
        self.at += entry.map_or(0, |_| N);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sorted(entries: &[[u8; 3]], memory: usize) -> Vec<[u8; 3]> {
        let directory = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(directory.path(), memory);
        for entry in entries {
            spill.push(*entry).unwrap();
        }
        spill.finish().unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #[test]
        fn any_memory_gives_the_order_of_a_sort(entries in vec(any::<[u8; 3]>(), 0..400)) {
            let mut expected = entries.clone();
            expected.sort_unstable();
            for memory in [0, 7, 100, 1 << 20] {
                prop_assert_eq!(&sorted(&entries, memory), &expected);
            }
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let mut spill = Spill::<1>::new("/no/such/directory".as_ref(), 1);
        spill.push([1]).unwrap();
        let error = spill.push([2]).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/directory"), "{error}");
    }
}
