//! Weights in safetensors files: one file, or several with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::OtherWeights;
use super::header;
use super::source::{TensorFiles, TensorSource, WeightFile};
use crate::ModelError;
use crate::files::{file_names_in, from_json, is_there, read_text};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// An index is about a hundred bytes per tensor.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The safetensors files of a directory, their headers checked, nothing of their data read yet.
#[derive(Debug)]
pub(crate) struct Safetensors {
    dir: PathBuf,
    held: TensorFiles,
}

impl Safetensors {
    /// Opens the weights in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut source = Self::empty(dir);
        for name in file_names(dir)? {
            source.add(name)?;
        }
        Ok(source)
    }

    /// Opens a single safetensors file of any name.
    pub(crate) fn open_file(dir: &Path, name: &str) -> Result<Self, ModelError> {
        let mut source = Self::empty(dir);
        source.add(name.to_owned())?;
        Ok(source)
    }

    fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            held: TensorFiles::default(),
        }
    }

    fn add(&mut self, name: String) -> Result<(), ModelError> {
        let path = self.dir.join(&name);
        let file = WeightFile::open(name, path.clone())?;
        let bytes = file.bytes()? as usize;
        let tensors = header::read(&file.map(0..bytes)?).map_err(|source| ModelError::Header {
            path,
            source: Box::new(source),
        })?;
        self.held.add(file, tensors);
        Ok(())
    }
}

impl TensorSource for Safetensors {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn held(&self) -> &TensorFiles {
        &self.held
    }
}

/// The weight files of a directory, sorted: like `transformers`, the single one if it is there, else
/// those of the index. Complete shards need no index.
pub(crate) fn file_names(dir: &Path) -> Result<Vec<String>, ModelError> {
    if is_there(&dir.join(SINGLE)) {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let path = dir.join(INDEX);
    if !is_there(&path) {
        let shards = ShardName::complete(&file_names_in(dir));
        return shards.ok_or_else(|| ModelError::NoWeights {
            dir: dir.to_owned(),
            found: OtherWeights::find(dir),
        });
    }
    let text = read_text(&path, MAX_INDEX_BYTES)?;
    let index: Index = from_json(&text, &path)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &names {
        if !stays_inside(name) {
            let reason = format!(
                "it names the file {name:?}; weight files must lie in the same directory, or in one inside it"
            );
            return Err(ModelError::Index { path, reason });
        }
    }
    if names.is_empty() {
        return Err(ModelError::Index {
            path,
            reason: "its weight_map is empty".to_owned(),
        });
    }
    Ok(names.into_iter().collect())
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether a name stays inside the directory it is joined to.
fn stays_inside(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty() && components.all(|part| matches!(part, Component::Normal(_)))
}

/// The name of a shard, `model-00001-of-00002.safetensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardName {
    number: u32,
    total: u32,
}

impl ShardName {
    fn parse(name: &str) -> Option<Self> {
        let numbers = name.strip_prefix("model-")?.strip_suffix(".safetensors")?;
        let (number, total) = numbers.split_once("-of-")?;
        let shard = Self {
            number: number.parse().ok()?,
            total: total.parse().ok()?,
        };
        (shard.name() == name && (1..=shard.total).contains(&shard.number)).then_some(shard)
    }

    fn name(self) -> String {
        format!("model-{:05}-of-{:05}.safetensors", self.number, self.total)
    }

    /// All shards of a model, if they are among `names`.
    fn complete(names: &[String]) -> Option<Vec<String>> {
        let shards = Self::all(names);
        let total = shards.first()?.total as usize;
        let same = shards.iter().all(|shard| shard.total as usize == total);
        (same && shards.len() == total).then(|| shards.into_iter().map(Self::name).collect())
    }

    /// The first shard that `names` lack, if they hold any.
    pub(super) fn missing_of(names: &[String]) -> Option<String> {
        let shards = Self::all(names);
        let total = shards.first()?.total;
        let missing = (1..=total).map(|number| Self { number, total });
        let mut missing = missing.filter(|shard| !shards.contains(shard));
        missing.next().map(Self::name)
    }

    fn all(names: &[String]) -> Vec<Self> {
        names.iter().filter_map(|name| Self::parse(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory() {
        for name in [
            "../model.safetensors",
            "/etc/passwd",
            "a/../../b",
            "..",
            ".",
            "",
            "./a",
        ] {
            assert!(!stays_inside(name), "{name}");
        }
        for name in ["model-00001-of-00002.safetensors", "a/b", "a/b/c"] {
            assert!(stays_inside(name), "{name}");
        }
    }

    #[test]
    fn shards_are_complete_or_lack_one() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let [first, second] = [1, 2].map(|number| ShardName { number, total: 2 }.name());
        let both = names(&[&first, &second, "README.md", "consolidated.safetensors"]);
        assert_eq!(
            ShardName::complete(&both),
            Some(vec![first.clone(), second.clone()])
        );
        let one = names(&[&second, "model-1-of-2.safetensors"]);
        assert_eq!(ShardName::complete(&one), None);
        assert_eq!(ShardName::missing_of(&one), Some(first));
        assert_eq!(ShardName::missing_of(&names(&["model.safetensors"])), None);
        let many = names(&["model-00001-of-4294967295.safetensors"]);
        assert_eq!(ShardName::complete(&many), None);
        assert!(ShardName::missing_of(&many).is_some());
    }
}
