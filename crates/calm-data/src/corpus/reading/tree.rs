//! Files of source code in the tree of a project.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use calm_files::{Hashed, hex, sha256};
use walkdir::{DirEntry, WalkDir};

use super::bytes::to_text;
use super::source::matching;
use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::corpus::code::{TreeLicences, of_header};
use crate::corpus::{CodeLanguage, Origin, SizeConfig, SourceFile, SourceSpec};

/// The files of a directory and of those below it, in the order of their names. Hidden ones and what links
/// lead to are none of it, so a tree that links to itself ends.
pub(super) struct TreeReader {
    root: PathBuf,
    name: Arc<str>,
    entries: Walk,
    licences: TreeLicences,
    wanted: Wanted,
    /// Number of the files so far, and bytes of those that were read.
    place: u64,
    bytes: u64,
    /// Hash of the paths and hashes of all files that were read.
    hashes: Hashed<io::Sink>,
}

/// What is read of a source.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    languages: Vec<CodeLanguage>,
    licence: Option<Arc<str>>,
    size: Option<SizeConfig>,
}

impl Wanted {
    pub(super) fn new(source: &SourceSpec, size: Option<SizeConfig>) -> Self {
        Self {
            languages: source.languages.clone(),
            licence: source.licence.as_deref().map(Arc::from),
            size,
        }
    }

    /// The licence of what says none.
    pub(super) fn licence(&self) -> Option<Arc<str>> {
        self.licence.clone()
    }

    /// This language, if it is wanted.
    pub(super) fn language(&self, found: Option<CodeLanguage>) -> Result<CodeLanguage, Skip> {
        let is_wanted =
            |of: &CodeLanguage| self.languages.is_empty() || self.languages.contains(of);
        found.filter(is_wanted).ok_or(Skip::OtherLanguage)
    }

    pub(super) fn check_size(&self, bytes: u64) -> Result<(), Skip> {
        match self.size {
            Some(size) if !(size.min_bytes..=size.max_bytes).contains(&bytes) => Err(Skip::Size),
            _ => Ok(()),
        }
    }
}

/// The directories behind a path whose last part may have `*` in it, sorted by name.
///
/// # Errors
///
/// [`DataError`] naming what is no directory, or if there is none.
pub(super) fn trees(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let Some(mut found) = matching(path)? else {
        let reason = "is no directory; `trees` are directories, and `jsonl` and `parquet` files";
        return match fs::metadata(path).map_err(DataError::io(path))?.is_dir() {
            true => Ok(vec![path.to_owned()]),
            false => Err(DataError::file(path, reason)),
        };
    };
    found.retain(|path| path.is_dir());
    match found.is_empty() {
        true => Err(DataError::file(path, "no directory has such a name")),
        false => Ok(found),
    }
}

/// Bytes of all files of a tree whose names are of a language.
pub(super) fn size(root: &Path) -> u64 {
    let files = walk(root).filter_map(Result::ok);
    let code = files.filter(|entry| {
        entry.file_type().is_file()
            && CodeLanguage::of_path(&entry.file_name().to_string_lossy()).is_some()
    });
    code.filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}

/// All of a tree but what is hidden, in the order of names.
type Walk = walkdir::FilterEntry<walkdir::IntoIter, fn(&DirEntry) -> bool>;

fn walk(root: &Path) -> Walk {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter();
    entries.filter_entry(|entry| !is_hidden(entry))
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".")
}

impl TreeReader {
    pub(super) fn open(root: &Path, wanted: Wanted) -> Self {
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        Self {
            name: name.into(),
            entries: walk(root),
            licences: TreeLicences::new(root),
            root: root.to_owned(),
            wanted,
            place: 0,
            bytes: 0,
            hashes: Hashed::new(io::sink()),
        }
    }

    /// The next entry that is no directory; none at the end.
    fn next_entry(&mut self) -> Option<walkdir::Result<DirEntry>> {
        let is_directory = |entry: &DirEntry| entry.file_type().is_dir();
        self.entries
            .find(|entry| !entry.as_ref().is_ok_and(is_directory))
    }

    fn file(&mut self, entry: &DirEntry) -> Result<Result<SourceFile, Skip>, DataError> {
        let relative = entry
            .path()
            .strip_prefix(&self.root)
            .unwrap_or(entry.path());
        let names = relative.iter().map(|name| name.to_string_lossy());
        let path = names.collect::<Vec<_>>().join("/");
        let (text, language) = match self.text(entry, &path) {
            Ok(found) => found,
            Err(skip) => return Ok(Err(skip)),
        };
        let sha256 = sha256(&text);
        self.bytes += text.len() as u64;
        let hashed = writeln!(self.hashes, "{sha256}  {path}");
        hashed.map_err(DataError::io(entry.path()))?;
        let licence = match of_header(&text) {
            Some(said) => Some(Arc::from(said)),
            None => {
                let directory = entry.path().parent().unwrap_or(&self.root);
                self.licences
                    .of(directory)?
                    .or_else(|| self.wanted.licence())
            }
        };
        Ok(Ok(SourceFile {
            text,
            language,
            path,
            tree: self.name.clone(),
            licence,
            sha256,
            origin: Origin::default(),
        }))
    }

    fn text(&self, entry: &DirEntry, path: &str) -> Result<(String, CodeLanguage), Skip> {
        let language = self.wanted.language(CodeLanguage::of_path(path))?;
        if entry.path_is_symlink() {
            return Err(Skip::Link);
        }
        // Pipes and devices may never end.
        if !entry.file_type().is_file() {
            return Err(Skip::Unreadable);
        }
        let unreadable = |_| Skip::Unreadable;
        let size = entry.metadata().map_err(|_| Skip::Unreadable)?.len();
        self.wanted.check_size(size)?;
        let mut bytes = Vec::new();
        let file = File::open(entry.path()).map_err(unreadable)?;
        // No more than was there a moment ago.
        file.take(size)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let bytes = calm_files::without_mark(&bytes).map_err(|_| Skip::InvalidUtf8)?;
        let text = to_text(bytes.to_vec()).map_err(|_| Skip::InvalidUtf8)?;
        Ok((text, language))
    }
}

impl RecordReader<SourceFile> for TreeReader {
    fn next(&mut self) -> Result<Option<Found<SourceFile>>, DataError> {
        let Some(entry) = self.next_entry() else {
            return Ok(None);
        };
        self.place += 1;
        let content = match entry {
            Ok(entry) => self.file(&entry)?,
            Err(error) if error.depth() == 0 => {
                return Err(DataError::file(&self.root, error.to_string()));
            }
            Err(_) => Err(Skip::Unreadable),
        };
        let place = self.place;
        Ok(Some(Found { place, content }))
    }

    fn taken(&self) -> u64 {
        self.bytes
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        Ok(vec![InputFile {
            path: self.root,
            bytes: self.bytes,
            sha256: hex(self.hashes.sha256()),
        }])
    }
}
