//! The files of a model at a commit: which are needed, and which are in the cache.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::api::RepoInfo;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::client::{Client, protocol};
use super::fetch::{RemoteFile, file_error};
use super::model::is_commit;
use super::wanted::{check, more_templates, optional, required};
use super::{Fetching, Hub, HubError, HubModel, ModelFiles, ModelSource};
use crate::ModelError;
use crate::chat::MORE_TEMPLATES;
use crate::checkpoint::{INDEX, SINGLE, file_names};
use crate::files::CONFIG;

/// See [`HubModel::fetch`].
pub(super) fn fetch(
    model: &HubModel,
    hub: &Hub,
    also: &[&str],
    progress: &mut dyn FnMut(Fetching<'_>),
) -> Result<ModelFiles, ModelError> {
    let error = |source| model.error(source);
    let cached = Snapshot::cached(model, hub);
    if hub.offline {
        let missing = match cached {
            Some(cached) => match cached.lacks(also, false)? {
                Some(file) => file,
                None => return Ok(cached.files()),
            },
            None => model.file().unwrap_or(CONFIG).to_owned(),
        };
        let cache = hub.cache.clone();
        return Err(error(HubError::NotCached {
            file: missing,
            cache,
        }));
    }
    if let (Some(cached), Some(_)) = (&cached, model.commit())
        && cached.lacks(also, true)?.is_none()
    {
        return Ok(cached.files());
    }
    let client = Client::of_hub(hub);
    let info = match (client.info(&repo(model)), cached) {
        (Ok(info), _) => info,
        (Err(HubError::Unreachable { host, reason, .. }), Some(cached))
            if cached.lacks(also, false)?.is_none() =>
        {
            let found = &cached.model;
            tracing::warn!("{host} cannot be reached ({reason}); taking {found} from the cache");
            return Ok(cached.files());
        }
        (Err(source), _) => return Err(error(source)),
    };
    if !is_commit(&info.sha) {
        let reason = format!("the commit {:?}", info.sha);
        return Err(error(protocol(&hub.endpoint, "the list of files", &reason)));
    }
    let snapshot = Snapshot::new(model.at(&info.sha), hub);
    snapshot.complete(&client, &info, also, progress)?;
    if model.commit().is_none() {
        let seen = cache_of(model, hub).create_ref(&info.sha);
        seen.map_err(|source| error(file_error(&hub.cache, source)))?;
    }
    Ok(snapshot.files())
}

fn repo(model: &HubModel) -> Repo {
    let (repository, revision) = (model.repository().to_owned(), model.revision().to_owned());
    Repo::with_revision(repository, RepoType::Model, revision)
}

fn cache_of(model: &HubModel, hub: &Hub) -> CacheRepo {
    Cache::new(hub.cache.clone()).repo(repo(model))
}

/// A model at a commit, in the cache.
struct Snapshot {
    model: HubModel,
    cache: CacheRepo,
    /// Links to its files.
    dir: PathBuf,
    /// Empty files with the names of those that it does not have.
    absent: PathBuf,
}

impl Snapshot {
    fn new(model: HubModel, hub: &Hub) -> Self {
        let cache = cache_of(&model, hub);
        let repository = hub.cache.join(repo(&model).folder_name());
        Self {
            dir: cache.pointer_path(model.revision()),
            absent: repository.join(".no_exist").join(model.revision()),
            cache,
            model,
        }
    }

    /// The cached snapshot of a revision: of a commit, or of a branch where it was last seen.
    fn cached(model: &HubModel, hub: &Hub) -> Option<Self> {
        let snapshot = match model.commit() {
            Some(_) => Self::new(model.clone(), hub),
            None => {
                let folder = hub.cache.join(repo(model).folder_name());
                let seen = folder.join("refs").join(model.revision());
                let commit = fs::read_to_string(seen).ok()?;
                Self::new(is_commit(&commit).then(|| model.at(&commit))?, hub)
            }
        };
        snapshot.dir.is_dir().then_some(snapshot)
    }

    fn files(&self) -> ModelFiles {
        ModelFiles {
            path: self.dir.join(self.model.file().unwrap_or_default()),
            source: ModelSource::Hub(self.model.clone()),
        }
    }

    /// The first file that is needed and not here. Of a file that is not necessary, nothing may be
    /// known; `strictly` taken, it is needed too.
    fn lacks(&self, also: &[&str], strictly: bool) -> Result<Option<String>, ModelError> {
        let mut needed = required(&self.model, also, |name| self.has(name));
        if strictly {
            let is_absent = |name: &str| self.absent.join(name).is_file();
            let optional = optional(&self.model).iter().copied();
            needed.extend(optional.filter(|name| !is_absent(name)).map(str::to_owned));
            // Which there are is not known by their names.
            let are_known = self.dir.join(MORE_TEMPLATES).is_dir() || is_absent(MORE_TEMPLATES);
            if self.model.file().is_none() && !are_known {
                return Ok(Some(MORE_TEMPLATES.to_owned()));
            }
        }
        if self.model.file().is_none() {
            match self.has(SINGLE) || !self.has(INDEX) {
                true => needed.push(SINGLE.to_owned()),
                false => needed.extend(file_names(&self.dir)?),
            }
        }
        Ok(needed.into_iter().find(|name| !self.has(name)))
    }

    fn has(&self, name: &str) -> bool {
        self.dir.join(name).is_file()
    }

    /// Fetches what is missing, small files first.
    fn complete(
        &self,
        client: &Client<'_>,
        info: &RepoInfo,
        also: &[&str],
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), ModelError> {
        let listed: BTreeSet<&str> = info.siblings.iter().map(|file| &*file.rfilename).collect();
        let as_model = |error| self.model.error(error);
        check(&self.model, &listed, also).map_err(as_model)?;
        let mut fetch = |name: &str| self.fetch(client, name, progress).map_err(as_model);
        for name in required(&self.model, also, |name| listed.contains(name)) {
            fetch(&name)?;
        }
        let optional = optional(&self.model).iter().copied();
        let (there, absent): (Vec<_>, Vec<_>) = optional.partition(|name| listed.contains(name));
        let more: Vec<&str> = more_templates(&self.model, &listed).collect();
        for name in there.iter().chain(&more) {
            fetch(name)?;
        }
        if self.model.file().is_some() {
            return Ok(());
        }
        if listed.contains(SINGLE) {
            fetch(SINGLE)?;
        } else {
            fetch(INDEX)?;
            for name in file_names(&self.dir)? {
                fetch(&name)?;
            }
        }
        let no_more = more.is_empty().then_some(MORE_TEMPLATES);
        let absent = absent.into_iter().chain(no_more);
        self.note_absent(absent).map_err(as_model)
    }

    fn fetch(
        &self,
        client: &Client<'_>,
        name: &str,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), HubError> {
        if self.has(name) {
            return Ok(());
        }
        let file = RemoteFile::find(client, &repo(&self.model), name)?;
        let blob = self.cache.blob_path(&file.etag);
        file.fetch(client, &blob, progress)?;
        link(&self.dir, name, &blob)
    }

    fn note_absent<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), HubError> {
        let note = || {
            fs::create_dir_all(&self.absent)?;
            for name in names {
                fs::write(self.absent.join(name), "")?;
            }
            Ok(())
        };
        note().map_err(|source| file_error(&self.absent, source))
    }
}

/// Links a file of the cache into the directory of a snapshot, under its name in the repository.
pub(super) fn link(dir: &Path, name: &str, blob: &Path) -> Result<(), HubError> {
    let link = dir.join(name);
    // Files may lie in a directory of their own.
    let depth = 2 + name.matches('/').count();
    let make = || {
        fs::create_dir_all(link.parent().unwrap_or(dir))?;
        match link_to_blob(blob, &link, depth) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        // Another process was faster, or the file of a link was removed from the cache.
        match link.is_file() {
            true => Ok(()),
            false => fs::remove_file(&link).and_then(|()| link_to_blob(blob, &link, depth)),
        }
    };
    make().map_err(|source| file_error(&link, source))
}

/// Links to a file from so many directories below the repository's. The cache may be moved as a whole.
#[cfg(unix)]
fn link_to_blob(blob: &Path, link: &Path, depth: usize) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    let up = "../".repeat(depth);
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), link)
}

/// Symbolic links need a privilege on some systems.
#[cfg(not(unix))]
fn link_to_blob(blob: &Path, link: &Path, _: usize) -> io::Result<()> {
    fs::hard_link(blob, link)
}
