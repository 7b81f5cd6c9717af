use std::ops::ControlFlow;

use calm_models::{
    CausalLm, ModelError, SequenceOptions, SharedPrefix, Tokenizer, generate_text_after,
};

use super::{EvaluationDirectory, PromptOverflow, RunError, Sample, Scorer, Written};
use crate::tasks::{Item, Subset, Task};

/// Settings of reading and decoding prompts.
#[derive(Debug, Clone, Copy)]
pub struct Decoding {
    /// Number of prompts at a time, the longest first.
    pub rows: usize,
    /// Policy for prompts that leave no room for an answer.
    pub too_long: PromptOverflow,
}

/// Tokens of a prompt.
struct Prompt {
    ids: Vec<u32>,
    /// Number of tokens that it lost.
    cut_tokens: usize,
}

/// Lets a model answer the examples of a task.
#[derive(Debug)]
pub struct Answering<'a, M: CausalLm> {
    /// The model.
    pub model: &'a M,
    /// Tokenizer of the model.
    pub tokenizer: &'a Tokenizer,
    /// Ids that end an answer.
    pub end_of_text: &'a [u32],
    /// Settings of reading and decoding prompts.
    pub decoding: Decoding,
}

impl<M: CausalLm> Answering<'_, M> {
    /// Answers all examples that the run has no answer to yet, and adds the answers to it. The common
    /// beginning of all prompts is computed once. `watch` sees every batch, and may end the run.
    ///
    /// # Errors
    ///
    /// [`RunError`] if a prompt does not fit, or the model, a template, the sandbox or the disk fails.
    pub fn answer(
        &self,
        task: &Task,
        subset: &Subset,
        scorer: &Scorer<'_>,
        run: &mut EvaluationDirectory,
        mut watch: impl FnMut(&[Sample]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, RunError> {
        let open = |item: &&Item| !run.has(&task.name, &subset.language, item.index);
        let items: Vec<&Item> = subset.items.iter().filter(open).collect();
        let prompts = items.iter().map(|item| self.encode(task, item));
        let prompts = prompts.collect::<Result<Vec<Prompt>, RunError>>()?;
        let Some(prefix) = self.prefix(&prompts)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut order: Vec<usize> = (0..items.len()).collect();
        // The longest first: lack of memory shows at once.
        order.sort_by_key(|index| std::cmp::Reverse(prompts[*index].ids.len()));
        for batch in order.chunks(self.decoding.rows.max(1)) {
            let ids = batch.iter().map(|index| prompts[*index].ids.clone());
            let outputs = self.generate(task, prefix.as_ref(), &ids.collect::<Vec<_>>())?;
            let outputs = batch.iter().zip(outputs);
            let written = outputs.map(|(index, (output, stopped))| Written {
                item: items[*index].clone(),
                cut_tokens: prompts[*index].cut_tokens,
                output,
                stopped,
            });
            let samples = scorer.score(&subset.language, written.collect())?;
            run.add(&samples)?;
            if watch(&samples).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Checks that the model can read all prompts, before hours of work.
    ///
    /// # Errors
    ///
    /// [`RunError::TooLong`], or [`RunError::Model`] if a prompt can't be tokenised.
    pub fn check(&self, task: &Task, subset: &Subset) -> Result<(), RunError> {
        let mut items = subset.items.iter();
        items.try_for_each(|item| self.encode(task, item).map(drop))
    }

    fn encode(&self, task: &Task, item: &Item) -> Result<Prompt, RunError> {
        let context = self.model.context_length();
        let mut ids = self.tokenizer.encode_unfinished(&item.prompt)?;
        let room = match self.decoding.too_long {
            PromptOverflow::Error if ids.len() < context => ids.len(),
            PromptOverflow::Error => {
                return Err(RunError::TooLong {
                    task: task.name.clone(),
                    index: item.index,
                    tokens: ids.len(),
                    context,
                });
            }
            PromptOverflow::Truncate => context - task.generation.max_new_tokens.min(context / 2),
        };
        // Tokens before every text stay.
        let special = self.tokenizer.encode_unfinished("")?.len();
        let cut_tokens = ids.len().saturating_sub(room.max(special));
        ids.drain(special..special + cut_tokens);
        Ok(Prompt { ids, cut_tokens })
    }

    /// The beginning that all prompts share, if they do; nothing at all if there is no prompt.
    #[expect(
        clippy::option_option,
        reason = "no prompts, and prompts that share nothing"
    )]
    fn prefix(&self, prompts: &[Prompt]) -> Result<Option<Option<SharedPrefix<M>>>, ModelError> {
        match prompts.len() {
            0 => Ok(None),
            // Nothing is gained for a single prompt.
            1 => Ok(Some(None)),
            _ => {
                let ids: Vec<_> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
                SharedPrefix::of(self.model, &ids).map(Some)
            }
        }
    }

    fn generate(
        &self,
        task: &Task,
        prefix: Option<&SharedPrefix<M>>,
        prompts: &[Vec<u32>],
    ) -> Result<Vec<(String, bool)>, ModelError> {
        let options = SequenceOptions {
            stop_texts: task.generation.stop_texts.clone(),
            ..SequenceOptions::greedy(task.generation.max_new_tokens, self.end_of_text.to_vec())
        };
        let show = |_: usize, _: &str| ControlFlow::Continue(());
        let written =
            generate_text_after(self.model, self.tokenizer, prefix, prompts, &options, show)?;
        Ok(written
            .into_iter()
            .map(|row| (row.text, row.stopped))
            .collect())
    }
}
