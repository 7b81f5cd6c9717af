//! Word problems of one to three steps whose answer is a number.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::lexicon::{Lexicon, Meaning, NounClass};
use super::sentence::{Clause, Count, NAMES, NounPhrase, Sentence, Tense};

/// A problem: what happens, a question, and the steps to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) sentences: Vec<Sentence>,
    pub(super) steps: Vec<String>,
    pub(super) answer: u32,
}

/// Verbs after which there are more, or fewer.
const MORE: [&str; 5] = ["buy", "find", "make", "collect", "receive"];
const FEWER: [&str; 5] = ["sell", "lose", "break", "burn", "drop"];
/// Verbs with a person who gets it.
const GIVEN: [&str; 2] = ["give", "send"];

/// Largest number that there is of anything.
const LARGEST: u32 = 99;

impl Problem {
    /// A problem over these meanings; `things` are what is counted.
    pub(super) fn draw(lexicon: &Lexicon, rng: &mut ChaCha8Rng) -> Self {
        let (class, most) = if rng.random_bool(0.7) {
            (NounClass::Thing, 40)
        } else {
            (NounClass::Food, 20)
        };
        let things = &lexicon.nouns(class)[..most];
        let thing = things[rng.random_range(0..most)];
        let owner = rng.random_range(0..NAMES.len());
        let steps = rng.random_range(1..=3);
        let mut have = rng.random_range(5..=50);
        let mut problem = Self {
            sentences: vec![
                statement(
                    owner,
                    lexicon.named("have"),
                    (thing, have, false),
                    Tense::Present,
                )
                .into(),
            ],
            steps: Vec::new(),
            answer: 0,
        };
        for _ in 0..steps {
            have = problem.step(lexicon, owner, thing, have, rng);
        }
        let mut question = Clause::new(NounPhrase::name(owner), lexicon.named("have"));
        question.object = Some(NounPhrase::noun(thing, Count::Many, false));
        question.tense = Tense::Present;
        question.time = Some(lexicon.named("now"));
        question.asks = true;
        problem.sentences.push(question.into());
        problem.answer = have;
        problem
    }

    /// One thing that happens; returns how many there are behind it.
    fn step(
        &mut self,
        lexicon: &Lexicon,
        owner: usize,
        thing: Meaning,
        have: u32,
        rng: &mut ChaCha8Rng,
    ) -> u32 {
        let grows = have < 4 || (have < LARGEST - 30 && rng.random_bool(0.5));
        let number = if grows {
            rng.random_range(2..=30.min(LARGEST - have))
        } else {
            rng.random_range(2..have)
        };
        let amount = (thing, number, grows);
        let other = (owner + rng.random_range(1..NAMES.len())) % NAMES.len();
        let clause = match rng.random_range(0..3) {
            // Somebody gives the owner some, or the owner gives somebody some.
            0 => {
                let verb = lexicon.named(GIVEN[rng.random_range(0..GIVEN.len())]);
                let (giver, recipient) = if grows {
                    (other, owner)
                } else {
                    (owner, other)
                };
                let mut clause = statement(giver, verb, amount, Tense::Past);
                clause.recipient = Some(NounPhrase::name(recipient));
                clause
            }
            _ => {
                let verbs = if grows { MORE } else { FEWER };
                let verb = lexicon.named(verbs[rng.random_range(0..verbs.len())]);
                statement(owner, verb, amount, Tense::Past)
            }
        };
        self.sentences.push(clause.into());
        let (sign, left) = if grows {
            ('+', have + number)
        } else {
            ('-', have - number)
        };
        self.steps.push(format!("{have} {sign} {number} = {left}."));
        left
    }

    /// The worked answer: `12 + 5 = 17. 17 - 3 = 14. 14`.
    pub(super) fn worked(&self) -> String {
        format!("{} {}", self.steps.join(" "), self.answer)
    }
}

fn statement(
    subject: usize,
    verb: Meaning,
    (thing, number, more): (Meaning, u32, bool),
    tense: Tense,
) -> Clause {
    let mut clause = Clause::new(NounPhrase::name(subject), verb);
    let mut object = NounPhrase::noun(thing, Count::Number(number), false);
    object.more = more;
    clause.object = Some(object);
    clause.tense = tense;
    clause
}
