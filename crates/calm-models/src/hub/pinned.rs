use std::path::Path;

use super::{Fetching, HubError};

/// Advice for the case that no server answers.
#[cfg(feature = "hub")]
const MEND: &str = "name a mirror, or fetch the file in another way";

/// A file of any server of which all is known but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedFile {
    /// Name in messages.
    pub name: String,
    /// Address.
    pub url: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

impl PinnedFile {
    /// Fetches it to `path`, going on with what an earlier run left beside it, and replacing a file
    /// with other content. A file that is there is hashed and, if it is the right one, kept. Whether
    /// anything had to be fetched.
    ///
    /// # Errors
    ///
    /// [`HubError`]; at `path` there is then what was there before.
    #[cfg_attr(
        not(feature = "hub"),
        expect(unused_variables, reason = "nothing can be fetched")
    )]
    pub fn fetch(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<bool, HubError> {
        #[cfg(feature = "hub")]
        return self.fetch_over_the_network(path, progress);
        #[cfg(not(feature = "hub"))]
        Err(HubError::NotBuilt)
    }

    #[cfg(feature = "hub")]
    fn fetch_over_the_network(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<bool, HubError> {
        if !super::settings::is_address(&self.url) {
            return Err(HubError::Address {
                found: self.url.clone(),
            });
        }
        let client = super::client::Client::of_server(&self.url, MEND);
        let file = super::fetch::RemoteFile {
            name: self.name.clone(),
            url: self.url.clone(),
            etag: self.sha256.clone(),
            bytes: self.bytes,
        };
        file.fetch(&client, path, progress)
    }
}
