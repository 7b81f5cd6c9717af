//! Messages between two processes: MessagePack in binary WebSocket messages, as Burn's own remote
//! execution has it, but blocking. The bytes of a tensor follow in messages of their own.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::TensorData;
use calm_files::{Digest, Sha256, first_difference};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use socket2::{SockRef, TcpKeepalive};
use tungstenite::client::client_with_config;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{StatusCode, Uri};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, ClientRequestBuilder, Error, Message, WebSocket, accept_hdr_with_config};

use super::WorkerError;
use super::message::{Hello, PROTOCOL, TensorHead};
use super::options::RankOptions;

/// How often somebody who waits looks whether it still makes sense.
const POLL: Duration = Duration::from_millis(50);

/// Between attempts to reach somebody who does not listen yet.
const RETRY: Duration = Duration::from_millis(200);

/// The largest message. Larger ones would be moved about in the buffers of the library.
const PART: usize = 1 << 20;

/// How long a stranger may take for it.
const GREETING: Duration = Duration::from_secs(10);

/// Probes of a connection on which nothing happens; after nine of them most systems give it up.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// A connection between the process of a run and a worker.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocket<TcpStream>,
    /// Batches that the other end works on at a time.
    pub(super) capacity: usize,
}

impl Connection {
    /// Reaches the worker at `address`, which may take its time to begin listening, and makes sure
    /// that it is of the same run.
    pub(super) fn open(
        address: &str,
        options: &RankOptions,
        settings: &impl Serialize,
    ) -> Result<Self, WorkerError> {
        let stream = reach(address, options.patience)?;
        configure(&stream, options.patience, options.patience)?;
        let unusable = |reason: String| WorkerError::Unreachable {
            source: io::Error::new(ErrorKind::InvalidInput, reason),
        };
        let uri: Uri = format!("ws://{address}/")
            .parse()
            .map_err(|error| unusable(format!("{error}")))?;
        let mut request = ClientRequestBuilder::new(uri);
        if let Some(token) = &options.token {
            request = request.with_header("Authorization", bearer(token));
        }
        let (socket, _) = client_with_config(request, stream, Some(config()))
            .map_err(|error| handshake_error(error, options.patience))?;
        let connection = Self {
            socket,
            capacity: 0,
        };
        connection.greeted(settings, 0, [options.patience; 2])
    }

    /// Answers whoever has reached this worker, and makes sure that it is of the same run.
    pub(super) fn accept(
        stream: TcpStream,
        options: &RankOptions,
        settings: &impl Serialize,
        capacity: usize,
    ) -> Result<Self, WorkerError> {
        configure(&stream, GREETING, options.patience)?;
        // Whoever has no token is told nothing at all.
        #[expect(clippy::result_large_err, reason = "as the library has it")]
        let authorize =
            |request: &Request, response: Response| match is_authorized(request, options) {
                true => Ok(response),
                false => {
                    let mut refusal = ErrorResponse::new(None);
                    *refusal.status_mut() = StatusCode::UNAUTHORIZED;
                    Err(refusal)
                }
            };
        let socket = accept_hdr_with_config(stream, authorize, Some(config()))
            .map_err(|error| handshake_error(error, GREETING))?;
        let connection = Self {
            socket,
            capacity: 0,
        };
        connection.greeted(settings, capacity, [GREETING, options.patience])
    }

    /// The connection, if both sides are of the same run.
    fn greeted(
        mut self,
        settings: &impl Serialize,
        capacity: usize,
        [greeting, patience]: [Duration; 2],
    ) -> Result<Self, WorkerError> {
        let hello = Hello {
            protocol: PROTOCOL,
            settings: serde_json::to_string(settings).expect("settings are plain data"),
            capacity,
        };
        self.send(&hello)?;
        let theirs: Hello = self.receive(Some(greeting), || false)?;
        if theirs.protocol != PROTOCOL {
            let difference = format!("protocol: {} there, {PROTOCOL} here", theirs.protocol);
            return Err(WorkerError::OtherRun { difference });
        }
        let found: Value =
            serde_json::from_str(&theirs.settings).map_err(|error| not_understood(&error))?;
        if let Some(difference) = first_difference(&found, settings) {
            let difference = difference.to_string();
            return Err(WorkerError::OtherRun { difference });
        }
        self.capacity = theirs.capacity;
        configure(self.socket.get_ref(), POLL, patience)?;
        Ok(self)
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &impl Serialize) -> Result<(), WorkerError> {
        let bytes = rmp_serde::to_vec(message).map_err(|error| not_understood(&error))?;
        let sent = self.socket.send(Message::Binary(bytes.into()));
        sent.map_err(socket_error)
    }

