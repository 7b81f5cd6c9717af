//! GSM8K (arXiv 2110.14168) and MGSM (arXiv 2210.03057): word problems whose answer is a number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::DataError;
use crate::corpus::number::{Number, strict_number};
use crate::corpus::read::{json, json_lines, whole_lines};

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordProblem {
    /// The question.
    pub question: String,
    /// The answer as published: in GSM8K worked out, with marks for a calculator and the line
    /// `#### N`; in MGSM a number.
    pub answer: String,
    /// The number.
    pub gold: Number,
}

#[derive(Deserialize)]
struct Published {
    question: String,
    answer: String,
}

/// The problems of a JSON Lines file of GSM8K.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is no such record or whose
/// answer does not end in `#### N`.
pub fn gsm8k(path: &Path) -> Result<Vec<WordProblem>, DataError> {
    let records: Vec<Published> = json_lines(path)?;
    let problems = records.into_iter().enumerate().map(|(index, record)| {
        let gold = strict_number(&record.answer);
        let gold = gold.ok_or_else(|| {
            DataError::line(path, index + 1, "its `answer` does not end in `#### N`")
        })?;
        Ok(WordProblem {
            question: record.question,
            answer: record.answer,
            gold,
        })
    });
    problems.collect()
}

/// The problems of a file of MGSM in one language: question, tab, number. There is no quoting: a
/// quotation mark is a part of its question.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read or is cut short, or naming the line that has not two
/// columns or no number.
pub fn mgsm(path: &Path) -> Result<Vec<WordProblem>, DataError> {
    let lines = whole_lines(path)?.into_iter().enumerate();
    let problems = lines.map(|(index, line)| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [question, answer] = columns[..] else {
            let reason = format!(
                "has {} columns; expected question and answer",
                columns.len()
            );
            return Err(DataError::line(path, index + 1, reason));
        };
        let gold = answer.parse().map_err(|_| {
            let reason = format!("its answer {answer:?} is no number");
            DataError::line(path, index + 1, reason)
        })?;
        Ok(WordProblem {
            question: question.to_owned(),
            answer: answer.to_owned(),
            gold,
        })
    });
    problems.collect()
}

/// Worked examples of MGSM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MgsmExemplars {
    /// The numbers that answer them.
    pub number_answers: Vec<i64>,
    /// The same as equations.
    pub equation_solutions: Vec<String>,
    /// Examples by language, then by number from "1".
    pub exemplars: BTreeMap<String, BTreeMap<String, MgsmExemplar>>,
}

/// A worked problem.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MgsmExemplar {
    /// The question, behind the word for it in its language.
    #[serde(rename = "q")]
    pub question: String,
    /// The worked answer, behind the word for it in its language.
    #[serde(rename = "a")]
    pub answer: String,
}

/// The exemplars of MGSM, from the three literals of its `exemplars.py` as one JSON object.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read or is not such an object.
pub fn mgsm_exemplars(path: &Path) -> Result<MgsmExemplars, DataError> {
    json(path)
}
