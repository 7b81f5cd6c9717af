//! Faults of GGUF files.

/// Faults of a GGUF file. Names that a file brings are escaped and shortened: an error is one line,
/// whatever they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file begins with something else.
    #[error("does not begin with the letters GGUF; it is no GGUF file, or a damaged one")]
    Magic,
    /// Numbers are stored with the most significant byte first.
    #[error("is a big-endian GGUF file; take the little-endian one, which all usual machines read")]
    BigEndian,
    /// The version is too old or too new.
    #[error(
        "is of version {version} of the format; 2 and 3 can be read, so convert the model anew"
    )]
    Version {
        /// The version.
        version: u32,
    },
    /// The file ends early.
    #[error("ends at byte {bytes}, within {inside}; it is cut off or damaged")]
    CutOff {
        /// The file's size.
        bytes: usize,
        /// Part of the file that is cut.
        inside: String,
    },
    /// A number of things for which the file has no room.
    #[error("claims {count} {things}, for which its {bytes} bytes have no room; it is damaged")]
    Count {
        /// The number.
        count: u64,
        /// Things that are counted.
        things: String,
        /// The file's size.
        bytes: usize,
    },
    /// Names of keys or tensors that occur twice.
    #[error("{what} {name} occurs twice")]
    Duplicate {
        /// A key or a tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The value of a metadata key is missing or wrong.
    #[error("metadata key {key} {reason}")]
    Key {
        /// The key.
        key: String,
        /// Fault, and expected value.
        reason: String,
    },
    /// A text, such as the name of a tensor, is none.
    #[error("{what} {reason}")]
    Text {
        /// The text's place.
        what: String,
        /// Fault.
        reason: &'static str,
    },
    /// A tensor's description is wrong.
    #[error("tensor {name} {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// Fault.
        reason: String,
    },
    /// The parts of a model in several files disagree.
    #[error("{reason}")]
    Split {
        /// Fault, and what would mend it.
        reason: String,
    },
}

impl GgufError {
    pub(super) fn key(key: &str, reason: impl Into<String>) -> Self {
        Self::Key {
            key: short(key),
            reason: reason.into(),
        }
    }

    pub(super) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor {
            name: short(name),
            reason: reason.into(),
        }
    }
}

/// A name on one line, of a length that leaves room for the rest of the message.
pub(super) fn short(name: &str) -> String {
    const LENGTH: usize = 100;
    let mut escaped = name.escape_debug();
    let mut short: String = escaped.by_ref().take(LENGTH).collect();
    if escaped.next().is_some() {
        short.push('…');
    }
    short
}
