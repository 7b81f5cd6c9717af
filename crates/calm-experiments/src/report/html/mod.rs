//! A table as one HTML file that needs no network, and no scripts to be read.
//!
//! All texts of others come in through [`text`](self::text): written out where they would steer the
//! page, and escaped. The page's own script and style are named by hash in its policy, so no other
//! runs, whatever a text holds.

mod comparisons;
mod embedded;
mod figures;
mod readings;
mod record;
mod rows;
mod samples;
mod scores;
mod text;
mod views;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use self::comparisons::Contrasts;
use self::embedded::Embedded;
use self::figures::{Figure, Gains};
use self::readings::Readings;
use self::record::Record;
use self::samples::Samples;
use self::scores::{BreakdownView, Scores};
use super::ReportError;
use super::sheet::Sheet;
use super::visible::STEERING;
use crate::table::Table;

pub use embedded::table_of;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Everything that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    policy: String,
    style: String,
    script: String,
    title: &'a str,
    kicker: Vec<String>,
    about: &'a str,
    contents: Vec<Link>,
    #[serde(flatten)]
    scores: Scores<'a>,
    gains: Option<Gains>,
    curves: Vec<Figure>,
    breakdowns: Vec<BreakdownView<'a>>,
    #[serde(flatten)]
    contrasts: Contrasts<'a>,
    #[serde(flatten)]
    readings: Readings<'a>,
    samples: Option<Samples<'a>>,
    #[serde(flatten)]
    record: Record<'a>,
    raw_note: String,
    embedded: String,
}

/// An entry of the list of contents.
#[derive(Serialize)]
struct Link {
    id: &'static str,
    name: String,
}

/// The page.
///
/// # Errors
///
/// [`ReportError`] if this program's template fails, or memory.
pub fn html(table: &Table) -> Result<String, ReportError> {
    let sheet = Sheet::of(table);
    let without = render(&sheet, Embedded::empty(table))?;
    render(&sheet, Embedded::of(table, without.len())?)
}

fn render(sheet: &Sheet<'_>, embedded: Embedded) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(text::format);
    environment.add_filter("symbol", text::symbol);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build()?);
    environment.add_template("page.html", PAGE)?;
    let page = Page::of(sheet, embedded);
    Ok(environment.get_template("page.html")?.render(Serde(page))?)
}

impl<'a> Page<'a> {
    fn of(sheet: &Sheet<'a>, embedded: Embedded) -> Self {
        let table = sheet.table;
        let (style, script) = (style(), script());
        let mut page = Self {
            policy: policy(&style, &script),
            style,
            script,
            title: &table.frame.title,
            kicker: kicker(table),
            about: &table.frame.about,
            contents: Vec::new(),
            scores: Scores::of(sheet),
            gains: figures::gains(sheet),
            curves: figures::curves(sheet),
            breakdowns: scores::breakdowns(sheet),
            contrasts: Contrasts::of(sheet),
            readings: Readings::of(sheet),
            samples: Samples::of(sheet, embedded.samples),
            record: Record::of(sheet),
            raw_note: embedded.note(table),
            embedded: embedded.base64,
        };
        page.contents = page.contents();
        page
    }

    /// Sections that there are.
    fn contents(&self) -> Vec<Link> {
        let gains = self.gains.as_ref().map(|gains| gains.heading.clone());
        let attention = !self.readings.readings.is_empty();
        let sections = [
            ("gains", gains),
            ("curves", said(!self.curves.is_empty(), "Loss")),
            (
                "parts",
                said(!self.breakdowns.is_empty(), "Right and wrong"),
            ),
            (
                "tests",
                said(!self.contrasts.contrasts.is_empty(), "Comparisons"),
            ),
            ("attention", said(attention, "Attention")),
            ("samples", said(self.samples.is_some(), "Samples")),
            ("cost", said(!self.record.runs.is_empty(), "Cost")),
            ("provenance", said(true, "Provenance")),
        ];
        let sections = sections.into_iter();
        sections
            .filter_map(|(id, name)| Some(Link { id, name: name? }))
            .collect()
    }
}

/// The name, if it holds.
fn said(holds: bool, name: &str) -> Option<String> {
    holds.then(|| name.to_owned())
}

/// What kind of report it is, in the line above the title.
fn kicker(table: &Table) -> Vec<String> {
    let frame = &table.frame;
    let name = said(!frame.name.is_empty(), &frame.name).map(|name| format!("Experiment {name}"));
    let mode = frame.mode.as_ref().map(|mode| format!("{mode} run"));
    let paper = frame.paper.clone();
    [name, paper, mode].into_iter().flatten().collect()
}

/// The style sheet, with the shades of tokens.
fn style() -> String {
    let shades = (0..=readings::LEVELS).map(|level| {
        let share = 100 * level / readings::LEVELS;
        format!(
            ".w{level} {{ background: color-mix(in srgb, var(--heat) {share}%, transparent); }}\n"
        )
    });
    STYLE.replace("SHADES", &shades.collect::<String>())
}

/// The script, with the characters that it writes out.
fn script() -> String {
    let ranges = STEERING.iter().map(|(first, last)| {
        format!(
            r"\u{{{:x}}}-\u{{{:x}}}",
            u32::from(*first),
            u32::from(*last)
        )
    });
    SCRIPT.replace("@STEERING@", &ranges.collect::<String>())
}

/// Nothing is fetched, and no script or style is obeyed but the page's own.
fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| {
        use calm_files::{Digest, Sha256};
        base64::encode(Sha256::digest(text))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(script),
        hash(style)
    )
}
