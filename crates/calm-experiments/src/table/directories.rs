//! A table of any evaluations and training runs, without an experiment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calm_eval::run::{Description, EvaluationDirectory, Results, Sample};
use calm_train::RunLog;
use serde::Deserialize;

use super::evaluated::{Evaluated, TableOptions};
use super::trained::Trained;
use super::{
    Circumstances, Frame, SystemFrame, SystemKind, Table, TableError, TaskFrame, TrainedRun,
};

/// Directories within one another that are searched for evaluations.
const DEPTH: usize = 4;

/// Contents of some directories.
#[derive(Default)]
struct Found {
    evaluations: Vec<Evaluation>,
    /// Directories of trained models.
    trained: Vec<PathBuf>,
}

/// An evaluation of a model, perhaps on several tasks.
struct Evaluation {
    directory: PathBuf,
    description: Description,
    results: Results,
    samples: Vec<Sample>,
}

/// The names of a model in its evaluation.
#[derive(Debug, Default, Deserialize)]
struct ModelName {
    #[serde(default)]
    name: String,
    /// SHA-256 of the bridges, if it is a composition.
    bridges_sha256: Option<String>,
    /// SHA-256 of the weights, those of the anchor if it is a composition.
    weights_sha256: Option<String>,
    /// Hash of all that it was made from, in an experiment: the name of its directory.
    key: Option<String>,
}

/// A system and a seed of it, as the place of an evaluation tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    system: String,
    seed: Option<u64>,
}

impl Table {
    /// A table of evaluations that `calm eval --task … --out` wrote, and of the compositions and
    /// checkpoints that `calm compose` and `calm pretrain` wrote, with the cost of their training.
    /// Directories that hold such directories stand for all of them.
    ///
    /// A model is a system; evaluations in directories `seed-0`, `seed-1` and so on of one directory
    /// are of one system. The first system is the one that others are compared with, and the first
    /// composition among the others the main one.
    ///
    /// # Errors
    ///
    /// [`TableError`] naming the directory that is no run, is not finished, or does not belong to the
    /// others.
    pub fn of_runs(directories: &[PathBuf], options: &TableOptions) -> Result<Self, TableError> {
        let mut found = Found::default();
        for directory in directories {
            if !found.search(directory, DEPTH)? {
                return Err(TableError::NoRun {
                    directory: directory.clone(),
                    reason: match directory.is_dir() {
                        true => "holds neither an evaluation nor a trained model",
                        false => "is no directory",
                    },
                });
            }
        }
        found.table(options)
    }
}

impl Found {
    /// Whether a directory, or one in it, is a run.
    fn search(&mut self, directory: &Path, depth: usize) -> Result<bool, TableError> {
        let has = |file: &str| directory.join(file).is_file();
        if !RunLog::is_run(directory) && (has("results.json") || has("samples.jsonl")) {
            self.evaluation(directory)?;
            return Ok(true);
        }
        let mut is_found = Trained::is_in(directory);
        if is_found && !self.trained.iter().any(|other| is_same(other, directory)) {
            self.trained.push(directory.to_owned());
        }
        if depth > 0
            && let Ok(entries) = fs::read_dir(directory)
        {
            let entries = entries.flatten().map(|entry| entry.path());
            let mut inner: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
            inner.sort();
            for inner in inner {
                is_found |= self.search(&inner, depth - 1)?;
            }
        }
        Ok(is_found)
    }

    fn evaluation(&mut self, directory: &Path) -> Result<(), TableError> {
        let is_same = |other: &Evaluation| is_same(&other.directory, directory);
        if self.evaluations.iter().any(is_same) {
            return Ok(());
        }
        self.evaluations.push(Evaluation {
            results: EvaluationDirectory::results(directory)?,
            description: EvaluationDirectory::description(directory)?,
            samples: EvaluationDirectory::samples(directory)?,
            directory: directory.to_owned(),
        });
        Ok(())
    }

