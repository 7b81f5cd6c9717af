//! Data of an experiment: files, or what a builder makes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calm_data::DataError;
use calm_data::builders::BuilderConfig;
use calm_data::sampling::{SamplePart, sample};

use super::files::Store;
use super::key;
use crate::{DataSpec, Experiment, ExperimentError};

/// File that says that a builder came to its end.
const BUILT: &str = "built.json";

/// Data by id.
pub(super) struct Data<'a> {
    experiment: &'a Experiment,
    store: &'a Store,
    /// Hashes of files that were asked for.
    hashes: RefCell<BTreeMap<PathBuf, String>>,
    /// Samples that are being made, to find circles.
    open: RefCell<Vec<String>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(experiment: &'a Experiment, store: &'a Store) -> Self {
        Self {
            experiment,
            store,
            hashes: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// The path of `ID`, or `ID/rest`. `keys` is the path of the key that has this reference.
    pub(super) fn path(&self, reference: &str, keys: &[&str]) -> Result<PathBuf, ExperimentError> {
        let (id, rest) = reference.split_once('/').unwrap_or((reference, ""));
        let file = &self.experiment.file;
        self.experiment.known(keys, "data", id, &file.data.ids())?;
        let spec = file.data.get(id).expect("it is known");
        if Path::new(rest)
            .components()
            .any(|part| part.as_os_str() == "..")
        {
            let reason = format!("'{reference}' leads out of data '{id}'");
            return Err(self.experiment.wrong(keys, reason));
        }
        let root = match spec {
            DataSpec { build: Some(_), .. } => self.built(&self.experiment.builder(id)?)?,
            spec if !spec.sample.is_empty() => self.sampled(id, spec)?,
            DataSpec { path, .. } => path.clone().unwrap_or_default(),
        };
        let path = match rest {
            "" => root,
            rest => root.join(rest),
        };
        match path.exists() {
            true => Ok(path),
            false => {
                let reason = format!("{}: there is no such file or directory", path.display());
                Err(self.experiment.wrong(keys, reason))
            }
        }
    }

    /// SHA-256 of a file, or of the files in a directory.
    pub(super) fn sha256(&self, path: &Path) -> Result<String, ExperimentError> {
        if let Some(hash) = self.hashes.borrow().get(path) {
            return Ok(hash.clone());
        }
        let hash = match path.is_dir() {
            true => of_directory(path)?,
            false => calm_files::sha256_file(path)?,
        };
        self.hashes
            .borrow_mut()
            .insert(path.to_owned(), hash.clone());
        Ok(hash)
    }

    /// The directory that a builder writes, once.
    fn built(&self, builder: &BuilderConfig) -> Result<PathBuf, ExperimentError> {
        let key = match builder.inputs()? {
            None => key::of(&(builder.version(), builder)),
            Some(inputs) => key::of(&(builder.version(), builder, inputs)),
        };
        let directory = self.store.data(&key);
        if !directory.join(BUILT).is_file() {
            let _lock = self.store.lock(&key)?;
            if !directory.join(BUILT).is_file() {
                builder.build(&directory)?;
                let text = serde_json::to_vec_pretty(builder).expect("settings are plain data");
                calm_files::write(directory.join(BUILT), text)?;
            }
        }
        Ok(directory)
    }
}

impl Data<'_> {
    /// The file that holds a sample of other data, made once.
    fn sampled(&self, id: &str, spec: &DataSpec) -> Result<PathBuf, ExperimentError> {
        if self.open.borrow().iter().any(|open| open == id) {
            let circle = self.open.borrow().join(" → ");
            let reason = format!("data '{id}' is a sample of itself: {circle} → {id}");
            return Err(self.experiment.wrong(&["data", id], reason));
        }
        self.open.borrow_mut().push(id.to_owned());
        let mut parts = Vec::new();
        let mut inputs = Vec::new();
        for (reference, amount) in spec.sample.iter() {
            let path = self.path(reference, &["data", id, "sample", reference])?;
            inputs.push((self.sha256(&path)?, *amount));
            parts.push(SamplePart {
                path,
                amount: *amount,
            });
        }
        self.open.borrow_mut().pop();
        let key = key::of(&("sample", inputs, spec.seed));
        let file = self.store.data(&key).join("rows.jsonl");
        let _lock = self.store.lock(&key)?;
        // It is written whole or not at all.
        if !file.is_file() {
            sample(&parts, spec.seed, &file)?;
        }
        Ok(file)
    }
}

/// Endings of files that no program reads.
const OF_PEOPLE: [&str; 4] = ["md", "png", "svg", "html"];

/// SHA-256 of the files in a directory, by name.
fn of_directory(directory: &Path) -> Result<String, ExperimentError> {
    let io = |source| DataError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_prose = OF_PEOPLE
            .iter()
            .any(|ending| path.extension().is_some_and(|own| own == *ending));
        if path.is_file() && !is_prose && !path.ends_with("lock") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut hashes = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hashes.push((name.into_owned(), calm_files::sha256_file(&path)?));
    }
    Ok(key::of(&hashes))
}

/// Bytes of a file, or of the files in a directory; 0 if there is none.
pub(super) fn bytes(path: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| length(&entry.path())).sum(),
        Err(_) => length(path),
    }
}
