//! Parsers of flags, for programs that fill a run's settings from a command line.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};

/// A value by the name that files give it.
pub(super) fn named<T: DeserializeOwned>(name: &str) -> Result<T, Error> {
    T::deserialize(StrDeserializer::<Error>::new(name))
}

/// Any path; the empty one stands for none.
pub(super) fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}
