//! Hashes of everything that a result depends on.

use serde::Serialize;

/// Name and version of the program: a result of another version is another result.
pub(crate) const PROGRAM: &str = concat!("calm ", env!("CARGO_PKG_VERSION"));

/// Digits of a key: enough for billions of results.
const DIGITS: usize = 24;

/// The key of a value.
pub(super) fn of(value: &impl Serialize) -> String {
    let text =
        serde_json::to_vec(&(PROGRAM, value)).expect("what a result depends on is plain data");
    let mut key = calm_files::sha256(text);
    key.truncate(DIGITS);
    key
}

/// The key of a training, of settings that are `hashed` without the places of files, and of the hashes
/// of these `inputs`.
pub(super) fn of_training(
    hashed: &impl Serialize,
    inputs: &[(String, String)],
    seed: u64,
    device: &str,
) -> String {
    of(&(hashed, inputs, seed, device))
}
