//! Steps that judge the text of a file by its characters and lines.

use crate::corpus::{LettersConfig, LinesConfig, SourceFile, Step, Verdict};

/// Drops files with long lines: data, and what a program has packed.
#[derive(Debug, Clone, Copy)]
pub struct Lines(pub LinesConfig);

impl Step<SourceFile> for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn apply(&self, file: &mut SourceFile) -> Verdict {
        let (mut count, mut longest, mut all) = (0, 0, 0);
        for line in file.text.lines() {
            let length = line.chars().count();
            count += 1;
            longest = longest.max(length);
            all += length;
        }
        if longest > self.0.longest {
            return Verdict::Drop("a line is too long".into());
        }
        match all as f64 > self.0.mean * f64::from(count) {
            true => Verdict::Drop("lines are too long in the mean".into()),
            false => Verdict::Keep,
        }
    }
}

/// Drops files with few letters and digits: tables, pictures of characters.
#[derive(Debug, Clone, Copy)]
pub struct Letters(pub LettersConfig);

impl Step<SourceFile> for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn apply(&self, file: &mut SourceFile) -> Verdict {
        let letters = file.text.chars().filter(|c| c.is_alphanumeric()).count();
        match (letters as f64) < self.0.share * file.text.chars().count() as f64 {
            true => Verdict::Drop("too few letters and digits".into()),
            false => Verdict::Keep,
        }
    }
}
