//! Files of a data set at a commit, in the cache.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};

use super::client::{Client, protocol};
use super::dataset::{DatasetFiles, HubDataset};
use super::fetch::{RemoteFile, file_error};
use super::model::{is_commit, is_name};
use super::snapshot::link;
use super::{Fetching, Hub, HubError};

/// See [`HubDataset::fetch`].
pub(super) fn fetch(
    data: &HubDataset,
    hub: &Hub,
    endings: &[&str],
    progress: &mut dyn FnMut(Fetching<'_>),
) -> Result<DatasetFiles, HubError> {
    let cached = Cached::find(data, hub);
    if hub.offline {
        return cached.ok_or_else(|| HubError::NotCached {
            file: data.to_string(),
            cache: hub.cache.clone(),
        });
    }
    if let (Some(cached), Some(_)) = (&cached, data.commit()) {
        return Ok(cached.clone());
    }
    let client = Client::of_hub(hub);
    let info = match (client.info(&repo(data)), cached) {
        (Ok(info), _) => info,
        (Err(HubError::Unreachable { host, reason, .. }), Some(cached)) => {
            let found = &cached.source;
            tracing::warn!("{host} cannot be reached ({reason}); taking {found} from the cache");
            return Ok(cached);
        }
        (Err(HubError::NoModel { endpoint }), _) => return Err(HubError::NoDataset { endpoint }),
        (Err(error), _) => return Err(error),
    };
    if !is_commit(&info.sha) {
        let reason = format!("the commit {:?}", info.sha);
        return Err(protocol(&hub.endpoint, "the list of files", &reason));
    }
    let cached = Cached::new(data.at(&info.sha), hub);
    let names = info.siblings.into_iter().map(|file| file.rfilename);
    let all: Vec<String> = names.filter(|name| is_data(name, endings)).collect();
    let names = chosen(data, &all)?;
    cached.complete(&client, &names, progress)?;
    if data.commit().is_none() {
        let seen = Cache::new(hub.cache.clone())
            .repo(repo(data))
            .create_ref(&info.sha);
        seen.map_err(|source| file_error(&hub.cache, source))?;
    }
    Ok(cached.files(&names))
}

fn repo(data: &HubDataset) -> Repo {
    let (repository, revision) = (data.repository().to_owned(), data.revision().to_owned());
    Repo::with_revision(repository, RepoType::Dataset, revision)
}

/// Whether a name is plain, and one of a file that holds data.
fn is_data(name: &str, endings: &[&str]) -> bool {
    let lower = name.to_lowercase();
    let lower = lower.strip_suffix(".gz").unwrap_or(&lower);
    let ending = lower.rsplit_once('.').map(|(_, ending)| ending);
    name.split('/').all(is_name) && ending.is_some_and(|ending| endings.contains(&ending))
}

/// The files of the split that the name asks for.
fn chosen(data: &HubDataset, all: &[String]) -> Result<Vec<String>, HubError> {
    let names: Vec<String> = all
        .iter()
        .filter(|name| data.holds(name))
        .cloned()
        .collect();
    let list = |names: &[String]| {
        let splits: BTreeSet<&str> = names.iter().map(|name| split(name)).collect();
        let shown: Vec<&str> = splits.into_iter().take(12).collect();
        shown.join(", ")
    };
    let splits: BTreeSet<&str> = names.iter().map(|name| split(name)).collect();
    match splits.len() {
        0 => Err(HubError::NoSplit {
            path: data.path().to_owned(),
            found: list(all),
        }),
        1 => Ok(names),
        _ => Err(HubError::Splits {
            found: list(&names),
        }),
    }
}

/// The name of a file without the number of its part and its ending: `main/train` of
/// `main/train-00000-of-00002.parquet`.
fn split(name: &str) -> &str {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let stem = name[start..]
        .find('.')
        .map_or(name, |dot| &name[..start + dot]);
    let numbers = stem.rsplitn(4, '-').collect::<Vec<_>>();
    match numbers.as_slice() {
        [last, "of", first, rest]
            if [last, first]
                .iter()
                .all(|part| part.bytes().all(|byte| byte.is_ascii_digit())) =>
        {
            &stem[..rest.len()]
        }
        _ => stem,
    }
}

/// A data set at a commit, in the cache.
struct Cached {
    data: HubDataset,
    repository: PathBuf,
    /// Links to its files.
    directory: PathBuf,
    blobs: PathBuf,
}

impl Cached {
    fn new(data: HubDataset, hub: &Hub) -> Self {
        let repository = hub.cache.join(repo(&data).folder_name());
        Self {
            directory: repository.join("snapshots").join(data.revision()),
            blobs: repository.join("blobs"),
            repository,
            data,
        }
    }

    /// The files in the cache: at the commit, or at the one where a branch was last seen.
    fn find(data: &HubDataset, hub: &Hub) -> Option<DatasetFiles> {
        let repository = Self::new(data.clone(), hub).repository;
        let commit = match data.commit() {
            Some(commit) => commit.to_owned(),
            None => {
                let seen = repository.join("refs").join(data.revision());
                calm_files::read_text(&seen).ok()?.trim().to_owned()
            }
        };
        let cached = is_commit(&commit).then(|| Self::new(data.at(&commit), hub))?;
        let names = calm_files::read_text(&cached.list()).ok()?;
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        let are_there = names
            .iter()
            .all(|name| cached.directory.join(name).is_file());
        are_there.then(|| cached.files(&names))
    }

    /// A file with the names of the data's files, which is written once all of them are there.
    fn list(&self) -> PathBuf {
        let path = self.data.path().replace('/', "--");
        let name = format!("{}-{path}.files", self.data.revision());
        self.repository.join(".calm").join(name)
    }

    fn complete(
        &self,
        client: &Client<'_>,
        names: &[String],
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), HubError> {
        for name in names {
            if !self.directory.join(name).is_file() {
                let file = RemoteFile::find(client, &repo(&self.data), name)?;
                let blob = self.blobs.join(&file.etag);
                file.fetch(client, &blob, progress)?;
                link(&self.directory, name, &blob)?;
            }
        }
        let list = self.list();
        let write = || {
            fs::create_dir_all(list.parent().unwrap_or(&self.repository))?;
            fs::write(&list, names.join("\n"))
        };
        write().map_err(|source| file_error(&list, source))
    }

    fn files(&self, names: &[String]) -> DatasetFiles {
        let name = match names {
            [one] => one,
            names => names.first().map_or("", |name| split(name)),
        };
        DatasetFiles {
            path: self.directory.join(name),
            source: self.data.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_names() {
        for (name, expected) in [
            ("main/train-00000-of-00002.parquet", "main/train"),
            ("train.jsonl.gz", "train"),
            ("a.b/test-x.csv", "a.b/test-x"),
            ("part-1-of-x.csv", "part-1-of-x"),
        ] {
            assert_eq!(split(name), expected);
        }
    }

    #[test]
    fn one_split_is_meant() {
        let all = [
            "main/test-00000-of-00001.parquet",
            "main/train-00000-of-00001.parquet",
            "x/train.jsonl",
        ];
        let all = all.map(str::to_owned);
        let chosen = |name: &str| {
            let data: HubDataset = format!("hf:datasets/o/n{name}").parse().unwrap();
            chosen(&data, &all).map_err(|error| error.to_string())
        };
        assert_eq!(chosen("/main/train").unwrap(), [all[1].clone()]);
        assert_eq!(chosen("/x").unwrap(), [all[2].clone()]);
        let several = chosen("/main").unwrap_err();
        assert!(several.contains("main/test, main/train"), "{several}");
        let none = chosen("/tra").unwrap_err();
        assert!(none.contains("main/test, main/train, x/train"), "{none}");
    }
}