    /// Sends a tensor, or that there is none.
    pub(super) fn send_tensor(&mut self, tensor: Option<&TensorData>) -> Result<(), WorkerError> {
        self.send(&tensor.map(TensorHead::of))?;
        for part in tensor.map_or(&[][..], TensorData::as_bytes).chunks(PART) {
            let part = Message::Binary(Bytes::copy_from_slice(part));
            self.socket.write(part).map_err(socket_error)?;
        }
        self.socket.flush().map_err(socket_error)
    }

    /// The next message, waited for as long as `patience` says, or for ever, or until `is_cancelled`.
    pub(super) fn receive<M: DeserializeOwned>(
        &mut self,
        patience: Option<Duration>,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<M, WorkerError> {
        let bytes = self.receive_bytes(patience, is_cancelled)?;
        rmp_serde::from_slice(&bytes).map_err(|error| not_understood(&error))
    }

    /// The next tensor, which must be like `expected`, or that there is none.
    pub(super) fn receive_tensor(
        &mut self,
        expected: &TensorHead,
        patience: Duration,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Option<TensorData>, WorkerError> {
        let Some(head) = self.receive::<Option<TensorHead>>(Some(patience), &is_cancelled)? else {
            return Ok(None);
        };
        if head != *expected {
            let misfit = format!("{head:?} where {expected:?} is trained");
            return Err(not_understood(&misfit));
        }
        let length = head.bytes();
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let part = self.receive_bytes(Some(patience), &is_cancelled)?;
            if part.is_empty() || part.len() > length - bytes.len() {
                return Err(not_understood(
                    &"a part of a tensor that is too long, or empty",
                ));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(head.with_bytes(bytes)))
    }

    fn receive_bytes(
        &mut self,
        patience: Option<Duration>,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Bytes, WorkerError> {
        let began = Instant::now();
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => return Ok(bytes),
                Ok(Message::Text(_)) => return Err(not_understood(&"text")),
                // Answered by the library.
                Ok(_) => {}
                Err(Error::Io(error)) if is_timeout(&error) => {}
                Err(error) => return Err(socket_error(error)),
            }
            if is_cancelled() {
                return Err(WorkerError::Cancelled);
            }
            if let Some(patience) = patience.filter(|patience| began.elapsed() > *patience) {
                return Err(silent(patience));
            }
        }
    }
}

/// A connection to `address`. While nobody listens there yet, that is tried again.
fn reach(address: &str, patience: Duration) -> Result<TcpStream, WorkerError> {
    let began = Instant::now();
    let attempt = || {
        let mut last = io::Error::new(ErrorKind::NotFound, "no such host");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    loop {
        match attempt() {
            Ok(stream) => return Ok(stream),
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused
                    && began.elapsed() + RETRY < patience =>
            {
                thread::sleep(RETRY);
            }
            Err(source) => return Err(WorkerError::Unreachable { source }),
        }
    }
}

/// A machine that vanishes without a word is noticed by keep-alive probes, whoever is to speak next.
fn configure(stream: &TcpStream, read: Duration, write: Duration) -> Result<(), WorkerError> {
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY);
    let configured = SockRef::from(stream)
        .set_tcp_keepalive(&keepalive)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(read)))
        .and_then(|()| stream.set_write_timeout(Some(write)));
    configured.map_err(|error| socket_error(Error::Io(error)))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(PART))
        .max_frame_size(Some(PART))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Hashes are compared, since how long that takes tells nothing of the token.
fn is_authorized(request: &Request, options: &RankOptions) -> bool {
    let Some(token) = &options.token else {
        return true;
    };
    let given = request.headers().get("Authorization");
    let given = given.map_or(&[][..], |value| value.as_bytes());
    Sha256::digest(given) == Sha256::digest(bearer(token))
}

fn handshake_error<Role: tungstenite::handshake::HandshakeRole>(
    error: HandshakeError<Role>,
    patience: Duration,
) -> WorkerError {
    match error {
        HandshakeError::Interrupted(_) => silent(patience),
        HandshakeError::Failure(Error::Http(response))
            if response.status() == StatusCode::UNAUTHORIZED =>
        {
            WorkerError::Unauthorized
        }
        HandshakeError::Failure(error) => socket_error(error),
    }
}

fn socket_error(error: Error) -> WorkerError {
    let lost = |reason: String| WorkerError::Lost { reason };
    match error {
        Error::Io(error) if is_timeout(&error) => lost("it takes in nothing any more".to_owned()),
        Error::Io(error) => lost(error.to_string()),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            lost("the connection was closed".to_owned())
        }
        other => not_understood(&other),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn silent(patience: Duration) -> WorkerError {
    let seconds = patience.as_secs();
    WorkerError::Silent { seconds }
}

fn not_understood(reason: &impl ToString) -> WorkerError {
    let reason = reason.to_string();
    WorkerError::Protocol { reason }
}
