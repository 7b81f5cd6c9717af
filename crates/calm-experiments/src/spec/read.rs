//! Reading an experiment: its file, the file that it extends, the mode, and settings of the command
//! line, laid over each other in this order.

use std::path::{Path, PathBuf};

use calm_data::builders::BuilderConfig;
use calm_data::bundle::{Bundle, mistyped, nearest, parse};
use calm_models::ModelSource;
use serde_json::{Map, Value};

use super::document::{Source, directory, lay_over, put, value, values};
use super::{ExperimentFile, LAYOUT, Ordered};
use crate::ExperimentError;

/// Experiments that are part of the program, by name.
const BUILTIN: Bundle = Bundle {
    kind: "experiment",
    list: "calm experiment list",
    files: &[
        ("table1", include_str!("../../experiments/table1.toml")),
        (
            "table1-options",
            include_str!("../../experiments/table1-options.toml"),
        ),
        (
            "table1-masking",
            include_str!("../../experiments/table1-masking.toml"),
        ),
        (
            "table1-paper",
            include_str!("../../experiments/table1-paper.toml"),
        ),
        ("ntl", include_str!("../../experiments/ntl.toml")),
        ("ntl-real", include_str!("../../experiments/ntl-real.toml")),
    ],
};

/// A file that extends a file that extends a file … is a circle, or nobody can follow it.
const MOST_FILES: usize = 8;

/// How much of an experiment is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// The file as it stands.
    #[default]
    Standard,
    /// With its `[quick]` laid over it.
    Quick,
    /// With its `[full]` laid over it.
    Full,
}

impl Mode {
    /// The name of its section, if it has one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Standard => None,
            Self::Quick => Some("quick"),
            Self::Full => Some("full"),
        }
    }
}

/// An experiment that is ready to be planned.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Name: that of the file, without its ending.
    pub name: String,
    /// The file; of one that is part of the program, its name.
    pub path: PathBuf,
    /// How much of it is run.
    pub mode: Mode,
    /// All that the files say, with nothing left to be laid over it.
    pub file: ExperimentFile,
    /// Texts of the files, the first laid over the others.
    sources: Vec<Source>,
}

impl Experiment {
    /// The experiments that are part of the program: name and file.
    ///
    /// # Panics
    ///
    /// If one of them is invalid, which a test rules out.
    pub fn builtin() -> Vec<Self> {
        let read = |(name, _): &(&str, &str)| {
            Self::read(name, Mode::Standard, &[]).expect("a test reads every bundled experiment")
        };
        BUILTIN.files.iter().map(read).collect()
    }

    /// Reads the experiment of this name, or else the file of this path. `settings` are `KEY=VALUE`
    /// of the command line, with dots between the keys of tables, as
    /// `systems.composed.compose.noise=0.2`.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] with file, line and nearest name.
    pub fn read(name: &str, mode: Mode, settings: &[String]) -> Result<Self, ExperimentError> {
        let mut sources = Vec::new();
        let mut all = layers(name, &mut sources)?;
        for section in ["quick", "full"] {
            let section_values = all.remove(section);
            if let (true, Some(Value::Object(above))) =
                (mode.name() == Some(section), section_values)
            {
                lay_over(&mut all, above);
            }
        }
        for setting in settings {
            let Some((keys, text)) = setting.split_once('=') else {
                let reason = "is no setting; give one as data.kv.build.config.fold=1";
                return Err(wrong(format!("--set {setting}"), reason));
            };
            let keys: Vec<&str> = keys.trim().split('.').collect();
            put(&mut all, &keys, value(text.trim()));
        }
        let file = serde_json::from_value(Value::Object(all));
        let file: ExperimentFile = file.map_err(|error| {
            // Each file was valid by itself: only a setting can be wrong, or two files together.
            let place = match settings {
                [] => name.to_owned(),
                settings => format!("--set {}", settings.join(" --set ")),
            };
            wrong(place, mistyped(&error.to_string()))
        })?;
        let path = sources[0].path.clone();
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        let experiment = Self {
            name: stem.to_string_lossy().into_owned(),
            path,
            mode,
            file,
            sources,
        };
        experiment.check()?;
        Ok(experiment)
    }

