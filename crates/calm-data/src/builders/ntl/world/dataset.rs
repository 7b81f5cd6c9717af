//! Texts of a world: corpora, pre-training, D_C, tests. Each is a function of the seed and an index.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::config::WorldConfig;
use super::english;
use super::language::{Language, Resource, languages};
use super::lexicon::Lexicon;
use super::problem::Problem;
use super::sentence::{Sentence, Speaker};
use crate::DataError;

/// Tag of English.
pub const ENGLISH: &str = "eng_Latn";

/// Independent streams of chance.
#[derive(Clone, Copy)]
enum Stream {
    Corpus = 1,
    Text,
    DevSentence,
    TestSentence,
    UnseenSentence,
    DevProblem,
    TestProblem,
    Chosen,
    Shots,
}

/// A world: its meanings and its languages.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    lexicon: Lexicon,
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

/// A row of D_C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TranslationRow {
    /// Worked examples and the sentence to translate, as the task has them.
    pub prompt: String,
    /// The translation.
    pub target: String,
    /// Language of the sentence.
    pub language: String,
    /// Characters of the prompt, from and to, that are text to be understood; anchor masking may hide these.
    pub mask: Vec<[usize; 2]>,
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

    /// Rows of D_C in a language; the sentences of a prompt's worked examples are others of D_C.
    pub fn d_c(&self, language: usize) -> impl Iterator<Item = TranslationRow> {
        let chosen = self.chosen(language);
        (0..chosen.len()).map(move |row| {
            let mut rng = self.rng(self.config.fold, Stream::Shots, language, row);
            let shots = [0, 0, 1, 2][rng.random_range(0..4)];
            let mut prompt = String::new();
            let mut mask = Vec::new();
            for shot in 0..=shots {
                let pair = self.corpus_pair(language, chosen[(row + shot * 17) % chosen.len()]);
                let tag = &self.languages[language].tag;
                prompt.push_str(&format!("{tag}: "));
                let start = prompt.chars().count();
                prompt.push_str(&pair.source);
                mask.push([start, prompt.chars().count()]);
                prompt.push_str(&format!("\n{ENGLISH}:"));
                if shot == shots {
                    let target = format!(" {}", pair.target);
                    return TranslationRow {
                        prompt,
                        target,
                        language: tag.clone(),
                        mask,
                    };
                }
                prompt.push_str(&format!(" {}\n\n", pair.target));
            }
            unreachable!("the last pair ends the loop")
        })
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

    fn problem_text(&self, language: Option<usize>, problem: &Problem) -> ProblemText {
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

    fn say(&self, language: Option<usize>, sentence: &Sentence) -> String {
        match language {
            Some(language) => self.languages[language].say(&self.lexicon, sentence),
            None => english::say(&self.lexicon, sentence),
        }
    }

    fn pair(&self, language: usize, sentence: &Sentence) -> Pair {
        Pair {
            source: self.say(Some(language), sentence),
            target: self.say(None, sentence),
            content: sentence.content(),
        }
    }

    /// A sentence of the general language; now and then one of those that word problems have.
    fn any_sentence(&self, rng: &mut ChaCha8Rng) -> Sentence {
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
    fn tag(&self, language: Option<usize>) -> &str {
        language.map_or(ENGLISH, |language| &self.languages[language].tag)
    }

    /// Chance of its own for every text.
    fn rng(&self, seed: u64, stream: Stream, language: usize, index: usize) -> ChaCha8Rng {
        let mut bytes = [0; 32];
        let words = [seed, stream as u64, language as u64, index as u64];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(bytes)
    }
}

/// A kind of text that models are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Sentences of one language.
    Plain,
    /// Pairs, the language first.
    IntoEnglish,
    /// Pairs, English first.
    FromEnglish,
    /// Word problems with their answers.
    Problems,
}

impl World {
    /// A new text in a language (`None`: English), not of its corpus.
    pub fn text(&self, kind: TextKind, language: Option<usize>, index: usize) -> String {
        let number = language.map_or(self.languages.len(), |language| language);
        let mut rng = self.rng(self.config.seed, Stream::Text, number, index);
        let count = rng.random_range(1..=5);
        if kind == TextKind::Problems {
            let problems = (0..count.min(3)).map(|_| {
                let problem = self.problem_text(language, &Problem::draw(&self.lexicon, &mut rng));
                problem_shot(&problem)
            });
            return problems.collect();
        }
        let sentences: Vec<Sentence> = (0..count).map(|_| self.any_sentence(&mut rng)).collect();
        self.document(kind, language, &sentences)
    }

    /// A text of pairs `from` to `to` of the corpus of a language.
    pub fn corpus_text(&self, kind: TextKind, language: usize, from: usize, to: usize) -> String {
        let sentences: Vec<Sentence> = (from..to)
            .map(|index| {
                let mut rng = self.rng(self.config.seed, Stream::Corpus, language, index);
                self.any_sentence(&mut rng)
            })
            .collect();
        self.document(kind, Some(language), &sentences)
    }

    fn document(&self, kind: TextKind, language: Option<usize>, sentences: &[Sentence]) -> String {
        let tag = self.tag(language);
        let say = |sentence: &Sentence| {
            let (said, english) = (self.say(language, sentence), self.say(None, sentence));
            match kind {
                TextKind::FromEnglish => shot(ENGLISH, &english, tag, &said),
                TextKind::IntoEnglish => shot(tag, &said, ENGLISH, &english),
                TextKind::Plain | TextKind::Problems => said + " ",
            }
        };
        let text: String = sentences.iter().map(say).collect();
        match kind {
            TextKind::Plain => format!("{tag}: {}", text.trim_end()),
            _ => text,
        }
    }
}

/// A pair as the task of FLORES writes its worked examples.
fn shot(from: &str, source: &str, to: &str, target: &str) -> String {
    format!("{from}: {source}\n{to}: {target}\n\n")
}

/// A problem as the task of MGSM writes its worked examples.
fn problem_shot(problem: &ProblemText) -> String {
    format!(
        "Question: {}\nAnswer: {}\n\n",
        problem.question, problem.worked
    )
}
