//! Texts of a world: corpora, pre-training, D_C, tests. Each is a function of the seed and an index.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::config::WorldConfig;
use super::english;
use super::language::{Language, Resource, languages};
use super::lexicon::Lexicon;
use super::problem::Problem;
use super::sentence::{NounPhrase, Sentence, Speaker};
use crate::DataError;
use crate::builders::ntl::ENGLISH;
use crate::seeded::seeded;

/// Independent streams of chance.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Corpus = 1,
    Text,
    Row,
    DevSentence,
    TestSentence,
    UnseenSentence,
    DevProblem,
    TestProblem,
    Chosen,
    Shots,
    ChosenProblem,
}

/// A world: its meanings and its languages.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    pub(super) lexicon: Lexicon,
    languages: Vec<Language>,
}

/// A sentence in one language and in English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// In the language.
    pub source: String,
    /// In English.
    pub target: String,
    /// Meanings of its nouns, verbs, adjectives and adverbs.
    pub content: Vec<usize>,
}

/// A word problem in a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemText {
    /// What happens, and the question.
    pub question: String,
    /// Steps and answer.
    pub worked: String,
    /// The answer.
    pub answer: u32,
}

/// Label of a word problem, as the task of MGSM has it.
pub(super) const QUESTION: &str = "Question";
/// Label of its answer.
pub(super) const ANSWER: &str = "Answer";

impl World {
    /// The world of some settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] if one is out of range.
    pub fn new(config: WorldConfig) -> Result<Self, DataError> {
        config.check()?;
        let lexicon = Lexicon::new();
        let languages = languages(&lexicon, config.seed);
        Ok(Self {
            config,
            lexicon,
            languages,
        })
    }

    /// Its settings.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// All languages but English.
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// Number of meanings.
    pub fn meanings(&self) -> usize {
        self.lexicon.len()
    }

    /// Languages with much or little text, by their index.
    pub fn with(&self, resource: Resource) -> Vec<usize> {
        let is = |index: &usize| self.languages[*index].resource == resource;
        (0..self.languages.len()).filter(is).collect()
    }

    /// Pairs in the corpus of a language. Sizes of low-resource corpora lie evenly, by their
    /// logarithm, between the smallest and the largest, in an order that mixes families.
    pub fn corpus_pairs(&self, language: usize) -> usize {
        let [fewest, most] = self.config.pairs;
        if self.languages[language].resource == Resource::High {
            return most;
        }
        let low = self.with(Resource::Low);
        let place = low.iter().position(|index| *index == language).unwrap_or(0);
        let rank = place * 7 % low.len();
        let share = rank as f64 / (low.len() - 1).max(1) as f64;
        (fewest as f64 * (most as f64 / fewest as f64).powf(share)).round() as usize
    }

    /// Pair `index` of the corpus of a language.
    pub fn corpus_pair(&self, language: usize, index: usize) -> Pair {
        let mut rng = self.rng(self.config.seed, Stream::Corpus, language, index);
        let sentence = self.any_sentence(&mut rng);
        self.pair(language, &sentence)
    }

    /// Indices of the pairs of a corpus that are in D_C, in order.
    pub fn chosen(&self, language: usize) -> Vec<usize> {
        let pairs = self.corpus_pairs(language);
        let count = match self.languages[language].resource {
            Resource::Low => (pairs as f64 * self.config.d_c_share).round().max(1.0) as usize,
            Resource::High => self.config.d_c_high_resource.min(pairs),
        };
        let mut rng = self.rng(self.config.fold, Stream::Chosen, language, 0);
        let mut chosen = rand::seq::index::sample(&mut rng, pairs, count).into_vec();
        chosen.sort_unstable();
        chosen
    }

    /// Whether D_C shows the word of each meaning in a language.
    pub fn shown(&self, language: usize) -> Vec<bool> {
        let mut shown = vec![false; self.lexicon.len()];
        for index in self.chosen(language) {
            for meaning in self.corpus_pair(language, index).content {
                shown[meaning] = true;
            }
        }
        shown
    }

    /// Sentence `index` of the development or the test set, the same in all languages.
    fn sentence(&self, test: bool, index: usize) -> Sentence {
        let stream = if test {
            Stream::TestSentence
        } else {
            Stream::DevSentence
        };
        self.any_sentence(&mut self.rng(self.config.fold, stream, 0, index))
    }

    /// Sentence `index` of the development or the test set in a language and in English.
    pub fn test_pair(&self, language: usize, test: bool, index: usize) -> Pair {
        self.pair(language, &self.sentence(test, index))
    }

