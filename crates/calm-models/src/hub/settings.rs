//! Settings of the Hub: address, cache and token.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::HubError;

const ENDPOINT: &str = "https://huggingface.co";

/// The Hub, and the user's part of it: what Hugging Face's own libraries take from the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    /// Address, without a slash at the end.
    pub endpoint: String,
    /// Directory of fetched files, a folder for each repository.
    pub cache: PathBuf,
    /// Access token. It is sent to `endpoint`, and to no other host that it may point to.
    pub token: Option<String>,
    /// Whether to use the cache alone.
    pub offline: bool,
}

impl Hub {
    /// From the environment: `HF_ENDPOINT`; `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME`;
    /// `HF_TOKEN` or the file `HF_TOKEN_PATH` (by default, `token` in `HF_HOME`, which logging in
    /// writes); `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    ///
    /// [`HubError`] if one of them cannot be used.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| env::var_os(name))
    }

    /// The same from other variables than those of this process.
    ///
    /// # Errors
    ///
    /// [`HubError`] if one of them cannot be used.
    pub fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        // An empty variable is what `NAME= program` leaves of one that is not wanted.
        let get = |name| get(name).filter(|value| !value.is_empty());
        let home = match (get("HF_HOME"), get("XDG_CACHE_HOME")) {
            (Some(home), _) => PathBuf::from(home),
            (None, Some(caches)) => PathBuf::from(caches).join("huggingface"),
            (None, None) => env::home_dir()
                .ok_or(HubError::NoHome)?
                .join(".cache/huggingface"),
        };
        let token = match get("HF_TOKEN") {
            Some(token) => token_of("HF_TOKEN", &token.to_string_lossy())?,
            None => {
                let path = get("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
                // Most have none.
                let text = calm_files::read_text(&path).unwrap_or_default();
                token_of(&path.display().to_string(), &text)?
            }
        };
        Ok(Self {
            endpoint: endpoint(get("HF_ENDPOINT"))?,
            cache: get("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token,
            offline: get("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value.to_string_lossy())),
        })
    }
}

/// Does not show the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish()
    }
}

fn endpoint(given: Option<OsString>) -> Result<String, HubError> {
    let Some(given) = given else {
        return Ok(ENDPOINT.to_owned());
    };
    let given = given.to_string_lossy().into_owned();
    match is_address(&given) {
        true => Ok(given.trim_end_matches('/').to_owned()),
        false => Err(HubError::Variable {
            name: "HF_ENDPOINT",
            found: given,
            expected: "an address such as https://huggingface.co",
        }),
    }
}

/// Whether it is a scheme, a host and perhaps a path.
pub(super) fn is_address(given: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| given.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['?', '#', '@'])
    })
}

fn token_of(origin: &str, text: &str) -> Result<Option<String>, HubError> {
    let token = text.trim();
    // What is sent in a header must not end it.
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok((!token.is_empty()).then(|| token.to_owned()));
    }
    Err(HubError::Token {
        origin: origin.to_owned(),
    })
}

/// As `huggingface_hub` reads switches.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
        Hub::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn what_the_environment_says() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let home = home.path().to_str().unwrap();
        let found = hub(&[("HF_HOME", home), ("HF_ENDPOINT", "http://mirror:8080/hf/")]).unwrap();
        assert_eq!(found.endpoint, "http://mirror:8080/hf");
        assert_eq!(found.cache, PathBuf::from(home).join("hub"));
        assert_eq!(found.token.as_deref(), Some("hf_file"));
        assert!(!found.offline);
        assert!(!format!("{found:?}").contains("hf_file"), "{found:?}");

        let found = hub(&[
            ("HF_HOME", home),
            ("HF_TOKEN", "hf_variable"),
            ("HF_HUB_CACHE", "/elsewhere"),
            ("HF_HUB_OFFLINE", "ON"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.endpoint, ENDPOINT);
        assert_eq!(found.cache, PathBuf::from("/elsewhere"));
        assert_eq!(found.token.as_deref(), Some("hf_variable"));
        assert!(found.offline);

        let found = hub(&[("HF_HOME", ""), ("XDG_CACHE_HOME", "/caches")]).unwrap();
        assert_eq!(found.cache, PathBuf::from("/caches/huggingface/hub"));
        assert_eq!(found.token, None);
    }

    #[test]
    fn what_it_may_not_say() {
        for endpoint in [
            "huggingface.co",
            "ftp://hub",
            "http://",
            "http://a b",
            "http://me@hub",
        ] {
            let refused = hub(&[("XDG_CACHE_HOME", "/"), ("HF_ENDPOINT", endpoint)]);
            assert!(
                matches!(refused, Err(HubError::Variable { .. })),
                "{endpoint}"
            );
        }
        let refused = hub(&[("XDG_CACHE_HOME", "/"), ("HF_TOKEN", "hf_1\r\nX: y")]);
        assert!(matches!(refused, Err(HubError::Token { .. })));
    }
}
