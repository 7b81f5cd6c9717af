//! Integration tests of calm-data, in one program.

mod data_file;
mod kv;
