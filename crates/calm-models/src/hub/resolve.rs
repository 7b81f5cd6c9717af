//! From the name of a model or a data set to its files.

use super::{DatasetFiles, Fetching, Hub, HubDataset, HubModel, ModelFiles, ModelSource};
use crate::ModelError;

impl ModelSource {
    /// The model's files. Those of the Hub are fetched (see [`HubModel::fetch`]) as the environment
    /// says ([`Hub::from_env`]).
    ///
    /// # Errors
    ///
    /// Those of [`HubModel::fetch`]. A path is not looked at.
    pub fn resolve(
        &self,
        also: &[&str],
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<ModelFiles, ModelError> {
        match self {
            Self::Path(path) => Ok(ModelFiles {
                path: path.clone(),
                source: self.clone(),
            }),
            Self::Hub(model) => {
                let hub = Hub::from_env().map_err(|source| model.error(source))?;
                model.fetch(&hub, also, progress)
            }
        }
    }
}

impl HubModel {
    /// The model's files: what loading reads, and the files `also`, fetched if they are not in the
    /// cache. A commit whose files are there needs no network. Without one, a branch stands for the
    /// commit that it was last seen at, with a warning.
    ///
    /// # Errors
    ///
    /// [`ModelError::Hub`] if they cannot be had; [`ModelError::Index`], [`ModelError::Json`] or
    /// [`ModelError::TooLong`] if the index of the weights cannot be used.
    #[cfg_attr(
        not(feature = "hub"),
        expect(unused_variables, reason = "nothing can be fetched")
    )]
    pub fn fetch(
        &self,
        hub: &Hub,
        also: &[&str],
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<ModelFiles, ModelError> {
        #[cfg(feature = "hub")]
        return super::snapshot::fetch(self, hub, also, progress);
        #[cfg(not(feature = "hub"))]
        Err(self.error(super::HubError::NotBuilt))
    }
}

impl HubDataset {
    /// The files, fetched if they are not in the cache, as the environment says ([`Hub::from_env`]).
    /// `endings` are those of files that hold data. A commit whose files are there needs no network.
    ///
    /// # Errors
    ///
    /// [`ModelError::HubData`] if they cannot be had, or if the data has several splits and none is
    /// named.
    #[cfg_attr(
        not(feature = "hub"),
        expect(unused_variables, reason = "nothing can be fetched")
    )]
    pub fn fetch(
        &self,
        endings: &[&str],
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<DatasetFiles, ModelError> {
        let hub = Hub::from_env().map_err(|source| self.error(source))?;
        #[cfg(feature = "hub")]
        return super::dataset_files::fetch(self, &hub, endings, progress)
            .map_err(|source| self.error(source));
        #[cfg(not(feature = "hub"))]
        Err(self.error(super::HubError::NotBuilt))
    }
}
