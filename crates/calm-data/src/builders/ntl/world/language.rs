//! Languages: families with proto-words, and members that changed their sounds, words and grammar.

use std::collections::HashSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::lexicon::{Lexicon, Meaning};
use super::script::{CONSONANTS, Script, VOWELS};
use super::sentence::{Clause, Count, Head, NAMES, NounPhrase, Sentence, Tense};

/// Whether there is much text of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// The anchor knows it.
    High,
    /// The anchor has seen traces.
    Low,
}

/// A language of the world, English aside.
#[derive(Debug, Clone, Serialize)]
pub struct Language {
    /// As FLORES writes it, as `kal_Latn`; the codes mean no language of the earth.
    pub tag: String,
    /// Languages of a family have words in common; an isolate is the only one of its family.
    pub family: usize,
    /// How much text there is.
    pub resource: Resource,
    /// How it is written.
    pub script: Script,
    /// Order of words, affixes.
    pub grammar: Grammar,
    /// The word of each meaning, in sounds.
    #[serde(skip)]
    words: Vec<String>,
}

/// A word of a sentence.
#[derive(Debug, Clone)]
struct Word {
    /// As it is spoken; a number in digits.
    sounds: String,
    /// What it means in English; none for what is English, too: names, numbers, and marks of grammar.
    gloss: Option<String>,
}

/// Order of subject, object and verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "these are the terms of linguists")]
pub enum Order {
    Svo,
    Sov,
    Vso,
    Vos,
}

/// Where a mark of grammar stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Before the word, without a space.
    Prefix(String),
    /// Behind it.
    Suffix(String),
    /// A word of its own before it.
    Particle(String),
    /// None.
    Unmarked,
}

/// Grammar of a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grammar {
    /// Order of words in a clause.
    pub order: Order,
    /// Whether adjectives stand before nouns.
    pub adjective_first: bool,
    /// Whether numbers stand before nouns.
    pub number_first: bool,
    /// Whether a preposition stands before its noun; otherwise it follows.
    pub prepositions: bool,
    /// Whether adverbs and places stand before the rest of a clause.
    pub adverbs_first: bool,
    /// Plural of nouns without a number.
    pub plural: Mark,
    /// Tenses of verbs.
    pub past: Mark,
    /// The future.
    pub future: Mark,
    /// The object of a clause.
    pub accusative: Mark,
    /// Negation of a verb.
    pub negation: Mark,
}

/// A regular change of sounds.
#[derive(Debug, Clone)]
enum SoundChange {
    /// Everywhere.
    Shift(char, char),
    /// A vowel at the end falls.
    FinalVowelLoss,
    /// A consonant between vowels changes.
    Between(char, char),
    /// A vowel is added before two consonants, or at the beginning before this one.
    Prothesis(char, char),
    /// A vowel in the last syllable changes.
    FinalVowel(char, char),
}

/// A family, from which its members differ.
struct Family {
    sounds: Vec<char>,
    vowels: Vec<char>,
    words: Vec<String>,
    grammar: Grammar,
}

/// Families: how many high- and low-resource members each has, and their scripts.
const FAMILIES: [(usize, usize, &[Script]); 8] = [
    (2, 4, &[Script::Latn]),
    (1, 4, &[Script::Cyrl, Script::Latn]),
    (1, 4, &[Script::Deva]),
    (1, 3, &[Script::Thai]),
    (1, 3, &[Script::Arab]),
    (0, 4, &[Script::Latn]),
    (0, 1, &[Script::Latn]),
    (0, 1, &[Script::Geor]),
];

/// Languages of a world, in families.
pub(super) fn languages(lexicon: &Lexicon, seed: u64) -> Vec<Language> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut codes = HashSet::new();
    let mut languages: Vec<Language> = Vec::new();
    for (number, (high, low, scripts)) in FAMILIES.iter().enumerate() {
        let family = Family::new(lexicon, &mut rng);
        for member in 0..high + low {
            let resource = if member < *high {
                Resource::High
            } else {
                Resource::Low
            };
            let script = scripts[member % scripts.len()];
            let lenders: Vec<&Language> = languages
                .iter()
                .filter(|language| language.resource == Resource::High)
                .collect();
            let language = family.member(number, resource, script, &lenders, &mut codes, &mut rng);
            languages.push(language);
        }
    }
    languages
}

