//! Progress of a run on the terminal.

#[cfg(feature = "tui")]
use std::io::IsTerminal;
use std::io::Write;
use std::ops::ControlFlow;

use calm_train::runs::{DataRecord, Observer, RunEvent};
use calm_train::{StepMetrics, WorkerEvent};

#[cfg(feature = "tui")]
use super::dashboard::Dashboard;
use super::progress::show_validation;
use super::silence::Excuse;
use super::{FileProgress, Progress, interrupt, silence};

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    Nothing,
    /// A bar on a terminal, a line now and then elsewhere.
    Progress,
    /// Curves that fill the terminal; where there is none, as [`Display::Progress`].
    Dashboard,
}

/// Shows a run, and ends it after the step at which Ctrl-C came.
pub struct RunDisplay {
    display: Display,
    screen: Screen,
    /// Whoever listens is silent until it is asked.
    listening: Option<Excuse>,
    /// Steps of the run.
    steps: usize,
    /// File that is fetched, or tokenised.
    file: FileProgress,
}

impl RunDisplay {
    /// Shows one run, or several runs one after another.
    pub fn new(display: Display) -> Self {
        Self {
            display,
            screen: Screen::Nothing,
            listening: None,
            steps: 0,
            file: FileProgress::default(),
        }
    }

    fn begin(&mut self, name: &str, steps: usize, completed: usize) {
        interrupt::listen();
        self.steps = steps;
        self.screen = Screen::open(self.display, name, steps, completed);
    }

    fn show(&mut self, event: RunEvent<'_>) {
        match event {
            RunEvent::Fetching(fetching) => self.file.show_fetching(&fetching),
            RunEvent::Tokenising { done, total } => {
                self.file.show("tokenising".to_owned(), done, total, 0);
            }
            RunEvent::Data(record) => {
                self.file = FileProgress::default();
                tell(&data_line(record));
                silence::doing("preparing the first steps");
            }
            RunEvent::Reference(reference) => tell(&reference.to_string()),
            RunEvent::Validated {
                name,
                metrics,
                is_best,
            } => show_validation(name, metrics, is_best),
            RunEvent::Worker { address, event } => tell(&match event {
                WorkerEvent::Joined { peer } => format!("working for {peer}"),
                WorkerEvent::Refused { peer, error } => format!("{peer} {error}"),
                WorkerEvent::Left { peer, error } => {
                    format!("{peer} {error}; listening at {address} again")
                }
            }),
            _ => {}
        }
    }
}

impl Observer for RunDisplay {
    fn observe(&mut self, event: RunEvent<'_>) -> ControlFlow<()> {
        match event {
            RunEvent::Started {
                name,
                steps,
                completed,
            } => self.begin(name, steps, completed),
            RunEvent::Step(metrics) => {
                let is_stopped = self.screen.step(metrics);
                if is_stopped || interrupt::requested() {
                    return ControlFlow::Break(());
                }
                if metrics.step == self.steps {
                    self.screen = Screen::Nothing;
                    silence::doing("saving the result");
                }
            }
            // The address is the result of listening, not its progress.
            RunEvent::Listening(address) => {
                tell(&format!("listening at {address}"));
                self.listening.get_or_insert_default();
            }
            event if self.display != Display::Nothing => self.show(event),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn data_line(record: &DataRecord) -> String {
    let mut line = format!(
        "{}: {} examples, {} tokens, {:.1} % padding",
        record.path.display(),
        record.examples,
        record.tokens,
        100.0 * record.padding_share
    );
    if let Some(packed) = record.packed {
        line += &format!(" in {} rows of {}", packed.rows, packed.context);
    }
    let copies = record.copies as u64;
    for (count, what) in [
        (record.held_out as u64, "more held out"),
        (copies, "left out as copies of these"),
        (record.truncated, "truncated"),
        (record.skipped, "skipped"),
    ] {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    line
}

/// A line on standard error. Whoever closed it does not want to know.
fn tell(line: &str) {
    silence::heard();
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Display of a run.
enum Screen {
    Nothing,
    Progress(Progress),
    #[cfg(feature = "tui")]
    Dashboard(Box<Dashboard>),
}

impl Screen {
    fn open(display: Display, name: &str, steps: usize, completed: usize) -> Self {
        match display {
            Display::Nothing => return Self::Nothing,
            Display::Progress => {}
            #[cfg(feature = "tui")]
            Display::Dashboard
                if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() =>
            {
                return Self::Dashboard(Box::new(Dashboard::open(name, steps, completed)));
            }
            Display::Dashboard => {
                let reason = match cfg!(feature = "tui") {
                    true => "this is no terminal",
                    false => "this build has none (feature `tui`)",
                };
                tell(&format!("no dashboard, {reason}; plain progress instead"));
            }
        }
        Self::Progress(Progress::of_steps(name, steps, completed))
    }

    /// Shows a step. Returns whether the run is to stop.
    fn step(&mut self, metrics: &StepMetrics) -> bool {
        match self {
            Self::Nothing => false,
            Self::Progress(progress) => {
                progress.step(metrics);
                false
            }
            #[cfg(feature = "tui")]
            Self::Dashboard(dashboard) => {
                dashboard.step(metrics);
                dashboard.wants_to_stop()
            }
        }
    }
}
