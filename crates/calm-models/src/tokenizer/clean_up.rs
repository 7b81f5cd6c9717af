//! `clean_up_tokenization_spaces`: spaces before marks, which tokenizers of words leave in a text.

use super::side_files::SideFiles;

/// Left, and what takes its place, one after the other: those of `transformers`.
const REPLACED: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// Whether texts are cleaned up after decoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct CleanUp(bool);

impl CleanUp {
    /// As the files beside a tokenizer ask for it: pairs of bytes are not cleaned up unless that is
    /// asked for once more, since it takes spaces that belong there.
    pub(super) fn of(side: &SideFiles, is_bpe: bool) -> Self {
        let asked = |name| side.flag(name).unwrap_or(false);
        let even_so = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
        Self(asked("clean_up_tokenization_spaces") && (!is_bpe || asked(even_so)))
    }

    pub(super) fn apply(self, text: String) -> String {
        if !self.0 {
            return text;
        }
        let replaced = REPLACED.iter();
        replaced.fold(text, |text, (left, right)| text.replace(left, right))
    }

    /// Bytes at the end of a text that what comes next may make part of something replaced.
    pub(super) fn unsettled(self, text: &str) -> usize {
        if !self.0 {
            return 0;
        }
        let begun = |left: &str| {
            let mut lengths = (1..left.len()).rev();
            lengths
                .find(|length| text.ends_with(&left[..*length]))
                .unwrap_or(0)
        };
        let begun = REPLACED
            .iter()
            .map(|(left, _)| begun(left))
            .max()
            .unwrap_or(0);
        // An apostrophe may have lost the spaces around it, one of which belongs to the next mark.
        let is_apostrophe = text[..text.len() - begun].ends_with('\'');
        begun + usize::from(is_apostrophe)
    }
}
