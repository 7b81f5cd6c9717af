//! The files of a data set: one, all of a directory, or the parts of a split.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Endings of names of files that can be read, before `.gz` or `.zst`.
pub(super) const ENDINGS: [&str; 7] = ["jsonl", "ndjson", "json", "csv", "tsv", "tab", "parquet"];

/// The files behind a path: itself; those of a directory; or those whose names it begins, such as
/// `data/train` of `data/train-00000-of-00002.parquet`. Sorted by name.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let (directory, prefix) = match path.is_dir() {
        true => (path, String::new()),
        false => {
            let name = path.file_name().unwrap_or_default();
            (
                path.parent().unwrap_or(Path::new("")),
                name.to_string_lossy().into_owned(),
            )
        }
    };
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    // A path that begins nothing is one that is not there, or no regular file.
    let entries = match (fs::read_dir(directory), path.is_dir()) {
        (Ok(entries), _) => entries,
        (Err(error), true) => return Err(DataError::io(path)(error)),
        (Err(_), false) => return Ok(vec![path.to_owned()]),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(|path| is_part(path, &prefix)).collect();
    found.sort();
    match (found.is_empty(), path.is_dir()) {
        (false, _) => Ok(found),
        (true, false) => Ok(vec![path.to_owned()]),
        (true, true) => Err(DataError::file(
            path,
            format!(
                "is a directory without a file of examples (.{})",
                ENDINGS.join(", .")
            ),
        )),
    }
}

fn is_part(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(rest) = name.strip_prefix(prefix) else {
        return false;
    };
    let continues = prefix.is_empty() || behind_number(rest).starts_with('.');
    continues && is_readable(&name) && path.is_file()
}

/// The rest behind `-00000-of-00002`, or all if that is not there.
fn behind_number(rest: &str) -> &str {
    let number =
        |text: &'_ str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let parse = || {
        let part = rest.strip_prefix('-')?;
        let of = part[number(part)..].strip_prefix("-of-")?;
        (number(part) > 0 && number(of) > 0).then(|| &of[number(of)..])
    };
    parse().unwrap_or(rest)
}

/// Whether a file of this name holds examples.
fn is_readable(name: &str) -> bool {
    ending(name).is_some() && !name.starts_with('.')
}

/// Which of [`ENDINGS`] a name has.
pub(super) fn ending(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let packed = [".gz", ".zst"].into_iter();
    let name = packed
        .filter_map(|ending| name.strip_suffix(ending))
        .next()
        .unwrap_or(&name);
    let (_, found) = name.rsplit_once('.')?;
    ENDINGS.into_iter().find(|ending| *ending == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_the_files_that_its_name_begins() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "train-1-of-2.parquet",
            "train-0-of-2.parquet",
            "train-old.jsonl",
            "trained.jsonl",
            "test.JSON.gz",
            "more.jsonl.zst",
            "README.md",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |path: &str| -> Vec<String> {
            let found = files(&dir.path().join(path)).unwrap();
            found
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(
            names("train"),
            ["train-0-of-2.parquet", "train-1-of-2.parquet"]
        );
        assert_eq!(names("test"), ["test.JSON.gz"]);
        assert_eq!(names("README.md"), ["README.md"]);
        assert_eq!(names("other"), ["other"]);
        assert_eq!(names("more"), ["more.jsonl.zst"]);
        assert_eq!(names("").len(), 6);
        fs::create_dir(dir.path().join("empty")).unwrap();
        let error = files(&dir.path().join("empty")).unwrap_err().to_string();
        assert!(error.contains("without a file of examples"), "{error}");
    }
}
