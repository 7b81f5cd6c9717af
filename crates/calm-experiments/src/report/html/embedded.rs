//! The table inside of a page.

use std::io::{self, Read};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::super::ReportError;
use super::super::numbers::count;
use super::super::read::parse;
use crate::table::{SampleRow, Table};

/// Largest size of a page, in bytes. Samples beyond are left out.
const PAGE: usize = 9_800_000;
/// Size of a packed table that any page has room for.
const ROOM: usize = 1_500_000;
/// Texts of a sample, in bytes, that is left out first.
const LONG: usize = 1 << 16;
/// Letters of a line, which editors can show.
const LINE: usize = 4096;
/// A page unpacks to no more than this.
const UNPACKED: u64 = 1 << 30;
const BEGIN: &str = "<script type=\"application/gzip\" id=\"calm-table\">";
const END: &str = "</script>";

/// The table, packed.
pub(super) struct Embedded {
    /// Gzip in Base64.
    pub(super) base64: String,
    /// Samples in it.
    pub(super) samples: usize,
}

impl Embedded {
    /// A place for all of the table.
    pub(super) fn empty(table: &Table) -> Self {
        Self {
            base64: String::new(),
            samples: table.samples.len(),
        }
    }

    /// The table, in a page that has so many bytes without it.
    pub(super) fn of(table: &Table, page: usize) -> Result<Self, ReportError> {
        // Base64 makes four letters of three bytes, and lines.
        let room = (PAGE.saturating_sub(page) * 374 / 500).max(ROOM);
        if let (Some(base64), _) = Packer::pack(table, room)? {
            let samples = table.samples.len();
            return Ok(Self { base64, samples });
        }
        let rows: Vec<&SampleRow> = table
            .samples
            .iter()
            .filter(|row| bytes(row) <= LONG)
            .collect();
        let mut rest = Table {
            samples: Vec::new(),
            ..table.clone()
        };
        let mut keep = rows.len();
        loop {
            rest.samples = spread(&rows, keep).cloned().collect();
            let (packed, share) = Packer::pack(&rest, room)?;
            if let Some(base64) = packed {
                return Ok(Self {
                    base64,
                    samples: keep,
                });
            }
            if keep == 0 {
                let kind = io::ErrorKind::FileTooLarge;
                return Err(io::Error::new(kind, "the table without samples fills a page").into());
            }
            keep = (keep as f64 * 0.95 * share) as usize;
        }
    }

    /// Describes what is inside.
    pub(super) fn note(&self, table: &Table) -> String {
        let (here, all) = (self.samples, table.samples.len());
        let samples = match here == all {
            true => "with all of these samples".to_owned(),
            false => format!(
                "with {} of {} samples, spread evenly, without those of more than 64 KiB",
                count(here as u64),
                count(all as u64)
            ),
        };
        format!(
            "This page holds its table as JSON, {samples}: calm report PAGE --json prints it, and \
             calm report PAGE makes the page again."
        )
    }
}

/// Packs until the page is full, and then only counts.
struct Packer {
    packer: GzEncoder<Vec<u8>>,
    /// Bytes that it may have.
    room: usize,
    /// Bytes that were packed, and all.
    bytes: [usize; 2],
}

impl Packer {
    /// The table as gzip in Base64, if it fits, and the share of it that does.
    fn pack(table: &Table, room: usize) -> io::Result<(Option<String>, f64)> {
        let packer = GzEncoder::new(Vec::new(), Compression::default());
        let mut packer = Self {
            packer,
            room,
            bytes: [0; 2],
        };
        serde_json::to_writer(io::BufWriter::with_capacity(1 << 16, &mut packer), table)?;
        let [packed, all] = packer.bytes;
        let bytes = packer.packer.finish()?;
        if packed < all || bytes.len() > room {
            return Ok((None, packed as f64 / all as f64));
        }
        let letters = base64::encode(bytes);
        let lines = letters.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
        Ok((Some(lines.collect::<Vec<_>>().join("\n")), 1.0))
    }

    fn is_full(&self) -> bool {
        self.packer.get_ref().len() > self.room
    }
}

impl io::Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes[1] += bytes.len();
        if !self.is_full() {
            self.packer.write_all(bytes)?;
            self.bytes[0] += bytes.len();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the texts of a sample.
fn bytes(row: &SampleRow) -> usize {
    let outputs = row.outputs.iter().flatten().map(|output| output.text.len());
    row.prompt.len() + row.reference.len() + outputs.sum::<usize>()
}

/// So many of these, as evenly as can be.
fn spread<'a>(rows: &'a [&SampleRow], keep: usize) -> impl Iterator<Item = &'a SampleRow> {
    let all = rows.len().max(1);
    let places = (0..rows.len()).filter(move |at| at * keep / all != (at + 1) * keep / all);
    places.map(|at| rows[at])
}

/// The table of a page that [`html`](super::html) wrote; `path` is for messages.
///
/// # Errors
///
/// [`ReportError`] if the page holds none, or a damaged one, or one of another layout.
pub fn table_of(path: &Path, html: &str) -> Result<Table, ReportError> {
    let none = || ReportError::NoReport {
        path: path.to_owned(),
    };
    let damaged = |reason: String| ReportError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let begin = html.find(BEGIN).ok_or_else(none)? + BEGIN.len();
    let rest = &html[begin..];
    let end = rest
        .find(END)
        .ok_or_else(|| damaged("the page is cut off".to_owned()))?;
    let letters: Vec<u8> = rest[..end]
        .bytes()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    let packed = base64::decode(letters).map_err(|error| damaged(error.to_string()))?;
    let mut json = Vec::new();
    let mut unpacked = GzDecoder::new(packed.as_slice()).take(UNPACKED);
    unpacked
        .read_to_end(&mut json)
        .map_err(|error| damaged(error.to_string()))?;
    parse(path, &json)
}
