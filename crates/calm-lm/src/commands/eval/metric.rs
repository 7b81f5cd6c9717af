//! Metrics of examples, by their names on the command line.

use calm_lm::eval::{AnswerMatch, Bleu, Chrf, Metric};
use clap::ValueEnum;

/// Metric of examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EvalMetric {
    /// Share of answers that are the target token for token, and ended in the right place; with
    /// --shots, that are its text
    Exact,
    /// Share of answers whose last number is the target's
    Number,
    /// Share of answers whose number behind #### is the target's
    NumberStrict,
    /// Characters in common, recall and precision with equal weight, as in the CALM paper
    Chrf1,
    /// Characters in common, recall counts twice; much software calls it chrF
    Chrf2,
    /// The same with pairs of words
    #[value(name = "chrf++")]
    ChrfPlusPlus,
    /// Words in common, as sacreBLEU counts them
    Bleu,
    /// How unexpected the targets are to the model, or all of a plain text: 1 if it is sure of them
    Perplexity,
}

/// How answers are scored.
pub(super) enum Scoring {
    /// A share of right answers.
    Share(Box<dyn Metric>),
    /// All texts together.
    Texts(Box<dyn Metric>),
}

impl EvalMetric {
    /// The metric of answers; none of the perplexity, for which nothing is answered.
    pub(super) fn scoring(self) -> Option<Scoring> {
        let share = |metric: AnswerMatch| Some(Scoring::Share(Box::new(metric)));
        match self {
            Self::Exact => share(AnswerMatch::Exact { lowercase: false }),
            Self::Number => share(AnswerMatch::Number),
            Self::NumberStrict => share(AnswerMatch::NumberStrict),
            Self::Chrf1 => Some(Scoring::Texts(Box::new(Chrf::chrf1()))),
            Self::Chrf2 => Some(Scoring::Texts(Box::new(Chrf::chrf2()))),
            Self::ChrfPlusPlus => Some(Scoring::Texts(Box::new(Chrf::chrf_plus_plus()))),
            Self::Bleu => Some(Scoring::Texts(Box::new(Bleu::default()))),
            Self::Perplexity => None,
        }
    }
}
