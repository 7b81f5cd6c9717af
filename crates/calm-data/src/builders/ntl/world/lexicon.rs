//! Meanings of the world, with their English forms.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// Index of a meaning.
pub(super) type Meaning = usize;

/// What a noun names; verbs and adjectives are said of some of these only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NounClass {
    Person,
    Animal,
    Food,
    Thing,
    Place,
    Idea,
}

impl NounClass {
    fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Animal => "animal",
            Self::Food => "food",
            Self::Thing => "thing",
            Self::Place => "place",
            Self::Idea => "idea",
        }
    }
}

/// What a verb needs besides its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VerbClass {
    Person,
    Creature,
    Food,
    Thing,
    Place,
    Idea,
    /// A thing, and a person who gets it.
    Give,
    /// Nothing.
    None,
}

/// Nouns that an adjective is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AdjectiveClass {
    Person,
    Thing,
    Any,
}

/// English forms of a noun (singular, plural) or a verb (base, past); other words have one.
#[derive(Debug, Clone)]
pub(super) struct Forms {
    pub(super) base: String,
    pub(super) other: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    nouns: BTreeMap<NounClass, String>,
    verbs: BTreeMap<VerbClass, String>,
    adjectives: BTreeMap<AdjectiveClass, String>,
    adverbs: BTreeMap<String, String>,
    function: BTreeMap<String, String>,
    collocations: BTreeMap<String, String>,
}

/// All meanings.
#[derive(Debug)]
pub(super) struct Lexicon {
    forms: Vec<Forms>,
    classes: HashMap<Meaning, NounClass>,
    nouns: BTreeMap<NounClass, Vec<Meaning>>,
    verbs: BTreeMap<VerbClass, Vec<Meaning>>,
    adjectives: BTreeMap<AdjectiveClass, Vec<Meaning>>,
    adverbs: BTreeMap<String, Vec<Meaning>>,
    function: HashMap<String, Meaning>,
    prepositions: Vec<Meaning>,
    conjunctions: Vec<Meaning>,
    /// Forms in place of a meaning's own, by it and the noun that it is said of.
    collocations: HashMap<(Meaning, NounClass), Forms>,
}

impl Lexicon {
    /// The lexicon that is part of the program.
    pub(super) fn new() -> Self {
        let file: File =
            toml::from_str(include_str!("lexicon.toml")).expect("the file is part of the program");
        let mut forms = Vec::new();
        let mut list = |words: &str, other: fn(&str) -> String| -> Vec<Meaning> {
            let add = |word: &str| {
                forms.push(Forms::read(word, other));
                forms.len() - 1
            };
            words.split_whitespace().map(add).collect()
        };
        let nouns: BTreeMap<_, _> = file
            .nouns
            .iter()
            .map(|(class, words)| (*class, list(words, plural)))
            .collect();
        let verbs: BTreeMap<_, _> = file
            .verbs
            .iter()
            .map(|(class, words)| (*class, list(words, past)))
            .collect();
        let adjectives: BTreeMap<_, _> = file
            .adjectives
            .iter()
            .map(|(class, words)| (*class, list(words, str::to_owned)))
            .collect();
        let mut plain = |words: BTreeMap<String, String>| -> BTreeMap<String, Vec<Meaning>> {
            words
                .into_iter()
                .map(|(class, words)| (class, list(&words, str::to_owned)))
                .collect()
        };
        let (adverbs, function) = (plain(file.adverbs), plain(file.function));
        let classes = nouns
            .iter()
            .flat_map(|(class, nouns)| nouns.iter().map(|noun| (*noun, *class)))
            .collect();
        let by_name = |meanings: &[Meaning], name: &str| {
            meanings
                .iter()
                .copied()
                .find(|meaning| forms[*meaning].base == name)
        };
        let described: Vec<Meaning> = verbs
            .values()
            .chain(adjectives.values())
            .flatten()
            .copied()
            .collect();
        let collocations = file
            .collocations
            .iter()
            .map(|(key, form)| {
                let (word, class) = key.split_once(' ').expect("a word and a class");
                let meaning = by_name(&described, word).expect("a verb or an adjective");
                let class = nouns.keys().find(|known| known.name() == class);
                let class = *class.expect("a class of nouns");
                ((meaning, class), Forms::read(form, str::to_owned))
            })
            .collect();
        let function_words = function.values().flatten();
        Self {
            function: function_words
                .map(|meaning| (forms[*meaning].base.clone(), *meaning))
                .collect(),
            prepositions: function["preposition"].clone(),
            conjunctions: function["conjunction"].clone(),
            forms,
            classes,
            nouns,
            verbs,
            adjectives,
            adverbs,
            collocations,
        }
    }

