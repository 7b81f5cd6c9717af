//! The script that a language is written in.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::corpus::{CorpusRecord, LanguageTag, ScriptConfig, Step, Verdict};

/// Drops records of which a text has too few letters of its language's script.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedScript(pub ScriptConfig);

/// Share of a text's letters that are of its language's script; `None` without letters.
pub fn script_share(text: &str, language: LanguageTag) -> Option<f64> {
    let letters = text.chars().filter(|&c| is_letter(c));
    let (mut expected, mut all) = (0_usize, 0_usize);
    for is_expected in letters.filter_map(|c| language.uses(c)) {
        expected += usize::from(is_expected);
        all += 1;
    }
    (all > 0).then(|| expected as f64 / all as f64)
}

/// Whether a character is a letter, and no mark on one.
fn is_letter(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphabetic(),
        false => c.general_category_group() == GeneralCategoryGroup::Letter,
    }
}

impl Step for ExpectedScript {
    fn name(&self) -> &'static str {
        "script"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        for side in record.sides() {
            match script_share(&side.text, side.language) {
                None => return Verdict::Drop("no letter".into()),
                Some(share) if share < self.0.share => {
                    return Verdict::Drop(format!("not in {}", side.language.script()).into());
                }
                Some(_) => {}
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_other_scripts_are_counted() {
        for (text, language, expected) in [
            ("नेपाली", "npi_Deva", Some(1.0)),
            ("नेपाली abc", "npi_Deva", Some(0.5)),
            ("12, 13!", "npi_Deva", None),
            ("東京タワーです", "jpn_Jpan", Some(1.0)),
            ("漢字", "kor_Kore", Some(1.0)),
            ("漢字", "kor_Hang", Some(0.0)),
            ("Скопје Skopje", "mkd_Cyrl", Some(0.5)),
        ] {
            assert_eq!(
                script_share(text, language.parse().unwrap()),
                expected,
                "{text}"
            );
        }
    }
}
