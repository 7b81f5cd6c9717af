//! `cargo xtask walk`: executes every command of README, docs and `--help`, as a newcomer pastes it.
//!
//! `walk.toml` prepares the files that the pages speak of, and tells what a command needs and has to
//! print. A command that is not listed there is executed as it stands and has to succeed, so that a
//! new example cannot be forgotten. Those whose needs are not met (a network, a GPU, hours) have at
//! least to be accepted by the program that they call.

mod log;
mod pages;
mod plan;
mod words;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use clap::{Args, CommandFactory};
use miette::{IntoDiagnostic, Result, WrapErr, miette};

use self::log::{Log, Outcome};
use self::pages::Page;
use self::plan::{Entry, Plan};

#[derive(Debug, Args)]
pub(crate) struct WalkArgs {
    /// Walk pages whose name contains this: README.md, docs/training.md, 'calm trace --help'
    #[arg(value_name = "PAGE")]
    pages: Vec<String>,
    /// Train for a few steps only, and check no printed value: what the tests do
    #[arg(long)]
    quick: bool,
    /// Execute commands that need this: network, long, python, peer
    #[arg(long, value_name = "NEED")]
    with: Vec<String>,
    /// Directory with gemma3-270m and smollm2-135m, as transformers saves them
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Directory of published benchmarks, as `calm data fetch` writes it
    #[arg(long, value_name = "DIR")]
    benchmarks: Option<PathBuf>,
    /// Directory that the pages are walked in, below the workspace; it is made anew
    #[arg(long, value_name = "DIR", default_value = "target/walk")]
    dir: PathBuf,
    /// File for the log, a Markdown table: command, seconds, last line of what it printed
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(crate) fn run(args: &WalkArgs) -> Result<()> {
    let walk = Walk::prepare(args)?;
    let mut log = Log::default();
    for page in pages::all(&walk.root, &walk.calm)? {
        if walk.is_asked_for(&page) {
            walk.page(&page, &mut log)?;
        }
    }
    if let Some(file) = &args.log {
        calm_files::write(file, log.to_string()).into_diagnostic()?;
    }
    let mut stale: Vec<String> = walk.plan.unused(&log, args.pages.is_empty()).collect();
    stale.extend(words::stale(&walk.root, &walk.calm, &walk.plan.foreign())?);
    log.verdict(&stale)
}

struct Walk<'a> {
    args: &'a WalkArgs,
    plan: Plan,
    root: PathBuf,
    calm: PathBuf,
    dir: PathBuf,
    /// Needs that are met.
    met: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    /// Makes the directory with everything that pages speak of.
    fn prepare(args: &'a WalkArgs) -> Result<Self> {
        let root = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let root = root.into_diagnostic()?;
        let mut met: BTreeSet<String> = args.with.iter().cloned().collect();
        met.extend(args.models.is_some().then(|| "models".to_owned()));
        met.extend(args.benchmarks.is_some().then(|| "benchmarks".to_owned()));
        let walk = Self {
            args,
            plan: Plan::read()?,
            calm: calm()?,
            dir: root.join(&args.dir),
            root,
            met,
        };
        walk.make_stage()?;
        Ok(walk)
    }

    fn is_asked_for(&self, page: &Page) -> bool {
        let asked = &self.args.pages;
        asked.is_empty() || asked.iter().any(|name| page.name.contains(name.as_str()))
    }

    fn stage(&self) -> PathBuf {
        self.dir.join("stage")
    }

