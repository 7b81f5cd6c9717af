//! Rows that models are trained on.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::dataset::{ANSWER, QUESTION, Stream, World};
use super::language::Resource;
use super::problem::Problem;
use super::sentence::{Sentence, Speaker};
use crate::builders::ntl::ENGLISH;
use crate::builders::ntl::prompt::Prompt;

/// A row of training data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Row {
    /// Text to go on with.
    Plain {
        /// The text.
        text: String,
    },
    /// A question of a task, perhaps with worked examples, and its answer.
    Answered {
        /// The question, up to where its answer begins.
        prompt: String,
        /// The answer, with the space before it.
        target: String,
    },
}

/// A row of D_C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompositionRow {
    /// Worked examples and the sentence to translate or the problem to solve, as the task has them.
    pub prompt: String,
    /// The translation, or steps and answer, with the space before it.
    pub target: String,
    /// Language of the sentence.
    pub language: String,
    /// Characters of the prompt, from and to, whose words anchor masking may hide: sentences of a
    /// high-resource language and of English but for their numbers, and none of a low-resource
    /// language.
    pub mask: Vec<[usize; 2]>,
}

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Sentences of one language.
    Plain,
    /// Translation into English.
    IntoEnglish,
    /// Translation from English.
    FromEnglish,
    /// A word, a noun phrase or a short sentence into English, every word as likely as any other.
    Dictionary,
    /// Word problems.
    Problems,
}

/// Sentences of a plain text.
const SENTENCES: usize = 4;

/// Sentences of a corpus of which one is translated.
pub(super) const BLOCK: usize = 2 * SENTENCES;

/// Sentences of a block that are glossed.
const GLOSSED: usize = 4;

/// Entries of a dictionary for a block.
const ENTRIES: usize = 8;

/// A sentence that is asked about, and the answer.
struct Question<'a> {
    /// Label of the sentence.
    from: &'a str,
    sentence: String,
    /// Label of the answer.
    into: &'a str,
    answer: String,
}

impl World {
    /// Row `index` of a kind in a language (`None`: English), of no corpus.
    pub fn row(&self, kind: TextKind, language: Option<usize>, index: usize) -> Row {
        let number = language.unwrap_or(self.languages().len());
        let mut rng = self.rng(self.config().seed, Stream::Text, number, index);
        match kind {
            TextKind::Plain => {
                let sentences = (0..SENTENCES).map(|_| self.any_sentence(&mut rng));
                self.plain(language, &sentences.collect::<Vec<_>>())
            }
            TextKind::Dictionary => Row::of(&[self.entry(language, &mut rng)]),
            TextKind::IntoEnglish | TextKind::FromEnglish => {
                let questions: Vec<_> = (0..=shots(&mut rng))
                    .map(|_| self.translation(kind, language, &self.any_sentence(&mut rng)))
                    .collect();
                Row::of(&questions)
            }
            TextKind::Problems => Row::of(&self.problem_questions(language, &mut rng)),
        }
    }

    /// Rows of sentences `index` and the following of the corpus of a language, a [`BLOCK`]: all of them
    /// as text, one with its translation, half of them with glosses, and entries of a dictionary.
    ///
    /// So whoever reads them knows words better than how English puts them together, as it mostly is
    /// with low-resource languages, of which there is more text than translated text. Glosses make a
    /// model know what a word means where it stands, and not only where it is asked for.
    pub(super) fn corpus_rows(&self, language: usize, index: usize) -> Vec<Row> {
        let sentence = |index: usize| {
            self.any_sentence(&mut self.rng(self.config().seed, Stream::Corpus, language, index))
        };
        let mut rng = self.rng(self.config().seed, Stream::Row, language, index);
        let first = index.saturating_sub(BLOCK * shots(&mut rng));
        let questions: Vec<_> = (first..=index)
            .step_by(BLOCK)
            .map(|index| self.translation(TextKind::IntoEnglish, Some(language), &sentence(index)))
            .collect();
        let sentences: Vec<_> = (index..index + BLOCK).map(sentence).collect();
        let mut rows = vec![Row::of(&questions)];
        let texts = sentences.chunks(SENTENCES);
        rows.extend(texts.map(|sentences| self.plain(Some(language), sentences)));
        let glossed = sentences.iter().rev().take(GLOSSED);
        rows.extend(glossed.map(|sentence| self.glossed(language, sentence)));
        rows.extend((0..ENTRIES).map(|_| Row::of(&[self.entry(Some(language), &mut rng)])));
        rows
    }

    /// Rows of D_C in a language; the worked examples of a prompt are other pairs of D_C.
    pub fn d_c(&self, language: usize) -> Vec<CompositionRow> {
        let chosen = self.chosen(language);
        let row = |row: usize| {
            let mut rng = self.rng(self.config().fold, Stream::Shots, language, row);
            let shots = [0, 0, 1, 2][rng.random_range(0..4)];
            let questions = (0..=shots).rev().map(|shot| {
                let index = chosen[(row + shot * 17) % chosen.len()];
                let pair = self.corpus_pair(language, index);
                Question {
                    from: self.tag(Some(language)),
                    sentence: pair.source,
                    into: ENGLISH,
                    answer: pair.target,
                }
            });
            self.composition_row(Some(language), &questions.collect::<Vec<_>>())
        };
        (0..chosen.len()).map(row).collect()
    }

