//! The two programs that are compared, and the directory that everything is written to.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use calm_lm::backend::FloatType;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::work::{Machine, Measured, Work};
use super::{BenchArgs, pairs};

/// The other side, which Python runs.
const PEER: &str = include_str!("peer.py");

pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    peer: PathBuf,
}

impl<'a> Bench<'a> {
    /// Makes the directory of results, and random checkpoints where there are none yet.
    pub(super) fn new(args: &'a BenchArgs) -> Result<Self> {
        fs::create_dir_all(&args.out)
            .into_diagnostic()
            .wrap_err_with(|| args.out.display().to_string())?;
        let peer = args.out.join("peer.py");
        let bench = Self { args, peer };
        bench.write("peer.py", PEER)?;
        for pair in &args.pair {
            pairs::make(&args.pairs, pair)?;
        }
        Ok(bench)
    }

    /// The most that the machine gives.
    pub(super) fn machine(&self) -> Result<Machine> {
        let mut command = measure(Work::Machine)?;
        parsed(command.args(["--device", &self.args.device]))
    }

    /// Our side of a work.
    pub(super) fn ours(&self, work: Work, flags: &[String], pair: &str) -> Result<Measured> {
        let mut command = measure(work)?;
        command.arg(&self.args.pairs).arg(pair).args(flags);
        let dtype = self.args.dtype.name();
        parsed(command.args(["--device", &self.args.device, "--dtype", dtype]))
    }

    /// PyTorch's side, unless it is left out.
    pub(super) fn peer(
        &self,
        work: Work,
        flags: &[String],
        pair: &str,
    ) -> Result<Option<Measured>> {
        if self.args.alone {
            return Ok(None);
        }
        let dtype = match self.args.dtype {
            FloatType::F32 => "float32",
            FloatType::F16 => "float16",
            FloatType::BF16 => "bfloat16",
        };
        let mut command = self.python(&work.name(), pair);
        command.args(flags);
        parsed(command.args(["--device", &self.args.device, "--dtype", dtype])).map(Some)
    }

    fn python(&self, verb: &str, pair: &str) -> Command {
        let mut command = Command::new(&self.args.python);
        command.arg(&self.peer).arg(verb);
        command.arg(&self.args.pairs).arg(pair);
        command
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        calm_files::write(self.args.out.join(name), text).into_diagnostic()
    }

    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).into_diagnostic()?;
        self.write(name, &(text + "\n"))
    }
}

/// This program again, for one work.
fn measure(work: Work) -> Result<Command> {
    let mut command = Command::new(env::current_exe().into_diagnostic()?);
    command.args(["measure", &work.name()]);
    Ok(command)
}

/// The JSON that a program prints.
fn parsed<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    serde_json::from_slice(&output(command)?)
        .into_diagnostic()
        .wrap_err_with(|| name(command))
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().into_diagnostic();
    let output = output.wrap_err_with(|| name(command))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    Err(miette!("{} failed: {last}", name(command)))
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).display().to_string()
}
