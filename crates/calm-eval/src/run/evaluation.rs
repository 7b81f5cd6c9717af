//! A whole evaluation: tasks with their examples, answered by a model and scored.

use std::path::Path;

use calm_data::{ExampleForm, Record};
use calm_sandbox::SandboxOptions;

use super::{Description, EvaluationDirectory, PromptOverflow, Results, RunError, RunTask, Scorer};
use crate::tasks::{Subset, Task, TaskError};

/// Examples of each task that are evaluated.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Most examples of each language.
    pub limit: Option<usize>,
    /// Languages; all if there are none.
    pub languages: Vec<String>,
    /// Treatment of prompts that leave no room for an answer.
    pub too_long: PromptOverflow,
}

/// Tasks with their examples, before a model is loaded.
#[derive(Debug)]
pub struct Evaluation {
    description: Description,
    /// One list per task.
    subsets: Vec<Vec<Subset>>,
}

impl Evaluation {
    /// Reads the examples of the tasks from a directory.
    ///
    /// # Errors
    ///
    /// [`TaskError`] if a file is missing or damaged, or there is no such language.
    pub fn read(tasks: Vec<Task>, data: &Path, selection: &Selection) -> Result<Self, TaskError> {
        let read = |task: &Task| task.read(data, &selection.languages, selection.limit);
        let subsets = tasks.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let tasks = tasks.into_iter().zip(&subsets);
        let tasks = tasks.map(|(task, subsets)| RunTask::new(task, subsets));
        let mut description = Description::new(
            tasks.collect(),
            serde_json::Value::Null,
            selection.limit,
            selection.languages.clone(),
        );
        description.too_long = selection.too_long;
        Ok(Self {
            description,
            subsets,
        })
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        let subsets = self.subsets.iter().flatten();
        subsets.map(|subset| subset.items.len()).sum()
    }

    /// The tasks, with hashes of their definitions and examples.
    pub fn run_tasks(&self) -> &[RunTask] {
        &self.description.tasks
    }

    /// Languages of a task that are evaluated; one without a name if it has none.
    ///
    /// # Panics
    ///
    /// If there is no such task.
    pub fn languages(&self, task: usize) -> Vec<&str> {
        let subsets = self.subsets[task].iter();
        subsets.map(|subset| &*subset.language).collect()
    }

    /// The examples of every task as they would stand in training data, where they have such a form.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<Record>)> {
        let form = ExampleForm::default();
        let tasks = self.description.tasks.iter().zip(&self.subsets);
        tasks.map(move |(run, subsets)| {
            let items = subsets.iter().flat_map(|subset| &subset.items);
            let records = items.filter_map(|item| form.records(&item.record).ok());
            (&*run.task.name, records.flatten().collect())
        })
    }

    /// A scorer for each task.
    ///
    /// # Errors
    ///
    /// [`RunError::Sandbox`] if a task runs programs, and they cannot be run here.
    pub fn scorers(&self, sandbox: &SandboxOptions) -> Result<Vec<Scorer<'_>>, RunError> {
        let tasks = self.description.tasks.iter();
        let scorers = tasks.map(|run| Scorer::new(&run.task, sandbox));
        Ok(scorers.collect::<Result<_, _>>()?)
    }
}

#[cfg(feature = "models")]
mod answer {
    use std::ops::ControlFlow;

    use calm_data::DataError;
    use calm_models::CausalLm;
    use serde::Serialize;

    use super::*;
    use crate::run::Answering;

    impl Evaluation {
        /// Answers all examples that the run in `directory` has no answer to yet, and scores them.
        /// `identity`: everything that decides the texts of the model. `watch` is called with the
        /// number of answers before the first batch and after each, and may end the run.
        ///
        /// Breaks with the number of answers if `watch` ended it. The results are not written yet:
        /// [`EvaluationDirectory::finish`].
        ///
        /// # Errors
        ///
        /// [`RunError`] if a prompt does not fit, the directory holds a run of something else, or
        /// the model, the sandbox or the disk fails.
        pub fn run<M: CausalLm>(
            &self,
            answering: &Answering<'_, M>,
            identity: &impl Serialize,
            scorers: &[Scorer<'_>],
            directory: &Path,
            seed: u64,
            mut watch: impl FnMut(usize) -> ControlFlow<()>,
        ) -> Result<ControlFlow<usize, Results>, RunError> {
            let mut description = self.description.clone();
            description.model = serde_json::to_value(identity)
                .map_err(|error| DataError::file(directory, error.to_string()))?;
            for (task, subset) in self.tasks() {
                answering.check(task, subset)?;
            }
            let mut run = EvaluationDirectory::open(directory, &description)?;
            let mut done = run.done();
            if watch(done).is_break() {
                return Ok(ControlFlow::Break(done));
            }
            let tasks = self.description.tasks.iter().zip(&self.subsets);
            for ((task, subsets), scorer) in tasks.zip(scorers) {
                for subset in subsets {
                    let watch = |samples: &[crate::run::Sample]| {
                        done += samples.len();
                        watch(done)
                    };
                    let flow = answering.answer(&task.task, subset, scorer, &mut run, watch)?;
                    if flow.is_break() {
                        return Ok(ControlFlow::Break(run.done()));
                    }
                }
            }
            let mut results = Results::of(
                &description,
                &EvaluationDirectory::samples(directory)?,
                seed,
            )?;
            let sandbox = scorers.iter().find_map(Scorer::sandbox);
            results.sandbox = sandbox.map(|sandbox| sandbox.layers().clone());
            results.python = sandbox.map(|sandbox| sandbox.python_version().to_owned());
            Ok(ControlFlow::Continue(results))
        }

        fn tasks(&self) -> impl Iterator<Item = (&Task, &Subset)> {
            let tasks = self.description.tasks.iter().zip(&self.subsets);
            tasks.flat_map(|(run, subsets)| subsets.iter().map(|subset| (&run.task, subset)))
        }
    }
}

impl Results {
    /// Scores the samples of a run again, without a model. `samples`: the file of the run's
    /// directory.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the file or its run.json cannot be read, or the sandbox fails.
    pub fn again(samples: &Path, sandbox: &SandboxOptions, seed: u64) -> Result<Self, RunError> {
        let description =
            EvaluationDirectory::description(samples.parent().unwrap_or(Path::new(".")))?;
        let logged = EvaluationDirectory::samples_of(samples)?;
        let mut all = Vec::new();
        for run in &description.tasks {
            let own = logged.iter().filter(|sample| sample.task == run.task.name);
            all.extend(Scorer::new(&run.task, sandbox)?.again(own.cloned().collect())?);
        }
        Self::of(&description, &all, seed)
    }
}
