//! The directory of an evaluation run.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use calm_data::DataError;
use calm_files::{Digest, Sha256, hex, try_lock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Results, RunError, Sample};
use crate::tasks::{Subset, Task};

/// Layout version of the files of a run.
pub(super) const SCHEMA: u32 = 1;

/// All that decides the samples of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Layout version of the run's files.
    pub schema: u32,
    /// The tasks, in order.
    pub tasks: Vec<RunTask>,
    /// The model: its name, and hashes of all that decides its output.
    pub model: Value,
    /// Largest number of examples of each language.
    pub limit: Option<usize>,
    /// The languages; empty for all.
    pub languages: Vec<String>,
    /// Policy for prompts that leave no room for an answer.
    #[serde(default)]
    pub too_long: PromptOverflow,
}

/// Policy for a prompt that leaves no room for an answer. None is left out, which would change the
/// examples of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptOverflow {
    /// It is an error.
    #[default]
    Error,
    /// It loses its beginning, behind the tokens that stand before every text, until an answer has the
    /// room that its task gives it, or half of the context if that is less. Other harnesses do so by
    /// default. Every sample records the number of lost tokens.
    Truncate,
}

/// A task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTask {
    /// [`Task::sha256`].
    pub sha256: String,
    /// Hash of all prompts and references, and so of the data.
    pub prompts_sha256: String,
    /// The whole task.
    pub task: Task,
}

impl RunTask {
    /// A task with its examples.
    pub fn new(task: Task, subsets: &[Subset]) -> Self {
        let mut hash = Sha256::new();
        for subset in subsets {
            for item in &subset.items {
                for text in [&subset.language, &item.prompt, &item.reference] {
                    hash.update((text.len() as u64).to_le_bytes());
                    hash.update(text);
                }
            }
        }
        Self {
            sha256: task.sha256(),
            prompts_sha256: hex(hash.finalize()),
            task,
        }
    }
}

impl Description {
    /// A description in the current layout.
    pub fn new(
        tasks: Vec<RunTask>,
        model: Value,
        limit: Option<usize>,
        languages: Vec<String>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            tasks,
            model,
            limit,
            languages,
            too_long: PromptOverflow::default(),
        }
    }

    /// The first setting in which two differ.
    fn differs(&self, other: &Self) -> Option<String> {
        let settings = [
            ("layout", self.schema != other.schema),
            ("model", self.model != other.model),
            ("--limit", self.limit != other.limit),
            ("--language", self.languages != other.languages),
            ("--too-long", self.too_long != other.too_long),
            ("list of tasks", self.tasks.len() != other.tasks.len()),
        ];
        if let Some((name, _)) = settings.iter().find(|(_, differs)| *differs) {
            return Some((*name).to_owned());
        }
        let mut tasks = self.tasks.iter().zip(&other.tasks);
        // The hashes say all: where files are is no part of a run.
        let hashes = |run: &RunTask| [run.sha256.clone(), run.prompts_sha256.clone()];
        let differing = tasks.find(|(ours, theirs)| hashes(ours) != hashes(theirs));
        differing.map(|(ours, theirs)| {
            let what = match ours.sha256 == theirs.sha256 {
                true => "data",
                false => "definition",
            };
            format!("{what} of the task '{}'", theirs.task.name)
        })
    }
}

/// The directory of a run.
#[derive(Debug)]
pub struct EvaluationDirectory {
    path: PathBuf,
    samples: File,
    done: BTreeSet<(String, String, usize)>,
}

