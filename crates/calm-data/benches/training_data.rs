//! Time of reading and batching: `cargo bench -p calm-data --bench training_data`.
//!
//! The rows of a batch come from all over the file. `batch_of_32_from_a_cold_file` asks Linux to drop
//! the file from memory first.

#[path = "../tests/it/word_tokenizer.rs"]
mod word_tokenizer;

use std::path::PathBuf;
use std::process::Command;

use calm_data::jsonl;
use calm_data::kv::{KeyPool, KvConfig, KvDataset, KvTask};
use calm_data::{Batches, DataFile, TooLong};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use word_tokenizer::WordTokenizer;

const EXAMPLES: u64 = 400_000;

fn main() {
    divan::main();
}

struct Data {
    directory: TempDir,
    tokenizer: WordTokenizer,
}

impl Data {
    /// Key-value arithmetic of about 20 tokens an example.
    fn new() -> Self {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let examples = (0..EXAMPLES).map(|index| {
            let drawn = dataset.example(KvTask::KvArithmetic, KeyPool::All, index);
            jsonl::PromptTarget::from(drawn)
        });
        jsonl::write(&directory.path().join("data.jsonl"), examples).unwrap();
        Self {
            directory,
            tokenizer: WordTokenizer::laptop(),
        }
    }

    fn file(&self) -> DataFile<'_> {
        DataFile {
            path: self.directory.path().join("data.jsonl"),
            form: calm_data::ExampleForm::default(),
            tokenizing: self.tokenizer.with(64, TooLong::Error),
        }
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn cached(&self) -> Batches {
        let read = self.file().read_through(&self.cache(), |_| {}).unwrap();
        Batches::new(read.examples, 32, 0, 1)
    }

    fn bytes(&self) -> BytesCount {
        BytesCount::new(self.file().path.metadata().unwrap().len())
    }
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn tokenise(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher
        .counter(ItemsCount::new(EXAMPLES))
        .counter(data.bytes())
        .bench(|| data.file().read(|_| {}).unwrap());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn open_cache(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    data.cached();
    bencher.counter(data.bytes()).bench(|| data.cached());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn order_of_an_epoch(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    let batches = data.cached();
    let mut epochs = (0..).step_by(batches.per_epoch());
    bencher.bench_local(|| batches.batch(epochs.next().unwrap()).unwrap());
}

#[divan::bench]
fn batch_of_32_in_memory(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    let batches = Batches::new(data.file().read(|_| {}).unwrap().examples, 32, 0, 1);
    draw(bencher, &batches);
}

#[divan::bench]
fn batch_of_32_from_a_file(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    draw(bencher, &data.cached());
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn batch_of_32_from_a_cold_file(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    let batches = data.cached();
    batches.batch(0).unwrap();
    let mut entries = std::fs::read_dir(data.cache()).unwrap();
    let path = entries.find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some().then_some(path)
    });
    let output = format!("of={}", path.unwrap().display());
    let forget = [
        "if=/dev/null",
        &output,
        "oflag=nocache",
        "conv=notrunc,fdatasync",
        "count=0",
    ];
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            assert!(
                Command::new("dd")
                    .args(forget)
                    .output()
                    .unwrap()
                    .status
                    .success()
            );
            number % batches.per_epoch()
        })
        .bench_local_values(|number| batches.batch(number).unwrap());
}

/// Batch after batch of an epoch.
fn draw(bencher: Bencher<'_, '_>, batches: &Batches) {
    batches.batch(0).unwrap();
    let mut numbers = (0..batches.per_epoch()).cycle();
    bencher.bench_local(|| batches.batch(numbers.next().unwrap()).unwrap());
}
