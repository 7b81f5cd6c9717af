//! Pairs in the form in which the paper's translation tasks show them.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::builders::ntl::prompt::Prompt;
use crate::corpus::{CorpusRecord, Direction, LanguageTag, Segment};

/// A pair that is translated one way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Translation<'a> {
    /// The text that is given.
    pub(super) from: &'a Segment,
    /// The text that is wanted.
    pub(super) into: &'a Segment,
}

/// Both ways in which a pair is translated, as far as its corpus has them learnt.
pub(super) fn translations(
    record: &CorpusRecord,
    direction: Direction,
) -> impl Iterator<Item = Translation<'_>> {
    let target = record.target.as_ref();
    let both = target.map(|target| [(&record.source, target), (target, &record.source)]);
    let wanted = match direction {
        Direction::Both => [true, true],
        Direction::Forward => [true, false],
        Direction::Backward => [false, true],
    };
    let both = both.into_iter().flatten().zip(wanted);
    both.filter_map(|((from, into), is_wanted)| is_wanted.then_some(Translation { from, into }))
}

impl Translation<'_> {
    /// The languages.
    pub(super) fn languages(&self) -> Languages {
        (self.from.language, self.into.language)
    }
}

/// A language, and that into which it is translated.
pub(super) type Languages = (LanguageTag, LanguageTag);

/// A row whose target carries the loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TranslationRow<'a> {
    /// Worked examples, and the sentence to translate.
    pub(super) prompt: String,
    /// The translation, behind a space.
    pub(super) target: String,
    /// The pair's language beside English.
    pub(super) language: LanguageTag,
    /// The language of the sentences.
    pub(super) source_language: LanguageTag,
    /// The language of their translations.
    pub(super) target_language: LanguageTag,
    /// The corpus that the pair is from.
    pub(super) source_corpus: &'a str,
    /// Number of worked examples.
    pub(super) shots: usize,
    /// Characters of the prompt, from and to, that anchor masking may hide: sentences to be translated
    /// but for their numbers.
    pub(super) mask: Vec<[usize; 2]>,
}

/// The pairs that were seen last, which become worked examples.
#[derive(Debug, Default)]
pub(super) struct Shots {
    most: usize,
    seen: BTreeMap<Languages, VecDeque<(String, String)>>,
}

impl Shots {
    /// With `most` worked examples or fewer.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            seen: BTreeMap::new(),
        }
    }

    /// The row of a translation with the last `wanted` pairs of its languages before it, fewer if
    /// there are not so many yet.
    pub(super) fn row<'a>(
        &self,
        translation: Translation<'_>,
        wanted: usize,
        language: LanguageTag,
        source_corpus: &'a str,
    ) -> TranslationRow<'a> {
        let Translation { from, into } = translation;
        let languages = translation.languages();
        let seen = self.seen.get(&languages);
        let shots = seen.map_or(0, |seen| wanted.min(seen.len()));
        let mut prompt = Prompt::default();
        let pairs = seen.into_iter().flatten();
        let (source_tag, target_tag) = (languages.0.as_str(), languages.1.as_str());
        for (source, target) in pairs.skip(seen.map_or(0, |seen| seen.len() - shots)) {
            prompt.ask(source_tag, source, target_tag);
            prompt.answer(target);
        }
        prompt.ask(source_tag, &from.text, target_tag);
        TranslationRow {
            prompt: prompt.text,
            target: format!(" {}", into.text),
            language,
            source_language: languages.0,
            target_language: languages.1,
            source_corpus,
            shots,
            mask: prompt.mask,
        }
    }

    /// Remembers a pair.
    pub(super) fn see(&mut self, translation: Translation<'_>) {
        if self.most == 0 {
            return;
        }
        let seen = self.seen.entry(translation.languages()).or_default();
        if seen.len() == self.most {
            seen.pop_front();
        }
        seen.push_back((translation.from.text.clone(), translation.into.text.clone()));
    }
}

/// Several pairs of two languages as one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PairDocument {
    /// The pairs, one below the other.
    pub(super) text: String,
    /// The pairs' language beside English.
    pub(super) language: LanguageTag,
    /// The language of the sentences.
    pub(super) source_language: LanguageTag,
    /// The language of their translations.
    pub(super) target_language: LanguageTag,
    /// The corpus that the pairs are from.
    pub(super) source_corpus: String,
}

/// Documents of `size` pairs each, of one corpus and two languages.
#[derive(Debug)]
pub(super) struct PairDocuments {
    size: usize,
    open: BTreeMap<(u32, Languages), (usize, PairDocument)>,
}

