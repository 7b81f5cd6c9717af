//! Running the binary in a directory of its own.
//!
//! Plain `std::process`: the usual crate for this turns on features of the regex engine, and tests
//! would then build all of Burn a second time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use calm_testing::fixtures;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with two checkpoints that can be composed, `anchor` (3 blocks of width 16) and
/// `specialist` (4 of width 24), which read one letter per token, and with `data.jsonl` for them.
pub(crate) struct Workshop(TempDir);

/// Files below a directory by their paths in it.
pub(crate) type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let workshop = Self(tempfile::tempdir().unwrap());
        let checkpoints = fixtures("calm-compose").join("checkpoints");
        workshop.copy(&checkpoints.join("llama"), "anchor");
        workshop.copy(&checkpoints.join("llama3-scaled-tied"), "specialist");
        let texts = [
            ("ABCDE", "FG"),
            ("KLM", "abc"),
            ("QWERTY", "A"),
            ("gfd", "m"),
        ];
        let lines = texts.map(|(prompt, target)| example(prompt, target));
        workshop.write("data.jsonl", &lines.concat().repeat(6));
        workshop
    }

    /// A workshop with these files and no others.
    pub(crate) fn with(contents: &Contents) -> Self {
        let workshop = Self(tempfile::tempdir().unwrap());
        workshop.add(contents);
        workshop
    }

    pub(crate) fn add(&self, contents: &Contents) {
        for (path, bytes) in contents {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        files_below(self.0.path())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// The bridges of a composition.
    pub(crate) fn bridges(&self, name: &str) -> Vec<u8> {
        self.bytes(&format!("{name}/bridge.safetensors"))
    }

    /// Copies the files of a directory.
    pub(crate) fn copy(&self, from: &Path, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), self.path(name).join(entry.file_name())).unwrap();
        }
    }

    /// Names of all entries of the directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// `calm` with the words of `line`, here, with an empty standard input.
    pub(crate) fn calm(&self, line: &str) -> Run {
        self.calm_reading(line, "")
    }

    /// The same with this standard input.
    pub(crate) fn calm_reading(&self, line: &str, input: &str) -> Run {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read its input closes it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Run::new(line, child.wait_with_output().unwrap())
    }

    /// The lines, each after `beginning`, are refused with these words, and change no file.
    pub(crate) fn refuses(&self, beginning: &str, cases: &[(&str, &[&str])]) {
        let before = (self.names(), self.contents());
        for (rest, words) in cases {
            let line = format!("{beginning} {rest}");
            self.calm(&line).refused(words);
            let after = (self.names(), self.contents());
            assert!(after == before, "{line} changed {:?}", after.1.keys());
        }
    }

    /// The command, to be run by the caller.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_calm"));
        command.args(line.split_whitespace());
        command.current_dir(self.0.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Run {
    pub(crate) fn new(line: &str, output: Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: without_signs_of_life(&String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Its output, if it succeeded.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The JSON object that it printed.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// Asserts that it refused in one line with these words, and printed nothing else.
    pub(crate) fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:#?}");
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:#?}");
        }
    }
}

/// Whether a line says what a command is doing, as it does where the machine is too busy for it.
pub(crate) fn is_sign_of_life(line: &str) -> bool {
    line.trim_end().ends_with(" …")
}

fn without_signs_of_life(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !is_sign_of_life(line)).collect()
}

/// All files below a directory, but for locks.
pub(crate) fn files_below(root: &Path) -> Contents {
    let mut files = Contents::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("lock") {
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// A line of a prompt/target file.
pub(crate) fn example(prompt: &str, target: &str) -> String {
    format!(
        "{}\n",
        serde_json::json!({ "prompt": prompt, "target": target })
    )
}

/// Ends a process with a signal that it cannot handle.
pub(crate) fn kill(mut child: Child) -> Output {
    child.kill().unwrap();
    child.wait_with_output().unwrap()
}

/// Waits for something to happen, at most a minute.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
