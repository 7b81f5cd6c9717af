//! Runs of small experiments: killed and gone on with, changed, shared.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use calm_experiments::plan::{Job, Plan, PlanOptions};
use calm_experiments::runner::{Estimates, JobMonitor, Monitor, Overview, RunnerOptions, run};
use calm_experiments::table::Table;
use calm_experiments::{Experiment, ExperimentError, Mode, TableDirectory};
use calm_sandbox::SandboxOptions;
use calm_train::runs::{Observer, RunEvent};
use tempfile::TempDir;

use crate::files::valid;

/// Counts what is done, and ends everything after so much of it.
struct Counter {
    steps: AtomicUsize,
    answers: AtomicUsize,
    most: usize,
    is_over: AtomicBool,
}

impl Counter {
    fn ending_after(most: usize) -> Self {
        Self {
            steps: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            most,
            is_over: AtomicBool::new(false),
        }
    }

    fn done(&self) -> [usize; 2] {
        [&self.steps, &self.answers].map(|count| count.load(Ordering::SeqCst))
    }

    fn count(&self, what: &AtomicUsize, number: usize) {
        what.fetch_add(number, Ordering::SeqCst);
        if self.done().iter().sum::<usize>() >= self.most {
            self.is_over.store(true, Ordering::SeqCst);
        }
    }
}

/// A job, and the answers that its task at hand has so far.
struct CountedJob<'a>(&'a Counter, Option<(String, usize)>);

impl Monitor for Counter {
    fn begin(&self, overview: &Overview<'_>) {
        assert_eq!(overview.jobs.len(), overview.is_done.len());
    }

    fn job(&self, _: usize, _: &Job) -> Box<dyn JobMonitor + '_> {
        Box::new(CountedJob(self, None))
    }

    fn done(&self, _: usize, _: &Job) {}

    fn wants_to_stop(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

impl Observer for CountedJob<'_> {
    fn observe(&mut self, event: RunEvent<'_>) -> ControlFlow<()> {
        if let RunEvent::Step(_) = event {
            self.0.count(&self.0.steps, 1);
        }
        match self.0.wants_to_stop() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl JobMonitor for CountedJob<'_> {
    fn answered(&mut self, task: &str, done: usize, _: usize) {
        // The first call of a task tells what was there before.
        if let Some((_, before)) = self.1.as_ref().filter(|(of, _)| of == task) {
            self.0.count(&self.0.answers, done - before);
        }
        self.1 = Some((task.to_owned(), done));
    }
}

/// Experiments of a test, and their results.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("results")
    }

    pub(crate) fn plan(&self, name: &str, text: &str) -> Result<Plan, ExperimentError> {
        let path = self.directory.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        let experiment = Experiment::read(path.to_str().unwrap(), Mode::Standard, &[])?;
        let options = PlanOptions {
            store: &self.store(),
            device: "cpu",
            only: &[],
        };
        Plan::new(experiment, &options, &mut |_| {})
    }

    fn run(&self, text: &str, monitor: &Counter) -> Result<Table, ExperimentError> {
        let plan = self.plan("small", text)?;
        let device = calm_backend::device("cpu").unwrap();
        let options = RunnerOptions {
            device,
            device_name: "cpu".to_owned(),
            jobs: None,
            commit: None,
            sandbox: SandboxOptions::default(),
        };
        let estimates = Estimates::new(&plan, &options)?;
        run(&plan, &estimates, &options, monitor)
    }

    /// A run to the end: its table, and the steps and answers that it took.
    pub(crate) fn whole(&self, text: &str) -> (Table, [usize; 2]) {
        let counter = Counter::ending_after(usize::MAX);
        let table = self.run(text, &counter).unwrap();
        (table, counter.done())
    }
}

/// What a table says of its systems, without its circumstances.
fn findings(table: &Table) -> String {
    let scores = table.cells.iter().map(|cell| {
        let seeds = cell.seeds.iter().map(|seed| (seed.seed, seed.score));
        (
            &cell.system,
            &cell.task,
            cell.score,
            seeds.collect::<Vec<_>>(),
        )
    });
    let runs = table
        .runs
        .iter()
        .map(|run| (&run.system, run.seed, run.steps, &run.losses));
    let samples = &table.samples;
    format!(
        "{:?} {:?} {samples:?}",
        scores.collect::<Vec<_>>(),
        runs.collect::<Vec<_>>()
    )
}

