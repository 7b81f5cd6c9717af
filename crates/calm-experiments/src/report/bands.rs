//! A task, or a group of its languages, with all systems beside each other.

use std::collections::BTreeMap;

use crate::table::{
    Cell, Contrast, Difference, PaperFigures, Score, SystemFrame, Table, TaskFrame,
};

/// Scores of all systems, by name.
pub(super) type Named<'a> = Vec<(&'a str, Vec<Option<Score>>)>;

/// A task, or a group of its languages.
pub(super) struct Band<'a> {
    /// The heading.
    pub(super) name: &'a str,
    /// Scores, in the order of the frame.
    pub(super) scores: Vec<Option<Score>>,
    /// The paper's figures, of the systems that the sheet has.
    pub(super) paper: Vec<Option<f64>>,
    /// The main system against the reference, and the sentence that follows.
    pub(super) verdict: Option<(&'a Difference, &'a str)>,
    /// In how many languages systems are better than the reference, if there are languages.
    pub(super) wins: Option<Wins<'a>>,
}

/// In how many languages systems are better than the reference.
pub(super) struct Wins<'a> {
    /// Number of languages.
    pub(super) languages: usize,
    /// Languages won, and won beyond chance; none for the reference itself, and where nothing was
    /// compared.
    pub(super) systems: Vec<Option<[usize; 2]>>,
    /// The paper's figures, of the systems that the sheet has.
    pub(super) paper: Vec<Option<&'a str>>,
}

/// A system against the reference.
struct Compared<'a> {
    difference: &'a Difference,
    verdict: &'a str,
    languages: usize,
    wins: [usize; 2],
}

/// Bands of a task.
pub(super) struct Bands<'a, 's> {
    pub(super) table: &'a Table,
    pub(super) task: &'a TaskFrame,
    /// Cells of all systems.
    pub(super) cells: &'s [Option<&'a Cell>],
    /// Systems that the paper has figures of.
    pub(super) paper: &'s [&'a SystemFrame],
}

impl<'a> Bands<'a, '_> {
    /// The whole task.
    pub(super) fn whole(&self) -> Band<'a> {
        let (task, cells) = (self.task, self.cells.iter());
        let scores = cells.map(|cell| cell.map(|cell| cell.score)).collect();
        let paper = |id: &str| (task.paper.get(id).copied(), wins_of(&task.paper_wins, id));
        self.band(&task.title, None, scores, paper)
    }

    /// Groups of its languages, from low to high resource.
    pub(super) fn groups(&self) -> Vec<Band<'a>> {
        let mut groups: Named<'a> = named(self.cells, |cell| &cell.groups);
        groups.sort_by_key(|(name, _)| self.place(name));
        let band = |(name, scores): (&'a str, Vec<Option<Score>>)| {
            let figures: Option<&'a PaperFigures> = self.task.paper_of_groups.get(name);
            let paper = |id: &str| match figures {
                Some(of) => (of.scores.get(id).copied(), wins_of(&of.wins, id)),
                None => (None, None),
            };
            self.band(name, Some(name), scores, paper)
        };
        groups.into_iter().map(band).collect()
    }

    /// Mean place of a group's languages among all; that of all where it names none of them.
    fn place(&self, group: &str) -> usize {
        let order = &self.task.languages;
        let members = self.task.language_groups.get(group);
        let members = members.into_iter().flatten();
        let places = members.filter_map(|name| order.iter().position(|one| one == name));
        let places: Vec<usize> = places.collect();
        match places.len() {
            0 => order.len() * 500,
            count => places.iter().sum::<usize>() * 1000 / count,
        }
    }

    fn band(
        &self,
        name: &'a str,
        group: Option<&str>,
        scores: Vec<Option<Score>>,
        paper: impl Fn(&str) -> (Option<f64>, Option<&'a str>),
    ) -> Band<'a> {
        let frame = &self.table.frame;
        let of_system = |id: &str| self.compared(id, group);
        let figures = self.paper.iter().map(|system| paper(&system.id));
        let (figures, paper_wins): (Vec<_>, Vec<_>) = figures.unzip();
        let systems = frame.systems.iter().map(|system| of_system(&system.id));
        let systems: Vec<Option<Compared<'a>>> = systems.collect();
        let languages = systems.iter().flatten().map(|found| found.languages);
        let wins = languages
            .max()
            .filter(|count| *count > 1)
            .map(|languages| Wins {
                languages,
                systems: systems
                    .iter()
                    .map(|found| found.as_ref().map(|found| found.wins))
                    .collect(),
                paper: paper_wins,
            });
        let main = of_system(&frame.main).filter(|main| !main.verdict.is_empty());
        Band {
            name,
            scores,
            paper: figures,
            verdict: main.map(|main| (main.difference, main.verdict)),
            wins,
        }
    }

    /// A system against the reference, if they were compared.
    fn compared(&self, system: &str, group: Option<&str>) -> Option<Compared<'a>> {
        let contrast = contrast(self.table, &self.task.id, system)?;
        let Some(name) = group else {
            return Some(Compared {
                difference: &contrast.difference,
                verdict: &contrast.verdict,
                languages: contrast.languages.len(),
                wins: [contrast.wins[0], contrast.significant_wins[0]],
            });
        };
        let group = contrast.groups.iter().find(|group| group.group == name)?;
        Some(Compared {
            difference: &group.difference,
            verdict: &group.verdict,
            languages: group.languages,
            wins: [group.wins[0], group.significant_wins[0]],
        })
    }
}

fn wins_of<'a>(wins: &'a BTreeMap<String, String>, id: &str) -> Option<&'a str> {
    wins.get(id).map(String::as_str)
}

/// A system against the reference on a task.
pub(super) fn contrast<'a>(table: &'a Table, task: &str, system: &str) -> Option<&'a Contrast> {
    let mut contrasts = table.contrasts.iter();
    contrasts.find(|contrast| {
        let ids = [&*contrast.task, &*contrast.system, &*contrast.against];
        ids == [task, system, &table.frame.reference]
    })
}

/// Scores of all systems, by name.
pub(super) fn named<'a>(
    cells: &[Option<&'a Cell>],
    of: impl Fn(&'a Cell) -> &'a [(String, Score)],
) -> Named<'a> {
    let mut named: Named<'a> = Vec::new();
    for (system, cell) in cells.iter().enumerate() {
        for (name, score) in cell.iter().flat_map(|cell| of(cell)) {
            let found = named.iter().position(|(one, _)| one == name);
            let place = found.unwrap_or_else(|| {
                named.push((name, vec![None; cells.len()]));
                named.len() - 1
            });
            named[place].1[system] = Some(*score);
        }
    }
    named
}
