//! Starts two interpreters, and watches them until the tests end or a limit is reached.

use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::launch::{FAILED, Launch, Rules};
use crate::{Outcome, Program, Sandbox, SandboxError, Verdict};

const WIRE: &str = include_str!("python/wire.py");
const PROGRAM: &str = include_str!("python/program.py");
const CHECKER: &str = include_str!("python/checker.py");

/// Printed output that is kept.
const KEPT_BYTES: usize = 4096;

/// A verdict is one line, with a reason of at most 300 characters.
const VERDICT_BYTES: u64 = 1 << 16;

/// Time between two looks at the files of a program.
const INTERVAL: Duration = Duration::from_millis(50);

#[cfg(unix)]
const SIGXCPU: i32 = 24;
#[cfg(unix)]
const SIGKILL: i32 = 9;

/// Time for an interpreter that has closed its pipes to exit by itself.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) fn judge(sandbox: &Sandbox, program: &Program) -> Result<Verdict, SandboxError> {
    let started = Instant::now();
    let directory = sandbox.directory.for_program();
    let directory = directory.map_err(SandboxError::io("a temporary directory"))?;
    let (job, work) = (
        directory.path().join("job.json"),
        directory.path().join("work"),
    );
    write_job(&job, program).map_err(SandboxError::io("writing the tests"))?;
    fs::create_dir(&work).map_err(SandboxError::io("a directory for the program"))?;
    let mut pair = Pair::start(sandbox, &job, &work)?;
    let deadline = started + Duration::from_secs(sandbox.limits.wall_s);
    let mut seen = pair.watch(deadline, &work, sandbox);
    let elapsed = started.elapsed();
    let judged = pair.judge(&seen, elapsed, sandbox);
    pair.finish(&mut seen, sandbox);
    directory
        .close()
        .map_err(SandboxError::io("removing the program's files"))?;
    // A limit of output may have been reached before the tests ended, and be noticed only now.
    let (outcome, reason) = seen.over.map_or(judged, Ok)?;
    Ok(Verdict {
        outcome,
        reason,
        printed: String::from_utf8_lossy(&seen.printed).into_owned(),
        elapsed,
    })
}

fn write_job(path: &Path, program: &Program) -> io::Result<()> {
    serde_json::to_writer(File::create(path)?, program).map_err(Into::into)
}

/// The interpreter of the program and that of its tests; each reads the other's output.
struct Pair {
    program: Process,
    checker: Process,
    events: Receiver<Event>,
}

enum Event {
    /// The last words of the checker.
    Verdict(Vec<u8>),
    /// All output of the program.
    Printed(Vec<u8>),
    /// The beginning of the program's output, which exceeds its limit.
    Flooded(Vec<u8>),
}

/// Observations of a pair.
#[derive(Default)]
struct Seen {
    verdict: Option<Vec<u8>>,
    printed: Vec<u8>,
    /// The limit that was reached.
    over: Option<(Outcome, String)>,
}

/// The checker's message.
#[derive(Deserialize)]
struct Said {
    outcome: String,
    reason: String,
}

impl Pair {
    fn start(sandbox: &Sandbox, job: &Path, work: &Path) -> Result<Self, SandboxError> {
        let pipe = || io::pipe().map_err(SandboxError::io("a pipe"));
        let ((asked, ask), (answered, answer)) = (pipe()?, pipe()?);
        let program = Process::start(
            sandbox,
            launch(sandbox, PROGRAM, None, Some(work)),
            (asked.into(), answer.into()),
            work,
        )?;
        let checker = Process::start(
            sandbox,
            launch(sandbox, CHECKER, Some(job), None),
            (answered.into(), ask.into()),
            work,
        )?;
        let (sender, events) = mpsc::channel();
        let mut pair = Self {
            program,
            checker,
            events,
        };
        pair.listen(&sender, sandbox.limits.output_bytes);
        Ok(pair)
    }

