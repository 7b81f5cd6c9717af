//! The whole way from files of corpora to the files that come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::DataError;
use crate::cleaning::steps::steps;
use crate::corpus::{CorporaManifest, CorporaReader, Judged, Sink};

/// Two parallel corpora and one of texts, with faults of every kind.
fn write_corpora(directory: &Path) {
    let write = |name: &str, lines: Vec<String>| {
        fs::write(directory.join(name), lines.join("\n") + "\n").unwrap();
    };
    let nepali = |n: usize| format!("यो वाक्य नम्बर {n} हो र यसमा केही शब्द छन्।");
    let english = |n: usize| {
        format!(
            "This is sentence number {n}, and it has some words: {}.",
            n * 7 % 83
        )
    };
    let mut pairs: Vec<(String, String)> = (100..400)
        .map(|n| (format!("{} {}", nepali(n), n * 7 % 83), english(n)))
        .collect();
    pairs[10] = pairs[4].clone();
    pairs[20].1 = pairs[20].0.clone();
    pairs[30].1 = String::new();
    pairs[40].1 = "Of 999 others, one.".to_owned();
    pairs[50].1 = "The quick brown fox of the benchmark jumps over 150 lazy dogs of 54".to_owned();
    pairs[60].0 = "Latin letters, sentence number 160, 41".to_owned();
    pairs[70].0 = format!("{}\u{200b} \u{a0}", pairs[70].0);
    write("a.ne", pairs.iter().map(|pair| pair.0.clone()).collect());
    write("a.en", pairs.iter().map(|pair| pair.1.clone()).collect());
    let chewa = |n: usize| {
        format!(
            "Chiganizo {n} chili ndi mawu ena a Chichewa {}.",
            n * 11 % 97
        )
    };
    let words = |n: usize| format!("Sentence {n} has a few words of Chichewa: {}.", n * 11 % 97);
    write("b.ny", (1000..1100).map(chewa).collect());
    write("b.en", (1000..1100).map(words).collect());
    let text = |n: usize| {
        let [a, b, c] = [n * n, n * 7919 % 1009, n * 31 % 613];
        format!("{n}: a text of {a} English words, {b} of them {c} times.")
    };
    write("c.txt", (0..500).map(text).collect());
    write(
        "benchmark.txt",
        vec![
            "The quick brown fox of the benchmark jumps over 150 lazy dogs whose number was 9"
                .to_owned(),
        ],
    );
}

const MANIFEST: &str = r#"
layout = 1
seed = 7
corpora = [
    { name = "a", format = "moses", files = ["a.ne", "a.en"], languages = ["npi_Deva", "eng_Latn"], licence = "x" },
    { name = "b", format = "moses", files = ["b.en", "b.ny"], languages = ["eng_Latn", "nya_Latn"], licence = "y", weight = 1.5 },
    { name = "c", format = "text", files = ["c.txt"], languages = ["eng_Latn"], licence = "z" },
]
benchmarks = [{ format = "text", path = "benchmark.txt" }]
[steps]
near-duplicates = { similarity = 0.95 }
[d_c]
share = 0.1
shares = { nya_Latn = 0.2 }
high-resource = { languages = ["eng_Latn"], share = 0.25 }
[output]
shots = 2
"#;

fn build(corpora: &Path, manifest: &str, memory: usize, out: &Path) -> Result<Report, DataError> {
    let path = corpora.join("corpora.toml");
    fs::write(&path, manifest).unwrap();
    let manifest = CorporaManifest::read(&path)?;
    let steps = steps(&manifest)?;
    let names: Vec<&str> = steps.iter().map(|step| step.name()).collect();
    fs::create_dir_all(out).unwrap();
    let mut collector = Collector::new(&manifest, &names, out, memory)?;
    let mut reader = CorporaReader::open(&manifest)?;
    for chunk in &mut reader {
        let judged = chunk?
            .records
            .into_iter()
            .map(|record| Judged::by(&steps, record));
        collector.take(judged.collect())?;
    }
    let skipped = BTreeMap::new();
    let inputs = Inputs {
        manifest: &path,
        files: reader.inputs(),
        skipped: &skipped,
    };
    collector.finish(inputs, &mut crate::builders::Unobserved)
}

fn files(directory: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn rows(directory: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory.join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn neither_threads_nor_memory_change_a_byte() {
    let directory = tempfile::tempdir().unwrap();
    write_corpora(directory.path());
    let mut all = Vec::new();
    for (threads, memory) in [(1, 1 << 20), (2, 100), (5, 3_000)] {
        let out = directory.path().join(format!("out{threads}"));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| build(directory.path(), MANIFEST, memory, &out))
            .unwrap();
        all.push(files(&out));
    }
    let names: Vec<&str> = all[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "d_c.jsonl",
            "manifest.json",
            "pretrain.jsonl",
            "translation.jsonl"
        ]
    );
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let out = directory.path().join("other");
    build(
        directory.path(),
        &MANIFEST.replace("seed = 7", "seed = 8"),
        1 << 20,
        &out,
    )
    .unwrap();
    assert_ne!(files(&out)[0], all[0][0]);
}

