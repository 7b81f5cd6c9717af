//! One file, from the Hub into the cache, or from another server to a place of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use calm_files::{sha256_reader, try_lock};
use hf_hub::Repo;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};

use super::client::{Answer, Client, header, origin, protocol};
use super::{Fetching, HubError};

/// Headers with hash and size of a file that is stored elsewhere.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

/// Number of connections in a row that may end without having brought anything.
const ATTEMPTS: u32 = 3;

/// Time to wait before the second of them.
const PAUSE: Duration = Duration::from_millis(500);

const PIECE_BYTES: usize = 1 << 20;

/// A file of a server.
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) url: String,
    /// Its hash: SHA-256, or of a small file of the Hub git's.
    pub(super) etag: String,
    pub(super) bytes: u64,
}

impl RemoteFile {
    /// Asks the Hub for it.
    pub(super) fn find(client: &Client<'_>, repo: &Repo, name: &str) -> Result<Self, HubError> {
        let Answer { url, response } = client.head(repo, name)?;
        let headers = response.headers();
        let etag = header(headers, LINKED_ETAG)
            .or_else(|| header(headers, ETAG.as_str()))
            .map(|etag| etag.trim_start_matches("W/").trim_matches('"'))
            .filter(|etag| is_file_name(etag))
            .ok_or_else(|| protocol(&url, name, &"no ETag that could be a file's name"))?;
        // The length of a redirection is not that of the file.
        let length = (!response.status().is_redirection()).then_some(CONTENT_LENGTH.as_str());
        let bytes = header(headers, LINKED_SIZE)
            .or_else(|| header(headers, length?))
            .and_then(|bytes| bytes.parse().ok())
            .ok_or_else(|| protocol(&url, name, &"no size"))?;
        Ok(Self {
            name: name.to_owned(),
            etag: etag.to_owned(),
            bytes,
            url,
        })
    }

    /// Fetches it, unless it is there. Whether it had to be.
    ///
    /// Bytes are appended to a file whose name ends in `.part`, which becomes `path` once it is
    /// whole and its hash the right one. That file is locked meanwhile: another process waits, and
    /// then finds `path`.
    pub(super) fn fetch(
        &self,
        client: &Client<'_>,
        path: &Path,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<bool, HubError> {
        if self.is_at(path)? {
            return Ok(false);
        }
        // What an earlier run left can be trusted where the whole will be checked.
        let trusted_bytes = self.sha256().map_or(0, |_| self.bytes);
        let mut part = Part::open(path.with_added_extension("part"), trusted_bytes)?;
        if self.is_at(path)? {
            part.discard()?;
            return Ok(false);
        }
        self.append_all(client, &mut part, progress)?;
        self.check(&mut part)?;
        part.become_whole(path)?;
        Ok(true)
    }

    /// Whether it is there: by its name, if that is its hash, and otherwise by its content.
    fn is_at(&self, path: &Path) -> Result<bool, HubError> {
        if !path.is_file() {
            return Ok(false);
        }
        if path.file_name().is_some_and(|name| name == &*self.etag) {
            return Ok(true);
        }
        let found = File::open(path).and_then(sha256_reader);
        let found = found.map_err(|source| file_error(path, source))?;
        Ok(self.is_right(&found))
    }

    fn is_right(&self, sha256: &str) -> bool {
        self.sha256()
            .is_none_or(|expected| expected.eq_ignore_ascii_case(sha256))
    }

    /// Appends until it is whole, over as many connections as it takes.
    fn append_all(
        &self,
        client: &Client<'_>,
        part: &mut Part,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), HubError> {
        let mut in_vain = 0;
        let mut before = part.bytes;
        let mut cut = None;
        loop {
            match (self.append(client, part, progress), cut.take()) {
                (Ok(()), _) => return Ok(()),
                // What ended the connection is over, or the network is.
                (Err(error @ HubError::Interrupted { .. }), _) => {
                    in_vain = if part.bytes > before { 0 } else { in_vain + 1 };
                    if in_vain == ATTEMPTS {
                        return Err(error);
                    }
                    cut = Some(error);
                }
                (Err(HubError::Unreachable { .. }), Some(cut)) => return Err(cut),
                (Err(error), _) => return Err(error),
            }
            before = part.bytes;
            thread::sleep(PAUSE * in_vain);
        }
    }

    /// Goes on from where the part ends, to the end of the connection.
    fn append(
        &self,
        client: &Client<'_>,
        part: &mut Part,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), HubError> {
        let mut show = |bytes| {
            progress(Fetching {
                file: &self.name,
                bytes,
                total_bytes: self.bytes,
            });
        };
        show(part.bytes);
        if part.bytes == self.bytes {
            return Ok(());
        }
        let answer = client.get(&self.url, part.bytes)?;
        self.check_answer(&answer, part)?;
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let read = match body.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.interrupted(part, error.to_string())),
                Ok(0) if part.bytes < self.bytes => {
                    return Err(self.interrupted(part, "the server said no more".to_owned()));
                }
                Ok(0) => return Ok(()),
                Ok(read) => read,
            };
            if part.bytes + read as u64 > self.bytes {
                return Err(self.wrong_length(part, part.bytes + read as u64));
            }
            part.append(&buffer[..read])?;
            show(part.bytes);
        }
    }

    /// Checks that the answer is the rest of this file. A server that knows no ranges begins anew.
    fn check_answer(&self, answer: &Answer, part: &mut Part) -> Result<(), HubError> {
        let headers = answer.response.headers();
        let total = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = header(headers, CONTENT_RANGE.as_str()).unwrap_or_default();
                let start = format!("bytes {}-", part.bytes);
                let total = range
                    .strip_prefix(&start)
                    .and_then(|rest| rest.split_once('/'));
                let Some((_, total)) = total else {
                    let reason = format!("the range {range:?} instead of {start:?}");
                    return Err(protocol(&answer.url, &self.name, &reason));
                };
                total.parse().ok()
            }
            StatusCode::OK => {
                part.clear()?;
                header(headers, CONTENT_LENGTH.as_str()).and_then(|bytes| bytes.parse().ok())
            }
            status => {
                return Err(HubError::Status {
                    host: origin(&answer.url).to_owned(),
                    status: status.as_u16(),
                    what: self.name.clone(),
                });
            }
        };
        match total {
            Some(total) if total != self.bytes => Err(self.wrong_length(part, total)),
            _ => Ok(()),
        }
    }

    /// Its hash, if it is a SHA-256; of small files it is one of git's.
    fn sha256(&self) -> Option<&str> {
        let is_hex = |byte: u8| byte.is_ascii_hexdigit();
        (self.etag.len() == 64 && self.etag.bytes().all(is_hex)).then_some(&*self.etag)
    }

    /// Whether the whole has the hash that it should.
    fn check(&self, part: &mut Part) -> Result<(), HubError> {
        let found = part.sha256()?;
        if self.is_right(&found) {
            return Ok(());
        }
        part.clear()?;
        Err(HubError::Corrupt {
            file: self.name.clone(),
            expected: self.etag.clone(),
            found,
        })
    }

    fn interrupted(&self, part: &Part, reason: String) -> HubError {
        HubError::Interrupted {
            file: self.name.clone(),
            bytes: part.bytes,
            total_bytes: self.bytes,
            reason,
        }
    }

    /// The bytes that are there belong to another file.
    fn wrong_length(&self, part: &mut Part, found: u64) -> HubError {
        match part.clear() {
            Err(error) => error,
            Ok(()) => HubError::Length {
                file: self.name.clone(),
                expected: self.bytes,
                found,
            },
        }
    }
}

