//! Any text as a `tokenizer.json`, which then encodes and decodes. Panics of the tokenizer library
//! that become errors are none to the fuzzer either.

#![no_main]

use std::path::Path;

use calm_models::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    if let Ok(tokenizer) = Tokenizer::from_json(json, Path::new("tokenizer.json")) {
        let _ = tokenizer.encode("<s> naïve 🙂</s>", true);
        let ids: Vec<u32> = (0..300).collect();
        let _ = tokenizer.decode(&ids, true);
    }
});
