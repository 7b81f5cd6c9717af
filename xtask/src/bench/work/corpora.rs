//! Cleaning of corpora.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use calm_lm::data::builders::Unobserved;
use calm_lm::data::builders::ntl::corpora::{BuildOptions, build};
use miette::{IntoDiagnostic, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data::vocabulary;
use super::{MeasureArgs, Measured};

const MANIFEST: &str = r#"layout = 1

[[corpora]]
name = "pairs"
format = "moses"
files = ["pairs.bul", "pairs.eng"]
languages = ["bul_Cyrl", "eng_Latn"]
licence = "none"

[[benchmarks]]
format = "text"
path = "benchmark.eng"

[d_c]
share = 0.05
"#;

/// Sentences of the benchmark.
const BENCHMARK: usize = 1000;
/// One in so many pairs is an earlier one, with a word exchanged in every second of them.
const REPEATED: usize = 20;

/// Writes corpora, and cleans them by all steps that need no model.
pub(super) fn measure(args: &MeasureArgs) -> Result<Measured> {
    let temporary = tempfile::tempdir().into_diagnostic()?;
    let directory = args.write_corpora.as_deref().unwrap_or(temporary.path());
    let bytes = write(directory, args.mebibytes.get() << 20, args.seed).into_diagnostic()?;
    let begun = Instant::now();
    let out = temporary.path().join("out");
    let manifest = directory.join("corpora.toml");
    build(
        &manifest,
        Some(&out),
        BuildOptions::default(),
        &mut Unobserved,
    )
    .into_diagnostic()?;
    let seconds = begun.elapsed().as_secs_f64();
    let megabytes = bytes as f64 / 1e6;
    Ok(Measured::of([
        ("corpora_mb", megabytes),
        ("clean_s", seconds),
        ("clean_mb_per_s", megabytes / seconds),
    ]))
}

/// Writes about so many bytes of pairs, and returns how many they are.
fn write(directory: &Path, bytes: usize, seed: u64) -> io::Result<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let vocabularies = ['а', 'a'].map(|first| vocabulary(first, &mut random));
    let sentences =
        |random: &mut ChaCha8Rng| vocabularies.each_ref().map(|of| sentence(of, random));
    fs::create_dir_all(directory)?;
    fs::write(directory.join("corpora.toml"), MANIFEST)?;
    let create =
        |name: &str| Ok::<_, io::Error>(BufWriter::new(File::create(directory.join(name))?));
    let mut benchmark = create("benchmark.eng")?;
    let mut files = [create("pairs.bul")?, create("pairs.eng")?];
    let (mut written, mut earlier) = (0, Vec::new());
    for number in 0.. {
        let mut pair = sentences(&mut random);
        match number % REPEATED {
            0 => earlier = pair.to_vec(),
            1 if number % (2 * REPEATED) == 1 => pair.clone_from_slice(&earlier),
            1 => pair = [0, 1].map(|side| format!("{} {}", earlier[side], &vocabularies[side][0])),
            _ => {}
        }
        if number < BENCHMARK * REPEATED && number % REPEATED == 2 {
            writeln!(benchmark, "{}", pair[1])?;
        }
        for (file, text) in files.iter_mut().zip(&pair) {
            writeln!(file, "{text}")?;
            written += text.len() + 1;
        }
        if written >= bytes {
            break;
        }
    }
    files
        .iter_mut()
        .chain([&mut benchmark])
        .try_for_each(Write::flush)?;
    Ok(written)
}

/// A sentence of 8 to 31 words.
fn sentence(words: &[String], random: &mut ChaCha8Rng) -> String {
    let length = random.random_range(8..32);
    let words: Vec<&str> = (0..length)
        .map(|_| words[random.random_range(0..words.len())].as_str())
        .collect();
    words.join(" ") + "."
}