    /// The experiment as one file, with all that was laid over it.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.file).expect("an experiment is plain data")
    }

    /// An error about the key at this path.
    pub fn wrong(&self, keys: &[&str], reason: impl Into<String>) -> ExperimentError {
        wrong(self.place(keys), reason)
    }

    /// Whether a file has the key at this path.
    pub(crate) fn has(&self, keys: &[&str]) -> bool {
        let section: Vec<&str> = self
            .mode
            .name()
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        let mut sources = self.sources.iter();
        sources.any(|source| {
            source
                .line(keys)
                .or_else(|| source.line(&section))
                .is_some()
        })
    }

    /// The file and line of the key at this path, or of the nearest table around it.
    fn place(&self, keys: &[&str]) -> String {
        let section = self.mode.name();
        for length in (1..=keys.len()).rev() {
            let own = &keys[..length];
            for source in &self.sources {
                let in_section: Vec<&str> =
                    section.into_iter().chain(own.iter().copied()).collect();
                let line = section.and_then(|_| source.line(&in_section));
                if let Some(line) = line.or_else(|| source.line(own)) {
                    return format!("{}, line {line}", source.path.display());
                }
            }
        }
        self.path.display().to_string()
    }

    /// Checks what needs neither models nor data.
    fn check(&self) -> Result<(), ExperimentError> {
        let file = &self.file;
        if file.layout != LAYOUT {
            let reason = match file.layout {
                0 => format!("has no layout; write `layout = {LAYOUT}` as its first line"),
                other => format!("layout is {other}; this version reads layout {LAYOUT}"),
            };
            return Err(self.wrong(&["layout"], reason));
        }
        for (what, is_empty) in [
            ("systems", file.systems.is_empty()),
            ("tasks", file.tasks.is_empty()),
        ] {
            if is_empty {
                return Err(self.wrong(
                    &[what],
                    format!("has no {what}; there is nothing to compare"),
                ));
            }
        }
        for (id, model) in file.models.iter() {
            if model.source.is_some() == model.pretrain.is_some() {
                let reason =
                    format!("model '{id}': give its files (source) or a recipe (pretrain)");
                return Err(self.wrong(&["models", id], reason));
            }
        }
        for (id, data) in file.data.iter() {
            let given = [
                data.path.is_some(),
                data.build.is_some(),
                !data.sample.is_empty(),
            ];
            if given.iter().filter(|is_given| **is_given).count() != 1 {
                let reason = format!(
                    "data '{id}': give one of `path` (files), `build` (a builder) and `sample` \
                     (parts of other data)"
                );
                return Err(self.wrong(&["data", id], reason));
            }
            if data.build.is_some() {
                self.builder(id)?;
            }
        }
        let ids = file.systems.ids();
        for (key, id) in [("main", &file.main), ("reference", &file.reference)] {
            if let Some(id) = id {
                self.known(&[key], "system", id, &ids)?;
            }
        }
        for (task, spec) in file.tasks.iter() {
            let figures = |paper: &Ordered<f64>, wins: &Ordered<String>| {
                let systems = [paper.ids(), wins.ids()].concat().into_iter();
                systems.map(str::to_owned).collect::<Vec<String>>()
            };
            let groups = spec.groups.iter();
            let of_groups = groups.flat_map(|(_, group)| figures(&group.paper, &group.paper_wins));
            for system in figures(&spec.paper, &spec.paper_wins)
                .into_iter()
                .chain(of_groups)
            {
                self.known(&["tasks", task, "paper", &system], "system", &system, &ids)?;
            }
        }
        self.check_expectations()
    }

    /// The builder of this data, which has one.
    pub(crate) fn builder(&self, id: &str) -> Result<BuilderConfig, ExperimentError> {
        let data = self.file.data.get(id);
        let build = data.and_then(|data| data.build.clone()).unwrap_or_default();
        let read = serde_json::from_value(Value::Object(build));
        read.map_err(|error| {
            let reason = format!("data '{id}': {}", mistyped(&error.to_string()));
            self.wrong(&["data", id, "build"], reason)
        })
    }

    /// Checks that there is something of this id.
    pub(crate) fn known(
        &self,
        keys: &[&str],
        kind: &str,
        id: &str,
        ids: &[&str],
    ) -> Result<(), ExperimentError> {
        if ids.contains(&id) {
            return Ok(());
        }
        let reason = match nearest(id, ids) {
            "" => format!("there is no {kind} '{id}', nor any other"),
            near => format!("there is no {kind} '{id}'; did you mean '{near}'?"),
        };
        Err(self.wrong(keys, reason))
    }
}

