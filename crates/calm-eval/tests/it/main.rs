//! Integration tests of calm-eval, in one program.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod published_scores;
