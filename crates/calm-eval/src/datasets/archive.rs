use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use tempfile::NamedTempFile;

use super::DatasetError;

/// The largest file that is unpacked; those of the datasets that come in archives have a few
/// megabytes.
const LARGEST_MEMBER: u64 = 1 << 30;

/// Unpacks the plain files of one directory of a `.tar.gz` into another, replacing those of the same
/// names, each whole or not at all. Returns where they are, in the order of the archive.
///
/// # Errors
///
/// [`DatasetError`] if the archive is damaged or has no such files, or a file cannot be written.
pub fn unpack(archive: &Path, below: &str, into: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let damaged = |error: io::Error| {
        let reason = format!("cannot be unpacked ({error}); remove it and fetch it again");
        DatasetError::file(archive, reason)
    };
    let packed = File::open(archive).map_err(|source| DatasetError::io(archive, source))?;
    let mut members = Archive::new(GzDecoder::new(packed));
    let mut unpacked = Vec::new();
    for member in members.entries().map_err(damaged)? {
        let mut member = member.map_err(damaged)?;
        let path = member.path().map_err(damaged)?.into_owned();
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            continue;
        };
        // Names of links, or of what is elsewhere, are none of the dataset's.
        let is_plain = member.header().entry_type() == EntryType::Regular;
        if !is_plain || parent != Path::new(below) {
            continue;
        }
        if member.size() > LARGEST_MEMBER {
            let reason = format!("{} is too large", path.display());
            return Err(DatasetError::file(archive, reason));
        }
        let whole = into.join(name);
        write(&mut member, into, &whole).map_err(|source| DatasetError::io(&whole, source))?;
        unpacked.push(whole);
    }
    match unpacked.is_empty() {
        true => Err(DatasetError::file(
            archive,
            format!("holds no file in {below}"),
        )),
        false => Ok(unpacked),
    }
}

fn write(member: &mut impl io::Read, into: &Path, whole: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    let mut file = NamedTempFile::new_in(into)?;
    io::copy(member, &mut file)?;
    file.as_file().sync_all()?;
    open_to_all(file.as_file())?;
    file.persist(whole)?;
    Ok(())
}

/// A temporary file is its owner's alone; a dataset need not be.
fn open_to_all(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let _ = file;
    Ok(())
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