#[test]
fn every_fault_is_dropped_by_its_step_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    write_corpora(directory.path());
    let out = directory.path().join("out");
    let report = build(directory.path(), MANIFEST, 1 << 20, &out).unwrap();
    let nepali = report.languages[&"npi_Deva".parse().unwrap()];
    assert_eq!((nepali.pairs_in, nepali.pairs_out), (300, 294));
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(out.join("manifest.json")).unwrap()).unwrap();
    let a = &manifest["corpora"][0];
    assert_eq!(a["inputs"][1]["sha256"].as_str().unwrap().len(), 64);
    let benchmark = &manifest["other_inputs"][0]["path"];
    assert!(benchmark.as_str().unwrap().ends_with("benchmark.txt"));
    let steps = &a["languages"][0]["steps"];
    assert_eq!(steps["unicode"]["changed"], 1);
    for (step, place) in [
        ("exact-duplicates", 11),
        ("script", 21),
        ("empty", 31),
        ("numbers", 41),
        ("decontaminate", 51),
        ("script", 61),
    ] {
        let examples = steps[step]["examples"].as_array().unwrap();
        assert!(
            examples.iter().any(|example| example["place"] == place),
            "{step} {place}: {steps}"
        );
    }
    // Half of these pairs are used twice.
    let rows = rows(&out, "translation.jsonl");
    let from = |corpus: &str| {
        rows.iter()
            .filter(|row| row["source_corpus"] == corpus)
            .count()
    };
    assert_eq!(from("a"), 2 * 294);
    assert!((260..340).contains(&from("b")), "{}", from("b"));
    let shots = |count: u64| rows.iter().filter(|row| row["shots"] == count).count();
    assert!([0, 1, 2].map(shots).iter().all(|rows| *rows > 200));
}

#[test]
fn d_c_has_a_share_of_each_language_and_shows_no_other_pair() {
    let directory = tempfile::tempdir().unwrap();
    write_corpora(directory.path());
    let out = directory.path().join("out");
    let report = build(directory.path(), MANIFEST, 1 << 20, &out).unwrap();
    let language = |tag: &str| report.d_c.languages[&tag.parse().unwrap()];
    assert_eq!(
        language("npi_Deva"),
        Drawn {
            records: 29,
            of: 294
        }
    );
    assert_eq!(
        language("nya_Latn"),
        Drawn {
            records: 20,
            of: 100
        }
    );
    // A quarter of all.
    let english = report.d_c.high_resource[&"eng_Latn".parse().unwrap()];
    assert_eq!(
        english,
        Drawn {
            records: 16,
            of: 500
        }
    );
    let rows = rows(&out, "d_c.jsonl");
    assert_eq!(rows.len() as u64, report.d_c.rows);
    assert_eq!(rows.len(), 2 * (29 + 20) + 16);
    let of = |name: &str| rows.iter().filter(|row| row["language"] == name).count();
    assert_eq!(
        [of("npi_Deva"), of("nya_Latn"), of("eng_Latn")],
        [58, 40, 16]
    );
    // Sentences of all prompts, worked examples included, are those of the drawn pairs.
    let mut sentences: Vec<String> = Vec::new();
    for row in rows
        .iter()
        .filter(|row| row["source_language"] == "npi_Deva")
    {
        let prompt = row["prompt"].as_str().unwrap();
        let asked = prompt
            .lines()
            .filter_map(|line| line.strip_prefix("npi_Deva: "));
        let asked: Vec<String> = asked.map(str::to_owned).collect();
        // What may be hidden is all of them but for numbers.
        let prompt: Vec<char> = prompt.chars().collect();
        let masked = row["mask"].as_array().unwrap().iter().map(|range| {
            let [from, to] = [0, 1].map(|end| range[end].as_u64().unwrap() as usize);
            prompt[from..to].iter().collect::<String>()
        });
        let without_numbers = asked.concat().replace(char::is_numeric, "");
        assert_eq!(masked.collect::<String>(), without_numbers);
        sentences.extend(asked);
    }
    assert!(sentences.len() > 29 && sentences.iter().all(|sentence| sentence.starts_with('य')));
    sentences.sort();
    sentences.dedup();
    assert_eq!(sentences.len(), 29);
}

#[test]
fn what_is_left_empty_is_an_error_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    write_corpora(directory.path());
    let english = fs::read(directory.path().join("b.en")).unwrap();
    fs::write(directory.path().join("b.txt"), english).unwrap();
    let out = directory.path().join("out");
    for (manifest, expected) in [
        (
            MANIFEST.replace("path = \"benchmark.txt\"", "path = \"b.txt\""),
            "b.en: nothing is left of corpus 'b', 100 records: `decontaminate` dropped 100",
        ),
        (
            MANIFEST.replace("nya_Latn = 0.2", "zul_Latn = 0.2"),
            "corpora.toml: `d_c` names a share of zul_Latn, of which there is no pair",
        ),
        (
            MANIFEST.replace(
                "[\"eng_Latn\"], share = 0.25",
                "[\"fra_Latn\"], share = 0.25",
            ),
            "corpora.toml: `d_c` names fra_Latn as a high-resource language, of which there is no text",
        ),
        (
            MANIFEST.replace("share = 0.25", "share = 0.95"),
            "corpora.toml: `d_c` wants 931 texts of eng_Latn, and there are 500",
        ),
        (
            MANIFEST.replace("share = 0.1", "share = 1.1"),
            "corpora.toml: d_c setting `share` is 1.1; it may be above 0 and at most 1",
        ),
    ] {
        let error = build(directory.path(), &manifest, 1 << 20, &out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
        assert!(!out.exists() || files(&out).is_empty(), "{expected}");
    }
}
