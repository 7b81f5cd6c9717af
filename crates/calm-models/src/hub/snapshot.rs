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
use super::{Fetching, Hub, HubError, HubModel, ModelFiles, ModelSource};
use crate::ModelError;
use crate::chat::{PROCESSOR_FILE, TEMPLATE_FILE};
use crate::checkpoint::{INDEX, SINGLE, file_names};
use crate::files::{CONFIG, SENTENCE_PIECE, TOKENIZER};
use crate::stored::GENERATION_CONFIG;
use crate::tokenizer::side_files::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};

/// Files that loading needs, besides weights, where there are such files.
fn required(is_there: impl Fn(&str) -> bool) -> [&'static str; 2] {
    let has_model_alone = !is_there(TOKENIZER) && is_there(SENTENCE_PIECE);
    [
        CONFIG,
        if has_model_alone {
            SENTENCE_PIECE
        } else {
            TOKENIZER
        },
    ]
}

/// Files that loading reads if they are there.
const OPTIONAL: [&str; 6] = [
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    TEMPLATE_FILE,
    PROCESSOR_FILE,
];

/// Endings of the names of weights in other formats.
const OTHER_WEIGHTS: [&str; 6] = [".bin", ".gguf", ".h5", ".msgpack", ".onnx", ".pth"];

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
            None => CONFIG.to_owned(),
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
                let config = cache_of(model, hub).get(CONFIG)?;
                let commit = config.parent()?.file_name()?.to_str()?;
                Self::new(is_commit(commit).then(|| model.at(commit))?, hub)
            }
        };
        snapshot.dir.is_dir().then_some(snapshot)
    }

    fn files(&self) -> ModelFiles {
        ModelFiles {
            path: self.dir.clone(),
            source: ModelSource::Hub(self.model.clone()),
        }
    }

    /// The first file that is needed and not here. Of a file that is not necessary, nothing may be
    /// known; `strictly` taken, it is needed too.
    fn lacks(&self, also: &[&str], strictly: bool) -> Result<Option<String>, ModelError> {
        let mut needed = [&required(|name| self.has(name)), also].concat();
        if strictly {
            let is_absent = |name: &&str| self.absent.join(name).is_file();
            needed.extend(OPTIONAL.into_iter().filter(|name| !is_absent(name)));
        }
        let weights = match self.has(SINGLE) || !self.has(INDEX) {
            true => vec![SINGLE.to_owned()],
            false => file_names(&self.dir)?,
        };
        let needed = needed.into_iter().map(str::to_owned);
        Ok(needed.chain(weights).find(|name| !self.has(name)))
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
        self.check(&listed, also)
            .map_err(|error| self.model.error(error))?;
        let mut fetch = |name: &str| {
            self.fetch(client, name, progress)
                .map_err(|error| self.model.error(error))
        };
        for name in [&required(|name| listed.contains(name)), also].concat() {
            fetch(name)?;
        }
        for name in OPTIONAL.into_iter().filter(|name| listed.contains(name)) {
            fetch(name)?;
        }
        if listed.contains(SINGLE) {
            fetch(SINGLE)?;
        } else {
            fetch(INDEX)?;
            for name in file_names(&self.dir)? {
                fetch(&name)?;
            }
        }
        let absent = OPTIONAL.into_iter().filter(|name| !listed.contains(name));
        self.note_absent(absent)
            .map_err(|error| self.model.error(error))
    }

    /// Whether a repository with these files is a model.
    fn check(&self, listed: &BTreeSet<&str>, also: &[&str]) -> Result<(), HubError> {
        let required = [&required(|name| listed.contains(name)), also].concat();
        let missing = required.into_iter().find(|name| !listed.contains(name));
        let has_weights = listed.contains(SINGLE) || listed.contains(INDEX);
        match missing {
            Some(file) if has_weights || file == CONFIG => Err(HubError::NoFile {
                file: file.to_owned(),
            }),
            _ if has_weights => Ok(()),
            _ => {
                let is_other = |name: &&&str| OTHER_WEIGHTS.iter().any(|end| name.ends_with(end));
                let found = listed.iter().find(is_other);
                Err(HubError::NoSafetensors {
                    found: found.map(|name| (*name).to_owned()),
                })
            }
        }
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
        self.link(name, &blob)
    }

    fn link(&self, name: &str, blob: &Path) -> Result<(), HubError> {
        let link = self.dir.join(name);
        // Shards may lie in a directory of their own.
        let depth = 2 + name.matches('/').count();
        let make = || {
            fs::create_dir_all(link.parent().unwrap_or(&self.dir))?;
            match link_to_blob(blob, &link, depth) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
            // Another process was faster, or the file of a link was removed from the cache.
            match self.has(name) {
                true => Ok(()),
                false => fs::remove_file(&link).and_then(|()| link_to_blob(blob, &link, depth)),
            }
        };
        make().map_err(|source| file_error(&link, source))
    }

    fn note_absent(&self, names: impl Iterator<Item = &'static str>) -> Result<(), HubError> {
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
