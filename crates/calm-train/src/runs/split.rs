//! Examples of one file: how they are read, and the record of them.

use std::fs;
use std::path::Path;

use calm_compose::{FrozenParts, PromptTexts, RowTokens};
use calm_data::{Batches, ChatTurn, DataError, DataFile, Examples, Tokenized};
use rayon::prelude::*;

use super::config::{DataConfig, ValidationConfig};
use super::record::{DataRecord, PackedRecord};
use super::{Observer, RunEvent};
use crate::reading::read_all;
use crate::{ChatTokenizer, TrainError};

/// Up to this size a file is tokenised anew each time, which takes a second or a few, and leaves
/// nothing behind.
const SMALL_BYTES: u64 = 16 << 20;

/// Reads and tokenises a file, through a cache if it is large or a cache is asked for. `with_run`
/// is the place of the cache unless the settings name another; none where nothing is to be written.
pub(super) fn read_file(
    config: &DataConfig,
    file: &DataFile<'_>,
    with_run: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<Tokenized, TrainError> {
    // If the file cannot be read, reading it tells so.
    let total = fs::metadata(&file.path).map_or(0, |data| data.len());
    let is_large = total > SMALL_BYTES;
    let observe = |done: u64| {
        if is_large {
            let _ = observer.observe(RunEvent::Tokenising { done, total });
        }
    };
    let read = match (&config.data_cache, with_run.filter(|_| is_large)) {
        (Some(directory), _) => file.read_through(directory, observe),
        (None, Some(with_run)) => {
            // A directory that was not there goes again, if the data is no good.
            let made = with_run.ancestors().take(3).filter(|path| !path.exists());
            let made = made.last().map(Path::to_owned);
            file.read_through(with_run, observe).inspect_err(|_| {
                let _ = made.map(fs::remove_dir_all);
            })
        }
        (None, None) => file.read(observe),
    };
    read.map_err(|error| match &error {
        DataError::Example { source, .. } if matches!(**source, DataError::TooLong { .. }) => {
            TrainError::Malformed {
                path: file.path.clone(),
                reason: format!("{source}, or choose another policy with --too-long"),
            }
        }
        _ => error.into(),
    })
}

/// Examples of a file, in batches.
pub(super) struct DataSplit {
    pub(super) batches: Batches,
    pub(super) record: DataRecord,
    /// The conversations of the examples, if augmenting models read them in renderings of their own.
    turns: Vec<Option<ChatTurn>>,
    /// Share of the different examples of the file that is held out of these.
    pub(super) held_out_share: f64,
}

/// Examples that were held out of a file.
pub(super) struct HeldOutPart {
    pub(super) split: DataSplit,
    /// Their numbers among all that were read.
    pub(super) numbers: Vec<u32>,
    /// All that were read.
    pub(super) of: usize,
}

impl DataSplit {
    /// The examples of a file, put into batches by `batches`.
    pub(super) fn new(
        file: &DataFile<'_>,
        read: Tokenized,
        batches: impl FnOnce(Examples) -> Batches,
    ) -> Self {
        let Tokenized {
            examples,
            sha256,
            truncated,
            skipped,
            turns,
        } = read;
        let batches = batches(examples);
        let record = DataRecord {
            path: file.path.clone(),
            sha256,
            examples: batches.examples().len(),
            held_out: 0,
            copies: 0,
            tokens: batches.examples().tokens(),
            padding_share: (batches.padding_share() * 1e4).round() / 1e4,
            packed: file.tokenizing.cut_texts.then(|| PackedRecord {
                context: file.tokenizing.context,
                rows: batches.row_count(),
            }),
            too_long: file.tokenizing.too_long,
            truncated,
            skipped,
        };
        Self {
            batches,
            record,
            turns,
            held_out_share: 0.0,
        }
    }

    /// The examples of a file without those that are held out, and these, if any are.
    pub(super) fn held_out(
        config: &ValidationConfig,
        file: &DataFile<'_>,
        read: Tokenized,
        batches: impl Fn(Examples) -> Batches,
    ) -> Result<(Self, Option<HeldOutPart>), TrainError> {
        if config.validation.is_some() || config.validation_share == Some(0.0) {
            return Ok((Self::new(file, read, batches), None));
        }
        let mut count = Ok(0);
        let mut share = 0.0;
        let piece = file
            .tokenizing
            .cut_texts
            .then_some(file.tokenizing.context + 1);
        let split = read.examples.hold_out(piece, |different| {
            count = config.held_out_of(different);
            let held_out = *count.as_ref().unwrap_or(&0);
            share = held_out as f64 / different as f64;
            held_out
        })?;
        count?;
        let Some(split) = split else {
            return Ok((Self::new(file, read, batches), None));
        };
        let turns = |examples: &Examples| match read.turns.is_empty() {
            true => Vec::new(),
            false => (0..examples.len())
                .map(|number| read.turns[examples.place(number)].clone())
                .collect(),
        };
        let part = |examples: Examples| Tokenized {
            turns: turns(&examples),
            examples,
            sha256: read.sha256.clone(),
            truncated: read.truncated,
            skipped: read.skipped,
        };
        let mut train = Self::new(file, part(split.train), &batches);
        train.record.held_out = split.held_out.len();
        train.record.copies = split.copies;
        train.held_out_share = share;
        let held_out = HeldOutPart {
            split: Self::new(file, part(split.held_out), &batches),
            numbers: split.numbers,
            of: read.examples.len(),
        };
        Ok((train, Some(held_out)))
    }

    /// An error with the numbers that its examples have in the file.
    pub(super) fn in_file(&self, error: TrainError) -> TrainError {
        let place = |number: &mut usize| *number = self.batches.examples().place(*number);
        match error {
            TrainError::NotFinite {
                quantity,
                value,
                step,
                checkpoint,
                mut examples,
            } => {
                examples.iter_mut().for_each(place);
                TrainError::NotFinite {
                    quantity,
                    value,
                    step,
                    checkpoint,
                    examples,
                }
            }
            TrainError::TooManySkipped { skipped, last } => TrainError::TooManySkipped {
                skipped,
                last: Box::new(self.in_file(*last)),
            },
            other => other,
        }
    }

    /// Tokens that the augmenting models read of every example, as [`read_all`] has them.
    pub(super) fn read_by(
        &self,
        parts: &FrozenParts,
        chat: &ChatTokenizer,
    ) -> Result<Option<Vec<RowTokens>>, TrainError> {
        let prompts = self.prompts(chat)?;
        let read = read_all(parts, self.batches.examples(), &prompts);
        read.map_err(|error| match error {
            TrainError::Model(unreadable) => TrainError::Malformed {
                path: self.record.path.clone(),
                reason: unreadable.to_string(),
            },
            other => other,
        })
    }

    /// Texts that augmenting models read of every example's prompt in renderings of their own; nothing if
    /// there is no conversation.
    fn prompts(&self, chat: &ChatTokenizer) -> Result<Vec<PromptTexts>, DataError> {
        let turns = self.turns.par_iter().enumerate();
        let texts = turns.map(|(number, turn)| match turn {
            Some(turn) => {
                let kept = self.batches.examples().get(number)?.target_start;
                chat.texts(number, turn, kept)
            }
            None => Ok(PromptTexts::new()),
        });
        texts.collect()
    }
}