    fn make_stage(&self) -> Result<()> {
        let stage = self.stage();
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).into_diagnostic()?;
        }
        fs::create_dir_all(&stage).into_diagnostic()?;
        self.plan
            .stage
            .iter()
            .try_for_each(|line| self.make(line, &stage))
    }

    fn make(&self, line: &str, directory: &Path) -> Result<()> {
        let output = self.shell(line, directory)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(miette!("walk.toml: {line}: {}", last_line(&said)))
    }

    fn page(&self, page: &Page, log: &mut Log) -> Result<()> {
        let name: String = page.name.replace(|c: char| !c.is_alphanumeric(), "-");
        for (n, scene) in page.scenes.iter().enumerate() {
            let directory = self.dir.join(format!("{name}-{}", n + 1));
            self.set(page, scene, &directory)?;
            for command in scene {
                let started = Instant::now();
                let outcome = self.command(page, command, &directory)?;
                log.add(&page.name, command, started.elapsed(), outcome);
            }
        }
        Ok(())
    }

    /// Copies the stage for a scene, without what its commands make.
    fn set(&self, page: &Page, scene: &[String], directory: &Path) -> Result<()> {
        self.make(&format!("cp -a stage '{}'", directory.display()), &self.dir)?;
        let mut stage = self.plan.stage_of(&page.name);
        stage.try_for_each(|line| self.make(line, directory))?;
        let made = scene.iter().filter(|command| {
            let entry = self.plan.entry(&page.name, command);
            entry.is_none_or(|entry| self.missing(entry).is_none())
        });
        for out in made.filter_map(|command| value_of(command, "--out")) {
            self.make(&format!("rm -rf '{out}'"), directory)?;
        }
        Ok(())
    }

    fn command(&self, page: &Page, command: &str, directory: &Path) -> Result<Outcome> {
        let entry = self.plan.entry(&page.name, command);
        match entry.and_then(|entry| self.missing(entry)) {
            Some(need) => self.accepted(command, directory, need),
            None => self.execute(command, entry, directory),
        }
    }

    /// The first need of a command that is not met.
    fn missing<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        let needs = entry.needs.iter().map(String::as_str);
        let mut missing = needs.filter(|need| !self.met.contains(*need));
        missing.next()
    }

    fn execute(&self, command: &str, entry: Option<&Entry>, dir: &Path) -> Result<Outcome> {
        let shorter = entry.and_then(|entry| entry.quick.as_deref());
        let shorter = shorter.filter(|_| self.args.quick);
        let line = match shorter {
            Some(flags) => shortened(command, flags),
            None => command.to_owned(),
        };
        let output = self.shell(&line, dir)?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        let exit = entry.map_or(0, |entry| entry.exit);
        if output.status.code() != Some(exit) {
            let status = output.status;
            return Ok(Outcome::Failed(format!("{status}: {}", last_line(&said))));
        }
        let expected = entry.and_then(|entry| entry.prints.as_ref());
        match expected.filter(|_| !self.args.quick) {
            Some(pattern) if !pattern.is_match(&said) => Ok(Outcome::Failed(format!(
                "prints nothing like {:?}: {}",
                pattern.as_str(),
                last_line(&said)
            ))),
            _ if printed.trim().is_empty() => Ok(Outcome::Done(last_line(&said))),
            _ => Ok(Outcome::Done(last_line(&printed))),
        }
    }

    /// Whether the called program knows these flags, without doing what they ask for.
    fn accepted(&self, command: &str, dir: &Path, need: &str) -> Result<Outcome> {
        let why = format!("not executed, needs: {need}");
        if let Some(arguments) = command.strip_prefix("cargo xtask ") {
            let words = arguments.split_whitespace().map(OsString::from);
            let parsed = crate::Cli::command()
                .try_get_matches_from(std::iter::once(OsString::from("cargo xtask")).chain(words));
            return Ok(match parsed {
                Ok(_) => Outcome::Accepted(why),
                Err(error) => Outcome::Failed(last_line(&error.to_string())),
            });
        }
        if !command.starts_with("calm ") {
            return Ok(Outcome::Accepted(why));
        }
        let output = self.shell(&format!("{} --help", call(command)), dir)?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(match output.status.success() {
            true => Outcome::Accepted(why),
            false => Outcome::Failed(last_line(&said)),
        })
    }

    /// Runs a line in a shell that finds this build's `calm` first.
    fn shell(&self, line: &str, directory: &Path) -> Result<Output> {
        let programs = self.calm.parent().unwrap_or(&self.root);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).current_dir(directory);
        shell.env("PATH", std::env::join_paths(paths).into_diagnostic()?);
        shell.env("ROOT", &self.root);
        for (name, dir) in [
            ("MODELS", &self.args.models),
            ("BENCHMARKS", &self.args.benchmarks),
        ] {
            let dir = dir.as_ref().map(fs::canonicalize).transpose();
            shell.env(name, dir.into_diagnostic()?.unwrap_or_default());
        }
        shell.stdin(Stdio::null());
        shell
            .output()
            .into_diagnostic()
            .wrap_err_with(|| line.to_owned())
    }
}

/// The program `calm` of this build, which lies beside this one.
fn calm() -> Result<PathBuf> {
    let own = std::env::current_exe().into_diagnostic()?;
    let calm = own.with_file_name(format!("calm{}", std::env::consts::EXE_SUFFIX));
    match calm.is_file() {
        true => Ok(calm),
        false => Err(miette!(
            "{} is not built: cargo build --release --bin calm",
            calm.display()
        )),
    }
}

/// A command with more flags, before it is redirected.
fn with_flags(command: &str, flags: &str) -> String {
    let call = call(command);
    format!("{call} {flags}{}", &command[call.len()..])
}

/// A command up to where it is redirected.
fn call(command: &str) -> &str {
    let ends = [" < ", " > ", " | "].map(|sign| command.find(sign));
    let end = ends.into_iter().flatten().min();
    &command[..end.unwrap_or(command.len())]
}

/// A command with other values of these flags, each followed by one.
fn shortened(command: &str, flags: &str) -> String {
    let words: Vec<&str> = flags.split_whitespace().collect();
    words
        .chunks_exact(2)
        .fold(command.to_owned(), |command, pair| {
            let flag = pair.join(" ");
            match value_of(&command, pair[0]) {
                Some(value) => command.replace(&format!("{} {value}", pair[0]), &flag),
                None => with_flags(&command, &flag),
            }
        })
}

/// The word behind a flag.
fn value_of<'a>(command: &'a str, flag: &str) -> Option<&'a str> {
    let mut words = command.split_whitespace().skip_while(|word| *word != flag);
    words.nth(1)
}

/// The last line with anything on it.
fn last_line(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}
