//! Datasets of corpora, from the manifest to the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use calm_data::DataError;
use calm_data::builders::ntl::corpora::{BuildOptions, build};
use calm_data::builders::{BuildObserver, BuildPart, BuilderConfig, Unobserved};
use tempfile::TempDir;

const MANIFEST: &str = r#"
layout = 1

[[corpora]]
format = "moses"
files = ["a.ny", "a.en"]
languages = ["nya_Latn", "eng_Latn"]
licence = "none"

[[corpora]]
format = "text"
files = ["b.txt"]
languages = ["nya_Latn"]
licence = "none"
"#;

/// A sentence of this number, in words that no other language has.
fn sentence(number: usize, language: char) -> String {
    let words = (1..=6).map(|place| spelled(language, number * place * 7919 % 10_007));
    words.collect::<Vec<_>>().join(" ") + "\n"
}

/// A number as a word.
fn spelled(language: char, number: usize) -> String {
    let syllables = ["ko", "li", "mu", "na", "pe", "so", "ta", "vi", "zu", "ge"];
    let digits = number.to_string();
    let digits = digits
        .bytes()
        .map(|digit| syllables[usize::from(digit - b'0')]);
    std::iter::once(language.to_string())
        .chain(digits.map(str::to_owned))
        .collect()
}

fn corpora() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines = |language| {
        (0..9_000)
            .map(|number| sentence(number, language))
            .collect::<String>()
    };
    fs::write(directory.path().join("a.ny"), lines('m')).unwrap();
    fs::write(directory.path().join("a.en"), lines('h')).unwrap();
    fs::write(directory.path().join("b.txt"), lines('k')).unwrap();
    fs::write(directory.path().join("corpora.toml"), MANIFEST).unwrap();
    directory
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| {
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    });
    named.collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let directory = corpora();
    let manifest = directory.path().join("corpora.toml");
    let built = |threads: usize| {
        let out = directory.path().join(format!("out{threads}"));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let report = pool.install(|| {
            build(
                &manifest,
                Some(&out),
                BuildOptions::default(),
                &mut Unobserved,
            )
        });
        for (name, [read, skipped, kept]) in report.unwrap().corpora() {
            assert_eq!([read, skipped], [9_000, 0], "{name}");
            assert!(kept > 8_000, "{name}: {kept}");
        }
        files(&out)
    };
    let one = built(1);
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        [
            "d_c.jsonl",
            "manifest.json",
            "pretrain.jsonl",
            "translation.jsonl"
        ]
    );
    assert!(one == built(3));
}

/// Asks for an end at a part.
struct Until(BuildPart);

impl BuildObserver for Until {
    fn advance(&mut self, part: BuildPart, _done: u64, _total: u64) -> bool {
        part != self.0
    }
}

#[test]
fn an_end_at_any_part_leaves_everything_as_it_was() {
    let directory = corpora();
    let manifest = directory.path().join("corpora.toml");
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("d_c.jsonl"), "of before").unwrap();
    let names = || {
        let entries = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    for part in [BuildPart::Reading, BuildPart::Comparing, BuildPart::Writing] {
        let ended = build(
            &manifest,
            Some(&out),
            BuildOptions::default(),
            &mut Until(part),
        );
        assert!(matches!(ended, Err(DataError::Interrupted)));
        assert_eq!(names(), before);
        assert_eq!(files(&out)["d_c.jsonl"], b"of before");
    }
    // An error of the last file is no better.
    fs::write(directory.path().join("b.txt"), b"good\n\xff\n").unwrap();
    let error = build(
        &manifest,
        Some(&out),
        BuildOptions::default(),
        &mut Unobserved,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("b.txt, line 2: is not UTF-8"),
        "{error}"
    );
    assert_eq!(names(), before);
    // Without a directory nothing is written at all.
    fs::write(directory.path().join("b.txt"), "good text of one line\n").unwrap();
    build(&manifest, None, BuildOptions::default(), &mut Unobserved).unwrap();
    assert_eq!(names(), before);
}

#[test]
fn a_dataset_depends_on_what_its_files_hold() {
    let directory = corpora();
    let manifest = directory.path().join("corpora.toml");
    let seed = None;
    let builder = BuilderConfig::Corpora {
        manifest: manifest.clone(),
        seed,
    };
    let inputs = || builder.inputs().unwrap().unwrap();
    let before = inputs();
    assert_eq!(inputs(), before);
    fs::write(directory.path().join("b.txt"), "another text\n").unwrap();
    let after = inputs();
    assert_ne!(after, before);
    fs::write(&manifest, format!("{MANIFEST}[d_c]\nshare = 0.1\n")).unwrap();
    assert_ne!(inputs(), after);
}
