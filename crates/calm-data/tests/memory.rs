//! Memory of reading a data file, measured by the allocator.

#[path = "it/word_tokenizer.rs"]
mod word_tokenizer;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use calm_data::{Batches, DataFile, TooLong};
use peak_alloc::PeakAlloc;
use word_tokenizer::WordTokenizer;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Ids of an example; each takes four bytes in memory.
const TOKENS: usize = 100;

fn write_data(path: &Path, examples: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let prompt = ["1 +"; TOKENS / 2 - 2].join(" ");
    for number in 0..examples {
        writeln!(
            file,
            r#"{{"prompt": "{prompt} {} =", "target": "3"}}"#,
            number % 10
        )
        .unwrap();
    }
}

/// Peak memory of `read`, in bytes above the current usage.
fn peak<T>(read: impl FnOnce() -> T) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    read();
    MEMORY.peak_usage() - before
}

#[test]
fn only_the_index_of_the_examples_is_held_in_memory() {
    let tokenizer = WordTokenizer::laptop();
    let directory = tempfile::tempdir().unwrap();
    let peaks = |examples: usize| {
        let path = directory.path().join(format!("{examples}.jsonl"));
        write_data(&path, examples);
        let file = DataFile {
            path,
            form: calm_data::ExampleForm::default(),
            tokenizing: tokenizer.with(2 * TOKENS, TooLong::Error),
        };
        let through = || {
            file.read_through(&directory.path().join("cache"), |_| {})
                .unwrap()
        };
        let built = peak(through);
        let epoch = || {
            let batches = Batches::new(through().examples, 32, 0, 1);
            batches.padding_share();
            for number in 0..batches.per_epoch() {
                batches.batch(number).unwrap();
            }
        };
        let read = peak(epoch);
        let in_memory = peak(|| file.read(|_| {}).unwrap());
        [built, read, in_memory]
    };
    let (few, many) = (10_000, 40_000);
    let (small, large) = (peaks(few), peaks(many));
    let each = |which: usize| (large[which] as f64 - small[which] as f64) / (many - few) as f64;
    // The index grows by doubling while it is built.
    assert!(
        each(0) < 48.0,
        "building takes {} bytes for each example",
        each(0)
    );
    assert!(
        each(1) < 32.0,
        "reading takes {} bytes for each example",
        each(1)
    );
    assert!(each(2) > 4.0 * TOKENS as f64, "or this measures nothing");
}
