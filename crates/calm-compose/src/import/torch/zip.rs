//! The entries of a zip archive that compresses nothing.

use std::collections::BTreeMap;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Of the extra field that has what does not fit into 32 bits.
const WIDE: u16 = 1;

const CUT: &str = "is a zip archive that is cut short or damaged";

/// A record, read field by field at their distances from its beginning.
#[derive(Clone, Copy)]
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    /// The one at `at` with this signature.
    fn at(bytes: &'a [u8], at: usize, signature: &[u8]) -> Result<Self, String> {
        let record = bytes
            .get(at..)
            .filter(|record| record.starts_with(signature));
        record.map(Self).ok_or_else(|| CUT.to_owned())
    }

    fn bytes(self, at: usize, len: usize) -> Result<&'a [u8], String> {
        let end = at.checked_add(len);
        let bytes = end.and_then(|end| self.0.get(at..end));
        bytes.ok_or_else(|| CUT.to_owned())
    }

    /// A number of so many bytes.
    fn number(self, at: usize, len: usize) -> Result<usize, String> {
        let bytes = self.bytes(at, len)?.iter().rev();
        let number = bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number).map_err(|_| CUT.to_owned())
    }
}

/// Every entry by its name.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let (count, mut at) = directory(bytes)?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let record = Record::at(bytes, at, CENTRAL)?;
        let [name, extra, comment] = [28, 30, 32].map(|at| record.number(at, 2));
        let (name, extra, comment) = (name?, extra?, comment?);
        let text = str::from_utf8(record.bytes(46, name)?);
        let text = text.map_err(|_| "has an entry whose name is not UTF-8".to_owned())?;
        if record.number(8, 2)? & 1 == 1 || record.number(10, 2)? != 0 {
            return Err(format!(
                "has {text} compressed or encrypted, as torch.save never does"
            ));
        }
        let content = content(bytes, record, Record(record.bytes(46 + name, extra)?))?;
        if entries.insert(text.to_owned(), content).is_some() {
            return Err(format!("has {text} twice"));
        }
        at += 46 + name + extra + comment;
    }
    Ok(entries)
}

/// The number of entries, and where they are described.
fn directory(bytes: &[u8]) -> Result<(usize, usize), String> {
    // A comment of at most 65535 bytes may come behind the last record, which has 22.
    let first = bytes.len().saturating_sub(22 + 0xFFFF);
    let places = (first..bytes.len().saturating_sub(21)).rev();
    let mut ends = places.filter(|at| bytes[*at..].starts_with(END));
    let at = ends.next().ok_or(CUT)?;
    let end = Record(&bytes[at..]);
    let (count, place) = (end.number(10, 2)?, end.number(16, 4)?);
    if count < 0xFFFF && place < 0xFFFF_FFFF {
        return Ok((count, place));
    }
    let locator = at.checked_sub(20).ok_or(CUT)?;
    let locator = Record::at(bytes, locator, END_64_LOCATOR)?;
    let end = Record::at(bytes, locator.number(8, 8)?, END_64)?;
    Ok((end.number(32, 8)?, end.number(48, 8)?))
}

fn content<'a>(bytes: &'a [u8], record: Record<'_>, extra: Record<'_>) -> Result<&'a [u8], String> {
    // Of size, size in the archive and place, those that are too large are in the extra field.
    let narrow = [
        record.number(24, 4)?,
        record.number(20, 4)?,
        record.number(42, 4)?,
    ];
    let mut wide = wide(extra)?;
    let mut fields = [0; 3];
    for (field, narrow) in fields.iter_mut().zip(narrow) {
        *field = match narrow {
            0xFFFF_FFFF => {
                let (number, rest) = (wide.number(0, 8)?, &wide.0[8..]);
                wide = Record(rest);
                number
            }
            narrow => narrow,
        };
    }
    let [size, stored, place] = fields;
    if size != stored {
        return Err(CUT.to_owned());
    }
    let local = Record::at(bytes, place, LOCAL)?;
    let head = 30 + local.number(26, 2)? + local.number(28, 2)?;
    local.bytes(head, size)
}

fn wide(extra: Record<'_>) -> Result<Record<'_>, String> {
    let mut at = 0;
    while at < extra.0.len() {
        let len = extra.number(at + 2, 2)?;
        if extra.number(at, 2)? == usize::from(WIDE) {
            return Ok(Record(extra.bytes(at + 4, len)?));
        }
        at += 4 + len;
    }
    Ok(Record(&[]))
}
