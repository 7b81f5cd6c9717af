//! The rows and columns of a table, the same in every form of a report.

use std::collections::HashMap;

use super::bands::{Band, Bands, Named, contrast, named};
use crate::table::{Cell, Contrast, Difference, Score, SystemFrame, Table, TaskFrame, TrainedRun};

/// Languages of a task that are shown without asking.
pub(super) const FEW: usize = 8;

/// A table with its cells in place.
pub(super) struct Sheet<'a> {
    /// The table.
    pub(super) table: &'a Table,
    /// Systems that the paper has figures of.
    pub(super) paper: Vec<&'a SystemFrame>,
    /// Tasks, those of a group together.
    pub(super) blocks: Vec<Block<'a>>,
}

/// Tasks below one heading.
pub(super) struct Block<'a> {
    /// The heading, if they have one.
    pub(super) group: Option<&'a str>,
    /// The tasks.
    pub(super) rows: Vec<TaskRow<'a>>,
}

/// A task with the scores of all systems, in the order of the frame.
pub(super) struct TaskRow<'a> {
    /// The task.
    pub(super) task: &'a TaskFrame,
    /// Its cells; none for a system that was not evaluated.
    pub(super) cells: Vec<Option<&'a Cell>>,
    /// The main system against the reference.
    pub(super) contrast: Option<&'a Contrast>,
    /// All its languages.
    pub(super) whole: Band<'a>,
    /// Groups of its languages, from low to high resource.
    pub(super) groups: Vec<Band<'a>>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Better, beyond chance.
    Better,
    /// Worse, beyond chance.
    Worse,
    /// Not to be told apart.
    Open,
}

impl<'a> Sheet<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        let frame = &table.frame;
        let has_figure = |system: &&SystemFrame| {
            let mut tasks = frame.tasks.iter();
            tasks.any(|task| {
                let groups = task.paper_of_groups.values();
                let mut scores = std::iter::once(&task.paper).chain(groups.map(|of| &of.scores));
                scores.any(|paper| paper.contains_key(&system.id))
            })
        };
        let paper: Vec<&SystemFrame> = frame.systems.iter().filter(has_figure).collect();
        let cells = table.cells.iter();
        let cells = cells.map(|cell| ((cell.system.as_str(), cell.task.as_str()), cell));
        let cells: HashMap<(&str, &str), &Cell> = cells.collect();
        let mut blocks: Vec<Block<'a>> = Vec::new();
        for task in &frame.tasks {
            let at = |system: &SystemFrame| {
                let key = (system.id.as_str(), task.id.as_str());
                cells.get(&key).copied()
            };
            let cells: Vec<Option<&Cell>> = frame.systems.iter().map(at).collect();
            let bands = Bands {
                table,
                task,
                cells: &cells,
                paper: &paper,
            };
            let row = TaskRow {
                contrast: contrast(table, &task.id, &frame.main),
                whole: bands.whole(),
                groups: bands.groups(),
                task,
                cells,
            };
            let group = task.group.as_deref();
            match blocks.iter_mut().find(|block| block.group == group) {
                Some(block) => block.rows.push(row),
                None => blocks.push(Block {
                    group,
                    rows: vec![row],
                }),
            }
        }
        Self {
            table,
            paper,
            blocks,
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &TaskRow<'a>> {
        self.blocks.iter().flat_map(|block| &block.rows)
    }

    /// Headings of all systems, as `shown` writes them.
    pub(super) fn systems(&self, shown: impl Fn(&str) -> String) -> Vec<String> {
        let systems = self.table.frame.systems.iter();
        systems.map(|system| shown(&system.title)).collect()
    }

    /// The same, then those of the paper's figures.
    pub(super) fn columns(&self, shown: impl Fn(&str) -> String) -> Vec<String> {
        let paper = self.paper.iter();
        let paper = paper.map(|system| format!("paper: {}", shown(&system.title)));
        self.systems(&shown).into_iter().chain(paper).collect()
    }

    /// Heading of a system.
    pub(super) fn title(&self, system: &'a str) -> &'a str {
        let found = self.table.frame.systems.iter().find(|one| one.id == system);
        found.map_or(system, |one| &one.title)
    }

    /// Heading of a task.
    pub(super) fn task_title(&self, task: &'a str) -> &'a str {
        let found = self.table.frame.tasks.iter().find(|one| one.id == task);
        found.map_or(task, |one| &one.title)
    }

    /// Place of a system in the frame.
    pub(super) fn place(&self, system: &str) -> Option<usize> {
        self.table
            .frame
            .systems
            .iter()
            .position(|one| one.id == system)
    }

    /// Headings of the main system and of the reference, if they are two.
    pub(super) fn compared(&self) -> Option<[&'a str; 2]> {
        let (main, reference) = (&self.table.frame.main, &self.table.frame.reference);
        let places = (self.place(main)?, self.place(reference)?);
        (places.0 != places.1).then(|| [self.title(main), self.title(reference)])
    }

    /// Training of a system, every seed.
    pub(super) fn runs(&self, system: &str) -> Vec<&'a TrainedRun> {
        let runs = self.table.runs.iter();
        runs.filter(|run| run.system == system).collect()
    }
}

impl<'a> TaskRow<'a> {
    /// Scores of all systems.
    pub(super) fn scores(&self) -> &[Option<Score>] {
        &self.whole.scores
    }

    /// The task, and the groups of its languages.
    pub(super) fn bands(&self) -> impl Iterator<Item = &Band<'a>> {
        std::iter::once(&self.whole).chain(&self.groups)
    }

    /// Every language from low to high resource; empty if the task has none.
    pub(super) fn languages(&self) -> Named<'a> {
        let mut languages = named(&self.cells, |cell| &cell.languages);
        languages.retain(|(language, _)| !language.is_empty());
        let order = &self.task.languages;
        let place = |name: &str| order.iter().position(|one| one == name);
        languages.sort_by_key(|(name, _)| place(name).unwrap_or(order.len()));
        languages
    }
}

impl Outcome {
    pub(super) fn of(difference: &Difference) -> Self {
        match (difference.is_significant(), difference.points > 0.0) {
            (true, true) => Self::Better,
            (true, false) => Self::Worse,
            (false, _) => Self::Open,
        }
    }

    /// A mark that needs no colour.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Better => "▲",
            Self::Worse => "▼",
            Self::Open => "≈",
        }
    }

    /// The same in a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Open => "open",
        }
    }
}
