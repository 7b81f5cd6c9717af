//! chrF of a file of translations against a file of references, line by line:
//!
//! ```sh
//! cargo run --release --example chrf -- hypotheses.txt references.txt
//! ```
//!
//! The scores are those of sacreBLEU's `chrf` and `bleu`.

use std::fs;
use std::path::Path;

use calm_lm::Error;
use calm_lm::eval::{Bleu, Chrf, Metric, Statistics};

/// Names and corpus scores of these files, from 0 to 100.
pub(crate) fn scores(
    hypotheses: &Path,
    references: &Path,
) -> Result<Vec<(&'static str, f64)>, Error> {
    let lines = |path: &Path| -> Result<Vec<String>, Error> {
        Ok(fs::read_to_string(path)?
            .lines()
            .map(str::to_owned)
            .collect())
    };
    // One list for each reference of a sentence; here every sentence has one.
    let (hypotheses, references) = (lines(hypotheses)?, vec![lines(references)?]);
    let metrics: [(&str, &dyn Metric); 3] = [
        ("chrF2", &Chrf::chrf2()),
        ("chrF++", &Chrf::chrf_plus_plus()),
        ("BLEU", &Bleu::default()),
    ];
    let scores = metrics.map(|(name, metric)| {
        Ok((
            name,
            Statistics::of(metric, &hypotheses, &references)?.corpus(),
        ))
    });
    scores.into_iter().collect()
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [hypotheses, references] = arguments.as_slice() else {
        let usage = "usage: chrf HYPOTHESES REFERENCES";
        return Err(std::io::Error::other(usage).into());
    };
    for (name, score) in scores(hypotheses.as_ref(), references.as_ref())? {
        println!("{name:7} {score:.2}");
    }
    Ok(())
}
