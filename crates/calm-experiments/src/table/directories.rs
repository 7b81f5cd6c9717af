//! A table of any evaluations and compositions, without an experiment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calm_compose::CompositionFile;
use calm_data::DataError;
use calm_eval::run::{Description, EvaluationDirectory, Results, RunError, Sample};
use calm_train::RunLog;
use calm_train::runs::BridgeRecord;
use serde::Deserialize;

use super::build::{Evaluated, TableOptions};
use super::{
    Circumstances, Frame, SystemFrame, SystemKind, Table, TableError, TaskFrame, TrainedRun,
};

/// Directories within one another that are searched for evaluations.
const DEPTH: usize = 4;

/// Contents of some directories.
#[derive(Default)]
struct Found {
    evaluations: Vec<Evaluation>,
    compositions: Vec<PathBuf>,
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
}

/// A system and a seed of it, as the place of an evaluation tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    system: String,
    seed: Option<u64>,
}

impl Table {
    /// A table of evaluations that `calm eval --task … --out` wrote, and of compositions. Directories
    /// that hold such directories stand for all of them.
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
            let before = found.evaluations.len() + found.compositions.len();
            found.search(directory, DEPTH)?;
            if found.evaluations.len() + found.compositions.len() == before {
                return Err(TableError::NoRun {
                    directory: directory.clone(),
                    reason: match directory.is_dir() {
                        true => "holds neither an evaluation nor a composition",
                        false => "is no directory",
                    },
                });
            }
        }
        found.table(options)
    }
}

impl Found {
    fn search(&mut self, directory: &Path, depth: usize) -> Result<(), TableError> {
        let has = |file: &str| directory.join(file).is_file();
        if has("composition.json") {
            self.compositions.push(directory.to_owned());
        } else if !RunLog::is_run(directory) && (has("results.json") || has("samples.jsonl")) {
            return self.evaluation(directory);
        }
        if depth == 0 {
            return Ok(());
        }
        let Ok(entries) = fs::read_dir(directory) else {
            return Ok(());
        };
        let entries = entries.flatten().map(|entry| entry.path());
        let mut inner: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        inner.sort();
        inner
            .iter()
            .try_for_each(|inner| self.search(inner, depth - 1))
    }

    fn evaluation(&mut self, directory: &Path) -> Result<(), TableError> {
        let is_given_twice = |other: &Evaluation| other.directory == directory;
        if self.evaluations.iter().any(is_given_twice) {
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
        for directory in &self.compositions {
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

    /// The training of a composition. It belongs to the system whose bridges it holds, or is one
    /// without scores.
    fn trained(&self, directory: &Path, frame: &mut Frame) -> Result<TrainedRun, TableError> {
        let file = CompositionFile::read(directory)?;
        let record: BridgeRecord = file.training.read().map_err(|error| {
            let reason = format!("training: {error}; train again with this program");
            RunError::from(DataError::file(&directory.join("composition.json"), reason))
        })?;
        let sha256 = calm_files::sha256_file(directory.join("bridge.safetensors"));
        let sha256 = sha256.map_err(|error| RunError::from(DataError::from(error)))?;
        let of = self
            .evaluations
            .iter()
            .find(|evaluation| evaluation.model().bridges_sha256.as_ref() == Some(&sha256));
        let system = of.map_or_else(
            || place(directory, directory).system,
            |of| of.place().system,
        );
        if frame.systems.iter().all(|other| other.id != system) {
            frame.systems.push(SystemFrame {
                title: system.clone(),
                id: system.clone(),
                kind: SystemKind::Composed,
                models: Vec::new(),
            });
        }
        let of_part = |part: &str, model: &calm_compose::ModelReference| {
            (part.to_owned(), model.weights_sha256.clone())
        };
        let augmenting = file.augmenting.iter().map(|model| of_part("m_A", model));
        let run = TrainedRun {
            system,
            directory: directory.to_owned(),
            weights_sha256: std::iter::once(of_part("m_B", &file.anchor))
                .chain(augmenting)
                .collect(),
            ..TrainedRun::of_bridges(&record)
        };
        run.with_log(directory)
    }
}

impl Evaluation {
    fn model(&self) -> ModelName {
        ModelName::deserialize(&self.results.model).unwrap_or_default()
    }

    fn place(&self) -> Place {
        let name = match self.model().name {
            name if name.is_empty() => self.directory.display().to_string(),
            name => name,
        };
        place(&self.directory, Path::new(&name))
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
            frame.tasks.push(TaskFrame {
                id: results.task.clone(),
                title: results.task.clone(),
                group: None,
                metric: results.metric,
                tested: true,
                languages: Vec::new(),
                language_groups: described
                    .map_or_else(BTreeMap::new, |run| run.task.groups.clone()),
                paper: BTreeMap::new(),
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

/// The system and seed of a directory `…/SYSTEM/seed-N` or `…/SYSTEM/seed-N/TASK`, or else of its
/// model.
fn place(directory: &Path, model: &Path) -> Place {
    let seed = |path: &Path| -> Option<u64> {
        path.file_name()?
            .to_str()?
            .strip_prefix("seed-")?
            .parse()
            .ok()
    };
    let mut seeded = directory
        .ancestors()
        .take(2)
        .filter(|path| seed(path).is_some());
    match seeded.next() {
        Some(path) => Place {
            system: path
                .parent()
                .map_or_else(String::new, |system| system.display().to_string()),
            seed: seed(path),
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
        assert_eq!(
            of("eval/kv/seed-1/tasks/gsm8k"),
            ("hf:a/b".to_owned(), None)
        );
    }
}