impl Family {
    fn new(lexicon: &Lexicon, rng: &mut ChaCha8Rng) -> Self {
        let mut sounds: Vec<char> = CONSONANTS.chars().collect();
        sounds.shuffle(rng);
        sounds.truncate(rng.random_range(11..=14));
        let mut vowels: Vec<char> = VOWELS.chars().collect();
        vowels.shuffle(rng);
        vowels.truncate(rng.random_range(4..=5));
        let mut family = Self {
            sounds,
            vowels,
            words: Vec::new(),
            grammar: Grammar::new(rng),
        };
        let mut taken = HashSet::new();
        family.words = (0..lexicon.len())
            .map(|meaning| {
                let syllables = if lexicon.is_content(meaning) {
                    2..=3
                } else {
                    1..=2
                };
                loop {
                    let word = family.word(rng.random_range(syllables.clone()), rng);
                    if taken.insert(word.clone()) {
                        return word;
                    }
                }
            })
            .collect();
        family
    }

    fn word(&self, syllables: usize, rng: &mut ChaCha8Rng) -> String {
        let mut word = String::new();
        for syllable in 0..syllables {
            if syllable > 0 || rng.random_bool(0.8) {
                word.push(self.sounds[rng.random_range(0..self.sounds.len())]);
            }
            word.push(self.vowels[rng.random_range(0..self.vowels.len())]);
            if rng.random_bool(0.2) {
                word.push(self.sounds[rng.random_range(0..self.sounds.len())]);
            }
        }
        word
    }

    /// A language that comes from the family's: 3 to 6 changes of sounds, a tenth to a quarter of
    /// the words replaced, some borrowed, other affixes.
    fn member(
        &self,
        family: usize,
        resource: Resource,
        script: Script,
        lenders: &[&Language],
        codes: &mut HashSet<String>,
        rng: &mut ChaCha8Rng,
    ) -> Language {
        let changes: Vec<SoundChange> = (0..rng.random_range(3..=6))
            .map(|_| self.change(rng))
            .collect();
        let (replaced, borrowed) = (rng.random_range(0.1..0.25), rng.random_range(0.03..0.12));
        let mut taken = HashSet::new();
        let words: Vec<String> = (0..self.words.len())
            .map(|meaning| {
                loop {
                    let draw: f64 = rng.random();
                    let word = match lenders.choose(rng) {
                        Some(lender) if draw < borrowed => lender.words[meaning].clone(),
                        _ if draw < borrowed + replaced => self.word(rng.random_range(2..=3), rng),
                        _ => self.words[meaning].clone(),
                    };
                    let word = changes
                        .iter()
                        .fold(word, |word, change| change.apply(&word));
                    // Homonyms happen, but for the reason of the changes alone.
                    if taken.insert(word.clone()) || rng.random_bool(0.5) {
                        break word;
                    }
                }
            })
            .collect();
        let code = loop {
            let code: String = self.word(2, rng).chars().take(3).collect();
            if code.len() == 3 && code != "eng" && codes.insert(code.clone()) {
                break code;
            }
        };
        Language {
            tag: format!("{code}_{}", script.code()),
            family,
            resource,
            script,
            grammar: self.grammar.varied(&changes, rng),
            words,
        }
    }

    fn change(&self, rng: &mut ChaCha8Rng) -> SoundChange {
        let consonant = |rng: &mut ChaCha8Rng| self.sounds[rng.random_range(0..self.sounds.len())];
        let vowel = |rng: &mut ChaCha8Rng| self.vowels[rng.random_range(0..self.vowels.len())];
        let any: Vec<char> = CONSONANTS.chars().collect();
        let new = any[rng.random_range(0..any.len())];
        match rng.random_range(0..10) {
            0..4 => SoundChange::Shift(consonant(rng), new),
            4 => SoundChange::Shift(vowel(rng), vowel(rng)),
            5..7 => SoundChange::Between(consonant(rng), new),
            7 => SoundChange::FinalVowel(vowel(rng), vowel(rng)),
            8 => SoundChange::Prothesis(vowel(rng), consonant(rng)),
            _ => SoundChange::FinalVowelLoss,
        }
    }
}

