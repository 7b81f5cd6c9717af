//! The bytes of a file, unpacked as its first bytes say.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use calm_files::{Hashed, hex};
use flate2::bufread::MultiGzDecoder;

use super::zstd::{ZstdReader, is_zstd};
use crate::DataError;

/// Text of a file, unpacked.
pub(crate) type Text = BufReader<Box<dyn Read + Send>>;

/// First bytes of a file packed by gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes that are read at a time.
const BUFFER: usize = 1 << 18;

/// The bytes of a file, which it counts and hashes.
#[derive(Debug, Clone)]
pub(crate) struct Tap(Arc<Mutex<(Hashed<File>, u64)>>);

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = tap.0.read(buffer)?;
        tap.1 += read as u64;
        Ok(read)
    }
}

impl Tap {
    /// Bytes that were read so far.
    pub(crate) fn taken(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// The hash of all bytes, those that nobody read included.
    pub(crate) fn sha256(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        let tap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(hex(tap.0.sha256()))
    }
}

/// Opens a file: its text, unpacked if it is packed by gzip or Zstandard, and its tap.
///
/// # Errors
///
/// [`DataError::Io`] if it cannot be opened or read.
pub(crate) fn open_text(path: &Path) -> Result<(Text, Tap), DataError> {
    let io = DataError::io(path);
    let tap = Tap(Arc::new(Mutex::new((
        Hashed::new(File::open(path).map_err(&io)?),
        0,
    ))));
    let raw: Box<dyn Read + Send> = Box::new(tap.clone());
    let mut raw = BufReader::with_capacity(BUFFER, raw);
    let begin = raw.fill_buf().map_err(&io)?;
    let text: Box<dyn Read + Send> = if begin.starts_with(&GZIP) {
        let text = MultiGzDecoder::new(raw);
        Box::new(Unpacked { text, by: "gzip" })
    } else if is_zstd(begin) {
        let text = ZstdReader::new(raw);
        Box::new(Unpacked {
            text,
            by: "Zstandard",
        })
    } else {
        return Ok((raw, tap));
    };
    Ok((BufReader::with_capacity(BUFFER, text), tap))
}

/// Says of errors that what was packed is at fault.
struct Unpacked<R> {
    text: R,
    by: &'static str,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => {
                let reason = format!(
                    "what {} packed is cut short or damaged here ({error}); fetch it again",
                    self.by
                );
                io::Error::new(io::ErrorKind::InvalidData, reason)
            }
        })
    }
}

/// The files behind a path whose last part may have `*` in it, sorted by name; each is a plain file,
/// since nothing comes out of others, or never ends.
///
/// # Errors
///
/// [`DataError`] naming what is no plain file, or if there is none.
pub(crate) fn plain_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let files = matching(path)?.unwrap_or_else(|| vec![path.to_owned()]);
    for file in &files {
        let found = fs::metadata(file).map_err(DataError::io(file))?;
        if found.is_dir() {
            let reason = "is a directory; name its files, such as DIR/*.jsonl.gz";
            return Err(DataError::file(file, reason));
        }
        if !found.is_file() {
            let reason = "is a pipe or a device; write what it holds to a file, and name that";
            return Err(DataError::file(file, reason));
        }
    }
    Ok(files)
}

/// What a path whose last part has `*` in it stands for, sorted by name; none if the path is meant as it is.
///
/// # Errors
///
/// [`DataError`] if nothing has such a name.
pub(super) fn matching(path: &Path) -> Result<Option<Vec<PathBuf>>, DataError> {
    let pattern = path.file_name().unwrap_or_default().to_string_lossy();
    if !pattern.contains('*') || path.exists() {
        return Ok(None);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(directory).map_err(DataError::io(directory))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(DataError::io(directory))?.file_name();
        if matches(&name.to_string_lossy(), &pattern) {
            files.push(directory.join(name));
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(DataError::file(path, "no file has such a name")),
        false => Ok(Some(files)),
    }
}

/// Whether a name is as a pattern says, in which `*` is any text; a hidden file only if it begins so.
fn matches(name: &str, pattern: &str) -> bool {
    let Some((first, last)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    if first.is_empty() && name.starts_with('.') {
        return false;
    }
    let mut parts: Vec<&str> = last.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let directory = tempfile::tempdir().unwrap();
        // The name says nothing.
        let path = directory.path().join("text.txt");
        fs::write(&path, bytes).unwrap();
        let (mut text, tap) = open_text(&path).map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        text.read_to_end(&mut read)
            .map_err(|error| error.to_string())?;
        assert_eq!(tap.taken(), bytes.len() as u64);
        assert_eq!(tap.sha256().unwrap(), calm_files::sha256(bytes));
        Ok(read)
    }

    #[test]
    fn a_file_is_unpacked_by_what_it_holds() {
        let text = "one\ntwo\n".repeat(40_000).into_bytes();
        let skipped = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for packed in [
            text.clone(),
            gzip(&text),
            [gzip(&text[..8]), gzip(b""), gzip(&text[8..])].concat(),
            zstd(&text),
            [zstd(&text[..8]), skipped.clone(), zstd(&text[8..]), skipped].concat(),
        ] {
            assert!(read(&packed).unwrap() == text, "{:?}", &packed[..4]);
        }
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn half_a_packed_file_is_named_as_such() {
        let text: Vec<u8> = (0..50_000_u32)
            .flat_map(|i| format!("{i}\n").into_bytes())
            .collect();
        for packed in [gzip(&text), zstd(&text)] {
            for cut in [6, 20, packed.len() / 2, packed.len() - 1] {
                let error = read(&packed[..cut]).unwrap_err();
                assert!(error.contains("cut short or damaged"), "{cut}: {error}");
                assert!(!error.contains('\n'), "{error}");
            }
            let mut changed = packed.clone();
            let middle = packed.len() / 2;
            changed[middle..middle + 8].fill(0x5a);
            assert!(read(&changed).is_err());
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (name, pattern, expected) in [
            ("a.jsonl.gz", "*.jsonl.gz", true),
            ("a.jsonl", "*.jsonl.gz", false),
            (".a.jsonl", "*.jsonl", false),
            ("ny_clean_0001.gz", "ny_*_*.gz", true),
            ("ny_clean.gz", "ny_*_*.gz", false),
            ("aa", "a*a", true),
            ("a", "a*a", false),
        ] {
            assert_eq!(matches(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn what_is_no_plain_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("dir")).unwrap();
        fs::write(path("b.txt"), "").unwrap();
        fs::write(path("a.txt"), "").unwrap();
        let error = |name: &str| plain_files(&path(name)).unwrap_err().to_string();
        assert!(error("dir").contains("is a directory; name its files"));
        assert!(error("none").contains("none"));
        assert!(error("*.gz").contains("no file has such a name"));
        let found = plain_files(&path("*.txt")).unwrap();
        assert_eq!(found, [path("a.txt"), path("b.txt")]);
        let error = plain_files(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("is a pipe or a device"), "{error}");
    }
}