    /// Number of meanings.
    pub(super) fn len(&self) -> usize {
        self.forms.len()
    }

    pub(super) fn forms(&self, meaning: Meaning) -> &Forms {
        &self.forms[meaning]
    }

    /// Forms of a verb or an adjective beside a noun of a class.
    pub(super) fn forms_beside(&self, meaning: Meaning, class: Option<NounClass>) -> &Forms {
        class
            .and_then(|class| self.collocations.get(&(meaning, class)))
            .unwrap_or(&self.forms[meaning])
    }

    pub(super) fn class(&self, noun: Meaning) -> NounClass {
        self.classes[&noun]
    }

    /// Nouns of a class, the most frequent first, as in all lists.
    pub(super) fn nouns(&self, class: NounClass) -> &[Meaning] {
        &self.nouns[&class]
    }

    pub(super) fn verbs(&self, class: VerbClass) -> &[Meaning] {
        &self.verbs[&class]
    }

    pub(super) fn adjectives(&self, class: AdjectiveClass) -> &[Meaning] {
        &self.adjectives[&class]
    }

    /// Adverbs of time, or of manner.
    pub(super) fn adverbs(&self, class: &str) -> &[Meaning] {
        &self.adverbs[class]
    }

    pub(super) fn prepositions(&self) -> &[Meaning] {
        &self.prepositions
    }

    pub(super) fn conjunctions(&self) -> &[Meaning] {
        &self.conjunctions
    }

    /// A word that belongs to grammar, by its English form.
    pub(super) fn function(&self, english: &str) -> Meaning {
        self.function[english]
    }

    /// A verb or a noun by its English base form.
    pub(super) fn named(&self, english: &str) -> Meaning {
        self.forms
            .iter()
            .position(|forms| forms.base == english)
            .expect("a word of the lexicon")
    }

    /// Whether a meaning is a word of its own right, rather than of grammar.
    pub(super) fn is_content(&self, meaning: Meaning) -> bool {
        !self.function.contains_key(&self.forms[meaning].base)
    }
}

impl Forms {
    fn read(word: &str, other: fn(&str) -> String) -> Self {
        let word = word.replace('_', " ");
        match word.split_once('/') {
            Some((base, other)) => Self {
                base: base.to_owned(),
                other: other.to_owned(),
            },
            None => Self {
                other: other(&word),
                base: word,
            },
        }
    }
}

/// The regular plural, which is also the third person of a verb.
pub(super) fn plural(word: &str) -> String {
    match word {
        "have" => "has".to_owned(),
        _ if word.ends_with(['s', 'x', 'z']) || word.ends_with("ch") || word.ends_with("sh") => {
            format!("{word}es")
        }
        _ => match word.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
            _ => format!("{word}s"),
        },
    }
}

/// The regular past.
fn past(word: &str) -> String {
    match (word.strip_suffix('e'), word.strip_suffix('y')) {
        (Some(stem), _) => format!("{stem}ed"),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ied"),
        _ => format!("{word}ed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_has_its_rules_and_exceptions() {
        let lexicon = Lexicon::new();
        assert!(lexicon.len() >= 500, "{}", lexicon.len());
        let other = |word: &str| lexicon.forms(lexicon.named(word)).other.as_str();
        assert_eq!(other("child"), "children");
        assert_eq!(other("berry"), "berries");
        assert_eq!(other("key"), "keys");
        assert_eq!(other("box"), "boxes");
        assert_eq!(other("buy"), "bought");
        assert_eq!(other("carry"), "carried");
        assert_eq!(other("chase"), "chased");
        assert_eq!(other("stay"), "stayed");
        let big = lexicon.named("big");
        let beside = |class| lexicon.forms_beside(big, class).base.as_str();
        assert_eq!(beside(Some(NounClass::Place)), "vast");
        assert_eq!(beside(Some(NounClass::Food)), "big");
        assert_eq!(beside(None), "big");
    }

    #[test]
    fn no_word_is_listed_twice() {
        let lexicon = Lexicon::new();
        let mut words: Vec<&str> = lexicon.forms.iter().map(|forms| &*forms.base).collect();
        words.sort_unstable();
        let twice: Vec<_> = words.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
