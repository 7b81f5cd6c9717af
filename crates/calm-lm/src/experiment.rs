//! Experiments from a command line: `calm experiment run` and `cargo xtask reproduce`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use burn::tensor::Device;
use calm_experiments::plan::{Plan, PlanOptions, Store};
use calm_experiments::runner::{Estimates, RunnerOptions};
use calm_experiments::table::Table;
use calm_experiments::{Experiment, ExperimentError, Mode, TableDirectory};
use calm_sandbox::SandboxOptions;
use clap::Args;

use crate::terminal::{ExperimentDisplay, FileProgress, silence};

/// Flags of an experiment.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// Fewer seeds and steps, as `[quick]` of the file says
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// More seeds and systems, as `[full]` of the file says
    #[arg(long)]
    pub full: bool,
    /// Make the table of this system only; may be given several times
    #[arg(long, value_name = "SYSTEM")]
    pub only: Vec<String>,
    /// Another value of a key of the file, as data.kv.build.config.fold=1; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Directory of all results, which experiments share
    #[arg(long, value_name = "DIR", default_value = "runs/experiments")]
    pub results: PathBuf,
    /// Directory of the table and its report [default: one in that of all results]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Jobs at a time [default: as many as threads and memory allow]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// The Python that runs generated programs [default: python3]
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
}

/// Machine and program of an experiment.
#[derive(Debug)]
pub struct ExperimentContext {
    /// Device of all models.
    pub device: Device,
    /// Name by which the user asked for it.
    pub device_name: String,
    /// Commit of the program, if known.
    pub commit: Option<String>,
    /// Whether to show no progress.
    pub is_quiet: bool,
}

/// An experiment whose jobs are known, with what they will take.
#[derive(Debug)]
pub struct PlannedExperiment {
    /// The jobs.
    pub plan: Plan,
    /// What they will take.
    pub estimates: Estimates,
    options: RunnerOptions,
    out: PathBuf,
}

impl ExperimentArgs {
    /// Reads an experiment.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] with file and line.
    pub fn read(&self, name: &str) -> Result<Experiment, ExperimentError> {
        Experiment::read(name, self.mode(), &self.settings)
    }

    /// Plans an experiment, and measures a few steps of what is to be trained.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] of files, models or data that cannot be used.
    pub fn plan(
        &self,
        name: &str,
        context: &ExperimentContext,
    ) -> Result<PlannedExperiment, ExperimentError> {
        let experiment = self.read(name)?;
        let device = calm_backend::device_name(&context.device);
        let mut file = FileProgress::default();
        let options = PlanOptions {
            store: &self.results,
            device: &device,
            only: &self.only,
        };
        silence::doing("reading models, data and tasks");
        let plan = Plan::new(experiment, &options, &mut |fetching| {
            if !context.is_quiet {
                file.show_fetching(&fetching);
            }
        })?;
        let options = RunnerOptions {
            device: context.device.clone(),
            device_name: context.device_name.clone(),
            jobs: self.jobs.map(NonZeroUsize::get),
            commit: context.commit.clone(),
            sandbox: SandboxOptions {
                python: self.python.clone(),
                ..SandboxOptions::default()
            },
        };
        silence::doing("measuring a few steps of every system");
        let estimates = Estimates::new(&plan, &options)?;
        let out = self.out.clone().unwrap_or_else(|| self.directory(&plan));
        Ok(PlannedExperiment {
            plan,
            estimates,
            options,
            out,
        })
    }

    fn mode(&self) -> Mode {
        match (self.quick, self.full) {
            (true, _) => Mode::Quick,
            (_, true) => Mode::Full,
            _ => Mode::Standard,
        }
    }

    /// The directory of a table: another one for other settings and for a part of the systems.
    fn directory(&self, plan: &Plan) -> PathBuf {
        let experiment = &plan.experiment;
        let mut name = experiment.name.clone();
        if !self.settings.is_empty() || !self.only.is_empty() {
            let changes = format!("{:?} {:?}", self.settings, self.only);
            let hash = calm_files::sha256(changes);
            name = format!("{name}-{}", &hash[..8]);
        }
        Store::new(&self.results).table(&name, experiment.mode.name())
    }
}

impl PlannedExperiment {
    /// Does all jobs whose results are not there yet, and writes the table.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] of the first job that fails, or if Ctrl-C ends it.
    pub fn run(
        &self,
        context: &ExperimentContext,
    ) -> Result<(Table, TableDirectory), ExperimentError> {
        let directory = TableDirectory::open(self.out.clone(), &self.plan.experiment)?;
        let name = &self.plan.experiment.name;
        let display = ExperimentDisplay::new(name, context.is_quiet);
        silence::doing("loading models");
        let table =
            calm_experiments::runner::run(&self.plan, &self.estimates, &self.options, &display)?;
        drop(display);
        silence::doing("writing the report");
        directory.write(&table)?;
        Ok((table, directory))
    }

    /// Jobs that run at the same time.
    pub fn at_once(&self) -> usize {
        let jobs = self.plan.jobs.len().max(1);
        let at_once = self.options.jobs.unwrap_or_else(calm_backend::threads);
        at_once.clamp(1, jobs)
    }
}