impl PairDocuments {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size: size.max(1),
            open: BTreeMap::new(),
        }
    }

    /// Adds a pair, and returns the document that it completes.
    pub(super) fn push(
        &mut self,
        corpus: (u32, &str),
        translation: Translation<'_>,
        language: LanguageTag,
    ) -> Option<PairDocument> {
        let languages @ (from, into) = translation.languages();
        let key = (corpus.0, languages);
        let (pairs, document) = self.open.entry(key).or_insert_with(|| {
            let document = PairDocument {
                text: String::new(),
                language,
                source_language: from,
                target_language: into,
                source_corpus: corpus.1.to_owned(),
            };
            (0, document)
        });
        let mut pair = Prompt::default();
        pair.ask(from.as_str(), &translation.from.text, into.as_str());
        pair.answer(&translation.into.text);
        document.text.push_str(&pair.text);
        *pairs += 1;
        match *pairs == self.size {
            true => self.open.remove(&key).map(|(_, document)| document),
            false => None,
        }
    }

    /// The documents that have fewer pairs.
    pub(super) fn rest(self) -> impl Iterator<Item = PairDocument> {
        self.open.into_values().map(|(_, document)| document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Origin;

    fn record(number: usize) -> CorpusRecord {
        let segment = |language: &str, text: String| Segment {
            language: language.parse().unwrap(),
            text,
        };
        CorpusRecord {
            source: segment("npi_Deva", format!("ने {number}")),
            target: Some(segment("eng_Latn", format!("no {number}"))),
            origin: Origin {
                corpus: 0,
                file: 0,
                place: number as u64,
            },
        }
    }

    #[test]
    fn a_row_has_the_form_of_the_task_and_its_mask_holds_the_sentences_but_for_numbers() {
        let mut shots = Shots::new(2);
        let records: Vec<_> = (0..4).map(record).collect();
        for record in &records[..3] {
            translations(record, Direction::Both).for_each(|pair| shots.see(pair));
        }
        let [into_english, from_english] =
            translations(&records[3], Direction::Both).collect::<Vec<_>>()[..]
        else {
            panic!("there are two");
        };
        let language = records[0].source.language;
        let row = shots.row(into_english, 2, language, "bible");
        let prompt = "npi_Deva: ने 1\neng_Latn: no 1\n\nnpi_Deva: ने 2\neng_Latn: no 2\n\n\
                      npi_Deva: ने 3\neng_Latn:";
        assert_eq!(
            (row.prompt.as_str(), row.target.as_str(), row.shots),
            (prompt, " no 3", 2)
        );
        let chars: Vec<char> = prompt.chars().collect();
        let masked = row
            .mask
            .iter()
            .map(|&[from, to]| chars[from..to].iter().collect::<String>());
        assert_eq!(masked.collect::<Vec<_>>(), ["ने ", "ने ", "ने "]);
        let row = shots.row(from_english, 1, language, "bible");
        assert_eq!(
            row.prompt,
            "eng_Latn: no 2\nnpi_Deva: ने 2\n\neng_Latn: no 3\nnpi_Deva:"
        );
        assert_eq!(row.target, " ने 3");
        // More than there are.
        assert_eq!(shots.row(from_english, 9, language, "bible").shots, 2);
        assert_eq!(translations(&records[0], Direction::Backward).count(), 1);
    }

    #[test]
    fn documents_hold_pairs_of_one_corpus_and_direction() {
        let mut documents = PairDocuments::new(2);
        let records: Vec<_> = (0..3).map(record).collect();
        let language = records[0].source.language;
        let mut texts = Vec::new();
        for record in &records {
            for pair in translations(record, Direction::Both) {
                texts.extend(
                    documents
                        .push((0, "bible"), pair, language)
                        .map(|found| found.text),
                );
            }
        }
        texts.extend(documents.rest().map(|found| found.text));
        assert_eq!(
            texts,
            [
                "npi_Deva: ने 0\neng_Latn: no 0\n\nnpi_Deva: ने 1\neng_Latn: no 1\n\n",
                "eng_Latn: no 0\nnpi_Deva: ने 0\n\neng_Latn: no 1\nnpi_Deva: ने 1\n\n",
                "eng_Latn: no 2\nnpi_Deva: ने 2\n\n",
                "npi_Deva: ने 2\neng_Latn: no 2\n\n",
            ]
        );
    }
}
