use std::ops::ControlFlow;

use calm_models::{
    CausalLm, GenerateOptions, ModelError, SharedPrefix, TextOptions, Tokenizer,
    generate_text_after,
};

use super::{RunDir, RunError, Sample, Scorer};
use crate::tasks::{Item, Subset, Task};

/// How prompts are decoded together.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// So many at a time, the longest first.
    pub rows: usize,
}

/// Lets a model answer the examples of a task.
#[derive(Debug)]
pub struct Answering<'a, M: CausalLm> {
    /// The model.
    pub model: &'a M,
    /// Of its tokens.
    pub tokenizer: &'a Tokenizer,
    /// Any of these ends an answer.
    pub end_of_text: &'a [u32],
    /// How prompts are decoded together.
    pub batching: Batching,
}

impl<M: CausalLm> Answering<'_, M> {
    /// Answers all examples that the run has no answer to yet, and adds them to it. What all prompts
    /// begin with is computed once. `watch` sees every batch, and may end the run after it.
    ///
    /// # Errors
    ///
    /// [`RunError`] if a prompt does not fit, or the model, a template, the cage or the disk fails.
    pub fn answer(
        &self,
        task: &Task,
        subset: &Subset,
        scorer: &Scorer<'_>,
        run: &mut RunDir,
        mut watch: impl FnMut(&[Sample]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, RunError> {
        let open = |item: &&Item| !run.has(&task.name, &subset.language, item.index);
        let items: Vec<&Item> = subset.items.iter().filter(open).collect();
        let prompts = self.encode(task, &items)?;
        let Some(prefix) = self.prefix(&prompts)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut order: Vec<usize> = (0..items.len()).collect();
        // The longest first: if memory does not suffice, that shows at once.
        order.sort_by_key(|index| std::cmp::Reverse(prompts[*index].len()));
        for batch in order.chunks(self.batching.rows.max(1)) {
            let ids: Vec<Vec<u32>> = batch.iter().map(|index| prompts[*index].clone()).collect();
            let outputs = self.generate(task, prefix.as_ref(), &ids)?;
            let items = batch.iter().map(|index| items[*index].clone());
            let written = items.zip(outputs);
            let written = written.map(|(item, (output, stopped))| (item, output, stopped));
            let samples = scorer.score(&subset.language, written.collect())?;
            run.add(&samples)?;
            if watch(&samples).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn encode(&self, task: &Task, items: &[&Item]) -> Result<Vec<Vec<u32>>, RunError> {
        let context = self.model.context_length();
        let encode = |item: &&Item| {
            let ids = self.tokenizer.encode(&item.prompt, true)?.ids;
            if ids.len() >= context {
                return Err(RunError::TooLong {
                    task: task.name.clone(),
                    index: item.index,
                    tokens: ids.len(),
                    context,
                });
            }
            Ok(ids)
        };
        items.iter().map(encode).collect()
    }

    /// The beginning that all prompts share, if they do; nothing at all if there is no prompt.
    #[expect(
        clippy::option_option,
        reason = "no prompts, and prompts that share nothing"
    )]
    fn prefix(&self, prompts: &[Vec<u32>]) -> Result<Option<Option<SharedPrefix<M>>>, ModelError> {
        match prompts.len() {
            0 => Ok(None),
            // Nothing is gained for a single prompt.
            1 => Ok(Some(None)),
            _ => SharedPrefix::of(self.model, prompts).map(Some),
        }
    }

    fn generate(
        &self,
        task: &Task,
        prefix: Option<&SharedPrefix<M>>,
        prompts: &[Vec<u32>],
    ) -> Result<Vec<(String, bool)>, ModelError> {
        let options = TextOptions {
            tokens: GenerateOptions::greedy(
                task.generation.max_new_tokens,
                self.end_of_text.to_vec(),
            ),
            stop_texts: task.generation.stop_texts.clone(),
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
