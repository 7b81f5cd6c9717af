//! Requests to the Hub or another server, and to where it points.

use std::time::Duration;

use hf_hub::Repo;
use hf_hub::api::RepoInfo;
use ureq::http::header::{AUTHORIZATION, LOCATION, RANGE};
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body, Error};

use super::{Hub, HubError};

/// A host that does not answer at all is given up.
const CONNECT: Duration = Duration::from_secs(15);

/// A host that stops in the middle of an answer is given up, too.
const SILENCE: Duration = Duration::from_secs(60);

const MAX_REDIRECTS: usize = 10;

/// Repositories list some ten thousand files at most.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// Header in which the Hub names what is missing; the status does not tell.
const ERROR_CODE: &str = "x-error-code";

/// Sends requests.
///
/// Departs from hf-hub, which sends the token to whatever host a file's address points to, appends a
/// whole answer to what it has if a server does not know ranges, and believes any bytes that come.
/// Names of models, addresses of files and places in the cache are those of hf-hub.
pub(super) struct Client<'a> {
    /// Scheme, host and port, perhaps with a path, that the token is for.
    endpoint: &'a str,
    token: Option<&'a str>,
    agent: Agent,
    /// Advice for the case that the host cannot be reached.
    mend: &'static str,
}

/// An answer, and the address that it came from, or points to.
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) response: Response<Body>,
}

impl<'a> Client<'a> {
    /// Of the Hub, which also gets to know who asks.
    pub(super) fn of_hub(hub: &'a Hub) -> Self {
        let mend = "set HF_ENDPOINT to a mirror, or give a directory";
        Self::new(&hub.endpoint, hub.token.as_deref(), mend)
    }

    /// Of whatever server an address is on.
    pub(super) fn of_server(url: &'a str, mend: &'static str) -> Self {
        Self::new(origin(url), None, mend)
    }

    fn new(endpoint: &'a str, token: Option<&'a str>, mend: &'static str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, where it is known which host may see the token.
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("calm-models/", env!("CARGO_PKG_VERSION")))
            // Sizes, ranges and hashes are those of the file, not of a packed one.
            .accept_encoding("identity");
        let config = match is_loopback(endpoint) {
            true => config.proxy(None),
            false => config,
        };
        Self {
            endpoint,
            token,
            agent: config.build().into(),
            mend,
        }
    }

    /// Commit of a revision, and the names of its files.
    pub(super) fn info(&self, repo: &Repo) -> Result<RepoInfo, HubError> {
        let url = format!("{}/api/{}", self.endpoint, repo.api_url());
        let what = "the list of files";
        let mut answer = self.get(&url, 0)?;
        self.check(&answer, repo, what)?;
        let body = answer.response.body_mut().with_config();
        body.limit(MAX_LISTING_BYTES)
            .read_json()
            .map_err(|error| match error {
                Error::Json(error) => protocol(&url, what, &error),
                other => self.no_answer(&url, other),
            })
    }

    /// Headers of a file, and its address.
    pub(super) fn head(&self, repo: &Repo, file: &str) -> Result<Answer, HubError> {
        let (endpoint, name, revision) = (self.endpoint, repo.url(), repo.url_revision());
        let url = format!("{endpoint}/{name}/resolve/{revision}/{file}");
        let answer = self.follow(&url, |url, is_hub| {
            // What stores files does not know what they are.
            is_hub.then(|| self.with_token(self.agent.head(url)).call())
        })?;
        self.check(&answer, repo, file)?;
        Ok(answer)
    }

    /// Content of an address, from a byte on.
    pub(super) fn get(&self, url: &str, start: u64) -> Result<Answer, HubError> {
        self.follow(url, |url, is_hub| {
            let request = self.agent.get(url);
            let request = match start {
                0 => request,
                _ => request.header(RANGE, format!("bytes={start}-")),
            };
            let request = match is_hub {
                true => self.with_token(request),
                false => request,
            };
            Some(request.call())
        })
    }

    fn with_token<T>(&self, request: ureq::RequestBuilder<T>) -> ureq::RequestBuilder<T> {
        match self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Asks, and asks again where the answer points to, until `ask` declines.
    fn follow(
        &self,
        url: &str,
        ask: impl Fn(&str, bool) -> Option<Result<Response<Body>, Error>>,
    ) -> Result<Answer, HubError> {
        let hub = origin(self.endpoint).to_lowercase();
        let mut url = url.to_owned();
        let mut last = None;
        for _ in 0..=MAX_REDIRECTS {
            let is_hub = origin(&url).to_lowercase() == hub;
            let response = match (ask(&url, is_hub), last) {
                (Some(answer), _) => answer.map_err(|error| self.no_answer(&url, error))?,
                (None, Some(response)) => return Ok(Answer { url, response }),
                (None, None) => unreachable!("the first address is one of the hub"),
            };
            let Some(next) = redirect(&url, &response) else {
                return Ok(Answer { url, response });
            };
            url = next;
            last = Some(response);
        }
        Err(protocol(&url, "a file", &"too many redirections"))
    }

    fn no_answer(&self, url: &str, error: Error) -> HubError {
        HubError::Unreachable {
            host: origin(url).to_owned(),
            reason: reason(error),
            mend: self.mend,
        }
    }

    /// Whether an answer of the Hub is one; a redirection to elsewhere is.
    fn check(&self, answer: &Answer, repo: &Repo, what: &str) -> Result<(), HubError> {
        let status = answer.response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        let endpoint = self.endpoint.to_owned();
        let code = header(answer.response.headers(), ERROR_CODE);
        let status = status.as_u16();
        Err(match (status, code.unwrap_or_default()) {
            (401 | 403, _) if self.token.is_none() => HubError::NeedsToken { endpoint, status },
            (401 | 403, _) => HubError::Denied { endpoint, status },
            (404, "RevisionNotFound") => HubError::NoRevision {
                revision: repo.revision().to_owned(),
            },
            (404, "EntryNotFound") => HubError::NoFile {
                file: what.to_owned(),
            },
            (404, _) => HubError::NoModel { endpoint },
            _ => HubError::Status {
                host: origin(&answer.url).to_owned(),
                status,
                what: what.to_owned(),
            },
        })
    }
}

