//! Equality with sacreBLEU, on cases of our own and on larger ones, which are not part of the
//! repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calm_eval::{Bleu, Chrf, Metric, ScoreError, Smoothing, Statistics};
use serde::Deserialize;
use serde_json::Value;

/// Scores are from 0 to 100; sums in another order differ by 1e-12.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Scores {
    metrics: BTreeMap<String, Setting>,
    subset_corpus_scores: Vec<Subset>,
}

#[derive(Deserialize)]
struct Setting {
    family: String,
    params: Value,
    corpus: Value,
    sentence_scores: Vec<f64>,
    sentence_scores_no_effective_order: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Subset {
    lines: Vec<usize>,
    corpus: BTreeMap<String, Value>,
}

/// The metric of these settings, for sentences or corpora.
fn metric(family: &str, params: &Value, effective_order: bool) -> Box<dyn Metric> {
    let lowercase = params["lowercase"].as_bool().unwrap();
    if family == "bleu" {
        let smooth = params["smooth_method"].as_str().unwrap();
        return Box::new(Bleu {
            tokenizer: params["tokenize"].as_str().unwrap().parse().unwrap(),
            smoothing: Smoothing::named(smooth, params["smooth_value"].as_f64()).unwrap(),
            lowercase,
            effective_order,
        });
    }
    let order = |name: &str| params[name].as_u64().unwrap() as usize;
    let beta = params["beta"].as_f64().unwrap();
    let chrf = Chrf::new(order("char_order"), order("word_order"), beta).unwrap();
    Box::new(chrf.with_lowercase(lowercase))
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.strip_suffix('\n').unwrap();
    text.split('\n').map(str::to_owned).collect()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() < TOLERANCE,
        "{what}: {found}, sacreBLEU {expected}"
    );
}

/// Compares all scores of a file. Returns the number of settings.
fn compare(directory: &Path, references: &[&str]) -> usize {
    let text = fs::read_to_string(directory.join("scores.json")).unwrap();
    let scores: Scores = serde_json::from_str(&text).unwrap();
    let hypotheses = lines(&directory.join("hyp.txt"));
    let references: Vec<_> = references
        .iter()
        .map(|name| lines(&directory.join(name)))
        .collect();
    for (name, setting) in &scores.metrics {
        let [corpus, sentence] =
            [false, true].map(|effective| metric(&setting.family, &setting.params, effective));
        let [of_corpus, of_sentences] = [&corpus, &sentence]
            .map(|metric| Statistics::of(&**metric, &hypotheses, &references).unwrap());
        assert_close(
            of_corpus.corpus(),
            setting.corpus["score"].as_f64().unwrap(),
            name,
        );
        check_parts(&*corpus, &of_corpus.sums(0..of_corpus.len()), setting);
        assert_eq!(setting.sentence_scores.len(), hypotheses.len());
        for (index, &expected) in setting.sentence_scores.iter().enumerate() {
            assert_close(
                of_sentences.sentence(index),
                expected,
                &format!("{name}, line {index}"),
            );
        }
        let plain = setting.sentence_scores_no_effective_order.iter().flatten();
        for (index, &expected) in plain.enumerate() {
            assert_close(
                of_corpus.sentence(index),
                expected,
                &format!("{name}, line {index}"),
            );
        }
        for subset in &scores.subset_corpus_scores {
            let found = of_corpus.subset(subset.lines.iter().copied());
            let expected = subset.corpus[name]["score"].as_f64().unwrap();
            assert_close(
                found,
                expected,
                &format!("{name}, lines {:?}", subset.lines),
            );
        }
    }
    scores.metrics.len()
}

/// Compares the parts of BLEU.
fn check_parts(metric: &dyn Metric, sums: &[u64], setting: &Setting) {
    if setting.family != "bleu" {
        return;
    }
    let corpus = &setting.corpus;
    let bleu = Bleu {
        smoothing: Smoothing::named(
            setting.params["smooth_method"].as_str().unwrap(),
            setting.params["smooth_value"].as_f64(),
        )
        .unwrap(),
        ..Bleu::default()
    };
    let detail = bleu.detail(sums);
    assert_close(detail.score, metric.score(sums), "detail");
    assert_close(detail.brevity_penalty, corpus["bp"].as_f64().unwrap(), "bp");
    assert_eq!(detail.hypothesis_words, corpus["sys_len"].as_u64().unwrap());
    assert_eq!(detail.reference_words, corpus["ref_len"].as_u64().unwrap());
    for (found, expected) in detail
        .precisions
        .iter()
        .zip(corpus["precisions"].as_array().unwrap())
    {
        assert_close(*found, expected.as_f64().unwrap(), "precision");
    }
}

#[test]
fn own_cases() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    assert_eq!(compare(&fixtures.join("one"), &["ref.txt"]), 31);
    assert_eq!(compare(&fixtures.join("two"), &["ref.txt", "ref2.txt"]), 31);
}

#[test]
fn texts_may_be_empty() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    let holes = fixtures.join("holes");
    assert_eq!(compare(&holes, &["ref.txt", "ref2.txt"]), 31);
}

#[test]
fn some_lines_may_have_fewer_references() {
    #[derive(Deserialize)]
    struct Ragged {
        references: Vec<Vec<String>>,
        scores: BTreeMap<String, Score>,
    }
    #[derive(Deserialize)]
    struct Score {
        family: String,
        params: Value,
        corpus: f64,
    }

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics/two");
    let text = fs::read_to_string(directory.join("ragged.json")).unwrap();
    let Ragged { references, scores } = serde_json::from_str(&text).unwrap();
    let hypotheses = lines(&directory.join("hyp.txt"));
    assert!(references.iter().any(|of| of.len() == 1) && references.iter().any(|of| of.len() == 2));
    for (name, score) in &scores {
        let metric = metric(&score.family, &score.params, false);
        let found = Statistics::of_ragged(&*metric, &hypotheses, &references).unwrap();
        assert_close(found.corpus(), score.corpus, name);
    }
    assert_eq!(scores.len(), 31);
    let none = vec![Vec::<String>::new(); hypotheses.len()];
    let error = Statistics::of_ragged(&Chrf::chrf1(), &hypotheses, &none).err();
    assert_eq!(error, Some(ScoreError::NoReference { line: 1 }));
}

#[test]
fn larger_cases() {
    let Some(benchmarks) = std::env::var_os("CALM_BENCHMARKS") else {
        eprintln!("skipped: CALM_BENCHMARKS does not say where the published files are");
        return;
    };
    let directory = PathBuf::from(benchmarks).join("metrics/set_a");
    assert_eq!(compare(&directory, &["ref.txt"]), 23);
}
