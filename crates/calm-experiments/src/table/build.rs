//! A table from evaluations.

use rayon::prelude::*;

use super::breakdowns::breakdowns;
use super::contrasts::contrasts;
use super::evaluated::{Evaluated, TableOptions};
use super::findings::findings;
use super::measured::Measured;
use super::{
    AttentionSample, Cell, Circumstances, Frame, SCHEMA, SampleOutput, SampleRow, Table,
    TableError, TaskFrame, TrainedRun,
};

impl Table {
    /// Scores, intervals and tests of these evaluations, which may come in any order. Languages that
    /// the frame does not name are added to it.
    ///
    /// # Errors
    ///
    /// [`TableError`] naming the directories that do not belong into one table, or the expression
    /// that does not suit its task.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "samples are large, and go when the table is there"
    )]
    pub fn build(
        mut frame: Frame,
        evaluated: Vec<Evaluated>,
        runs: Vec<TrainedRun>,
        attention: Vec<AttentionSample>,
        circumstances: Circumstances,
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        check(&frame, &evaluated)?;
        let metrics: Vec<_> = frame
            .tasks
            .iter()
            .map(|task| task.metric.of_all())
            .collect();
        let measured = frame
            .tasks
            .par_iter()
            .zip(&metrics)
            .map(|(task, metric)| Measured::new(&frame, task, &**metric, &evaluated, options));
        let measured: Vec<Measured<'_>> = measured.collect::<Result<_, _>>()?;
        let systems = frame.systems.iter().enumerate();
        let cells = systems.flat_map(|(number, system)| {
            let tasks = measured.iter();
            tasks.filter_map(move |task| task.cell(number, &system.id))
        });
        let cells: Vec<Cell> = cells.collect();
        let contrasts = contrasts(&frame, &measured, options)?;
        let breakdowns = breakdowns(&measured, options)?;
        let samples = measured.iter().filter(|task| task.frame.tested);
        let samples = samples.flat_map(sample_rows).collect();
        let languages: Vec<Vec<String>> = measured.iter().map(Measured::names).collect();
        drop(measured);
        for (task, languages) in frame.tasks.iter_mut().zip(languages) {
            task.languages = languages;
        }
        Ok(Self {
            schema: SCHEMA,
            findings: findings(&frame, &cells, &contrasts),
            frame,
            cells,
            contrasts,
            breakdowns,
            runs,
            samples,
            attention,
            circumstances,
        })
    }
}

/// Checks that the frame is sound, and has every system and task.
fn check(frame: &Frame, evaluated: &[Evaluated]) -> Result<(), TableError> {
    let systems: Vec<&str> = frame.systems.iter().map(|system| &*system.id).collect();
    let tasks: Vec<&str> = frame
        .tasks
        .iter()
        .map(|task: &TaskFrame| &*task.id)
        .collect();
    for (role, id) in [("subject", &frame.main), ("reference", &frame.reference)] {
        if !systems.contains(&id.as_str()) {
            return Err(TableError::Frame {
                role,
                id: id.clone(),
                known: systems.join(", "),
            });
        }
    }
    for evaluation in evaluated {
        let ids = [
            ("system", &evaluation.system, &systems),
            ("task", &evaluation.task, &tasks),
        ];
        let unknown = ids
            .into_iter()
            .find(|(_, id, known)| !known.contains(&id.as_str()));
        if let Some((kind, id, known)) = unknown {
            return Err(TableError::Unknown {
                directory: evaluation.directory.clone(),
                kind,
                id: id.clone(),
                known: known.join(", "),
            });
        }
    }
    match evaluated.is_empty() {
        true => Err(TableError::Empty),
        false => Ok(()),
    }
}

/// All examples of a task, with the outputs of each system's first seed.
fn sample_rows(task: &Measured<'_>) -> Vec<SampleRow> {
    let outputs = |language: usize, example: usize| {
        let systems = task.systems.iter();
        let of = systems.map(|system| {
            let sample = system.as_ref()?.seeds[0].samples[language][example];
            Some(SampleOutput {
                text: sample.output.clone(),
                score: sample.score,
            })
        });
        of.collect()
    };
    let mut rows = Vec::new();
    for (language, samples) in task.examples() {
        rows.extend(
            samples
                .iter()
                .enumerate()
                .map(|(example, sample)| SampleRow {
                    task: task.frame.id.clone(),
                    language: sample.language.clone(),
                    index: sample.index,
                    prompt: sample.prompt.clone(),
                    reference: sample.reference.clone(),
                    outputs: outputs(language, example),
                }),
        );
    }
    rows
}
