//! Samples of datasets: D_C is a share of a corpus, perhaps with parts of others.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{DataError, ExampleForm, ExampleReader};

/// How much of a dataset is taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// A share of its rows, above 0 and at most 1.
    Share(f64),
    /// A number of its rows.
    Examples(usize),
}

/// A part of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplePart {
    /// A file or directory of rows, in any form that [`ExampleReader`] reads.
    pub path: PathBuf,
    /// How much of it is taken.
    pub amount: Amount,
}

/// Writes a sample of each part to a JSON Lines file, part by part, and returns the number of its
/// rows. `seed` chooses them, each as likely as any other and none twice; they stay in their order,
/// and keep all of their fields. A part that is made longer or shorter changes nothing of the others.
///
/// # Errors
///
/// [`DataError`] if a part cannot be read, has fewer rows than are wanted, or a share is none.
pub fn sample(parts: &[SamplePart], seed: u64, out: &Path) -> Result<usize, DataError> {
    if let Some(directory) = out.parent() {
        fs::create_dir_all(directory).map_err(DataError::io(directory))?;
    }
    let mut file = calm_files::AtomicFile::create(out)?;
    let mut written = 0;
    for (stream, part) in (0u64..).zip(parts) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let chosen = part.choose(&mut rng)?;
        written += chosen.iter().filter(|is_chosen| **is_chosen).count();
        let mut is_chosen = chosen.into_iter();
        let mut reader = part.open()?;
        while let Some(row) = reader.next_of(|row| Ok(row.clone()))? {
            if is_chosen.next() == Some(true) {
                let write = |file: &mut dyn Write| {
                    serde_json::to_writer(&mut *file, &row)?;
                    file.write_all(b"\n")
                };
                write(&mut file).map_err(DataError::io(out))?;
            }
        }
    }
    file.commit()?;
    Ok(written)
}

impl SamplePart {
    fn open(&self) -> Result<ExampleReader, DataError> {
        ExampleReader::open(&self.path, &ExampleForm::default())
    }

    /// Whether each row is taken: those with the least of random numbers.
    fn choose(&self, rng: &mut ChaCha8Rng) -> Result<Vec<bool>, DataError> {
        let mut draws: Vec<(u64, usize)> = Vec::new();
        let mut reader = self.open()?;
        while reader.next_of(|_| Ok(()))?.is_some() {
            draws.push((rng.random(), draws.len()));
        }
        let rows = draws.len();
        let count = match self.amount {
            Amount::Examples(count) if count <= rows => count,
            Amount::Examples(count) => {
                let reason = format!("has {rows} rows, and {count} are wanted");
                return Err(DataError::file(&self.path, reason));
            }
            Amount::Share(share) if share > 0.0 && share <= 1.0 => {
                ((share * rows as f64).round() as usize).max(1)
            }
            Amount::Share(share) => {
                let reason = format!("a share of {share} is none; give one above 0 and at most 1");
                return Err(DataError::file(&self.path, reason));
            }
        };
        draws.sort_unstable();
        let mut is_chosen = vec![false; rows];
        for (_, row) in draws.into_iter().take(count) {
            is_chosen[row] = true;
        }
        Ok(is_chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_share_of_every_part() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, rows: usize| {
            let path = dir.path().join(name);
            let row =
                |n| format!("{{\"prompt\": \"{name} {n}\", \"target\": \"t\", \"x\": {n}}}\n");
            fs::write(&path, (0..rows).map(row).collect::<String>()).unwrap();
            path
        };
        let part = |path: &Path, amount| SamplePart {
            path: path.to_owned(),
            amount,
        };
        let (a, b) = (file("a.jsonl", 200), file("b.jsonl", 50));
        let taken = |parts: &[SamplePart], seed| {
            let out = dir.path().join("out/rows.jsonl");
            let count = sample(parts, seed, &out).unwrap();
            let text = fs::read_to_string(out).unwrap();
            assert_eq!(text.lines().count(), count);
            text
        };
        let parts = [part(&a, Amount::Share(0.05)), part(&b, Amount::Examples(7))];
        let text = taken(&parts, 3);
        let of = |name: &str| text.lines().filter(|line| line.contains(name)).count();
        assert_eq!([of("a.jsonl"), of("b.jsonl")], [10, 7]);
        assert!(text.contains("\"x\":"));
        assert_eq!(taken(&parts, 3), text);
        assert_ne!(taken(&parts, 4), text);
        // Another amount of the first part leaves the second as it was.
        let more = taken(&[part(&a, Amount::Share(1.0)), parts[1].clone()], 3);
        assert!(more.starts_with("{\"prompt\":\"a.jsonl 0\""));
        let of_b = |text: &str| {
            text.lines()
                .filter(|line| line.contains("b.jsonl"))
                .collect::<String>()
        };
        assert_eq!(of_b(&more), of_b(&text));
        let wrong = |amount| sample(&[part(&b, amount)], 0, &dir.path().join("none")).unwrap_err();
        assert!(
            wrong(Amount::Examples(51))
                .to_string()
                .contains("has 50 rows, and 51 are wanted")
        );
        assert!(
            wrong(Amount::Share(0.0))
                .to_string()
                .contains("a share of 0 is none")
        );
        assert!(!dir.path().join("none").exists());
    }
}
