//! What a sentence says, before it is said in a language.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::lexicon::{AdjectiveClass, Lexicon, Meaning, NounClass, VerbClass};

/// People with names; names are written alike in all languages.
pub(super) const NAMES: [&str; 16] = [
    "Mira", "Tomas", "Lena", "Karim", "Sofi", "Pavel", "Nadia", "Boris", "Rosa", "Hamid", "Vera",
    "Davi", "Selma", "Oto", "Zara", "Milan",
];

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Past,
    Present,
    Future,
}

/// How many of a noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Many,
    Number(u32),
}

/// Who or what takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    Name(usize),
    Noun(Meaning),
}

/// A noun with its adjective and its number, or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NounPhrase {
    pub(super) head: Head,
    pub(super) adjective: Option<Meaning>,
    pub(super) count: Count,
    /// Mentioned before, or known to everybody.
    pub(super) definite: bool,
    /// Besides those that were there.
    pub(super) more: bool,
}

/// A statement, or the question how many of its object there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) subject: NounPhrase,
    pub(super) verb: Meaning,
    pub(super) object: Option<NounPhrase>,
    pub(super) recipient: Option<NounPhrase>,
    pub(super) place: Option<(Meaning, NounPhrase)>,
    pub(super) manner: Option<Meaning>,
    pub(super) time: Option<Meaning>,
    pub(super) tense: Tense,
    pub(super) negated: bool,
    pub(super) asks: bool,
}

/// A clause, or two with a conjunction between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) first: Clause,
    pub(super) second: Option<(Meaning, Clause)>,
}

impl NounPhrase {
    pub(super) fn name(name: usize) -> Self {
        Self::new(Head::Name(name), Count::One, true)
    }

    pub(super) fn noun(noun: Meaning, count: Count, definite: bool) -> Self {
        Self::new(Head::Noun(noun), count, definite)
    }

    fn new(head: Head, count: Count, definite: bool) -> Self {
        Self {
            head,
            adjective: None,
            count,
            definite,
            more: false,
        }
    }

    pub(super) fn is_singular(&self) -> bool {
        matches!(self.count, Count::One | Count::Number(1))
    }

    fn meanings(&self) -> impl Iterator<Item = Meaning> {
        let noun = match self.head {
            Head::Noun(noun) => Some(noun),
            Head::Name(_) => None,
        };
        noun.into_iter().chain(self.adjective)
    }
}

impl Clause {
    /// A statement in the past, of a subject and a verb.
    pub(super) fn new(subject: NounPhrase, verb: Meaning) -> Self {
        Self {
            subject,
            verb,
            object: None,
            recipient: None,
            place: None,
            manner: None,
            time: None,
            tense: Tense::Past,
            negated: false,
            asks: false,
        }
    }

    fn meanings(&self) -> Vec<Meaning> {
        let place = self.place.as_ref().map(|(_, place)| place);
        let phrases = [self.object.as_ref(), self.recipient.as_ref(), place];
        let nouns = std::iter::once(&self.subject).chain(phrases.into_iter().flatten());
        let mut meanings: Vec<Meaning> = nouns.flat_map(NounPhrase::meanings).collect();
        meanings.push(self.verb);
        meanings.extend(self.manner);
        meanings.extend(self.time);
        meanings
    }
}

impl From<Clause> for Sentence {
    fn from(first: Clause) -> Self {
        Self {
            first,
            second: None,
        }
    }
}

impl Sentence {
    /// Its nouns, verbs, adjectives and adverbs.
    pub(super) fn content(&self) -> Vec<Meaning> {
        let mut meanings = self.first.meanings();
        meanings.extend(self.second.iter().flat_map(|(_, clause)| clause.meanings()));
        meanings
    }
}

