//! Time of chrF on random lines as long as those of FLORES-200: `cargo bench -p calm-eval
//! --no-default-features`. docs/evaluation.md tells how sacreBLEU is timed on the same lines.

use std::fs;

use calm_eval::{Chrf, Metric, Statistics};
use divan::Bencher;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sentences in 192 languages, about as many of each as devtest has.
const PAIRS: usize = 192_000;

fn main() {
    // Writes the lines, so that another program can be timed on them.
    if let Some(directory) = std::env::var_os("CALM_WRITE_LINES") {
        let directory = std::path::PathBuf::from(directory);
        let [hypotheses, references] = lines(PAIRS).map(|lines| lines.join("\n") + "\n");
        fs::write(directory.join("hyp.txt"), hypotheses).expect("the directory can be written");
        fs::write(directory.join("ref.txt"), references).expect("the directory can be written");
        return;
    }
    divan::main();
}

/// Hypotheses and references of about 130 characters: words of a vocabulary of 5000 from one of four
/// scripts, and the same with a fifth of the words exchanged.
fn lines(pairs: usize) -> [Vec<String>; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let vocabularies: Vec<Vec<String>> = ['a', 'а', 'क', 'ሀ']
        .iter()
        .map(|&first| vocabulary(first, &mut random))
        .collect();
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

fn vocabulary(first: char, random: &mut ChaCha8Rng) -> Vec<String> {
    let mut letter =
        || char::from_u32(u32::from(first) + random.random_range(0..26)).unwrap_or(first);
    (0..5000)
        .map(|index| (0..2 + index % 7).map(|_| letter()).collect())
        .collect()
}

#[divan::bench(sample_count = 5)]
fn chrf1(bencher: Bencher<'_, '_>) {
    time(bencher, &Chrf::chrf1());
}

#[divan::bench(sample_count = 5)]
fn chrf_plus_plus(bencher: Bencher<'_, '_>) {
    time(bencher, &Chrf::chrf_plus_plus());
}

fn time(bencher: Bencher<'_, '_>, metric: &dyn Metric) {
    let [hypotheses, references] = lines(PAIRS);
    let references = [references];
    bencher
        .counter(divan::counter::ItemsCount::new(PAIRS))
        .bench_local(|| {
            let statistics = Statistics::of(metric, &hypotheses, &references);
            statistics.map(|statistics| statistics.corpus())
        });
}