/// The beginning of a file.
struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Part {
    /// Opens the part that an earlier run left, at most `limit` bytes, or an empty one.
    fn open(path: PathBuf, limit: u64) -> Result<Self, HubError> {
        let open = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)?;
            lock(&file, &path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|source| file_error(&path, source))?;
        let mut part = Self { path, file, bytes };
        if bytes > limit {
            part.clear()?;
        }
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let written = self.file.write_all(bytes);
        // A full disk may have taken some of it.
        let there = self.file.metadata().map(|metadata| metadata.len());
        self.bytes = there.map_err(|source| file_error(&self.path, source))?;
        written.map_err(|source| file_error(&self.path, source))
    }

    fn clear(&mut self) -> Result<(), HubError> {
        if self.bytes == 0 {
            return Ok(());
        }
        self.bytes = 0;
        self.file
            .set_len(0)
            .map_err(|source| file_error(&self.path, source))
    }

    fn sha256(&mut self) -> Result<String, HubError> {
        let found = self.file.rewind().and_then(|()| sha256_reader(&self.file));
        found.map_err(|source| file_error(&self.path, source))
    }

    fn become_whole(self, path: &Path) -> Result<(), HubError> {
        let sync = self.file.sync_all();
        sync.and_then(|()| fs::rename(&self.path, path))
            .map_err(|source| file_error(&self.path, source))
    }

    /// Another process was faster. What is open may be the file that it made, so only what still
    /// has the name of a part is removed.
    fn discard(self) -> Result<(), HubError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(file_error(&self.path, source))
            }
            _ => Ok(()),
        }
    }
}

/// Waits for whoever fetches the same file.
fn lock(file: &File, path: &Path) -> io::Result<()> {
    match try_lock(file) {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!(
                "waiting for another process, which fetches {}",
                path.display()
            );
            file.lock()
        }
        // A file system without locks: the worst that may come is fetching twice.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn file_error(path: &Path, source: io::Error) -> HubError {
    HubError::File {
        path: path.to_owned(),
        source,
    }
}

/// Whether a hash may be used as the name of a file.
fn is_file_name(etag: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (8..=128).contains(&etag.len()) && etag.bytes().all(is_plain)
}
