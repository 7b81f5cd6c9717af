//! Tables as data: experiment files, a runner, statistics and reports.
//!
//! An [`Experiment`] is a TOML file: models, data, systems (a model as it is, a composition, a
//! baseline), tasks and seeds. [`Plan`](plan::Plan) works out the jobs and what each depends on,
//! [`run`](runner::run) does those whose results are not there yet, and the outcome is a
//! [`Table`](table::Table), which [`report`] shows.

pub mod chart;
mod directory;
mod error;
pub mod plan;
pub mod report;
pub mod runner;
mod spec;
pub mod table;

pub use directory::TableDirectory;
pub use error::ExperimentError;
pub use spec::{
    DataSpec, Defaults, ExpectSpec, Experiment, ExperimentFile, GroupSpec, LAYOUT, Mode, ModelSpec,
    Ordered, Seeds, SystemSpec, TaskSpec,
};
