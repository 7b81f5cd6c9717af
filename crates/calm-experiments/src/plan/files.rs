//! The directory of all results. Everything in it is named by what it depends on, so experiments
//! share what is the same, and nothing is ever out of date.

use std::path::{Path, PathBuf};

use calm_files::{FileError, Lock};

/// The directory of all results.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// A store in this directory, which need not exist.
    pub fn new(root: &Path) -> Self {
        let root = root.to_owned();
        Self { root }
    }

    /// Directory of data that a builder made.
    pub fn data(&self, key: &str) -> PathBuf {
        self.root.join("data").join(key)
    }

    /// Directory of a trained model.
    pub fn trained(&self, key: &str) -> PathBuf {
        self.root.join("trained").join(key)
    }

    /// Directory of the evaluation of a model on a task.
    pub fn cell(&self, key: &str) -> PathBuf {
        self.root.join("cells").join(key)
    }

    /// Waits until no other process or thread makes what has this key.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the store cannot be written to.
    pub fn lock(&self, key: &str) -> Result<Lock, FileError> {
        Lock::acquire(&self.root.join("locks").join(key))
    }

    /// Directory of the table of an experiment.
    pub fn table(&self, name: &str, mode: Option<&str>) -> PathBuf {
        match mode {
            Some(mode) => self.root.join(format!("{name}-{mode}")),
            None => self.root.join(name),
        }
    }
}
