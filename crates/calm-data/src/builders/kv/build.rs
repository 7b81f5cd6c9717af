//! Writes a key-value dataset to a directory.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{DataMixture, Example, KeyPool, KvDataset, KvTask};
use crate::DataError;

/// Version of the builder. It changes when the same settings would give other bytes.
pub const BUILDER_VERSION: u32 = 1;

/// Numbers of expressions for each pool of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KvSizes {
    /// Expressions over all keys, for the augmenting model.
    pub all: usize,
    /// Expressions over held-in keys.
    pub held_in: usize,
    /// Expressions over held-out keys, for evaluation.
    pub held_out: usize,
    /// Expressions in each mixture, for the composition; as many as over held-in keys, if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixture: Option<usize>,
    /// Whether there is a mixture for anchor masking, too: that of all tasks, where each row names
    /// what may be hidden of its prompt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

impl Default for KvSizes {
    fn default() -> Self {
        Self {
            all: 20_000,
            held_in: 20_000,
            held_out: 2_000,
            mixture: None,
            masked: false,
        }
    }
}

/// Version of the layout of the files.
const SCHEMA: u32 = 1;

/// The mixture for anchor masking.
const MASKED: &str = "masked.jsonl";

/// Examples that are held in memory at a time.
const CHUNK: usize = 1 << 15;

/// Writes `kv.json` (settings and table), `tokenizer.json`, one `TASK.POOL.jsonl` for every task of
/// Table 1 and every pool of keys, and one file for each [`DataMixture`] that a composition can learn
/// from (D_C, from one operand on). The bytes depend on the settings alone.
///
/// # Errors
///
/// [`DataError::Io`] naming the file that could not be written.
pub fn build(dataset: &KvDataset, sizes: KvSizes, directory: &Path) -> Result<(), DataError> {
    fs::create_dir_all(directory).map_err(|source| DataError::Io {
        path: directory.to_owned(),
        source,
    })?;
    for task in KvTask::TABLE {
        for (pool, count) in [
            (KeyPool::All, sizes.all),
            (KeyPool::HeldIn, sizes.held_in),
            (KeyPool::HeldOut, sizes.held_out),
        ] {
            let path = directory.join(format!("{}.{}.jsonl", task.name(), pool.name()));
            calm_files::write_with(&path, |file| write_lines(file, dataset, task, pool, count))?;
        }
    }
    let operands = [1, dataset.config().operands[1]];
    let count = sizes.mixture.unwrap_or(sizes.held_in);
    for mixture in DataMixture::ALL {
        calm_files::write_with(directory.join(mixture.file_name()), |file| {
            let mut examples = dataset.training_examples(mixture, operands, count);
            examples.try_for_each(|example| file.write_all(&line(example, None)?))
        })?;
    }
    if sizes.masked {
        calm_files::write_with(directory.join(MASKED), |file| {
            let mut examples = dataset.training_examples(DataMixture::Mixed, operands, count);
            examples.try_for_each(|example| {
                let mask = Some(example.mask());
                file.write_all(&line(example, mask)?)
            })
        })?;
    }
    let tokenizer = dataset.tokenizer_json();
    calm_files::write(directory.join("tokenizer.json"), tokenizer)?;
    let description = description(dataset, sizes);
    calm_files::write_with(directory.join("kv.json"), |file| {
        Ok(serde_json::to_writer_pretty(file, &description)?)
    })?;
    Ok(())
}

fn description(dataset: &KvDataset, sizes: KvSizes) -> serde_json::Value {
    let pairs: serde_json::Map<_, _> = dataset
        .pairs()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    json!({
        "schema": SCHEMA,
        "builder_version": BUILDER_VERSION,
        "config": dataset.config(),
        "sizes": sizes,
        "held_in_keys": dataset.config().held_in(),
        "answer_width": dataset.answer_width(),
        "pairs": pairs,
    })
}

/// A line of a file: an example with its versions.
#[derive(Serialize)]
struct Line {
    schema: u32,
    builder_version: u32,
    #[serde(flatten)]
    example: Example,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<Vec<[usize; 2]>>,
}

fn write_lines(
    file: &mut dyn Write,
    dataset: &KvDataset,
    task: KvTask,
    pool: KeyPool,
    count: usize,
) -> io::Result<()> {
    for begin in (0..count).step_by(CHUNK) {
        let end = count.min(begin + CHUNK);
        let lines = (begin..end)
            .into_par_iter()
            .map(|index| line(dataset.example(task, pool, index as u64), None))
            .collect::<io::Result<Vec<_>>>()?;
        for line in lines {
            file.write_all(&line)?;
        }
    }
    Ok(())
}

fn line(example: Example, mask: Option<Vec<[usize; 2]>>) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line {
        schema: SCHEMA,
        builder_version: BUILDER_VERSION,
        example,
        mask,
    })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::super::KvConfig;
    use super::*;
    use crate::jsonl::PromptTarget;

    fn digest(threads: usize) -> String {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let mut lines = Vec::new();
        pool.install(|| {
            // More than a chunk, so that the seam between two is in the digest.
            let (task, keys) = (KvTask::KvArithmetic, KeyPool::HeldIn);
            write_lines(&mut lines, &dataset, task, keys, CHUNK + 2000).unwrap();
        });
        calm_files::sha256(lines)
    }

    #[test]
    fn threads_do_not_change_a_byte() {
        let one = digest(1);
        assert_eq!(one, digest(2));
        assert_eq!(one, digest(5));
        // The committed checkpoints know this table: raise BUILDER_VERSION and train them again
        // if it has to change.
        assert_eq!(
            one,
            "3da824b957915ed269b1d096669e86910fea7f5c7ee0bfec0019488fd9acee10"
        );
    }

    #[test]
    fn a_directory_holds_every_task_and_pool() {
        let dir = tempfile::tempdir().unwrap();
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let sizes = KvSizes {
            all: 3,
            held_in: 2,
            held_out: 1,
            mixture: Some(4),
            masked: true,
        };
        build(&dataset, sizes, dir.path()).unwrap();
        let count = |name: &str| {
            crate::jsonl::read(&dir.path().join(name))
                .map(|examples| examples.len())
                .unwrap()
        };
        assert_eq!(count("kv-substitution.all.jsonl"), 3);
        assert_eq!(count("numeric-arithmetic.held-in.jsonl"), 2);
        assert_eq!(count("kv-arithmetic.held-out.jsonl"), 1);
        for mixture in DataMixture::ALL {
            assert_eq!(count(&mixture.file_name()), 4);
        }
        let masked = crate::jsonl::read(&dir.path().join(MASKED)).unwrap();
        let hidden = |row: &PromptTarget| {
            let mask = row.mask.as_ref().unwrap().iter();
            let hidden = mask.map(|[start, end]| row.prompt[*start..*end].to_owned());
            hidden.collect::<Vec<_>>()
        };
        let numbers = |row: &PromptTarget| {
            let words = row.prompt.split(' ').map(str::to_owned);
            words
                .filter(|word| word.parse::<u32>().is_ok())
                .collect::<Vec<_>>()
        };
        assert!(masked.iter().all(|row| hidden(row) == numbers(row)));
        assert!(masked.iter().any(|row| !hidden(row).is_empty()));
        assert!(masked.iter().any(|row| hidden(row).is_empty()));
        assert!(dir.path().join("kv.json").is_file());
        assert!(dir.path().join("tokenizer.json").is_file());
    }
}