    fn table(self, options: &TableOptions) -> Result<Table, TableError> {
        let Some(first) = self.evaluations.first() else {
            return Err(TableError::Empty);
        };
        self.check_models()?;
        let mut frame = Frame {
            name: "runs".to_owned(),
            title: "Evaluations".to_owned(),
            reference: first.place().system,
            ..Frame::default()
        };
        let circumstances = Circumstances {
            program: match &first.results.commit {
                Some(commit) => format!("calm {} ({commit})", first.results.version),
                None => format!("calm {}", first.results.version),
            },
            ..Circumstances::default()
        };
        for evaluation in &self.evaluations {
            evaluation.add_to(&mut frame);
        }
        let mut runs = Vec::new();
        for directory in &self.trained {
            runs.push(self.trained(directory, &mut frame)?);
        }
        self.check_tasks(&frame)?;
        let others = || {
            frame
                .systems
                .iter()
                .filter(|system| system.id != frame.reference)
        };
        let composed = others().find(|system| system.kind == SystemKind::Composed);
        let main = composed
            .or_else(|| others().next())
            .map(|system| system.id.clone());
        frame.main = main.unwrap_or_else(|| frame.reference.clone());
        let evaluated = self.evaluations.into_iter().flat_map(Evaluation::by_task);
        Table::build(
            frame,
            evaluated.collect(),
            runs,
            Vec::new(),
            circumstances,
            options,
        )
    }

    /// Checks that evaluations of one system and seed are of one model.
    fn check_models(&self) -> Result<(), TableError> {
        let mut known: Vec<(Place, &Evaluation)> = Vec::new();
        for evaluation in &self.evaluations {
            let place = evaluation.place();
            match known.iter().find(|(other, _)| *other == place) {
                Some((_, other)) if other.results.model != evaluation.results.model => {
                    return Err(TableError::OtherModel {
                        model: evaluation.model().name,
                        first: other.directory.clone(),
                        second: evaluation.directory.clone(),
                    });
                }
                Some(_) => {}
                None => known.push((place, evaluation)),
            }
        }
        Ok(())
    }

    /// Checks that every system has a task that the reference has.
    fn check_tasks(&self, frame: &Frame) -> Result<(), TableError> {
        let mut tasks: BTreeMap<String, (Vec<&str>, &Path)> = BTreeMap::new();
        for evaluation in &self.evaluations {
            let of = tasks.entry(evaluation.place().system);
            let (of, _) = of.or_insert_with(|| (Vec::new(), &evaluation.directory));
            of.extend(evaluation.results.tasks.iter().map(|task| &*task.task));
        }
        let Some((of_reference, first)) = tasks.get(&frame.reference) else {
            return Ok(());
        };
        let apart = tasks
            .values()
            .find(|(of, _)| !of.iter().any(|task| of_reference.contains(task)));
        match apart {
            None => Ok(()),
            Some((_, second)) => Err(TableError::NothingInCommon {
                first: first.to_path_buf(),
                second: second.to_path_buf(),
            }),
        }
    }

    /// The training of a model. It belongs to the system of its weights, or is one without scores.
    fn trained(&self, directory: &Path, frame: &mut Frame) -> Result<TrainedRun, TableError> {
        let Trained { kind, sha256, run } = Trained::read(directory)?;
        let is_of = |evaluation: &&Evaluation| evaluation.model().is_of(directory, kind, &sha256);
        let of = self.evaluations.iter().find(is_of);
        let system = of
            .map_or_else(|| place(directory, directory), Evaluation::place)
            .system;
        match frame.systems.iter_mut().find(|other| other.id == system) {
            Some(known) => known.kind = kind,
            None => frame.systems.push(SystemFrame {
                title: system.clone(),
                id: system.clone(),
                kind,
                models: Vec::new(),
            }),
        }
        let directory = directory.to_owned();
        let run = run.with_log(&directory)?;
        Ok(TrainedRun {
            system,
            directory,
            ..run
        })
    }
}

impl ModelName {
    /// Whether it is the model in this directory, of these bridges or these weights.
    fn is_of(&self, directory: &Path, kind: SystemKind, sha256: &str) -> bool {
        let is_key = |key: &String| {
            directory
                .file_name()
                .is_some_and(|name| name == key.as_str())
        };
        if self.key.as_ref().is_some_and(is_key) {
            return true;
        }
        let own = match (kind, &self.bridges_sha256) {
            (SystemKind::Composed, bridges) => bridges.as_deref(),
            (_, Some(_)) => None,
            (_, None) => self.weights_sha256.as_deref(),
        };
        own == Some(sha256)
    }
}

impl Evaluation {
    fn model(&self) -> ModelName {
        ModelName::deserialize(&self.results.model).unwrap_or_default()
    }