fn is_vowel(sound: char) -> bool {
    VOWELS.contains(sound)
}

impl SoundChange {
    fn apply(&self, word: &str) -> String {
        let sounds: Vec<char> = word.chars().collect();
        let last = sounds.len().saturating_sub(1);
        match self {
            Self::Shift(from, to) => word.replace(*from, &to.to_string()),
            Self::FinalVowelLoss if sounds.len() > 3 && is_vowel(sounds[last]) => {
                sounds[..last].iter().collect()
            }
            Self::FinalVowelLoss => word.to_owned(),
            Self::Between(from, to) => {
                let between = |i: usize| {
                    i > 0 && i < last && is_vowel(sounds[i - 1]) && is_vowel(sounds[i + 1])
                };
                let sound = |(i, sound): (usize, &char)| {
                    if sound == from && between(i) {
                        *to
                    } else {
                        *sound
                    }
                };
                sounds.iter().enumerate().map(sound).collect()
            }
            Self::Prothesis(vowel, before) if sounds.first() == Some(before) => {
                format!("{vowel}{word}")
            }
            Self::Prothesis(..) => word.to_owned(),
            Self::FinalVowel(from, to) => match sounds.iter().rposition(|sound| is_vowel(*sound)) {
                Some(place) if sounds[place] == *from => {
                    let mut sounds = sounds;
                    sounds[place] = *to;
                    sounds.into_iter().collect()
                }
                _ => word.to_owned(),
            },
        }
    }
}

impl Word {
    /// A word without a gloss.
    fn bare(sounds: impl Into<String>) -> Self {
        Self {
            sounds: sounds.into(),
            gloss: None,
        }
    }
}

impl Mark {
    fn new(chances: [u32; 4], rng: &mut ChaCha8Rng) -> Self {
        let consonants: Vec<char> = CONSONANTS.chars().collect();
        let vowels: Vec<char> = VOWELS.chars().collect();
        let consonant = consonants[rng.random_range(0..consonants.len())];
        let vowel = vowels[rng.random_range(0..vowels.len())];
        let kinds: [fn(String) -> Self; 3] = [Self::Prefix, Self::Suffix, Self::Particle];
        let kind = super::sentence::pick(
            &[
                (0, chances[0]),
                (1, chances[1]),
                (2, chances[2]),
                (3, chances[3]),
            ],
            rng,
        );
        let sounds = match kind {
            0 => format!("{consonant}{vowel}"),
            1 => format!("{vowel}{consonant}"),
            2 => format!(
                "{consonant}{vowel}{}",
                consonants[rng.random_range(0..consonants.len())]
            ),
            _ => return Self::Unmarked,
        };
        kinds[kind](sounds)
    }

    /// The word with the mark.
    fn on(&self, mut word: Word) -> Vec<Word> {
        match self {
            Self::Prefix(mark) => word.sounds.insert_str(0, mark),
            Self::Suffix(mark) => word.sounds.push_str(mark),
            Self::Particle(mark) => return vec![Word::bare(mark), word],
            Self::Unmarked => {}
        }
        vec![word]
    }

    fn changed(&self, changes: &[SoundChange]) -> Self {
        let change = |mark: &String| {
            changes
                .iter()
                .fold(mark.clone(), |mark, change| match change {
                    SoundChange::Shift(..) => change.apply(&mark),
                    _ => mark,
                })
        };
        match self {
            Self::Prefix(mark) => Self::Prefix(change(mark)),
            Self::Suffix(mark) => Self::Suffix(change(mark)),
            Self::Particle(mark) => Self::Particle(change(mark)),
            Self::Unmarked => Self::Unmarked,
        }
    }
}

