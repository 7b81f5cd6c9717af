//! Rows that models are trained on.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::dataset::{ENGLISH, Stream, World};
use super::english;
use super::language::Resource;
use super::problem::Problem;
use super::sentence::{Sentence, Speaker};

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
    /// Worked examples and the sentence to translate, as the task has them.
    pub prompt: String,
    /// The translation, with the space before it.
    pub target: String,
    /// Language of the sentence.
    pub language: String,
    /// Characters of the prompt, from and to, whose words anchor masking may hide: sentences of a
    /// high-resource language, which both models know, and none of a low-resource language.
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

/// Sentences of a plain text, and of a corpus for each that is translated.
pub(super) const SENTENCES: usize = 4;

/// Entries of a dictionary for each sentence of a corpus.
const ENTRIES: usize = 2;

/// A question and its answer.
struct Question {
    prompt: String,
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
            TextKind::Problems => {
                let questions: Vec<_> = (0..=rng.random_range(0..=1))
                    .map(|_| self.problem_question(language, &mut rng))
                    .collect();
                Row::of(&questions)
            }
        }
    }

    /// Rows of sentences `index` and the following of the corpus of a language, as many as
    /// [`SENTENCES`]: all of them as text, one with its translation, and entries of a dictionary.
    ///
    /// So whoever reads them knows words better than how English puts them together, as it mostly is
    /// with low-resource languages, of which there is more text than translated text.
    pub(super) fn corpus_rows(&self, language: usize, index: usize) -> Vec<Row> {
        let sentence = |index: usize| {
            self.any_sentence(&mut self.rng(self.config().seed, Stream::Corpus, language, index))
        };
        let mut rng = self.rng(self.config().seed, Stream::Row, language, index);
        let first = index.saturating_sub(SENTENCES * shots(&mut rng));
        let questions: Vec<_> = (first..=index)
            .step_by(SENTENCES)
            .map(|index| self.translation(TextKind::IntoEnglish, Some(language), &sentence(index)))
            .collect();
        let sentences: Vec<_> = (index..index + SENTENCES).map(sentence).collect();
        let mut rows = vec![Row::of(&questions), self.plain(Some(language), &sentences)];
        let entries = 0..ENTRIES * SENTENCES;
        rows.extend(entries.map(|_| Row::of(&[self.entry(Some(language), &mut rng)])));
        rows
    }

    /// Rows of D_C in a language; the worked examples of a prompt are other pairs of D_C.
    pub fn d_c(&self, language: usize) -> Vec<CompositionRow> {
        let chosen = self.chosen(language);
        let row = |row: usize| {
            let mut rng = self.rng(self.config().fold, Stream::Shots, language, row);
            let shots = [0, 0, 1, 2][rng.random_range(0..4)];
            let pairs = (0..=shots)
                .rev()
                .map(|shot| chosen[(row + shot * 17) % chosen.len()]);
            self.composition_row(language, &pairs.collect::<Vec<_>>())
        };
        (0..chosen.len()).map(row).collect()
    }

    fn composition_row(&self, language: usize, pairs: &[usize]) -> CompositionRow {
        let tag = &self.languages()[language].tag;
        let (mut prompt, mut target, mut mask) = (String::new(), String::new(), Vec::new());
        for pair in pairs {
            if !target.is_empty() {
                prompt += &format!("{target}\n\n");
            }
            let pair = self.corpus_pair(language, *pair);
            if self.languages()[language].resource == Resource::High {
                let start = prompt.chars().count() + tag.len() + 2;
                mask.push([start, start + pair.source.chars().count()]);
            }
            prompt += &format!("{tag}: {}\n{ENGLISH}:", pair.source);
            target = format!(" {}", pair.target);
        }
        CompositionRow {
            prompt,
            target,
            language: tag.clone(),
            mask,
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

    fn translation(
        &self,
        kind: TextKind,
        language: Option<usize>,
        sentence: &Sentence,
    ) -> Question {
        let (said, english) = (self.say(language, sentence), self.say(None, sentence));
        let tag = self.tag(language);
        match kind {
            TextKind::FromEnglish => Question::translation(ENGLISH, &english, tag, &said),
            _ => Question::translation(tag, &said, ENGLISH, &english),
        }
    }

    fn entry(&self, language: Option<usize>, rng: &mut ChaCha8Rng) -> Question {
        let speaker = Speaker {
            lexicon: &self.lexicon,
            zipf: 0.0,
            only: None,
        };
        let said_as = |language: Option<usize>| &self.languages()[language.unwrap_or(0)];
        let (said, english) = match rng.random_range(0..10) {
            0..5 => {
                let meaning = rng.random_range(0..self.meanings());
                let english = self.lexicon.forms(meaning).base.clone();
                (said_as(language).word(meaning), english)
            }
            5..8 => {
                let phrase = speaker.phrase(rng).expect("every word may be said");
                let english = english::say_phrase(&self.lexicon, &phrase);
                (
                    said_as(language).say_phrase(&self.lexicon, &phrase),
                    english,
                )
            }
            _ => {
                let sentence = speaker.short(rng).expect("every word may be said");
                (self.say(language, &sentence), self.say(None, &sentence))
            }
        };
        Question::translation(self.tag(language), &said, ENGLISH, &english)
    }

    fn problem_question(&self, language: Option<usize>, rng: &mut ChaCha8Rng) -> Question {
        let problem = self.problem_text(language, &Problem::draw(&self.lexicon, rng));
        Question {
            prompt: format!("Question: {}\nAnswer:", problem.question),
            answer: problem.worked,
        }
    }
}

/// Worked examples of a row: mostly none, since a model learns to translate from single pairs sooner.
fn shots(rng: &mut ChaCha8Rng) -> usize {
    if rng.random_bool(0.85) {
        0
    } else {
        rng.random_range(1..=2)
    }
}

impl Question {
    /// A pair as the task of FLORES asks for it.
    fn translation(from: &str, source: &str, to: &str, target: &str) -> Self {
        Self {
            prompt: format!("{from}: {source}\n{to}:"),
            answer: target.to_owned(),
        }
    }
}

impl Row {
    /// The last question, behind the others with their answers.
    fn of(questions: &[Question]) -> Self {
        let (last, shots) = questions.split_last().expect("there is a question");
        let shots: String = shots
            .iter()
            .map(|shot| format!("{} {}\n\n", shot.prompt, shot.answer))
            .collect();
        Self::Answered {
            prompt: shots + &last.prompt,
            target: format!(" {}", last.answer),
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