    /// Reads the output of both. The threads end with the processes, whose pipes nobody else has.
    fn listen(&mut self, events: &Sender<Event>, output_bytes: u64) {
        let (verdicts, said) = (events.clone(), self.checker.0.stderr.take());
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(said) = said {
                let _ = said.take(VERDICT_BYTES).read_to_end(&mut bytes);
            }
            let _ = verdicts.send(Event::Verdict(bytes));
        });
        let (prints, printed) = (events.clone(), self.program.0.stderr.take());
        thread::spawn(move || {
            let event = printed.map(|printed| read_printed(printed, output_bytes));
            let _ = prints.send(event.unwrap_or(Event::Printed(Vec::new())));
        });
    }

    /// Waits for a verdict, or for the program to reach a limit.
    fn watch(&mut self, deadline: Instant, work: &Path, sandbox: &Sandbox) -> Seen {
        let limits = &sandbox.limits;
        let mut seen = Seen::default();
        while seen.verdict.is_none() && seen.over.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left.min(INTERVAL)) {
                Ok(event) => seen.add(event, limits.output_bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    let reason = format!("it was not done after {} s", limits.wall_s);
                    seen.over = Some((Outcome::OutOfTime, reason));
                }
                Err(RecvTimeoutError::Timeout) if self.used_bytes(work) > limits.disk_bytes => {
                    let reason = format!("it wrote more than {} bytes", limits.disk_bytes);
                    seen.over = Some((Outcome::OutOfDisk, reason));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        seen
    }

    /// Makes up the verdict.
    fn judge(
        &mut self,
        seen: &Seen,
        elapsed: Duration,
        sandbox: &Sandbox,
    ) -> Result<(Outcome, String), SandboxError> {
        if let Some(over) = &seen.over {
            return Ok(over.clone());
        }
        let ended = |status| ended(status, elapsed.as_secs() >= sandbox.limits.cpu_s);
        let said = seen.verdict.as_deref().unwrap_or_default();
        let checker = self.checker.end();
        if checker.and_then(|status| status.code()) == Some(i32::from(FAILED)) {
            let reason = String::from_utf8_lossy(said).into_owned();
            return Err(sandbox.launcher_failed(reason));
        }
        let Ok(said) = serde_json::from_slice::<Said>(said) else {
            let (outcome, how) = ended(checker);
            return Ok((outcome, format!("the tests could not be ended: it {how}")));
        };
        Ok(match said.outcome.as_str() {
            "passed" => (Outcome::Passed, String::new()),
            "unusable" => (Outcome::Unusable, said.reason),
            "absent" => return Err(sandbox.launcher_failed(said.reason)),
            "gone" => match ended(self.program.end()) {
                (Outcome::Failed, _) => (Outcome::Failed, said.reason),
                (outcome, how) => (outcome, format!("it {how}")),
            },
            _ => (Outcome::Failed, said.reason),
        })
    }

    /// Kills both, and reads the rest of their output.
    fn finish(mut self, seen: &mut Seen, sandbox: &Sandbox) {
        self.program.kill();
        self.checker.kill();
        // Both pipes are closed now, unless a process outside of any sandbox holds one.
        while let Ok(event) = self.events.recv_timeout(PATIENCE) {
            seen.add(event, sandbox.limits.output_bytes);
        }
    }

    /// Bytes of the program's files: those in its directory, and open ones without a name.
    fn used_bytes(&self, directory: &Path) -> u64 {
        let mut files = entries(directory, DirEntry::metadata);
        let open = entries(&self.program.open_files(), |file| fs::metadata(file.path()));
        files.extend(open.into_iter().filter(is_nameless));
        // An empty file takes room, too.
        files.iter().map(|file| file.len().max(4096)).sum()
    }
}