impl Grammar {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let orders = [
            (Order::Svo, 40),
            (Order::Sov, 40),
            (Order::Vso, 14),
            (Order::Vos, 6),
        ];
        let order = super::sentence::pick(&orders, rng);
        Self {
            order,
            adjective_first: rng.random_bool(0.5),
            number_first: rng.random_bool(0.6),
            // As it mostly is on earth: the verb goes with the other heads.
            prepositions: rng.random_bool(if order == Order::Sov { 0.15 } else { 0.9 }),
            adverbs_first: rng.random_bool(0.5),
            plural: Mark::new([20, 60, 20, 0], rng),
            past: Mark::new([15, 65, 20, 0], rng),
            future: Mark::new([20, 40, 40, 0], rng),
            accusative: Mark::new([10, 40, 20, 30], rng),
            negation: Mark::new([25, 25, 50, 0], rng),
        }
    }

    /// The grammar of a member of a family: its affixes changed as its words did, and a fifth of
    /// all settings its own.
    fn varied(&self, changes: &[SoundChange], rng: &mut ChaCha8Rng) -> Self {
        let own = Self::new(rng);
        let mut is_own = || rng.random_bool(0.2);
        let mut mark = |inherited: &Mark, own: &Mark| {
            if is_own() {
                own.clone()
            } else {
                inherited.changed(changes)
            }
        };
        Self {
            plural: mark(&self.plural, &own.plural),
            past: mark(&self.past, &own.past),
            future: mark(&self.future, &own.future),
            accusative: mark(&self.accusative, &own.accusative),
            negation: mark(&self.negation, &own.negation),
            order: if is_own() { own.order } else { self.order },
            adjective_first: if is_own() {
                own.adjective_first
            } else {
                self.adjective_first
            },
            number_first: if is_own() {
                own.number_first
            } else {
                self.number_first
            },
            prepositions: if is_own() {
                own.prepositions
            } else {
                self.prepositions
            },
            adverbs_first: if is_own() {
                own.adverbs_first
            } else {
                self.adverbs_first
            },
        }
    }
}

impl Language {
    /// A sentence in this language, with its full stop or question mark.
    pub(super) fn say(&self, lexicon: &Lexicon, sentence: &Sentence) -> String {
        self.join(&self.sentence(lexicon, sentence)) + end(sentence)
    }

    /// A sentence in this language with the meaning of each word behind it, as linguists gloss texts.
    pub(super) fn gloss(&self, lexicon: &Lexicon, sentence: &Sentence) -> String {
        let words = self.sentence(lexicon, sentence).into_iter();
        let glossed = words.flat_map(|word| [Some(self.script.write(&word.sounds)), word.gloss]);
        glossed.flatten().collect::<Vec<_>>().join(" ") + end(sentence)
    }

    /// A noun phrase in this language.
    pub(super) fn say_phrase(&self, lexicon: &Lexicon, phrase: &NounPhrase) -> String {
        self.join(&self.noun_phrase(lexicon, phrase, &Mark::Unmarked, false))
    }