    /// Word problems of D_C in a high-resource language or English (`None`), some behind a worked
    /// example: general text, of the kind that the anchor knows.
    pub fn d_c_problems(&self, language: Option<usize>) -> Vec<CompositionRow> {
        let number = language.unwrap_or(self.languages().len());
        let row = |row: usize| {
            let mut rng = self.rng(self.config().fold, Stream::ChosenProblem, number, row);
            let questions = self.problem_questions(language, &mut rng);
            self.composition_row(language, &questions)
        };
        (0..self.config().d_c_problems).map(row).collect()
    }

    fn composition_row(
        &self,
        language: Option<usize>,
        questions: &[Question<'_>],
    ) -> CompositionRow {
        let (prompt, target) = asked(questions);
        let resource = language.map_or(Resource::High, |index| self.languages()[index].resource);
        CompositionRow {
            prompt: prompt.text,
            target,
            language: self.tag(language).to_owned(),
            mask: match resource {
                Resource::High => prompt.mask,
                Resource::Low => Vec::new(),
            },
        }
    }

    fn plain(&self, language: Option<usize>, sentences: &[Sentence]) -> Row {
        let said = sentences
            .iter()
            .map(|sentence| self.say(language, sentence));
        let text = format!(
            "{}: {}",
            self.tag(language),
            said.collect::<Vec<_>>().join(" ")
        );
        Row::Plain { text }
    }

    fn glossed(&self, language: usize, sentence: &Sentence) -> Row {
        let glossed = self.languages()[language].gloss(&self.lexicon, sentence);
        let text = format!("{}: {glossed}", self.tag(Some(language)));
        Row::Plain { text }
    }

    fn translation(
        &self,
        kind: TextKind,
        language: Option<usize>,
        sentence: &Sentence,
    ) -> Question<'_> {
        let (said, english) = (self.say(language, sentence), self.say(None, sentence));
        let (from, into) = (self.tag(language), ENGLISH);
        match kind {
            TextKind::FromEnglish => Question {
                from: into,
                sentence: english,
                into: from,
                answer: said,
            },
            _ => Question {
                from,
                sentence: said,
                into,
                answer: english,
            },
        }
    }

    fn entry(&self, language: Option<usize>, rng: &mut ChaCha8Rng) -> Question<'_> {
        let speaker = Speaker {
            lexicon: &self.lexicon,
            zipf: 0.0,
            only: None,
        };
        let (said, english) = match rng.random_range(0..10) {
            0..5 => {
                let meaning = rng.random_range(0..self.meanings());
                (self.word(language, meaning), self.word(None, meaning))
            }
            5..8 => {
                let phrase = speaker.phrase(rng).expect("every word may be said");
                let say = |language| self.say_phrase(language, &phrase);
                (say(language), say(None))
            }
            _ => {
                let sentence = speaker.short(rng).expect("every word may be said");
                (self.say(language, &sentence), self.say(None, &sentence))
            }
        };
        Question {
            from: self.tag(language),
            sentence: said,
            into: ENGLISH,
            answer: english,
        }
    }

    /// A word problem, perhaps behind a worked example.
    fn problem_questions(
        &self,
        language: Option<usize>,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Question<'_>> {
        let shots = rng.random_range(0..=1);
        let question = |_| {
            let problem = self.problem_text(language, &Problem::draw(&self.lexicon, rng));
            Question {
                from: QUESTION,
                sentence: problem.question,
                into: ANSWER,
                answer: problem.worked,
            }
        };
        (0..=shots).map(question).collect()
    }
}

/// The prompt of the last question, behind the others with their answers, and its answer.
fn asked(questions: &[Question<'_>]) -> (Prompt, String) {
    let (last, shots) = questions.split_last().expect("there is a question");
    let mut prompt = Prompt::default();
    for shot in shots {
        prompt.ask(shot.from, &shot.sentence, shot.into);
        prompt.answer(&shot.answer);
    }
    prompt.ask(last.from, &last.sentence, last.into);
    (prompt, format!(" {}", last.answer))
}

/// Worked examples of a row: mostly none, since a model learns to translate from single pairs sooner.
fn shots(rng: &mut ChaCha8Rng) -> usize {
    if rng.random_bool(0.85) {
        0
    } else {
        rng.random_range(1..=2)
    }
}

impl Row {
    /// The last question, behind the others with their answers.
    fn of(questions: &[Question<'_>]) -> Self {
        let (prompt, target) = asked(questions);
        Self::Answered {
            prompt: prompt.text,
            target,
        }
    }

    /// All of its text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Plain { text } => text.clone(),
            Self::Answered { prompt, target } => format!("{prompt}{target}"),
        }
    }
}
