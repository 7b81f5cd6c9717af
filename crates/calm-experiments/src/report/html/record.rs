//! Cost of every training, and where the numbers come from.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::numbers;
use super::super::sheet::Sheet;
use crate::table::{Cell, SeedResult, TrainedRun};

/// Cost and provenance.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    cost_note: &'static str,
    /// Fields that are the same for all runs.
    common: Vec<(&'static str, String)>,
    /// The others.
    run_fields: Vec<Name>,
    pub(super) runs: Vec<Vec<Field>>,
    facts: Vec<(&'static str, String)>,
    weights: BTreeSet<(&'a str, &'a str, &'a str)>,
    evaluations: Vec<Evaluation<'a>>,
    experiment: &'a str,
}

/// Heading of a column.
#[derive(Serialize)]
struct Name {
    title: &'static str,
    is_number: bool,
}

/// A cell of the table of costs.
#[derive(Serialize)]
pub(super) struct Field {
    text: String,
    class: &'static str,
    /// What a number is sorted by.
    value: Option<f64>,
}

#[derive(Serialize)]
struct Evaluation<'a> {
    task: &'a str,
    system: &'a str,
    seed: String,
    score: String,
    time: String,
    commit: &'a str,
    directory: String,
    signature: &'a str,
    prompts: String,
}

impl<'a> Record<'a> {
    pub(super) fn of(sheet: &Sheet<'a>) -> Self {
        let table = sheet.table;
        // Columns that tell runs apart, and those of which one line says all.
        let (common, columns): (Vec<Column>, Vec<Column>) =
            columns(sheet).into_iter().partition(|(title, field)| {
                let mut texts = table.runs.iter().map(|run| field(run).text);
                let first = texts.next();
                !KEYS.contains(title)
                    && table.runs.len() > 1
                    && texts.all(|text| Some(text) == first)
            });
        let evaluations = table.cells.iter().flat_map(|cell| {
            let seeds = cell.seeds.iter();
            seeds.map(move |seed| Evaluation::of(sheet, cell, seed))
        });
        let weights = table.runs.iter().flat_map(|run| {
            let system = sheet.title(&run.system);
            let data = (system, "training data", run.data_sha256.as_str());
            let weights = run.weights_sha256.iter();
            let weights = weights.map(move |(part, hash)| (system, part.as_str(), hash.as_str()));
            std::iter::once(data).chain(weights)
        });
        Self {
            cost_note: "Both counts of parameters: all that were trained, and for bridges the paper’s, \
                        n (D_A D_B + 3 D_B²). Operations are by arithmetic. The peak is of the whole \
                        process, with the trainings that ran beside this one.",
            common: common
                .iter()
                .map(|(title, field)| (*title, field(&table.runs[0]).text))
                .collect(),
            run_fields: columns
                .iter()
                .map(|(title, _)| Name {
                    title,
                    is_number: !TEXTS.contains(title),
                })
                .collect(),
            runs: table
                .runs
                .iter()
                .map(|run| columns.iter().map(|(_, field)| field(run)).collect())
                .collect(),
            facts: facts(sheet),
            weights: weights.collect(),
            evaluations: evaluations.collect(),
            experiment: &table.circumstances.experiment,
        }
    }
}

/// Columns that name a run.
const KEYS: [&str; 2] = ["System", "seed"];

/// Columns of texts.
const TEXTS: [&str; 5] = ["System", "optimiser", "device", "program", "directory"];

/// A column: its heading, and its field of a run.
type Column<'a> = (&'static str, Box<dyn Fn(&TrainedRun) -> Field + 'a>);

/// All that is known of a training.
fn columns<'a>(sheet: &'a Sheet<'_>) -> Vec<Column<'a>> {
    fn column<'a>(name: &'static str, field: impl Fn(&TrainedRun) -> Field + 'a) -> Column<'a> {
        (name, Box::new(field))
    }
    let title = |run: &TrainedRun| {
        let systems = &sheet.table.frame.systems;
        let system = systems.iter().find(|system| system.id == run.system);
        system.map_or_else(|| run.system.clone(), |system| system.title.clone())
    };
    vec![
        column("System", move |run| Field::text(title(run))),
        column("seed", |run| {
            Field::number(run.seed as f64, run.seed.to_string())
        }),
        column("trained parameters", |run| {
            Field::count(Some(run.trained_parameters as u64))
        }),
        column("by the paper’s count", |run| {
            Field::count(run.paper_parameters.map(|n| n as u64))
        }),
        column("examples", |run| Field::count(Some(run.examples as u64))),
        column("tokens", |run| Field::count(Some(run.tokens))),
        column("steps", |run| Field::count(Some(run.steps as u64))),
        column("examples a step", |run| {
            Field::count(Some(run.batch as u64))
        }),
        column("optimiser", |run| Field::text(run.optimizer.clone())),
        column("learning rate", |run| {
            Field::number(run.learning_rate, run.learning_rate.to_string())
        }),
        column("operations", |run| Field::of(run.flops, numbers::power)),
        column("time", |run| {
            Field::number(run.seconds, numbers::seconds(run.seconds))
        }),
        column("peak memory", |run| {
            Field::of(run.peak_bytes.map(|n| n as f64), |n| {
                numbers::bytes(n as u64)
            })
        }),
        column("trainings at once", |run| {
            Field::count(Some(run.jobs_at_once as u64))
        }),
        column("last loss", |run| {
            Field::of(last(&run.losses), |loss| format!("{loss:.4}"))
        }),
        column("last held-out loss", |run| {
            Field::of(last(&run.validation), |loss| format!("{loss:.4}"))
        }),
        column("device", |run| Field::text(run.device.clone())),
        column("program", |run| Field::text(run.program.clone())),
        column("directory", |run| Field {
            class: "hash",
            ..Field::text(run.directory.display().to_string())
        }),
    ]
}

fn last(losses: &[(usize, f32)]) -> Option<f64> {
    losses.last().map(|(_, loss)| f64::from(*loss))
}

impl Field {
    fn text(text: String) -> Self {
        Self {
            text,
            class: "",
            value: None,
        }
    }

    fn number(value: f64, text: String) -> Self {
        Self {
            text,
            class: "num",
            value: Some(value),
        }
    }

    fn of(value: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        match value {
            Some(value) => Self::number(value, show(value)),
            None => Self {
                class: "num",
                ..Self::text("–".to_owned())
            },
        }
    }

    fn count(number: Option<u64>) -> Self {
        Self::of(number.map(|number| number as f64), |number| {
            numbers::count(number as u64)
        })
    }
}

impl<'a> Evaluation<'a> {
    fn of(sheet: &Sheet<'a>, cell: &'a Cell, seed: &'a SeedResult) -> Self {
        Self {
            task: sheet.task_title(&cell.task),
            system: sheet.title(&cell.system),
            seed: seed
                .seed
                .map_or_else(|| "–".to_owned(), |seed| seed.to_string()),
            score: format!("{:.2}", seed.score),
            time: numbers::seconds(seed.seconds),
            commit: seed.commit.as_deref().unwrap_or("unknown"),
            directory: seed.directory.display().to_string(),
            signature: &cell.signature,
            prompts: numbers::hash(&cell.prompts_sha256),
        }
    }
}

/// Program, machine and time.
fn facts(sheet: &Sheet<'_>) -> Vec<(&'static str, String)> {
    let run = &sheet.table.circumstances;
    let seeds: BTreeSet<u64> = sheet.table.runs.iter().map(|run| run.seed).collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let reused = match run.jobs_reused {
        0 => String::new(),
        1 => "; one job was done before".to_owned(),
        jobs => format!("; {jobs} jobs were done before"),
    };
    let facts = [
        ("Program", run.program.clone()),
        ("Device", run.device.clone()),
        ("Machine", run.system.clone()),
        (
            "Threads",
            if run.threads > 0 {
                run.threads.to_string()
            } else {
                String::new()
            },
        ),
        ("Seeds of trainings", seeds.join(", ")),
        ("Time", format!("{}{reused}", numbers::seconds(run.seconds))),
        (
            "Peak memory",
            run.peak_bytes.map_or(String::new(), numbers::bytes),
        ),
    ];
    facts
        .into_iter()
        .filter(|(_, fact)| !fact.is_empty())
        .collect()
}