    /// Words as they are written, with what stands between them; numbers have spaces around them in
    /// any script.
    fn join(&self, words: &[Word]) -> String {
        let is_number = |word: &Word| {
            word.sounds
                .starts_with(|sound: char| sound.is_ascii_digit())
        };
        let mut text = String::new();
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                let number = is_number(word) || is_number(&words[i - 1]);
                text.push_str(if number { " " } else { self.script.separator() });
            }
            text.push_str(&self.script.write(&word.sounds));
        }
        text
    }

    /// The bare word of a meaning, and what it is in English.
    fn spoken(&self, lexicon: &Lexicon, meaning: Meaning) -> Word {
        Word {
            sounds: self.words[meaning].clone(),
            gloss: Some(lexicon.forms(meaning).base.clone()),
        }
    }

    /// The word of a meaning with the mark of a plural or the past, which English has, too.
    fn inflected(&self, lexicon: &Lexicon, meaning: Meaning, mark: &Mark) -> Vec<Word> {
        mark.on(Word {
            sounds: self.words[meaning].clone(),
            gloss: Some(lexicon.forms(meaning).other.clone()),
        })
    }

    fn sentence(&self, lexicon: &Lexicon, sentence: &Sentence) -> Vec<Word> {
        let mut words = self.clause(lexicon, &sentence.first);
        if let Some((conjunction, second)) = &sentence.second {
            words.push(self.spoken(lexicon, *conjunction));
            words.extend(self.clause(lexicon, second));
        }
        words
    }

    fn clause(&self, lexicon: &Lexicon, clause: &Clause) -> Vec<Word> {
        let grammar = &self.grammar;
        let subject = self.noun_phrase(lexicon, &clause.subject, &Mark::Unmarked, false);
        let object = clause
            .object
            .iter()
            .flat_map(|object| self.noun_phrase(lexicon, object, &grammar.accusative, clause.asks));
        let (object, verb) = (object.collect::<Vec<_>>(), self.verb(lexicon, clause));
        let core = match grammar.order {
            Order::Svo => [subject, verb, object],
            Order::Sov => [subject, object, verb],
            Order::Vso => [verb, subject, object],
            Order::Vos => [verb, object, subject],
        };
        let around = self.circumstances(lexicon, clause);
        let core = core.into_iter().flatten();
        if grammar.adverbs_first {
            around.into_iter().chain(core).collect()
        } else {
            core.chain(around).collect()
        }
    }

    /// Recipient, place, manner and time.
    fn circumstances(&self, lexicon: &Lexicon, clause: &Clause) -> Vec<Word> {
        let to = lexicon.function("to");
        let recipient = clause.recipient.as_ref().map(|recipient| (&to, recipient));
        let place = clause
            .place
            .as_ref()
            .map(|(preposition, place)| (preposition, place));
        let mut words = Vec::new();
        for (preposition, noun) in recipient.into_iter().chain(place) {
            let preposition = self.spoken(lexicon, *preposition);
            let noun = self.noun_phrase(lexicon, noun, &Mark::Unmarked, false);
            if self.grammar.prepositions {
                words.push(preposition);
                words.extend(noun);
            } else {
                words.extend(noun);
                words.push(preposition);
            }
        }
        let adverbs = clause.manner.into_iter().chain(clause.time);
        words.extend(adverbs.map(|adverb| self.spoken(lexicon, adverb)));
        words
    }

    fn verb(&self, lexicon: &Lexicon, clause: &Clause) -> Vec<Word> {
        let verb = || self.spoken(lexicon, clause.verb);
        let mut words = match clause.tense {
            Tense::Past => self.inflected(lexicon, clause.verb, &self.grammar.past),
            Tense::Present => vec![verb()],
            Tense::Future => self.grammar.future.on(verb()),
        };
        if clause.negated
            && let Some(verb) = words.pop()
        {
            words.extend(self.grammar.negation.on(verb));
        }
        words
    }

    fn noun_phrase(
        &self,
        lexicon: &Lexicon,
        phrase: &NounPhrase,
        case: &Mark,
        asked: bool,
    ) -> Vec<Word> {
        let noun: Meaning = match phrase.head {
            Head::Name(name) => return case.on(Word::bare(NAMES[name])),
            Head::Noun(noun) => noun,
        };
        let mut words = match phrase.count {
            Count::Many if !asked => self.inflected(lexicon, noun, &self.grammar.plural),
            _ => vec![self.spoken(lexicon, noun)],
        };
        if let Some(noun) = words.pop() {
            words.extend(case.on(noun));
        }
        if let Some(adjective) = phrase.adjective {
            let place = if self.grammar.adjective_first {
                0
            } else {
                words.len()
            };
            words.insert(place, self.spoken(lexicon, adjective));
        }
        let mut number = Vec::new();
        if asked {
            number.push(self.spoken(lexicon, lexicon.function("how many")));
        }
        if let Count::Number(count) = phrase.count {
            number.push(Word::bare(count.to_string()));
        }
        if phrase.more {
            number.push(self.spoken(lexicon, lexicon.function("more")));
        }
        let place = if self.grammar.number_first {
            0
        } else {
            words.len()
        };
        words.splice(place..place, number);
        words
    }

    /// The bare word of a meaning, as it is written.
    pub fn word(&self, meaning: usize) -> String {
        self.script.write(&self.words[meaning])
    }
}

