//! Reading and batching of training data, and scoring of texts.

use std::path::Path;
use std::time::Instant;

use calm_lm::data::kv::{EOS_ID, KeyPool, KvConfig, KvDataset, KvTask};
use calm_lm::data::{Batches, DataFile, ExampleForm, Tokenizing, TooLong, jsonl};
use calm_lm::eval::{Chrf, Metric, Statistics};
use calm_lm::models::Tokenizer;
use calm_lm::train::DataTokenizer;
use miette::{IntoDiagnostic, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::machine::best_of;
use super::{MeasureArgs, Measured, timed};

/// Examples of key-value arithmetic, of about 20 tokens each.
const EXAMPLES: u64 = 400_000;

/// Sentences in 192 languages, about as many of each as FLORES-200 has in devtest.
const PAIRS: usize = 192_000;

/// Tokenising a file, opening it from the cache, the order of an epoch, and batches of 32 rows from
/// memory and from the cache, whose rows come from all over the file.
pub(super) fn batches() -> Result<Measured> {
    let directory = tempfile::tempdir().into_diagnostic()?;
    let path = directory.path().join("data.jsonl");
    let dataset = KvDataset::new(KvConfig::laptop()).into_diagnostic()?;
    let drawn = (0..EXAMPLES).map(|n| dataset.example(KvTask::KvArithmetic, KeyPool::All, n));
    jsonl::write(&path, drawn.map(jsonl::PromptTarget::from)).into_diagnostic()?;
    let json = dataset.tokenizer_json();
    let tokenizer = Tokenizer::from_json(json, Path::new("tokenizer.json")).into_diagnostic()?;
    let tokenizer = DataTokenizer(&tokenizer);
    let file = DataFile {
        path,
        form: ExampleForm::default(),
        tokenizing: Tokenizing {
            tokenizer: &tokenizer,
            end_of_text: EOS_ID,
            context: 64,
            too_long: TooLong::Error,
            cut_texts: false,
            chat: None,
            finds_words: false,
        },
    };
    let begun = Instant::now();
    let in_memory = file.read(|_| {}).into_diagnostic()?;
    let tokenise_s = begun.elapsed().as_secs_f64();
    let cached = || {
        let read = file.read_through(&directory.path().join("cache"), |_| {});
        Ok::<_, miette::Report>(Batches::new(read.into_diagnostic()?.examples, 32, 0, 1))
    };
    cached()?;
    let open_cache_s = timed(|| cached().map(drop))?;
    let (in_memory, cached) = (Batches::new(in_memory.examples, 32, 0, 1), cached()?);
    let order_s = timed(|| cached.batch(0).into_diagnostic().map(drop))?;
    Ok(Measured::of([
        ("tokenise_s", tokenise_s),
        ("open_cache_s", open_cache_s),
        ("order_of_an_epoch_ms", 1e3 * order_s),
        ("batch_in_memory_us", 1e6 * batch_seconds(&in_memory)?),
        ("batch_from_cache_us", 1e6 * batch_seconds(&cached)?),
    ]))
}

/// Mean seconds of the batches of an epoch.
fn batch_seconds(batches: &Batches) -> Result<f64> {
    batches.batch(0).into_diagnostic()?;
    let count = batches.per_epoch();
    let all = || (0..count).try_for_each(|number| batches.batch(number).map(drop));
    Ok(timed(|| all().into_diagnostic())? / count as f64)
}

/// chrF of lines as long as those of FLORES-200. docs/evaluation.md tells how sacreBLEU is timed on the
/// same lines, which `--write-lines` writes.
pub(super) fn scores(args: &MeasureArgs) -> Result<Measured> {
    let [hypotheses, references] = lines(PAIRS);
    if let Some(directory) = &args.write_lines {
        for (name, lines) in [("hyp.txt", &hypotheses), ("ref.txt", &references)] {
            std::fs::write(directory.join(name), lines.join("\n") + "\n").into_diagnostic()?;
        }
    }
    let references = [references];
    let seconds = |metric: &dyn Metric| {
        best_of(|| {
            let statistics = Statistics::of(metric, &hypotheses, &references);
            let _ = statistics.map(|statistics| statistics.corpus());
        })
    };
    Ok(Measured::of([
        ("chrf1_s", seconds(&Chrf::chrf1())),
        ("chrf_plus_plus_s", seconds(&Chrf::chrf_plus_plus())),
    ]))
}

/// Hypotheses and references of about 130 characters: words of a vocabulary of 5000 from one of four
/// scripts, and the same with a fifth of the words exchanged.
fn lines(pairs: usize) -> [Vec<String>; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let scripts = ['a', 'а', 'क', 'ሀ'];
    let vocabularies = scripts.map(|first| vocabulary(first, &mut random));
    let (mut hypotheses, mut references) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let vocabulary = &vocabularies[pair % vocabularies.len()];
        let mut word = || vocabulary[random.random_range(0..vocabulary.len())].clone();
        let reference: Vec<String> = (0..21).map(|_| word()).collect();
        let mut hypothesis = reference.clone();
        for changed in hypothesis.iter_mut().skip(pair % 5).step_by(5) {
            *changed = word();
        }
        references.push(reference.join(" ") + ".");
        hypotheses.push(hypothesis.join(" ") + ".");
    }
    [hypotheses, references]
}

/// 5000 words of two to eight letters of an alphabet that begins with this one.
pub(super) fn vocabulary(first: char, random: &mut ChaCha8Rng) -> Vec<String> {
    let mut letter =
        || char::from_u32(u32::from(first) + random.random_range(0..26)).unwrap_or(first);
    (0..5000)
        .map(|index| (0..2 + index % 7).map(|_| letter()).collect())
        .collect()
}
