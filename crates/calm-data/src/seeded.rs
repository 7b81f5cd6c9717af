//! Chance that numbers decide.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator that these numbers decide: a seed, and what the draws are for, so that they depend on
/// nothing that was drawn before, and on no thread.
pub(crate) fn seeded(words: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}
