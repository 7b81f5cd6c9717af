//! `calm data ntl`: datasets of corpora.

use std::process::Command;

use serde_json::Value;

use crate::common::{Contents, Workshop};

const MANIFEST: &str = r#"
layout = 1
[[corpora]]
format = "moses"
files = ["a.ny", "a.en"]
languages = ["nya_Latn", "eng_Latn"]
licence = "none"
name = "a"
"#;

fn workshop() -> Workshop {
    let workshop = Workshop::with(&Contents::new());
    let words = [
        "moni", "zikomo", "madzi", "nyumba", "mfumu", "njala", "galu", "mtengo", "dzuwa",
    ];
    let line = |number: usize| {
        let word = |place: usize| words[(number * (place + 1) + number / 9 * place) % 9];
        format!("{} {} {} {} {number}\n", word(1), word(2), word(4), word(7))
    };
    let lines: String = (0..60).map(line).collect();
    workshop.write("a.ny", &lines);
    workshop.write("a.en", &lines.replace('m', "w").replace('a', "oo"));
    workshop.write("corpora.toml", MANIFEST);
    workshop
}

#[test]
fn a_manifest_becomes_a_dataset() {
    let workshop = workshop();
    let told = workshop.calm("data ntl corpora.toml --dry-run").done();
    assert!(told.contains("a: 60 records, "), "{told}");
    assert_eq!(workshop.names(), ["a.en", "a.ny", "corpora.toml"]);
    workshop.calm("data ntl corpora.toml --out ntl").done();
    let rows = workshop.text("ntl/translation.jsonl");
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert!(
        row["prompt"].is_string() && row["target"].is_string(),
        "{row}"
    );
    let manifest: Value = serde_json::from_str(&workshop.text("ntl/manifest.json")).unwrap();
    assert_eq!(manifest["seed"], 0);
    // Again, with another seed, in its place.
    let again = workshop.calm("data ntl corpora.toml --out ntl --seed 7 --json");
    assert_eq!(again.json()["seed"], 7);
    assert_eq!(workshop.names(), ["a.en", "a.ny", "corpora.toml", "ntl"]);
}

#[test]
fn bad_corpora_are_told_in_one_line() {
    let workshop = workshop();
    workshop.write("typo.toml", &MANIFEST.replace("licence", "license"));
    workshop.write("tag.toml", &MANIFEST.replace("nya_Latn", "ny"));
    workshop.write("short.en", "one line\n");
    workshop.write("short.toml", &MANIFEST.replace("a.en", "short.en"));
    workshop.write(
        "column.toml",
        &MANIFEST
            .replace("\"moses\"", "\"tsv\"\nfields = [\"ny\", \"en\"]")
            .replace(", \"a.en\"", ""),
    );
    workshop.write("directory.toml", &MANIFEST.replace("a.en", "."));
    workshop.write("device.toml", &MANIFEST.replace("a.en", "/dev/zero"));
    workshop.write(
        "benchmark.toml",
        &format!("{MANIFEST}[[benchmarks]]\nformat = \"text\"\npath = \"a.ny\"\n"),
    );
    workshop.refuses(
        "data ntl",
        &[
            ("--out ntl", &["<MANIFEST>"]),
            ("corpora.toml", &["--out <DIR>"]),
            ("corpora.toml --out ntl --dry-run", &["cannot be used with"]),
            ("absent.toml --out ntl", &["absent.toml: No such file"]),
            ("a.ny --out ntl", &["a.ny, line 1"]),
            (
                "corpora.toml --out a.ny",
                &["a.ny: is a file; name a directory"],
            ),
            (
                "typo.toml --out ntl",
                &["typo.toml, line 7", "did you mean 'licence'?"],
            ),
            (
                "tag.toml --out ntl",
                &[
                    "tag.toml, line 6: 'ny' is no language",
                    "did you mean 'nya_Latn'?",
                ],
            ),
            (
                "short.toml --out ntl",
                &["a.ny has 60 lines and ", "short.en has 1"],
            ),
            (
                "column.toml --out ntl",
                &["a.ny, line 1: has no column 'ny'"],
            ),
            (
                "directory.toml --out ntl",
                &["is a directory; name its files"],
            ),
            (
                "device.toml --out ntl",
                &["/dev/zero: is a pipe or a device"],
            ),
            (
                "benchmark.toml --out ntl",
                &["nothing is left of corpus 'a', 60 records: "],
            ),
        ],
    );
    // Nobody writes to it, so whoever opens it waits forever.
    Command::new("mkfifo")
        .arg(workshop.path("pipe"))
        .status()
        .unwrap();
    workshop.write("pipe.toml", &MANIFEST.replace("a.en", "pipe"));
    let run = workshop.calm("data ntl pipe.toml --out ntl");
    run.refused(&["pipe: is a pipe or a device"]);
}
