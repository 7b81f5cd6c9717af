//! What an experiment is to reach, and what it reached.

use calm_eval::Proportion;
use serde::{Deserialize, Serialize};

use super::verdict::points;
use super::{Cell, Contrast, Difference, Frame, Score};

/// Something that is to be reached: a score of a system, or its difference over another one. Every
/// condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Id, to which others may refer.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Id of the task.
    pub task: String,
    /// Group of its languages; none for all.
    pub group: Option<String>,
    /// Id of the system.
    pub system: String,
    /// Id of the system that its score is compared with; none for the score itself.
    pub over: Option<String>,
    /// Least score or difference, in points.
    pub at_least: Option<Bar>,
    /// Largest score or difference, in points.
    pub at_most: Option<f64>,
    /// Least share of the languages in which the system is better, from 0 to 1.
    pub wins: Option<f64>,
    /// Whether the 95 % intervals of both scores must lie apart.
    pub intervals_apart: bool,
    /// Whether the difference must be above zero beyond chance.
    pub significant: bool,
}

/// A number of points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "a number of points, or { share = 0.5, of = \"ID of another expectation\" }"
)]
pub enum Bar {
    /// The number.
    Points(f64),
    /// A share of what another expectation found.
    Share {
        /// The share; 0.5 is half.
        share: f64,
        /// Id of the other expectation.
        of: String,
    },
}

/// What was found of an expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Heading.
    pub title: String,
    /// What was to be reached, in words.
    pub expected: String,
    /// What was measured, in words.
    pub found: String,
    /// Whether it was reached; none if a part of it was not measured.
    pub is_reached: Option<bool>,
}

/// What the table says of an expectation.
struct Measurement<'a> {
    /// Score, or difference.
    points: f64,
    interval_95: Option<[f64; 2]>,
    /// Scores of the system, and of the other one.
    scores: [Option<&'a Score>; 2],
    difference: Option<Difference>,
    /// Languages in which the system is better, of all.
    wins: Option<Proportion>,
}

/// A condition in words, and whether it holds; none if it was not measured.
type Condition = (String, Option<bool>);

/// What was found of all expectations of the frame.
pub(super) fn findings(frame: &Frame, cells: &[Cell], contrasts: &[Contrast]) -> Vec<Finding> {
    let measured = |expectation: &Expectation| Measurement::of(expectation, cells, contrasts);
    let points_of = |id: &str| {
        let other = frame.expected.iter().find(|other| other.id == id)?;
        Some(measured(other)?.points)
    };
    let finding = |expectation: &Expectation| {
        let measured = measured(expectation);
        let conditions = expectation.conditions(measured.as_ref(), &points_of);
        let (expected, holds): (Vec<String>, Vec<Option<bool>>) = conditions.into_iter().unzip();
        let is_reached = match holds.contains(&Some(false)) {
            true => Some(false),
            false => holds
                .into_iter()
                .collect::<Option<Vec<bool>>>()
                .map(|_| true),
        };
        Finding {
            title: expectation.title.clone(),
            expected: expected.join("; "),
            found: measured.map_or_else(|| "not measured".to_owned(), |measured| measured.text()),
            is_reached,
        }
    };
    frame.expected.iter().map(finding).collect()
}

impl Expectation {
    fn conditions(
        &self,
        measured: Option<&Measurement<'_>>,
        points_of: &impl Fn(&str) -> Option<f64>,
    ) -> Vec<Condition> {
        let number = |value: f64| match self.over {
            Some(_) if value > 0.0 => format!("+{}", points(value)),
            _ => points(value),
        };
        let found = measured.map(|measured| measured.points);
        let mut conditions = Vec::new();
        if let Some(bar) = &self.at_least {
            let (least, words) = match bar {
                Bar::Points(least) => (Some(*least), format!("at least {}", number(*least))),
                Bar::Share { share, of } => {
                    let least = points_of(of).map(|points| share * points);
                    let words = least.map_or("?".to_owned(), number);
                    (least, format!("at least {words}, {share} of '{of}'"))
                }
            };
            let holds = found.zip(least).map(|(found, least)| found >= least);
            conditions.push((words, holds));
        }
        if let Some(most) = self.at_most {
            let holds = found.map(|found| found <= most);
            conditions.push((format!("at most {}", number(most)), holds));
        }
        if let Some(share) = self.wins {
            let wins = measured.and_then(|measured| measured.wins);
            let holds = wins.map(|wins| wins.percent() >= 100.0 * share);
            let words = format!("better in {} % of languages", points(100.0 * share));
            conditions.push((words, holds));
        }
        if self.intervals_apart {
            let apart = measured.and_then(Measurement::intervals_apart);
            conditions.push(("intervals apart".to_owned(), apart));
        }
        if self.significant {
            let difference = measured.and_then(|measured| measured.difference);
            let holds = difference.map(|found| found.points > 0.0 && found.is_significant());
            conditions.push(("better beyond chance".to_owned(), holds));
        }
        conditions
    }
}