/// The mark at the end of a sentence.
fn end(sentence: &Sentence) -> &'static str {
    if sentence.first.asks { "?" } else { "." }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of a word's pairs of sounds that another has, too.
    fn likeness(one: &str, other: &str) -> f64 {
        let pairs =
            |word: &str| -> Vec<(char, char)> { word.chars().zip(word.chars().skip(1)).collect() };
        let (one, other) = (pairs(one), pairs(other));
        let common = one.iter().filter(|pair| other.contains(pair)).count();
        common as f64 / one.len().max(1) as f64
    }

    #[test]
    fn words_of_relatives_are_alike_and_those_of_strangers_are_not() {
        let languages = languages(&Lexicon::new(), 0);
        let mean = |one: &Language, other: &Language| {
            let pairs = one.words.iter().zip(&other.words);
            let likeness: f64 = pairs.map(|(one, other)| likeness(one, other)).sum();
            likeness / one.words.len() as f64
        };
        let (mut relatives, mut strangers) = (Vec::new(), Vec::new());
        for (i, one) in languages.iter().enumerate() {
            for other in &languages[i + 1..] {
                let list = if one.family == other.family {
                    &mut relatives
                } else {
                    &mut strangers
                };
                list.push(mean(one, other));
            }
        }
        let least = relatives.iter().copied().fold(1.0, f64::min);
        let most = strangers.iter().copied().fold(0.0, f64::max);
        assert!(least > 0.15 && most < 0.1, "{least} {most}");
    }

    #[test]
    fn there_are_six_with_much_text_and_24_with_little() {
        let languages = languages(&Lexicon::new(), 0);
        let count = |resource| {
            languages
                .iter()
                .filter(|language| language.resource == resource)
                .count()
        };
        assert_eq!((count(Resource::High), count(Resource::Low)), (6, 24));
        let tags: HashSet<&str> = languages.iter().map(|language| &*language.tag).collect();
        assert_eq!(tags.len(), 30);
        assert!(tags.iter().all(|tag| tag.len() == 8), "{tags:?}");
    }

    #[test]
    fn grammar_orders_words_and_marks_them() {
        let lexicon = Lexicon::new();
        let mut language = languages(&lexicon, 0).swap_remove(0);
        language.grammar = Grammar {
            order: Order::Sov,
            adjective_first: false,
            number_first: true,
            prepositions: false,
            adverbs_first: true,
            plural: Mark::Suffix("i".into()),
            past: Mark::Particle("pa".into()),
            future: Mark::Unmarked,
            accusative: Mark::Suffix("m".into()),
            negation: Mark::Prefix("ne".into()),
        };
        for (english, word) in [
            ("dog", "kan"),
            ("see", "vid"),
            ("red", "rub"),
            ("house", "dom"),
            ("near", "prop"),
            ("soon", "mox"),
        ] {
            let meaning = if english == "near" {
                lexicon.function("near")
            } else {
                lexicon.named(english)
            };
            language.words[meaning] = word.to_owned();
        }
        let mut clause = Clause::new(NounPhrase::name(0), lexicon.named("see"));
        let mut dogs = NounPhrase::noun(lexicon.named("dog"), Count::Many, false);
        dogs.adjective = Some(lexicon.named("red"));
        clause.object = Some(dogs);
        clause.negated = true;
        clause.time = Some(lexicon.named("soon"));
        let house = NounPhrase::noun(lexicon.named("house"), Count::One, true);
        clause.place = Some((lexicon.function("near"), house));
        let said = language.say(&lexicon, &clause.clone().into());
        assert_eq!(said, "dom prop mox Mira kanim rub pa nevid.");
        assert_eq!(
            language.gloss(&lexicon, &clause.clone().into()),
            "dom house prop near mox soon Mira kanim dogs rub red pa nevid saw."
        );
        let english = super::super::english::say(&lexicon, &clause.into());
        assert_eq!(english, "Mira did not spot red dogs near the house soon.");
    }
}
