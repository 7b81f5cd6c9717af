//! Log of a walk: every command, how long it took, and the last line that it printed.

use std::fmt;
use std::time::Duration;

use miette::{Result, miette};

pub(super) enum Outcome {
    /// The last line that it printed.
    Done(String),
    /// Not executed, and why; the program knows its flags.
    Accepted(String),
    /// The fault.
    Failed(String),
}

#[derive(Default)]
pub(super) struct Log {
    lines: Vec<Line>,
}

struct Line {
    page: String,
    command: String,
    time: Duration,
    outcome: Outcome,
}

impl Log {
    /// Keeps an outcome, and prints it at once.
    pub(super) fn add(&mut self, page: &str, command: &str, time: Duration, outcome: Outcome) {
        let seconds = time.as_secs_f32();
        let (sign, text) = match &outcome {
            Outcome::Done(text) => ("ok", text),
            Outcome::Accepted(text) => ("--", text),
            Outcome::Failed(text) => ("FAILED", text),
        };
        println!("{sign:6} {seconds:7.1} s  {page}: {command}\n                  {text}");
        self.lines.push(Line {
            page: page.to_owned(),
            command: command.to_owned(),
            time,
            outcome,
        });
    }

    pub(super) fn has(&self, page: &str) -> bool {
        self.lines.iter().any(|line| line.page == page)
    }

    /// Pages and commands.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.lines.iter();
        lines.map(|line| (line.page.as_str(), line.command.as_str()))
    }

    /// Fails with the number of commands that failed, and with words that are out of date.
    pub(super) fn verdict(&self, stale: &[String]) -> Result<()> {
        let is = |wanted: fn(&Outcome) -> bool| {
            let lines = self.lines.iter();
            lines.filter(|line| wanted(&line.outcome)).count()
        };
        let done = is(|outcome| matches!(outcome, Outcome::Done(_)));
        let accepted = is(|outcome| matches!(outcome, Outcome::Accepted(_)));
        let failed = is(|outcome| matches!(outcome, Outcome::Failed(_)));
        println!("{done} commands executed, {accepted} accepted, {failed} failed");
        if failed > 0 {
            return Err(miette!("{failed} commands failed"));
        }
        match stale {
            [] => Ok(()),
            _ => Err(miette!("out of date:\n{}", stale.join("\n"))),
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| page | command | seconds | last line |")?;
        writeln!(f, "| --- | --- | ---: | --- |")?;
        for line in &self.lines {
            let seconds = line.time.as_secs_f32();
            let (sign, text) = match &line.outcome {
                Outcome::Done(text) | Outcome::Accepted(text) => ("", text),
                Outcome::Failed(text) => ("**failed:** ", text),
            };
            let (command, text) = (cell(&line.command), cell(text));
            writeln!(
                f,
                "| {} | `{command}` | {seconds:.1} | {sign}{text} |",
                line.page
            )?;
        }
        Ok(())
    }
}

/// Text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