#[test]
fn a_run_that_is_ended_anywhere_comes_to_the_same_table() {
    let text = valid().replace("seeds = 0", "seeds = \"0..1\"");
    let (expected, done) = Place::new().whole(&text);
    // Two seeds of three steps; three jobs with eight answers.
    assert_eq!(done, [6, 24]);
    let place = Place::new();
    let mut interruptions = 0;
    let table = loop {
        // A step or a batch of answers at a time.
        match place.run(&text, &Counter::ending_after(1)) {
            Ok(table) => break table,
            Err(ExperimentError::Interrupted { jobs: 3, .. }) => interruptions += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(interruptions < 40, "it does not come to an end");
    };
    assert!(interruptions > 4, "{interruptions}");
    assert_eq!(findings(&table), findings(&expected));
}

#[test]
fn what_is_there_is_not_computed_again() {
    let place = Place::new();
    let (first, done) = place.whole(&valid());
    assert_eq!(done, [3, 16]);
    let (again, done) = place.whole(&valid());
    assert_eq!(done, [0, 0]);
    assert_eq!(
        (
            first.circumstances.jobs_reused,
            again.circumstances.jobs_reused
        ),
        (0, 2)
    );
    assert_eq!(findings(&first), findings(&again));
    // Another system: the others stay.
    let more = valid() + "[systems.other]\nlike = \"both\"\ncompose.noise = 0.1\n";
    assert_eq!(place.whole(&more).1, [3, 8]);
    // Another title, order and comment: everything stays. Another task: nothing is trained.
    let other = more
        .replace("title = \"Small\"", "title = \"Other\" # the same")
        .replace("[tasks.sums]", "[tasks.sums]\ntitle = \"Sums\"");
    assert_eq!(place.whole(&other).1, [0, 0]);
    let task = other + "[tasks.copies]\nfile = \"kv/kv-substitution.held-out.jsonl\"\nlimit = 4\n";
    assert_eq!(place.whole(&task).1, [0, 12]);
}

#[test]
fn two_systems_that_are_alike_are_one_result() {
    let place = Place::new();
    let text = valid() + "[systems.twin]\nlike = \"both\"\n";
    let (table, done) = place.whole(&text);
    assert_eq!(done, [3, 16]);
    let of = |system: &str| {
        let cell = table.cells.iter().find(|cell| cell.system == system);
        cell.unwrap().score
    };
    assert_eq!(of("both"), of("twin"));
    let systems: Vec<&str> = table.runs.iter().map(|run| &*run.system).collect();
    assert_eq!(systems, ["both", "twin"]);
}

#[test]
fn a_recipe_is_made_once_and_before_what_needs_it() {
    let place = Place::new();
    let text = valid()
        + "[models.tuned]\npretrain = { from = \"keys\", train = \"kv/mixed.jsonl\", steps = 2, rows = 1 }\n\
           [systems.tuned]\nmodel = \"tuned\"\n\
           [systems.read]\ncompose.augmenting = \"tuned\"\n";
    let (table, done) = place.whole(&text);
    // Recipe, two compositions; four systems.
    assert_eq!(done, [2 + 2 * 3, 4 * 8]);
    let systems: Vec<&str> = table
        .frame
        .systems
        .iter()
        .map(|system| &*system.id)
        .collect();
    assert_eq!(systems, ["alone", "both", "tuned", "read"]);
    assert_eq!(place.whole(&text).1, [0, 0]);
}

#[test]
fn training_data_may_be_a_sample_of_other_data() {
    let place = Place::new();
    let text = valid().replace("train = \"kv/mixed.jsonl\"", "train = \"dc\"")
        + "[data.dc]\nsample = { \"kv/mixed.jsonl\" = { share = 0.25 }, \
           \"kv/numeric-arithmetic.held-in.jsonl\" = { examples = 5 } }\n";
    let (table, _) = place.whole(&text);
    assert_eq!(table.runs[0].examples, 16 + 5);
    let other = text + "seed = 1\n";
    assert_eq!(place.whole(&other).1, [3, 8]);
}

#[test]
fn what_was_computed_before_a_failure_stays() {
    let place = Place::new();
    let text = valid().replace("seeds = 0", "seeds = \"0..1\"");
    let plan = place.plan("small", &text).unwrap();
    let last = plan.jobs.last().unwrap();
    let in_the_way = last.directory(&plan.store);
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "a file where a directory is due").unwrap();
    let first = Counter::ending_after(usize::MAX);
    let error = place.run(&text, &first).unwrap_err();
    assert!(error.to_string().starts_with("both, seed 1: "), "{error}");
    fs::remove_file(&in_the_way).unwrap();
    let (table, second) = place.whole(&text);
    let [first, second] = [first.done(), second];
    assert_eq!([first[0] + second[0], first[1] + second[1]], [6, 24]);
    assert!(second[0] == 3 && second[1] >= 8, "{second:?}");
    assert_eq!(findings(&table), findings(&Place::new().whole(&text).0));
}

#[test]
fn the_table_of_another_experiment_is_not_overwritten() {
    let place = Place::new();
    let experiment = |directory: &Path| {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join("same.toml");
        fs::write(&path, valid()).unwrap();
        Experiment::read(path.to_str().unwrap(), Mode::Standard, &[]).unwrap()
    };
    let out = place.store().join("same");
    let [first, second] = ["a", "b"].map(|name| experiment(&place.directory.path().join(name)));
    TableDirectory::open(out.clone(), &first).unwrap();
    TableDirectory::open(out.clone(), &first).unwrap();
    let error = TableDirectory::open(out, &second).unwrap_err();
    assert!(
        error.to_string().contains("which has the same name"),
        "{error}"
    );
}
