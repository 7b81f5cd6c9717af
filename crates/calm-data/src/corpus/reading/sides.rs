//! Which languages the texts of a record are in.

use std::collections::BTreeMap;

use super::rows::RowFields;
use super::{Sides, Skip};
use crate::corpus::{CorpusSpec, LanguageTag, Segment};

/// Languages by the codes that files use, such as `en` for `eng_Latn`.
#[derive(Debug, Clone)]
pub(super) struct Tags(BTreeMap<String, LanguageTag>);

impl Tags {
    pub(super) fn new(tags: &BTreeMap<String, LanguageTag>) -> Self {
        let lower = tags.iter().map(|(code, tag)| (code.to_lowercase(), *tag));
        Self(lower.collect())
    }

    /// The language of a code. Letters may be of either case, and a code without a tag of its own
    /// gets that of its first parts: `en-GB` that of `en`.
    pub(super) fn language(&self, code: &str) -> Option<LanguageTag> {
        let code = code.trim().to_lowercase();
        let mut first = code.as_str();
        loop {
            if let Some(tag) = self.0.get(first) {
                return Some(*tag);
            }
            first = &first[..first.rfind(['-', '_'])?];
        }
    }
}

/// Makes sides of the texts of a row.
#[derive(Debug, Clone)]
pub(super) struct SideRules {
    languages: Vec<LanguageTag>,
    tags: Option<Tags>,
}

impl SideRules {
    pub(super) fn new(corpus: &CorpusSpec) -> Self {
        let has_codes = !corpus.language_fields.is_empty();
        Self {
            languages: corpus.languages.clone(),
            tags: has_codes.then(|| Tags::new(&corpus.tags)),
        }
    }

    /// The sides of one or two texts, whose languages the codes tell if fields hold them.
    pub(super) fn sides(&self, texts: &mut [String], codes: &[String]) -> Result<Sides, Skip> {
        let mut texts = texts.iter_mut().map(std::mem::take);
        let mut found: Vec<Segment> = match &self.tags {
            None => {
                let sides = self.languages.iter().zip(texts);
                sides
                    .map(|(language, text)| segment(*language, text))
                    .collect()
            }
            Some(tags) => {
                let languages = codes.iter().map(|code| tags.language(code));
                let languages: Option<Vec<_>> = languages.collect();
                let languages = languages.ok_or(Skip::OtherLanguage)?;
                let sides = languages.into_iter().zip(&mut texts);
                sides
                    .map(|(language, text)| segment(language, text))
                    .collect()
            }
        };
        if self.tags.is_some() {
            self.put_in_order(&mut found)?;
        }
        let mut found = found.into_iter();
        let source = found.next().ok_or(Skip::OtherLanguage)?;
        Ok((source, found.next()))
    }

    /// Puts sides whose languages the row tells into the order of the manifest's.
    fn put_in_order(&self, sides: &mut [Segment]) -> Result<(), Skip> {
        if let [first, second] = sides
            && first.language == second.language
        {
            return Err(Skip::OtherLanguage);
        }
        if self.languages.is_empty() || is_in(&self.languages, sides) {
            return Ok(());
        }
        sides.reverse();
        match is_in(&self.languages, sides) {
            true => Ok(()),
            false => Err(Skip::OtherLanguage),
        }
    }
}

/// Fields of a row that hold its texts and their languages, as paths of names.
pub(super) struct SideFields {
    /// Paths to the texts, then those to the languages.
    paths: Vec<Vec<String>>,
    texts: usize,
    rules: SideRules,
}

impl SideFields {
    pub(super) fn new(corpus: &CorpusSpec) -> Self {
        let fields = corpus.fields.iter().chain(&corpus.language_fields);
        Self {
            paths: fields.map(|field| names(field)).collect(),
            texts: corpus.fields.len(),
            rules: SideRules::new(corpus),
        }
    }
}

impl RowFields for SideFields {
    type Content = Sides;

    fn paths(&self) -> &[Vec<String>] {
        &self.paths
    }

    fn content(&self, mut values: Vec<String>) -> Result<Sides, Skip> {
        let codes = values.split_off(self.texts);
        self.rules.sides(&mut values, &codes)
    }
}

/// The names of a path with dots between them.
pub(super) fn names(field: &str) -> Vec<String> {
    field.split('.').map(str::to_owned).collect()
}

fn segment(language: LanguageTag, text: String) -> Segment {
    Segment { language, text }
}

fn is_in(languages: &[LanguageTag], sides: &[Segment]) -> bool {
    sides.iter().map(|side| &side.language).eq(languages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> LanguageTag {
        text.parse().unwrap()
    }

    #[test]
    fn a_code_has_the_tag_of_its_first_parts() {
        let tags = [
            ("en", "eng_Latn"),
            ("zh-Hant", "zho_Hant"),
            ("pt-BR", "por_Latn"),
        ];
        let tags = tags.map(|(code, language)| (code.to_owned(), tag(language)));
        let tags = Tags::new(&tags.into_iter().collect());
        for (code, expected) in [
            ("en", Some("eng_Latn")),
            ("EN-gb", Some("eng_Latn")),
            ("en_US", Some("eng_Latn")),
            ("zh-hant-TW", Some("zho_Hant")),
            ("zh", None),
            ("pt", None),
            ("eng", None),
            ("", None),
        ] {
            assert_eq!(tags.language(code), expected.map(tag), "{code}");
        }
    }

    #[test]
    fn rows_that_tell_their_languages_are_turned_the_right_way() {
        let tags = [("ny", "nya_Latn"), ("en", "eng_Latn"), ("fr", "fra_Latn")];
        let tags = tags.map(|(code, language)| (code.to_owned(), tag(language)));
        let rules = |languages: &[&str]| SideRules {
            languages: languages.iter().map(|text| tag(text)).collect(),
            tags: Some(Tags::new(&tags.iter().cloned().collect())),
        };
        let sides = |languages: &[&str], codes: [&str; 2]| {
            let mut texts = codes.map(|code| format!("text in {code}"));
            let sides = rules(languages).sides(&mut texts, &codes.map(str::to_owned));
            sides.map(|(source, target)| (source.text, target.unwrap().text))
        };
        let expected = Ok(("text in ny".to_owned(), "text in en".to_owned()));
        let languages = ["nya_Latn", "eng_Latn"];
        assert_eq!(sides(&languages, ["ny", "en"]), expected);
        assert_eq!(sides(&languages, ["en", "ny"]), expected);
        assert_eq!(sides(&[], ["ny", "en"]), expected);
        for codes in [["ny", "fr"], ["ny", "xx"], ["ny", "ny"]] {
            assert_eq!(sides(&languages, codes), Err(Skip::OtherLanguage));
        }
    }
}