    /// Test sentences of which D_C showed no content word in this language.
    pub fn unseen_pairs(&self, language: usize, count: usize) -> Vec<Pair> {
        let unseen: Vec<bool> = self.shown(language).iter().map(|shown| !shown).collect();
        let speaker = Speaker {
            lexicon: &self.lexicon,
            zipf: self.config.zipf,
            only: Some(&unseen),
        };
        let mut pairs = Vec::new();
        let mut taken = HashSet::new();
        // A tenth of the draws would do; a language of which D_C shows all has none.
        for index in 0..count * 200 {
            let mut rng = self.rng(self.config.fold, Stream::UnseenSentence, language, index);
            let Some(sentence) = speaker.sentence(&mut rng) else {
                continue;
            };
            let pair = self.pair(language, &sentence);
            if pair.content.len() >= 3 && taken.insert(pair.source.clone()) {
                pairs.push(pair);
            }
            if pairs.len() == count {
                break;
            }
        }
        pairs
    }

    /// Word problem `index` of the development or the test set; `None` is English.
    pub fn problem(&self, language: Option<usize>, test: bool, index: usize) -> ProblemText {
        let stream = if test {
            Stream::TestProblem
        } else {
            Stream::DevProblem
        };
        let mut rng = self.rng(self.config.fold, stream, 0, index);
        self.problem_text(language, &Problem::draw(&self.lexicon, &mut rng))
    }

    pub(super) fn problem_text(&self, language: Option<usize>, problem: &Problem) -> ProblemText {
        let say = |sentence: &Sentence| self.say(language, sentence);
        ProblemText {
            question: problem
                .sentences
                .iter()
                .map(say)
                .collect::<Vec<_>>()
                .join(" "),
            worked: problem.worked(),
            answer: problem.answer,
        }
    }

    pub(super) fn say(&self, language: Option<usize>, sentence: &Sentence) -> String {
        match language {
            Some(language) => self.languages[language].say(&self.lexicon, sentence),
            None => english::say(&self.lexicon, sentence),
        }
    }

    pub(super) fn say_phrase(&self, language: Option<usize>, phrase: &NounPhrase) -> String {
        match language {
            Some(language) => self.languages[language].say_phrase(&self.lexicon, phrase),
            None => english::say_phrase(&self.lexicon, phrase),
        }
    }

    /// The bare word of a meaning.
    pub(super) fn word(&self, language: Option<usize>, meaning: usize) -> String {
        match language {
            Some(language) => self.languages[language].word(meaning),
            None => self.lexicon.forms(meaning).base.clone(),
        }
    }

    pub(super) fn pair(&self, language: usize, sentence: &Sentence) -> Pair {
        Pair {
            source: self.say(Some(language), sentence),
            target: self.say(None, sentence),
            content: sentence.content(),
        }
    }

    /// A sentence of the general language; now and then one of those that word problems have.
    pub(super) fn any_sentence(&self, rng: &mut ChaCha8Rng) -> Sentence {
        if rng.random_bool(0.15) {
            let mut problem = Problem::draw(&self.lexicon, rng);
            let index = rng.random_range(0..problem.sentences.len());
            return problem.sentences.swap_remove(index);
        }
        let speaker = Speaker {
            lexicon: &self.lexicon,
            zipf: self.config.zipf,
            only: None,
        };
        speaker.sentence(rng).expect("every word may be said")
    }

    /// A language, or English, by its tag.
    pub(super) fn tag(&self, language: Option<usize>) -> &str {
        language.map_or(ENGLISH, |language| &self.languages[language].tag)
    }

    /// Chance of its own for every text.
    pub(super) fn rng(
        &self,
        seed: u64,
        stream: Stream,
        language: usize,
        index: usize,
    ) -> ChaCha8Rng {
        seeded([seed, stream as u64, language as u64, index as u64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_3_to_16_words_and_answers_are_right() {
        let world = World::new(WorldConfig::default()).unwrap();
        let mut lengths: Vec<usize> = (0..500)
            .map(|index| world.corpus_pair(0, index).target.split(' ').count())
            .collect();
        lengths.sort_unstable();
        // Nineteen of twenty.
        let (short, long) = (lengths[12], lengths[487]);
        assert!(short >= 3 && long <= 16, "{short} to {long}");
        for index in 0..200 {
            let problem = world.problem(None, true, index);
            let last = problem.worked.rsplit(' ').next().unwrap();
            assert_eq!(last, problem.answer.to_string());
            for step in problem.worked.split(". ").filter(|step| step.contains('=')) {
                let numbers: Vec<i64> = step
                    .split([' ', '.'])
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let sum = if step.contains('+') {
                    numbers[0] + numbers[1]
                } else {
                    numbers[0] - numbers[1]
                };
                assert_eq!(sum, numbers[2], "{step}");
            }
        }
    }

    #[test]
    fn a_fold_is_another_choice_of_the_same_corpora() {
        let world = |fold| {
            World::new(WorldConfig {
                fold,
                ..WorldConfig::default()
            })
            .unwrap()
        };
        let (zero, one) = (world(0), world(1));
        assert_eq!(zero.corpus_pair(9, 4), one.corpus_pair(9, 4));
        assert_ne!(zero.chosen(9), one.chosen(9));
        assert_ne!(zero.test_pair(9, true, 0), one.test_pair(9, true, 0));
    }
}
