//! The directory of an experiment's table: what people open.

use std::fs;
use std::path::{Path, PathBuf};

use calm_data::DataError;
use serde::{Deserialize, Serialize};

use crate::table::Table;
use crate::{Experiment, ExperimentError, report};

/// File that names the experiment whose table a directory holds.
const EXPERIMENT: &str = "experiment.json";

/// The experiment whose table a directory holds.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    /// Its file, from the root, or its name.
    file: PathBuf,
}

/// The directory of a table.
#[derive(Debug)]
pub struct TableDirectory {
    path: PathBuf,
}

impl TableDirectory {
    /// The directory of the table of this experiment, which is made if need be.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::SameName`] if it holds the table of another one, [`ExperimentError::Data`].
    ///
    /// # Panics
    ///
    /// Never: a path is plain data.
    pub fn open(path: PathBuf, experiment: &Experiment) -> Result<Self, ExperimentError> {
        let file = experiment.path.canonicalize();
        let file = file.unwrap_or_else(|_| experiment.path.clone());
        let origin = path.join(EXPERIMENT);
        if let Ok(text) = fs::read(&origin)
            && let Ok(other) = serde_json::from_slice::<Origin>(&text)
            && other.file != file
        {
            let other = other.file;
            return Err(ExperimentError::SameName { path, other });
        }
        fs::create_dir_all(&path).map_err(DataError::io(&path))?;
        let text = serde_json::to_vec(&Origin { file }).expect("a path is plain data");
        calm_files::write(origin, text)?;
        Ok(Self { path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the report.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Writes a table: `table.json`, and what people read.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::Files`], [`ExperimentError::Report`].
    pub fn write(&self, table: &Table) -> Result<(), ExperimentError> {
        calm_files::write(self.path.join(report::FILE), report::json(table)?)?;
        calm_files::write(self.report(), report::html(table)?)?;
        calm_files::write(self.path.join("report.md"), report::markdown(table))?;
        calm_files::write(self.path.join("table.csv"), report::csv(table)?)?;
        Ok(())
    }
}
