//! Every comparison, and what was to be reached.

use serde::Serialize;

use super::super::numbers;
use super::super::sheet::Sheet;
use super::views::DifferenceView;
use crate::table::{Difference, Finding};

/// All comparisons.
#[derive(Serialize)]
pub(super) struct Contrasts<'a> {
    pub(super) contrasts: Vec<ContrastView<'a>>,
    has_wins: bool,
}

#[derive(Serialize)]
pub(super) struct ContrastView<'a> {
    task: String,
    system: &'a str,
    against: &'a str,
    difference: DifferenceView,
    wins: String,
    significant_wins: String,
}

/// Something that was to be reached.
#[derive(Serialize)]
pub(super) struct FindingView<'a> {
    title: &'a str,
    expected: &'a str,
    found: &'a str,
    mark: &'static str,
    word: &'static str,
    class: &'static str,
}

impl<'a> From<&'a Finding> for FindingView<'a> {
    fn from(finding: &'a Finding) -> Self {
        let [mark, word] = numbers::reached(finding.is_reached);
        Self {
            title: &finding.title,
            expected: &finding.expected,
            found: &finding.found,
            mark,
            word,
            class: match finding.is_reached {
                Some(true) => "better",
                Some(false) => "worse",
                None => "open",
            },
        }
    }
}

impl<'a> Contrasts<'a> {
    pub(super) fn of(sheet: &Sheet<'a>) -> Self {
        let contrasts = &sheet.table.contrasts;
        let views = contrasts.iter().flat_map(|contrast| {
            let view =
                |task: String, difference: &Difference, wins: [[usize; 2]; 2]| ContrastView {
                    task,
                    system: sheet.title(&contrast.system),
                    against: sheet.title(&contrast.against),
                    difference: difference.into(),
                    wins: pair(wins[0]),
                    significant_wins: pair(wins[1]),
                };
            let title = sheet.task_title(&contrast.task);
            let wins = [contrast.wins, contrast.significant_wins];
            let whole = view(title.to_owned(), &contrast.difference, wins);
            let groups = contrast.groups.iter().map(|group| {
                let wins = [group.wins, group.significant_wins];
                view(format!("{title}, {}", group.group), &group.difference, wins)
            });
            std::iter::once(whole).chain(groups).collect::<Vec<_>>()
        });
        Self {
            contrasts: views.collect(),
            has_wins: contrasts
                .iter()
                .any(|contrast| !contrast.languages.is_empty()),
        }
    }
}

fn pair([won, lost]: [usize; 2]) -> String {
    format!("{won} : {lost}")
}
