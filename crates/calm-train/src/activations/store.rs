//! Where states lie.
//!
//! ```text
//! 0    "calm activations"
//! 16   key, 32 bytes: all that the states depend on
//! 48   number of examples
//! 64   for each of them: checksum (CRC-32) and mark, 4 bytes each
//! …    for each of them: its states
//! ```
//!
//! Numbers are little-endian. States are written before their checksum, so that a process may be
//! killed at any moment; several processes may share a file, for what they write is the same. It is
//! read with the system's cache of files in between, which is a copy as it would be from mapped
//! memory, and unlike there a file that is cut short is an error that can be handled.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use calm_files::{AtomicFile, hex};

use crate::TrainError;

const MAGIC: &[u8; 16] = b"calm activations";
const HEAD: u64 = 64;
const ENTRY: u64 = 8;
/// Of an example whose states are there.
const THERE: u32 = u32::from_le_bytes(*b"here");

#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Memory,
    File {
        directory: &'a Path,
        key: [u8; 32],
        /// Bytes of all states that are kept.
        bytes: u64,
    },
}

/// Bytes of every example.
#[derive(Debug)]
pub(super) struct Store {
    medium: Medium,
    /// The checksums of those that are there.
    checksums: Vec<Option<u32>>,
    damaged: u64,
}

#[derive(Debug)]
enum Medium {
    /// Of every example that is kept.
    Memory(Vec<Option<Box<[u8]>>>),
    File {
        file: File,
        /// Where the states of the first example begin.
        start: u64,
        /// Since the medium has failed.
        read_only: bool,
    },
}

impl Store {
    pub(super) fn open(place: Place<'_>, examples: usize, kept: usize) -> Result<Self, TrainError> {
        let (medium, checksums) = match place {
            Place::Memory => (Medium::Memory(vec![None; kept]), vec![None; examples]),
            Place::File {
                directory,
                key,
                bytes,
            } => open_file(directory, &key, examples, bytes)?,
        };
        Ok(Self {
            medium,
            checksums,
            damaged: 0,
        })
    }

    /// Examples that were there, but were not what had been written.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The bytes of an example at this place; none if nothing was written, or if they are damaged.
    pub(super) fn read(&mut self, number: usize, place: Range<u64>) -> Option<Vec<u8>> {
        let checksum = self.checksums[number]?;
        let bytes = match &mut self.medium {
            Medium::Memory(kept) => kept.get(number)?.as_deref().map(<[u8]>::to_vec),
            Medium::File { file, start, .. } => {
                let mut bytes = vec![0; (place.end - place.start) as usize];
                let read = file.seek(SeekFrom::Start(*start + place.start));
                let read = read.and_then(|_| file.read_exact(&mut bytes));
                read.is_ok().then_some(bytes)
            }
        };
        let whole = bytes.filter(|bytes| crc32fast::hash(bytes) == checksum);
        if whole.is_none() {
            tracing::warn!("the kept states of example {number} are damaged; computing them anew");
            self.damaged += 1;
            self.checksums[number] = None;
        }
        whole
    }

    /// Keeps the bytes of an example. A medium that fails is not written to again, which is said,
    /// and costs nothing but time.
    pub(super) fn write(&mut self, number: usize, place: Range<u64>, bytes: &[u8]) {
        let checksum = crc32fast::hash(bytes);
        match &mut self.medium {
            Medium::Memory(kept) => kept[number] = Some(bytes.into()),
            Medium::File {
                read_only: true, ..
            } => return,
            Medium::File {
                file,
                start,
                read_only,
            } => {
                let entry = HEAD + number as u64 * ENTRY;
                let mark = [checksum.to_le_bytes(), THERE.to_le_bytes()].concat();
                let written = write_at(file, *start + place.start, bytes)
                    .and_then(|()| write_at(file, entry, &mark));
                if let Err(error) = written {
                    tracing::warn!("no further states are kept: {error}");
                    *read_only = true;
                    return;
                }
            }
        }
        self.checksums[number] = Some(checksum);
    }
}

fn open_file(
    directory: &Path,
    key: &[u8; 32],
    examples: usize,
    bytes: u64,
) -> Result<(Medium, Vec<Option<u32>>), TrainError> {
    let path = directory.join(format!("activations-{}.bin", hex(&key[..8])));
    let failed = |source| TrainError::Io {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let head = [MAGIC, &key[..], &(examples as u64).to_le_bytes(), &[0; 8]].concat();
    let no_entries = vec![0; examples * ENTRY as usize];
    let start = HEAD + no_entries.len() as u64;
    let (file, entries) = match read_entries(&path, &head, examples) {
        Ok(found) => found,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{}: {error}; beginning anew", path.display());
            }
            // Another process may be creating the same file.
            let mut file = AtomicFile::create(&path)?;
            let written = file.write_all(&head);
            written
                .and_then(|()| file.write_all(&no_entries))
                .map_err(failed)?;
            (file.commit()?, no_entries)
        }
    };
    let length = file.metadata().map_err(failed)?.len();
    // With holes, so that only what is written takes room.
    file.set_len(length.max(start + bytes)).map_err(failed)?;
    let (entries, _) = entries.as_chunks::<4>();
    let checksums = entries.chunks(2).map(|entry| {
        let [checksum, mark] = [entry[0], entry[1]].map(u32::from_le_bytes);
        (mark == THERE).then_some(checksum)
    });
    let medium = Medium::File {
        file,
        start,
        read_only: false,
    };
    Ok((medium, checksums.collect()))
}

fn read_entries(path: &Path, head: &[u8], examples: usize) -> io::Result<(File, Vec<u8>)> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut found = vec![0; head.len()];
    file.read_exact(&mut found)?;
    if found != head {
        return Err(io::Error::other("is not what its name says"));
    }
    let mut entries = vec![0; examples * ENTRY as usize];
    file.read_exact(&mut entries)?;
    Ok((file, entries))
}

fn write_at(file: &mut File, place: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(place))?;
    file.write_all(bytes)
}