/// The text of a header; one that is no text is as good as none.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An answer that makes no sense.
pub(super) fn protocol(url: &str, what: &str, reason: &impl ToString) -> HubError {
    HubError::Protocol {
        host: origin(url).to_owned(),
        what: what.to_owned(),
        reason: reason.to_string(),
    }
}

/// Without the words that say in which library something happened.
fn reason(error: Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::HostNotFound => "there is no such host, or no network".to_owned(),
        Error::Timeout(_) => "it does not answer in time".to_owned(),
        other => other.to_string(),
    }
}

/// Address that an answer redirects to, if it does.
fn redirect(url: &str, response: &Response<Body>) -> Option<String> {
    let status = response.status();
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let location = header(response.headers(), LOCATION.as_str())?;
    Some(join(url, location))
}

/// An address, as one document gives it relative to its own.
fn join(url: &str, location: &str) -> String {
    let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
    if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(url))
    } else {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let directory = path.rfind('/').map_or(path, |end| &path[..end]);
        format!("{directory}/{location}")
    }
}

/// Scheme, host and port.
pub(super) fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']);
    end.map_or(url, |length| &url[..start + length])
}

/// Whether it is on this machine, to which no proxy knows the way.
fn is_loopback(url: &str) -> bool {
    let authority = origin(url)
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_answer_points_to() {
        let url = "https://hub:8080/owner/name/resolve/main/config.json?x=/";
        for (location, expected) in [
            ("/api/cache/1", "https://hub:8080/api/cache/1"),
            (
                "other.json",
                "https://hub:8080/owner/name/resolve/main/other.json",
            ),
            ("//cdn/1?sig=/", "https://cdn/1?sig=/"),
            ("http://cdn:1/x", "http://cdn:1/x"),
        ] {
            assert_eq!(join(url, location), expected);
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(
            origin("https://hub.example:443/a/b"),
            "https://hub.example:443"
        );
        assert_eq!(origin("http://hub?x"), "http://hub");
        // What stands before `@` is no host.
        assert_ne!(origin("https://hub@evil/a"), origin("https://hub/a"));
        assert_ne!(origin("http://hub/"), origin("https://hub/"));
        for (url, is) in [
            ("http://127.0.0.1:80/x", true),
            ("http://localhost", true),
            ("http://[::1]:3000", true),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_loopback(url), is, "{url}");
        }
    }
}
