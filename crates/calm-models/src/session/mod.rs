//! Decoding of sequences that come and go.

mod batch;
mod exact_match;
mod generate;
mod prefix;
mod sampling;
mod sequence;
mod stop;
mod text;

use self::batch::Batch;
pub use self::exact_match::{Answer, AnswerOptions, Question, answer, exact_match};
pub use self::generate::{Continuation, generate, generate_text, generate_text_after};
pub use self::prefix::SharedPrefix;
pub use self::sampling::SamplingParams;
use self::sequence::Sequence;
pub use self::sequence::{Event, FinishReason, SequenceId, SequenceOptions};
pub use self::text::{TextStream, token_text};
use crate::{CausalLm, ModelError, Tokenizer};

/// Decodes sequences, each with options of its own, that may be added and removed between any two
/// steps.
///
/// A step gives every sequence its next token. Sequences share passes of the model, padded on the
/// left: new ones are computed as one batch, and then join the batch that is running. The tokens of a
/// sequence do not depend on the others. Sequences that cannot share a batch, since their rotary
/// frequencies differ or the model reads their prompts in different ways, have one of their own.
///
/// ```
/// # use std::path::Path;
/// # use calm_models::{FrozenModel, LoadOptions, SequenceOptions, Session};
/// let model = FrozenModel::load(Path::new("tests/fixtures/gemma2"), &LoadOptions::default())?;
/// let mut session = Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
/// session.add_text("four words of text", &SequenceOptions::greedy(9, vec![]))?;
/// session.step()?;
/// let second = session.add(vec![1, 30], &SequenceOptions::greedy(4, vec![]))?;
/// while !session.is_empty() {
///     for event in session.step()? {
///         let (text, finished) = (event.text, event.finished); // of event.sequence
///         # let _ = (text, finished, second);
///     }
/// }
/// # Ok::<(), calm_models::ModelError>(())
/// ```
pub struct Session<'a, M: CausalLm> {
    model: &'a M,
    tokenizer: Option<&'a Tokenizer>,
    prefix: Option<&'a SharedPrefix<M>>,
    keeps: bool,
    /// Computed states of the last sequence that left.
    kept: Option<SharedPrefix<M>>,
    added: usize,
    /// Sequences to be computed from their beginning.
    waiting: Vec<Sequence<M::Prompt>>,
    batches: Vec<Batch<M>>,
}

impl<'a, M: CausalLm> Session<'a, M> {
    /// A session without sequences.
    pub fn new(model: &'a M) -> Self {
        Self {
            model,
            tokenizer: None,
            prefix: None,
            keeps: false,
            kept: None,
            added: 0,
            waiting: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// The same, where sequences have texts, which may end with stop texts.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: &'a Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// The same, where the prefix is not computed again for prompts that begin with it.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Option<&'a SharedPrefix<M>>) -> Self {
        self.prefix = prefix;
        self
    }

    /// The same, where a sequence that is alone leaves behind what it has computed, for a text that goes
    /// on from there: [`Session::take_kept`].
    #[must_use]
    pub fn with_kept(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Computed states of the last sequence that left, if it was alone and this session
    /// [keeps](Session::with_kept) them.
    pub fn take_kept(&mut self) -> Option<SharedPrefix<M>> {
        self.kept.take()
    }

    /// Adds a prompt to be continued. Nothing is computed before the next step.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the prompt is empty, holds an id outside the vocabulary or fills the context,
    /// if a setting of the sampling is out of range, a stop text is empty, there are stop texts but no
    /// tokenizer, or the tokenizer cannot decode the prompt. Errors name a prompt by the number of its
    /// sequence.
    pub fn add(
        &mut self,
        prompt: impl Into<M::Prompt>,
        options: &SequenceOptions,
    ) -> Result<SequenceId, ModelError> {
        let (prompt, id) = (prompt.into(), SequenceId(self.added));
        options.sampling.validate()?;
        check_prompt(self.model, id.0, prompt.as_ref())?;
        if let Some(index) = options.stop_texts.iter().position(String::is_empty) {
            return Err(ModelError::EmptyStopText { index });
        }
        if !options.stop_texts.is_empty() {
            self.tokenizer()?;
        }
        let context_length = self.model.context_length();
        let mut options = options.clone();
        let tokens = options
            .stop_texts
            .iter()
            .filter_map(|stop| self.added_id(stop));
        options.stop_ids.extend(tokens);
        let sequence = Sequence::new(id, prompt, options, context_length, self.tokenizer)?;
        self.waiting.push(sequence);
        self.added += 1;
        Ok(id)
    }

    /// [`Session::add`] for a text, which is tokenised as one that may go on.
    ///
    /// # Errors
    ///
    /// As [`Session::add`], and [`ModelError`] if the tokenizer has no token for part of the text, or
    /// there is no tokenizer.
    pub fn add_text(
        &mut self,
        text: &str,
        options: &SequenceOptions,
    ) -> Result<SequenceId, ModelError> {
        let ids = self.tokenizer()?.encode_unfinished(text)?;
        self.add(ids, options)
    }

    /// Gives every sequence its next token. Returns the news of each, in the order of their coming;
    /// those that have finished are removed.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the device fails, a model that reads along cannot read a text, or a text
    /// cannot be decoded. No sequence is left then.
    pub fn step(&mut self) -> Result<Vec<Event>, ModelError> {
        let events = self.advance();
        if events.is_err() {
            self.waiting.clear();
            self.batches.clear();
        }
        let mut events = events?;
        events.sort_by_key(|event| event.sequence);
        Ok(events)
    }

    /// Removes a sequence before its end. Returns whether it was there.
    pub fn remove(&mut self, id: SequenceId) -> bool {
        let waiting = self.waiting.iter().position(|sequence| sequence.id() == id);
        if let Some(place) = waiting {
            self.waiting.remove(place);
            return true;
        }
        let is_found = self.batches.iter_mut().any(|batch| batch.remove(id));
        self.drop_empty_batches();
        is_found
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        let running = self.batches.iter().map(|batch| batch.sequences().count());
        self.waiting.len() + running.sum::<usize>()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.batches.is_empty()
    }

    /// Memory of all caches, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.batches.iter().map(Batch::cache_bytes).sum()
    }

    /// The id of a stop text that is one token, whose text may be none.
    fn added_id(&self, text: &str) -> Option<u32> {
        let tokenizer = self.tokenizer?;
        let id = tokenizer.token_id(text)?;
        tokenizer.is_added(id).then_some(id)
    }

    fn tokenizer(&self) -> Result<&'a Tokenizer, ModelError> {
        self.tokenizer.ok_or(ModelError::NoTokenizer)
    }