    fn place(&self) -> Place {
        let name = self.model().name;
        // As the runner of experiments names it.
        let seeded = name.rsplit_once(", seed ");
        if let Some((system, Ok(seed))) = seeded.map(|(name, seed)| (name, seed.parse())) {
            return Place {
                system: system.to_owned(),
                seed: Some(seed),
            };
        }
        match name.is_empty() {
            true => place(&self.directory, &self.directory),
            false => place(&self.directory, Path::new(&name)),
        }
    }

    /// Adds the system and the tasks, unless they are there.
    fn add_to(&self, frame: &mut Frame) {
        let (model, id) = (self.model(), self.place().system);
        if frame.systems.iter().all(|system| system.id != id) {
            frame.systems.push(SystemFrame {
                title: id.clone(),
                kind: match model.bridges_sha256 {
                    Some(_) => SystemKind::Composed,
                    None => SystemKind::Frozen,
                },
                models: Vec::new(),
                id,
            });
        }
        for results in &self.results.tasks {
            if frame.tasks.iter().any(|task| task.id == results.task) {
                continue;
            }
            let mut described = self.description.tasks.iter();
            let described = described.find(|run| run.task.name == results.task);
            let (groups, low_to_high) = described.map_or_else(Default::default, |run| {
                (run.task.groups.clone(), run.task.low_to_high.clone())
            });
            frame.tasks.push(TaskFrame {
                id: results.task.clone(),
                title: results.task.clone(),
                group: None,
                metric: results.metric,
                tested: true,
                languages: low_to_high,
                language_groups: groups,
                paper: BTreeMap::new(),
                paper_wins: BTreeMap::new(),
                paper_of_groups: BTreeMap::new(),
                parts: Vec::new(),
            });
        }
    }

    /// An evaluation for each of its tasks.
    fn by_task(self) -> impl Iterator<Item = Evaluated> {
        let Place { system, seed } = self.place();
        let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for sample in self.samples {
            samples.entry(sample.task.clone()).or_default().push(sample);
        }
        let (directory, results) = (self.directory, self.results);
        let tasks = results.tasks.clone().into_iter();
        tasks.map(move |task| Evaluated {
            system: system.clone(),
            seed,
            samples: samples.remove(&task.task).unwrap_or_default(),
            task: task.task.clone(),
            results: Results {
                tasks: vec![task],
                ..results.clone()
            },
            directory: directory.clone(),
            seconds: 0.0,
        })
    }
}

/// Whether two paths name one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|path| real(other) == Some(path))
}

/// The system and seed of a directory `…/SYSTEM/seed-N` or `…/SYSTEM/seed-N/TASK`, or else those of
/// its model, which may be in such a directory.
fn place(directory: &Path, model: &Path) -> Place {
    let seed = |path: &Path| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("seed-")?.parse().ok()
    };
    let paths = directory.ancestors().take(2).chain([model]);
    let seeded = paths.filter_map(|path| Some((path.parent()?, seed(path)?)));
    match seeded.into_iter().next() {
        Some((system, seed)) => Place {
            system: match system.display().to_string() {
                // The parent of a bare name.
                name if name.is_empty() => ".".to_owned(),
                name => name,
            },
            seed: Some(seed),
        },
        None => Place {
            system: model.display().to_string(),
            seed: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_seeds_are_one_system() {
        let of = |directory: &str| {
            let Place { system, seed } = place(Path::new(directory), Path::new("hf:a/b"));
            (system, seed)
        };
        assert_eq!(of("eval/kv/seed-3"), ("eval/kv".to_owned(), Some(3)));
        assert_eq!(
            of("eval/kv/seed-12/gsm8k"),
            ("eval/kv".to_owned(), Some(12))
        );
        assert_eq!(of("eval/kv/seed-x"), ("hf:a/b".to_owned(), None));
        // Models of `calm compose --seeds`.
        let model = Path::new("runs/both/seed-2");
        let found = place(Path::new("runs/eval/runs-both-seed-2/gsm8k"), model);
        assert_eq!((&*found.system, found.seed), ("runs/both", Some(2)));
        assert_eq!(of("seed-1"), (".".to_owned(), Some(1)));
        assert_eq!(
            of("eval/kv/seed-1/tasks/gsm8k"),
            ("hf:a/b".to_owned(), None)
        );
    }
}
