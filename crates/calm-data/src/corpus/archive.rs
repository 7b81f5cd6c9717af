//! Archives of files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use crate::DataError;

/// Largest file that is unpacked. Files of known datasets have a few megabytes.
const LARGEST_MEMBER: u64 = 1 << 30;

/// Unpacks the plain files of one directory of a `.tar.gz` into another, each whole or not at all;
/// files of the same names are replaced. Returns their paths, in the order of the archive.
///
/// # Errors
///
/// [`DataError`] if the archive is damaged or has no such files, or a file cannot be written.
pub fn unpack(archive: &Path, below: &str, into: &Path) -> Result<Vec<PathBuf>, DataError> {
    let damaged = |error: io::Error| {
        let reason = format!("cannot be unpacked ({error}); remove it and fetch it again");
        DataError::file(archive, reason)
    };
    let packed = File::open(archive).map_err(DataError::io(archive))?;
    let mut members = Archive::new(GzDecoder::new(packed));
    let mut unpacked = Vec::new();
    for member in members.entries().map_err(damaged)? {
        let mut member = member.map_err(damaged)?;
        let path = member.path().map_err(damaged)?.into_owned();
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            continue;
        };
        // Links and files of other directories are skipped.
        let is_plain = member.header().entry_type() == EntryType::Regular;
        if !is_plain || parent != Path::new(below) {
            continue;
        }
        if member.size() > LARGEST_MEMBER {
            let reason = format!("{} is too large", path.display());
            return Err(DataError::file(archive, reason));
        }
        let whole = into.join(name);
        fs::create_dir_all(into).map_err(DataError::io(into))?;
        calm_files::write_with(&whole, |file| io::copy(&mut member, file).map(drop))?;
        unpacked.push(whole);
    }
    match unpacked.is_empty() {
        true => Err(DataError::file(
            archive,
            format!("holds no file in {below}"),
        )),
        false => Ok(unpacked),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    fn archive(path: &Path, members: &[(&str, EntryType, &str)]) {
        let file = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
        let mut builder = Builder::new(file);
        for (name, kind, text) in members {
            let mut header = Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn the_plain_files_of_a_directory_are_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let (packed, into) = (
            directory.path().join("x.tgz"),
            directory.path().join("into"),
        );
        archive(
            &packed,
            &[
                ("sets/", EntryType::Directory, ""),
                ("sets/dev.en", EntryType::Regular, "a\nb\n"),
                ("sets/deeper/dev.en", EntryType::Regular, "other"),
                ("sets/link.en", EntryType::Symlink, ""),
                ("sets/../../out.en", EntryType::Regular, "out"),
                ("sets/dev.ne", EntryType::Regular, "c\nd\n"),
            ],
        );
        let found = unpack(&packed, "sets", &into).unwrap();
        assert_eq!(found, [into.join("dev.en"), into.join("dev.ne")]);
        assert_eq!(fs::read_to_string(into.join("dev.en")).unwrap(), "a\nb\n");
        assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
        assert!(!directory.path().join("out.en").exists());
        let error = unpack(&packed, "other", &into).unwrap_err().to_string();
        assert!(error.contains("holds no file in other"), "{error}");
    }

    #[test]
    fn a_damaged_archive_is_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let packed = directory.path().join("x.tgz");
        archive(
            &packed,
            &[("sets/a", EntryType::Regular, &"text ".repeat(2000))],
        );
        let bytes = fs::read(&packed).unwrap();
        for cut in [0, 5, bytes.len() / 4, bytes.len() / 2] {
            fs::write(&packed, &bytes[..cut]).unwrap();
            let into = directory.path().join("into");
            let error = unpack(&packed, "sets", &into).unwrap_err().to_string();
            assert!(!error.contains('\n') && error.contains("x.tgz"), "{error}");
            assert!(!into.join("a").exists());
        }
    }
}
