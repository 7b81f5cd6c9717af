//! Errors of fetching from the Hub, or from another server.

use std::path::PathBuf;

/// Why a model of the Hub, or a file of another server, cannot be had. None of these leaves a file
/// that could be taken for whole; what was fetched of it is kept, and the next run goes on from
/// there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// This build has no networking.
    #[error(
        "this program was built without the feature 'hub'; fetch the files and give their directory"
    )]
    NotBuilt,
    /// Nobody knows where the cache is.
    #[error("there is no home directory for the cache; set HF_HOME")]
    NoHome,
    /// An environment variable cannot be used.
    #[error("{name} is {found:?}; it must be {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// Values that are allowed.
        expected: &'static str,
    },
    /// A text is no address.
    #[error("{found:?} is no address; write one such as https://raw.githubusercontent.com")]
    Address {
        /// The text.
        found: String,
    },
    /// The token cannot be sent.
    #[error(
        "the token of {origin} has characters that no token has; log in again, or set HF_TOKEN"
    )]
    Token {
        /// The variable or file that it is from.
        origin: String,
    },
    /// No connection, or none that lasts until an answer.
    #[error("{host} cannot be reached ({reason}); check the network, {mend}")]
    Unreachable {
        /// Scheme, host and port.
        host: String,
        /// Message of the network.
        reason: String,
        /// Advice.
        mend: &'static str,
    },
    /// Fetching is forbidden, and the cache does not hold all that is needed.
    #[error(
        "its {file} is not in the cache {}, and HF_HUB_OFFLINE forbids fetching it; unset that, \
         or give a directory",
        cache.display()
    )]
    NotCached {
        /// The first file that is missing.
        file: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub knows no model of this name.
    #[error("{endpoint} has no such model; check its name")]
    NoModel {
        /// The hub.
        endpoint: String,
    },
    /// The hub knows no data set of this name.
    #[error("{endpoint} has no such data set; check its name")]
    NoDataset {
        /// The hub.
        endpoint: String,
    },
    /// A data set has no files of this name.
    #[error("it has no file of examples at '{path}'; there are: {found}")]
    NoSplit {
        /// The path that was asked for.
        path: String,
        /// Splits that there are.
        found: String,
    },
    /// A data set has files of several splits.
    #[error("it has several splits, {found}; add one to its name, behind a slash")]
    Splits {
        /// The splits.
        found: String,
    },
    /// The model has no branch, tag or commit of this name.
    #[error("it has no revision '{revision}'; give a branch, a tag or a commit of it")]
    NoRevision {
        /// Subject of the request.
        revision: String,
    },
    /// The hub wants to know who asks.
    #[error(
        "{endpoint} answers {status} without a token: the model is private, or has terms to agree \
         to, or does not exist; set HF_TOKEN, or log in with 'hf auth login'"
    )]
    NeedsToken {
        /// The hub.
        endpoint: String,
        /// 401 or 403.
        status: u16,
    },
    /// The hub knows who asks.
    #[error(
        "{endpoint} answers {status} to the token: it is not valid, or the model is private, or \
         access has to be asked for on the model's page"
    )]
    Denied {
        /// The hub.
        endpoint: String,
        /// 401 or 403.
        status: u16,
    },
    /// Another answer that is none.
    #[error("{host} answers {status} for {what}; try again later")]
    Status {
        /// Scheme, host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Subject of the request.
        what: String,
    },
    /// The repository lacks a file without which it is no model.
    #[error("the repository has no {file}; add it to a copy of your own, and give its directory")]
    NoFile {
        /// The file.
        file: String,
    },
    /// The repository has no weights in a format that this crate reads.
    #[error(
        "the repository has neither model.safetensors nor model.safetensors.index.json{}; convert \
         it, or give a revision that has them",
        found.as_ref().map(|name| format!(", but {name}")).unwrap_or_default()
    )]
    NoSafetensors {
        /// Weights in another format.
        found: Option<String>,
    },
    /// The repository lacks the GGUF file that was named, or another of its model.
    #[error(
        "the repository has no {file}{}",
        if found.is_empty() { String::new() } else { format!("; give one of {found}") }
    )]
    NoGguf {
        /// The file.
        file: String,
        /// Names of the models that it has.
        found: String,
    },
    /// Of the formats that this crate reads the repository has GGUF alone, where a file has to be named.
    #[error("the repository has its weights in GGUF files; give one of {found}")]
    OnlyGguf {
        /// Names of the models that it has.
        found: String,
    },
    /// The hub says something that it may not say.
    #[error("{host} gives {reason} for {what}; is its address right?")]
    Protocol {
        /// Scheme, host and port.
        host: String,
        /// Subject of the request.
        what: String,
        /// Fault of the answer.
        reason: String,
    },
    /// The connection was cut.
    #[error(
        "{file}: the connection ended after {bytes} of {total_bytes} bytes ({reason}); the same \
         command goes on from there"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that are there.
        bytes: u64,
        /// Its size.
        total_bytes: u64,
        /// Message of the network.
        reason: String,
    },
    /// A file has another size than it should.
    #[error("{file}: {found} bytes came instead of {expected}; nothing of it was kept, try again")]
    Length {
        /// The file.
        file: String,
        /// Expected size.
        expected: u64,
        /// Size that came, or was announced.
        found: u64,
    },
    /// A file was damaged on the way.
    #[error(
        "{file}: what came has the SHA-256 {found} instead of {expected}; nothing of it was kept, \
         try again"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// The hash that it should have.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// A file cannot be read or written, for instance because the disk is full.
    #[error("{}: {source}; the same command goes on from here once that is mended", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}