fn wrong(place: String, reason: impl Into<String>) -> ExperimentError {
    let reason = reason.into();
    ExperimentError::File { place, reason }
}

/// The values of a file, over those of the file that it extends.
fn layers(name: &str, sources: &mut Vec<Source>) -> Result<Map<String, Value>, ExperimentError> {
    if sources.len() >= MOST_FILES {
        let place = sources[0].path.display().to_string();
        let reason = format!("extends more than {MOST_FILES} files in a row, perhaps itself");
        return Err(wrong(place, reason));
    }
    let text = BUILTIN.text(name)?.into_owned();
    let is_bundled = BUILTIN.files.iter().any(|(known, _)| *known == name);
    let path = PathBuf::from(name);
    // For its line numbers and nearest names; the values are read in their order.
    let file: ExperimentFile = parse(&path, &text)?;
    let mut own = values(&text);
    if !is_bundled {
        own = begin_at(own, directory(&path));
    }
    let source = Source { path, text };
    sources.push(source.clone());
    let Some(base) = &file.extends else {
        return Ok(own);
    };
    let is_name = BUILTIN.files.iter().any(|(known, _)| known == base);
    let base = match is_name {
        true => base.clone(),
        false => directory(&source.path).join(base).display().to_string(),
    };
    let mut all = layers(&base, sources)?;
    for id in &file.without {
        if !remove(&mut all, id) {
            let line = source.line(&["without"]).unwrap_or(1);
            let place = format!("{}, line {line}", source.path.display());
            let reason = format!("without: {base} has no system, task or expectation '{id}'");
            return Err(wrong(place, reason));
        }
    }
    own.remove("extends");
    own.remove("without");
    lay_over(&mut all, own);
    Ok(all)
}

/// Removes a system, a task or an expectation, also from the sections of modes; of a system also what is said of it:
/// the paper's figures, and that others are to be better.
fn remove(all: &mut Map<String, Value>, id: &str) -> bool {
    let mut is_found = false;
    let mut take = |table: &mut Map<String, Value>| {
        for kind in ["systems", "tasks", "expect"] {
            if let Some(Value::Object(entries)) = table.get_mut(kind) {
                is_found |= entries.shift_remove(id).is_some();
                entries.values_mut().for_each(|entry| forget(entry, id));
            }
        }
    };
    take(all);
    for section in ["quick", "full"] {
        if let Some(Value::Object(section)) = all.get_mut(section) {
            take(section);
        }
    }
    is_found
}

/// Removes what a task or an expectation says of a system.
fn forget(entry: &mut Value, id: &str) {
    let Value::Object(entry) = entry else {
        return;
    };
    for figures in ["paper", "paper-wins"] {
        if let Some(Value::Object(figures)) = entry.get_mut(figures) {
            figures.shift_remove(id);
        }
    }
    if let Some(Value::Array(over)) = entry.get_mut("over") {
        over.retain(|other| other != id);
    }
    if let Some(Value::Object(groups)) = entry.get_mut("groups") {
        groups.values_mut().for_each(|group| forget(group, id));
    }
}

/// Lets the paths of files begin at the directory of the experiment.
fn begin_at(mut own: Map<String, Value>, directory: &Path) -> Map<String, Value> {
    for (kind, key) in [("models", "source"), ("data", "path")] {
        let Some(Value::Object(entries)) = own.get_mut(kind) else {
            continue;
        };
        for entry in entries.values_mut() {
            if let Some(Value::String(text)) = entry.get_mut(key)
                && let Ok(ModelSource::Path(path)) = text.parse()
            {
                *text = directory.join(path).display().to_string();
            }
        }
    }
    if let Some(Value::Object(data)) = own.get_mut("data") {
        for entry in data.values_mut() {
            if let Some(Value::String(path)) = entry.pointer_mut("/build/manifest") {
                *path = directory.join(&*path).display().to_string();
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_experiments_are_valid() {
        for experiment in Experiment::builtin() {
            for mode in [Mode::Quick, Mode::Full] {
                let read = Experiment::read(&experiment.name, mode, &[]);
                assert!(!read.unwrap().file.title.is_empty());
            }
        }
    }
}
