//! A Hub of one repository on this machine.
//!
//! It answers as the real one does: a list of files under `/api`, small files by way of another path
//! of its own, weights by way of another host (here, another port) that knows ranges and no names.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) use calm_files::sha256;

pub(crate) const NAME: &str = "owner/name";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How the server departs from what it should do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// Requests to paths that contain the text get this status, and this error code.
    pub(crate) refuse: Option<(&'static str, u16, &'static str)>,
    /// Only this token is let in.
    pub(crate) token: Option<&'static str>,
    /// So many answers with weights end after so many bytes.
    pub(crate) cut: Option<(usize, usize)>,
    /// One bit of all weights is another.
    pub(crate) corrupt: bool,
    /// Weights have so many bytes more than their redirection says.
    pub(crate) surplus: usize,
    /// Ranges are not known.
    pub(crate) ignore_ranges: bool,
}

/// A request, and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// Whether it came to the host that stores weights.
    pub(crate) is_storage: bool,
    pub(crate) token: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) bytes_sent: usize,
}

/// The server; it ends with the process.
#[derive(Clone)]
pub(crate) struct HubServer {
    pub(crate) endpoint: String,
    /// Where files are by their names, which may have directories.
    pub(crate) storage: String,
    state: Arc<State>,
}

struct State {
    files: Mutex<Files>,
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<Request>>,
    storage: String,
}

impl HubServer {
    pub(crate) fn start(files: Files) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, storage) = (listen(), listen());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let endpoint = address(&hub);
        let state = Arc::new(State {
            files: Mutex::new(files),
            behaviour: Mutex::default(),
            requests: Mutex::default(),
            storage: address(&storage),
        });
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let state = state.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    // Whoever hangs up does not want the rest.
                    thread::spawn(move || drop(state.answer(&stream, is_storage)));
                }
            });
        }
        let storage = format!("{}/storage", state.storage);
        Self {
            endpoint,
            storage,
            state,
        }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Files)) {
        change(&mut self.state.files.lock().unwrap());
    }

    /// The requests since this was last called.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }
}

/// All files of a directory.
pub(crate) fn files(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    named.collect()
}

impl State {
    fn answer(&self, stream: &TcpStream, is_storage: bool) -> std::io::Result<()> {
        let mut request = read(stream, is_storage)?;
        let answer = self.find(&request);
        let is_head = request.line.starts_with("HEAD");
        let (sent, length) = match is_head {
            true => (0, answer.body.len()),
            false => (self.cut(&request, answer.body.len()), answer.body.len()),
        };
        request.bytes_sent = sent;
        // Noted before it is sent: whoever has the answer may ask what was asked.
        self.requests.lock().unwrap().push(request);
        let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
        write!(head, "Content-Length: {length}\r\n").unwrap();
        for (name, value) in &answer.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut stream = stream;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&answer.body[..sent])?;
        stream.flush()
    }

    /// How much of an answer is sent.
    fn cut(&self, request: &Request, length: usize) -> usize {
        match &mut self.behaviour.lock().unwrap().cut {
            Some((times, bytes)) if request.is_storage && *times > 0 => {
                *times -= 1;
                length.min(*bytes)
            }
            _ => length,
        }
    }

    fn find(&self, request: &Request) -> Answer {
        let behaviour = self.behaviour.lock().unwrap().clone();
        let path = request.line.split(' ').nth(1).unwrap();
        match behaviour.refuse {
            Some((part, status, code)) if path.contains(part) => {
                return Answer::error(status, code);
            }
            _ => {}
        }
        if let Some(name) = path
            .strip_prefix("/storage/")
            .filter(|_| request.is_storage)
        {
            return self.stored(name, request, &behaviour);
        }
        if behaviour.token.is_some() && request.token.as_deref() != behaviour.token {
            return Answer::error(401, "GatedRepo");
        }
        let of_data = format!("/api/datasets/{NAME}/revision/");
        let of_model = format!("/api/models/{NAME}/revision/");
        let revision = path.strip_prefix(&of_model).or(path.strip_prefix(&of_data));
        if let Some(revision) = revision {
            return match ["main", "feature%2Fx", COMMIT].contains(&revision) {
                true => self.list(),
                false => Answer::error(404, "RevisionNotFound"),
            };
        }
        let path = path.strip_prefix("/datasets").unwrap_or(path);
        if let Some(name) = path.strip_prefix(&format!("/{NAME}/resolve/{COMMIT}/")) {
            return self.redirect(name);
        }
        match path.strip_prefix("/api/resolve-cache/") {
            Some(name) => self.small(name),
            None => Answer::error(404, "RepoNotFound"),
        }
    }

    fn list(&self) -> Answer {
        let files = self.files.lock().unwrap();
        let siblings: Vec<String> = files
            .keys()
            .map(|name| format!("{{\"rfilename\": {name:?}}}"))
            .collect();
        let siblings = siblings.join(", ");
        let json = format!("{{\"sha\": \"{COMMIT}\", \"likes\": 3, \"siblings\": [{siblings}]}}");
        Answer::new(200, json.into_bytes())
    }

    fn redirect(&self, name: &str) -> Answer {
        let files = self.files.lock().unwrap();
        let Some(bytes) = files.get(name) else {
            return Answer::error(404, "EntryNotFound");
        };
        if !name.ends_with(".safetensors") && !name.ends_with(".gguf") {
            let location = format!("/api/resolve-cache/{name}");
            return Answer::new(307, Vec::new()).with("Location", location);
        }
        Answer::new(302, Vec::new())
            .with("Location", format!("{}/storage/{name}", self.storage))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
            .with("X-Linked-Size", bytes.len().to_string())
    }

    /// A file that the Hub itself has; its hash is one of git's, of 40 digits.
    fn small(&self, name: &str) -> Answer {
        let bytes = self.files.lock().unwrap()[name].clone();
        let etag = format!("W/\"{}\"", &sha256(&bytes)[..40]);
        Answer::new(200, bytes)
            .with("ETag", etag)
            .with("X-Repo-Commit", COMMIT)
    }

    fn stored(&self, name: &str, request: &Request, behaviour: &Behaviour) -> Answer {
        let Some(mut bytes) = self.files.lock().unwrap().get(name).cloned() else {
            return Answer::error(404, "NoSuchKey");
        };
        if behaviour.corrupt {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        bytes.resize(bytes.len() + behaviour.surplus, 0);
        let range = request
            .range
            .as_deref()
            .filter(|_| !behaviour.ignore_ranges);
        let start = range.map(|range| range.trim_start_matches("bytes=").trim_end_matches('-'));
        let Some(start) = start.map(|start| start.parse::<usize>().unwrap()) else {
            return Answer::new(200, bytes).with("ETag", "\"of-the-storage\"");
        };
        let total = bytes.len();
        let range = format!("bytes {start}-{}/{total}", total - 1);
        Answer::new(206, bytes.split_off(start)).with("Content-Range", range)
    }
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: Vec<u8>) -> Self {
        let headers = Vec::new();
        Self {
            status,
            headers,
            body,
        }
    }

    fn error(status: u16, code: &'static str) -> Self {
        Self::new(status, b"no".to_vec()).with("X-Error-Code", code)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

fn read(stream: &TcpStream, is_storage: bool) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let line = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut request = Request {
        line,
        is_storage,
        token: None,
        range: None,
        bytes_sent: 0,
    };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.token = Some(value.trim_start_matches("Bearer ").to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.to_owned());
            }
            Some(_) => {}
        }
    }
    Ok(request)
}