impl<'a> Measurement<'a> {
    fn of(expectation: &Expectation, cells: &'a [Cell], contrasts: &[Contrast]) -> Option<Self> {
        let score = |system: &str| score(expectation, system, cells);
        let own = score(&expectation.system)?;
        let Some(over) = &expectation.over else {
            return Some(Self {
                points: own.spread.mean,
                interval_95: own.interval_95,
                scores: [Some(own), None],
                difference: None,
                wins: None,
            });
        };
        let other = score(over)?;
        let (difference, wins) = difference(expectation, over, contrasts)?;
        Some(Self {
            points: difference.points,
            interval_95: Some(difference.interval_95),
            scores: [Some(own), Some(other)],
            difference: Some(difference),
            wins: Some(wins).filter(|wins| wins.n > 0),
        })
    }

    fn intervals_apart(&self) -> Option<bool> {
        let [Some(own), Some(other)] = self.scores else {
            return None;
        };
        let ([own, _], [_, other]) = (own.interval_95?, other.interval_95?);
        Some(own > other)
    }

    fn text(&self) -> String {
        let number = |value: f64| match self.difference {
            Some(_) if value >= 0.05 => format!("+{}", points(value)),
            _ => points(value),
        };
        let mut text = number(self.points);
        if let Some([low, high]) = self.interval_95 {
            text += &format!(" [{}, {}]", number(low), number(high));
        }
        if let Some(wins) = self.wins {
            let [low, high] = wins.interval().map(points);
            let (hits, n, share) = (wins.hits, wins.n, points(wins.percent()));
            text += &format!("; better in {hits} of {n} languages, {share} % [{low}, {high}]");
        }
        text
    }
}

/// The score of a system on the task or the group.
fn score<'a>(expectation: &Expectation, system: &str, cells: &'a [Cell]) -> Option<&'a Score> {
    let is_it = |cell: &&Cell| cell.system == system && cell.task == expectation.task;
    let cell = cells.iter().find(is_it)?;
    let Some(group) = &expectation.group else {
        return Some(&cell.score);
    };
    let mut groups = cell.groups.iter();
    groups
        .find(|(name, _)| name == group)
        .map(|(_, score)| score)
}

/// The difference over another system, and in how many of the languages the system is better.
fn difference(
    expectation: &Expectation,
    over: &str,
    contrasts: &[Contrast],
) -> Option<(Difference, Proportion)> {
    let ids = [&*expectation.system, over];
    let is_it = |contrast: &&Contrast| {
        let pair = [&*contrast.system, &*contrast.against];
        contrast.task == expectation.task && (pair == ids || pair == [ids[1], ids[0]])
    };
    let contrast = contrasts.iter().find(is_it)?;
    let name = expectation.group.as_ref();
    // A group of all languages is not tested by itself: it is the task.
    let group = name.and_then(|name| contrast.groups.iter().find(|one| one.group == *name));
    let (difference, wins, n) = match group {
        Some(group) => (group.difference, group.wins, group.languages),
        None => (contrast.difference, contrast.wins, contrast.languages.len()),
    };
    Some(match contrast.system == expectation.system {
        true => (difference, Proportion { hits: wins[0], n }),
        false => (difference.reversed(), Proportion { hits: wins[1], n }),
    })
}