impl Seen {
    fn add(&mut self, event: Event, output_bytes: u64) {
        match event {
            Event::Verdict(bytes) => self.verdict = Some(bytes),
            Event::Printed(bytes) => self.printed = bytes,
            Event::Flooded(bytes) => {
                self.printed = bytes;
                let reason = format!("it printed more than {output_bytes} bytes");
                self.over = Some((Outcome::OutOfOutput, reason));
            }
        }
    }
}

/// An interpreter, which is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(
        sandbox: &Sandbox,
        launch: Launch,
        (input, output): (Stdio, Stdio),
        directory: &Path,
    ) -> Result<Self, SandboxError> {
        let mut command = sandbox.command(launch);
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        command.current_dir(directory);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = command.spawn();
        started
            .map(Self)
            .map_err(SandboxError::io("starting an interpreter"))
    }

    /// The directory that lists its open files.
    fn open_files(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd", self.0.id()))
    }

    /// Waits for a process that is about to exit, and kills it if it does not. Its own exit status.
    fn end(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        self.kill();
        None
    }

    fn kill(&mut self) {
        // Without seccomp, it may have started others, which are in its group.
        #[cfg(target_os = "linux")]
        if let Ok(id) = i32::try_from(self.0.id())
            && let Ok(None) = self.0.try_wait()
        {
            use nix::sys::signal::{Signal, killpg};
            let _ = killpg(nix::unistd::Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(sandbox: &Sandbox, stub: &str, job: Option<&Path>, work: Option<&Path>) -> Launch {
    let interpreter = &sandbox.interpreter;
    let flags = ["-s", "-S", "-B", "-u", "-X", "utf8", "-c"].map(str::to_owned);
    let job_argument = job.map(|job| job.display().to_string());
    let read = interpreter.library.iter().map(Path::new).chain(job);
    Launch {
        program: interpreter.path.clone(),
        arguments: flags
            .into_iter()
            .chain([format!("{WIRE}\n\n{stub}")])
            .chain(job_argument)
            .collect(),
        rules: Rules {
            read: read.map(Path::to_owned).collect(),
            execute: vec![interpreter.path.clone()],
            write: work.map(Path::to_owned),
            limits: sandbox.limits.clone(),
        },
        parent: std::process::id(),
        is_unsafe: sandbox.is_unsafe,
    }
}

fn read_printed(mut printed: impl Read, output_bytes: u64) -> Event {
    let (mut kept, mut total) = (Vec::new(), 0);
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = printed.read(&mut buffer) {
        total += read as u64;
        let wanted = read.min(KEPT_BYTES - kept.len());
        kept.extend_from_slice(&buffer[..wanted]);
        if total > output_bytes {
            return Event::Flooded(kept);
        }
    }
    Event::Printed(kept)
}

fn entries(directory: &Path, of: impl Fn(&DirEntry) -> io::Result<Metadata>) -> Vec<Metadata> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| of(&entry).ok()).collect()
}

/// Whether a file has no name, and so exists only while it is open.
fn is_nameless(file: &Metadata) -> bool {
    #[cfg(unix)]
    return file.is_file() && std::os::unix::fs::MetadataExt::nlink(file) == 0;
    #[cfg(not(unix))]
    false
}

/// The result of an interpreter that exited without a message.
fn ended(status: Option<ExitStatus>, is_late: bool) -> (Outcome, String) {
    #[cfg(unix)]
    if let Some(status) = status {
        use std::os::unix::process::ExitStatusExt;
        return match status.signal() {
            // The limit of processor time sends the first, and a second later the other.
            Some(signal) if signal == SIGXCPU || (signal == SIGKILL && is_late) => {
                let reason = "used more processor time than it may";
                (Outcome::OutOfTime, reason.to_owned())
            }
            Some(signal) => (Outcome::Failed, format!("was ended by signal {signal}")),
            None => (Outcome::Failed, "ended early".to_owned()),
        };
    }
    let _ = (status, is_late);
    (Outcome::Failed, "had to be ended".to_owned())
}
