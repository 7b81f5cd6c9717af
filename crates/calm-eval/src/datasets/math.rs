//! GSM8K (arXiv 2110.14168) and MGSM (arXiv 2210.03057): word problems whose answer is a number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::DatasetError;
use super::read::{json, json_lines, whole_lines};
use crate::answer::{Number, strict_number};

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordProblem {
    /// What is asked.
    pub question: String,
    /// The worked answer of GSM8K as published, with its marks for a calculator and the line
    /// `#### N`; of MGSM the number as published.
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
/// [`DatasetError`] if the file cannot be read, or naming the line that is no such record or whose
/// answer does not end in `#### N`.
pub fn gsm8k(path: &Path) -> Result<Vec<WordProblem>, DatasetError> {
    let records: Vec<Published> = json_lines(path)?;
    let problems = records.into_iter().enumerate().map(|(index, record)| {
        let gold = strict_number(&record.answer);
        let gold = gold.ok_or_else(|| {
            DatasetError::line(path, index + 1, "its `answer` does not end in `#### N`")
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
/// [`DatasetError`] if the file cannot be read or is cut short, or naming the line that has not two
/// columns or no number.
pub fn mgsm(path: &Path) -> Result<Vec<WordProblem>, DatasetError> {
    let lines = whole_lines(path)?.into_iter().enumerate();
    let problems = lines.map(|(index, line)| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [question, answer] = columns[..] else {
            let reason = format!(
                "has {} columns; expected question and answer",
                columns.len()
            );
            return Err(DatasetError::line(path, index + 1, reason));
        };
        let gold = answer.parse().map_err(|_| {
            let reason = format!("its answer {answer:?} is no number");
            DatasetError::line(path, index + 1, reason)
        })?;
        Ok(WordProblem {
            question: question.to_owned(),
            answer: answer.to_owned(),
            gold,
        })
    });
    problems.collect()
}

/// What MGSM puts before its problems.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MgsmExemplars {
    /// The numbers that answer them.
    pub number_answers: Vec<i64>,
    /// The same as equations.
    pub equation_solutions: Vec<String>,
    /// By language, then by number from "1".
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
/// [`DatasetError`] if the file cannot be read or is not such an object.
pub fn mgsm_exemplars(path: &Path) -> Result<MgsmExemplars, DatasetError> {
    json(path)
}