/// Draws sentences.
pub(super) struct Speaker<'a> {
    pub(super) lexicon: &'a Lexicon,
    /// Exponent of the Zipf law by which meanings are drawn.
    pub(super) zipf: f64,
    /// Meanings that may be said; all, if none is named.
    pub(super) only: Option<&'a [bool]>,
}

impl Speaker<'_> {
    /// One of a list, the first the most often; none if none of them may be said.
    fn draw(&self, list: &[Meaning], rng: &mut ChaCha8Rng) -> Option<Meaning> {
        let allowed = |meaning: Meaning| self.only.is_none_or(|only| only[meaning]);
        let weight = |(rank, meaning): (usize, &Meaning)| {
            if allowed(*meaning) {
                (rank as f64 + 3.0).powf(-self.zipf)
            } else {
                0.0
            }
        };
        let total: f64 = list.iter().enumerate().map(weight).sum();
        if total == 0.0 {
            return None;
        }
        let mut left = rng.random_range(0.0..total);
        let drawn = list.iter().enumerate().find(|ranked| {
            left -= weight(*ranked);
            left < 0.0
        });
        let last = || list.iter().rfind(|meaning| allowed(**meaning));
        drawn
            .map(|(_, meaning)| *meaning)
            .or_else(|| last().copied())
    }

    /// A sentence; none if its words may not be said.
    pub(super) fn sentence(&self, rng: &mut ChaCha8Rng) -> Option<Sentence> {
        let two = rng.random_bool(0.15);
        let first = self.clause(two, rng)?;
        let second = if two {
            let conjunctions = self.lexicon.conjunctions();
            let conjunction = conjunctions[rng.random_range(0..conjunctions.len())];
            Some((conjunction, self.clause(true, rng)?))
        } else {
            None
        };
        Some(Sentence { first, second })
    }

    /// A noun with what belongs to it.
    pub(super) fn phrase(&self, rng: &mut ChaCha8Rng) -> Option<NounPhrase> {
        let verb = pick(
            &[
                (VerbClass::Thing, 50),
                (VerbClass::Creature, 20),
                (VerbClass::Food, 15),
                (VerbClass::Idea, 15),
            ],
            rng,
        );
        self.object(verb, rng)?
    }

    /// A clause of a subject, a verb and perhaps an object.
    pub(super) fn short(&self, rng: &mut ChaCha8Rng) -> Option<Sentence> {
        self.clause(true, rng).map(Sentence::from)
    }

    fn clause(&self, short: bool, rng: &mut ChaCha8Rng) -> Option<Clause> {
        let classes = [
            (VerbClass::Thing, 26),
            (VerbClass::None, 20),
            (VerbClass::Creature, 14),
            (VerbClass::Person, 12),
            (VerbClass::Place, 9),
            (VerbClass::Food, 7),
            (VerbClass::Idea, 7),
            (VerbClass::Give, 5),
        ];
        let class = pick(&classes, rng);
        let verb = self.draw(self.lexicon.verbs(class), rng)?;
        let subject = self.subject(class, rng)?;
        let mut clause = Clause::new(subject, verb);
        clause.object = self.object(class, rng)?;
        if class == VerbClass::Give {
            clause.recipient = Some(self.person(rng)?);
        }
        clause.tense = pick(
            &[(Tense::Past, 50), (Tense::Present, 30), (Tense::Future, 20)],
            rng,
        );
        clause.negated = rng.random_bool(0.1);
        if short {
            return Some(clause);
        }
        if rng.random_bool(0.35) {
            let prepositions = &self.lexicon.prepositions()[..6];
            let preposition = prepositions[rng.random_range(0..prepositions.len())];
            let place = self.draw(self.lexicon.nouns(NounClass::Place), rng)?;
            let mut place = NounPhrase::noun(place, Count::One, true);
            self.describe(&mut place, 0.2, rng);
            clause.place = Some((preposition, place));
        }
        if rng.random_bool(0.15) {
            clause.manner = self.draw(self.lexicon.adverbs("manner"), rng);
        }
        if rng.random_bool(0.35) {
            clause.time = self.draw(self.lexicon.adverbs("time"), rng);
        }
        Some(clause)
    }

    fn subject(&self, class: VerbClass, rng: &mut ChaCha8Rng) -> Option<NounPhrase> {
        let animal = matches!(
            class,
            VerbClass::None | VerbClass::Creature | VerbClass::Food
        );
        if animal && rng.random_bool(0.3) {
            let count = pick(&[(Count::One, 65), (Count::Many, 35)], rng);
            let noun = self.draw(self.lexicon.nouns(NounClass::Animal), rng)?;
            let mut phrase = NounPhrase::noun(noun, count, true);
            self.describe(&mut phrase, 0.3, rng);
            return Some(phrase);
        }
        self.person(rng)
    }

    fn person(&self, rng: &mut ChaCha8Rng) -> Option<NounPhrase> {
        if rng.random_bool(0.2) {
            return Some(NounPhrase::name(rng.random_range(0..NAMES.len())));
        }
        let noun = self.draw(self.lexicon.nouns(NounClass::Person), rng)?;
        let count = pick(&[(Count::One, 75), (Count::Many, 25)], rng);
        let mut phrase = NounPhrase::noun(noun, count, true);
        self.describe(&mut phrase, 0.3, rng);
        Some(phrase)
    }

    /// The object of a verb of this class, if it has one; the outer `None` if it may not be said.
    fn object(&self, class: VerbClass, rng: &mut ChaCha8Rng) -> Option<Option<NounPhrase>> {
        let classes: &[(NounClass, u32)] = match class {
            VerbClass::None => return Some(None),
            VerbClass::Person => return self.person(rng).map(Some),
            VerbClass::Creature => &[(NounClass::Animal, 60), (NounClass::Person, 40)],
            VerbClass::Food => &[(NounClass::Food, 1)],
            VerbClass::Thing => &[
                (NounClass::Thing, 70),
                (NounClass::Food, 20),
                (NounClass::Animal, 10),
            ],
            VerbClass::Place => &[(NounClass::Place, 1)],
            VerbClass::Idea => &[(NounClass::Idea, 1)],
            VerbClass::Give => &[(NounClass::Thing, 75), (NounClass::Food, 25)],
        };
        let class = pick(classes, rng);
        let noun = self.draw(self.lexicon.nouns(class), rng)?;
        let number = Count::Number(rng.random_range(2..=99));
        let count = pick(&[(Count::One, 55), (Count::Many, 25), (number, 20)], rng);
        let definite = matches!(class, NounClass::Person | NounClass::Place) && count == Count::One;
        let mut phrase = NounPhrase::noun(noun, count, definite);
        self.describe(&mut phrase, 0.4, rng);
        Some(Some(phrase))
    }

    /// Gives a noun an adjective, with this chance.
    fn describe(&self, phrase: &mut NounPhrase, chance: f64, rng: &mut ChaCha8Rng) {
        let Head::Noun(noun) = phrase.head else {
            return;
        };
        if !rng.random_bool(chance) {
            return;
        }
        let own = match self.lexicon.class(noun) {
            NounClass::Person | NounClass::Animal => Some(AdjectiveClass::Person),
            NounClass::Thing => Some(AdjectiveClass::Thing),
            _ => None,
        };
        let class = own.filter(|_| rng.random_bool(0.4));
        let list = self
            .lexicon
            .adjectives(class.unwrap_or(AdjectiveClass::Any));
        phrase.adjective = self.draw(list, rng);
    }
}

/// One of some things, by their weights.
pub(super) fn pick<T: Copy>(weighted: &[(T, u32)], rng: &mut ChaCha8Rng) -> T {
    let total = weighted.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..total);
    for (thing, weight) in weighted {
        if left < *weight {
            return *thing;
        }
        left -= weight;
    }
    unreachable!("one of them is drawn")
}