impl EvaluationDirectory {
    /// Starts a run, or continues the same one. No other process can open it while this one lives.
    ///
    /// # Errors
    ///
    /// [`RunError::OtherRun`] if the directory holds another, [`RunError::InUse`], [`RunError::File`].
    pub fn open(path: &Path, description: &Description) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(DataError::io(path))?;
        let samples = path.join("samples.jsonl");
        let io = DataError::io(&samples);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut log = options.open(&samples).map_err(&io)?;
        // Some network file systems have no locks.
        if !try_lock(&log).unwrap_or(true) {
            let path = path.to_owned();
            return Err(RunError::InUse { path });
        }
        let whole = whole_lines(&mut log).map_err(&io)?;
        let done = parse(&samples, &whole)?;
        let file = path.join("run.json");
        // A run without samples may still change.
        if done.is_empty() {
            write_json(&file, description)?;
        } else if let Some(differs) = Self::description(path)?.differs(description) {
            return Err(RunError::OtherRun {
                path: file,
                differs,
            });
        }
        log.set_len(whole.len() as u64).map_err(&io)?;
        log.seek(SeekFrom::End(0)).map_err(io)?;
        let done = done.into_iter().map(|sample| sample.place()).collect();
        Ok(Self {
            path: path.to_owned(),
            samples: log,
            done,
        })
    }

    /// Reads the description of a run.
    ///
    /// # Errors
    ///
    /// [`RunError`] if there is none.
    pub fn description(path: &Path) -> Result<Description, RunError> {
        let path = path.join("run.json");
        let text =
            calm_files::read_text(&path).map_err(|source| RunError::no_run(&path, source))?;
        read_json(&path, &text)
    }

    /// Number of samples.
    pub fn done(&self) -> usize {
        self.done.len()
    }

    /// Whether this example has been answered.
    pub fn has(&self, task: &str, language: &str, index: usize) -> bool {
        let place = (task.to_owned(), language.to_owned(), index);
        self.done.contains(&place)
    }

    /// Adds samples, and waits until they are on the disk.
    ///
    /// # Errors
    ///
    /// [`RunError::File`].
    pub fn add(&mut self, samples: &[Sample]) -> Result<(), RunError> {
        let io = DataError::io(&self.path);
        let mut lines = Vec::new();
        for sample in samples {
            serde_json::to_writer(&mut lines, sample).map_err(|error| io(error.into()))?;
            lines.push(b'\n');
        }
        self.samples.write_all(&lines).map_err(&io)?;
        self.samples.sync_data().map_err(io)?;
        self.done.extend(samples.iter().map(Sample::place));
        Ok(())
    }

    /// Reads all samples of a run.
    ///
    /// # Errors
    ///
    /// [`RunError::File`] naming the line that is no sample.
    pub fn samples(path: &Path) -> Result<Vec<Sample>, RunError> {
        Self::samples_of(&path.join("samples.jsonl"))
    }

    /// Reads the samples of a file.
    ///
    /// # Errors
    ///
    /// [`RunError::File`] naming the line that is no sample.
    pub fn samples_of(path: &Path) -> Result<Vec<Sample>, RunError> {
        let text = calm_files::read_text(path).map_err(DataError::io(path))?;
        parse(path, &text)
    }

    /// Writes the scores.
    ///
    /// # Errors
    ///
    /// [`RunError::File`].
    pub fn finish(path: &Path, results: &Results) -> Result<(), RunError> {
        write_json(&path.join("results.json"), results)
    }

    /// Reads the scores.
    ///
    /// # Errors
    ///
    /// [`RunError::Unfinished`] before the end of the run, [`RunError::Layout`] for a file of
    /// another layout, [`RunError::File`].
    pub fn results(path: &Path) -> Result<Results, RunError> {
        Self::description(path)?;
        let file = path.join("results.json");
        if !file.exists() {
            let path = path.to_owned();
            return Err(RunError::Unfinished { path });
        }
        let text = calm_files::read_text(&file).map_err(DataError::io(&file))?;
        let results: Results = read_json(&file, &text)?;
        match results.schema {
            SCHEMA => Ok(results),
            found => Err(RunError::Layout {
                path: file,
                found,
                expected: SCHEMA,
            }),
        }
    }
}

impl Sample {
    fn place(&self) -> (String, String, usize) {
        (self.task.clone(), self.language.clone(), self.index)
    }
}

/// The whole lines of a log. A killed process may have left half a line at the end.
fn whole_lines(log: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(whole.map_or(0, |at| at + 1));
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Sample>, RunError> {
    let lines = text.lines().enumerate();
    let sample = |(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            let reason = format!("line {}: is no sample ({error})", number + 1);
            DataError::file(path, reason).into()
        })
    };
    lines.map(sample).collect()
}

fn read_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, RunError> {
    /// The field that every layout has.
    #[derive(Deserialize)]
    struct Layout {
        schema: u32,
    }

    let read = serde_json::from_str(text);
    read.map_err(|error| match serde_json::from_str(text) {
        Ok(Layout { schema }) if schema != SCHEMA => RunError::Layout {
            path: path.to_owned(),
            found: schema,
            expected: SCHEMA,
        },
        _ => DataError::file(path, error.to_string()).into(),
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), RunError> {
    calm_files::write_with(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })?;
    Ok(())
}