    fn advance(&mut self) -> Result<Vec<Event>, ModelError> {
        let mut events = Vec::new();
        let model = self.model;
        for batch in &mut self.batches {
            // Where frequencies change with the next token, all before it is computed anew.
            let is_outgrown = |sequence: &Sequence<_>| {
                let length = sequence.ids().len();
                !model.cache_serves(length - 1, length)
            };
            self.waiting.extend(batch.extract(is_outgrown));
        }
        self.drop_empty_batches();
        for batch in &mut self.batches {
            batch.decode(model, &mut events)?;
        }
        self.drop_empty_batches();
        let (waiting, ended) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(Sequence::has_room);
        for mut sequence in ended {
            events.push(sequence.end()?);
        }
        for group in self.groups(waiting) {
            let prefix = self.prefix_of(&group[0]);
            let batch = Batch::prefill(model, prefix, group, &mut events)?;
            self.join(batch);
        }
        Ok(events)
    }

    /// Sequences that are computed in one pass.
    fn groups(&self, waiting: Vec<Sequence<M::Prompt>>) -> Vec<Vec<Sequence<M::Prompt>>> {
        let mut groups: Vec<Vec<Sequence<_>>> = Vec::new();
        for sequence in waiting {
            let has_prefix = self.prefix_of(&sequence).is_some();
            let group = groups.iter_mut().find(|group| {
                self.prefix_of(&group[0]).is_some() == has_prefix
                    && self.fit_together(&group[0], &sequence, 0)
            });
            match group {
                Some(group) => group.push(sequence),
                None => groups.push(vec![sequence]),
            }
        }
        groups
    }

    fn prefix_of(&self, sequence: &Sequence<M::Prompt>) -> Option<&'a SharedPrefix<M>> {
        self.prefix.filter(|prefix| {
            prefix.serves(self.model, sequence.ids())
                && self.model.reads_in_parts(sequence.prompt())
        })
    }

    /// Lets new sequences join those that are running.
    fn join(&mut self, new: Batch<M>) {
        let Some(sequence) = new.sequences().next() else {
            return self.keep(new);
        };
        // Of the tokens of each, all but the last are computed.
        let fits = |batch: &Batch<M>| {
            let mut running = batch.sequences();
            running
                .next()
                .is_some_and(|running| self.fit_together(running, sequence, 1))
        };
        match self.batches.iter().position(fits) {
            Some(place) => self.batches[place].append(new),
            None => self.batches.push(new),
        }
    }

    /// Whether two sequences can be rows of one batch when all but their last `uncomputed` tokens
    /// are computed.
    fn fit_together(
        &self,
        a: &Sequence<M::Prompt>,
        b: &Sequence<M::Prompt>,
        uncomputed: usize,
    ) -> bool {
        let [before, after] = [a, b].map(|sequence| sequence.ids().len() - uncomputed);
        self.model.cache_serves(before, after) && self.model.can_share_batch(a.prompt(), b.prompt())
    }

    fn drop_empty_batches(&mut self) {
        let is_empty = |batch: &mut Batch<M>| batch.sequences().next().is_none();
        let empty: Vec<Batch<M>> = self.batches.extract_if(.., is_empty).collect();
        empty.into_iter().for_each(|batch| self.keep(batch));
    }

    /// Keeps what is worth it of a batch without sequences.
    fn keep(&mut self, batch: Batch<M>) {
        if self.keeps {
            self.kept = batch.into_prefix();
        }
    }
}

/// Checks that a model can read a prompt and has room for a token behind it.
///
/// # Errors
///
/// [`ModelError`] with this `row` if the prompt is empty, holds an id outside the vocabulary or fills
/// the context.
pub fn check_prompt<M: CausalLm>(model: &M, row: usize, prompt: &[u32]) -> Result<(), ModelError> {
    let vocab_size = model.readable_ids();
    let context_length = model.context_length();
    if prompt.is_empty() {
        return Err(ModelError::EmptyPrompt { row });
    }
    if prompt.len() >= context_length {
        return Err(ModelError::ContextLength {
            row,
            tokens: prompt.len(),
            context_length,
        });
    }
    match prompt.iter().copied().find(|id| *id as usize >= vocab_size) {
        Some(id) => Err(ModelError::TokenOutOfRange {
            row,
            id,
            vocab_size,
        }),
        None => Ok(()),
    }
}
