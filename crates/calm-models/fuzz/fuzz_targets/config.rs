//! Any text as a `config.json`.

#![no_main]

use std::path::Path;

use calm_models::{Family, Strictness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Family::read(text, Path::new("config.json"), Strictness::Strict) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
});
