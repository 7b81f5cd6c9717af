//! Integration tests of calm-data, in one program.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod build_corpora;
mod code;
mod corpora;
mod data_file;
mod formats;
mod kv;
mod masking;
mod published_files;
mod tokenize;
mod word_tokenizer;
