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

/// Largest size of the table in a page, in letters of Base64. Samples beyond are left out.
const LETTERS: usize = 7_500_000;
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
    pub(super) fn of(table: &Table) -> Result<Self, ReportError> {
        let packed = Self::pack(table)?;
        if packed.base64.len() <= LETTERS {
            return Ok(packed);
        }
        let is_long = |row: &&SampleRow| bytes(row) > LONG;
        let rows: Vec<&SampleRow> = table.samples.iter().filter(|row| !is_long(row)).collect();
        let rest = Table {
            samples: Vec::new(),
            ..table.clone()
        };
        let mut keep = rows.len();
        loop {
            let samples = spread(&rows, keep).cloned().collect();
            let packed = Self::pack(&Table {
                samples,
                ..rest.clone()
            })?;
            if packed.base64.len() <= LETTERS || keep == 0 {
                return Ok(packed);
            }
            let share = 0.95 * LETTERS as f64 / packed.base64.len() as f64;
            keep = (keep as f64 * share) as usize;
        }
    }

    fn pack(table: &Table) -> Result<Self, ReportError> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(io::BufWriter::new(&mut packer), table).map_err(io::Error::from)?;
        let letters = base64::encode(packer.finish()?);
        let lines = letters.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
        Ok(Self {
            base64: lines.collect::<Vec<_>>().join("\n"),
            samples: table.samples.len(),
        })
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
