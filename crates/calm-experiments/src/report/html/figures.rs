//! Pictures: gains over the reference, and losses of trainings.

use serde::Serialize;

use super::super::numbers::signed;
use super::super::sheet::{Outcome, Sheet, TaskRow};
use crate::chart::{Axis, AxisKind, Bar, Bars, Chart, Color, Curve, Style, moving_mean, thin};
use crate::table::{Difference, Score, TrainedRun};

/// Size of a picture over the width of the page, and of one beside another.
const WIDE: (i32, i32) = (1120, 230);
const HALF: (i32, i32) = (560, 330);
/// Points of a curve that can be told apart.
const POINTS: usize = 240;
/// Losses that differ by more are drawn over a logarithmic axis.
const RANGE: f64 = 4.0;

/// A picture with its description.
#[derive(Serialize)]
pub(super) struct Figure {
    title: String,
    alt: String,
    svg: String,
}

/// Pictures of gains.
#[derive(Serialize)]
pub(super) struct Gains {
    pub(super) heading: String,
    note: &'static str,
    figures: Vec<Figure>,
}

/// A gain, with its test if it was tested.
struct Gain<'a> {
    name: &'a str,
    points: f64,
    tested: Option<&'a Difference>,
}

/// Gains of the main system over the reference, by language or else by task.
pub(super) fn gains(sheet: &Sheet<'_>) -> Option<Gains> {
    let frame = &sheet.table.frame;
    let [main_title, reference_title] = sheet.compared()?;
    let (main, reference) = (sheet.place(&frame.main)?, sheet.place(&frame.reference)?);
    let places = (main, reference);
    let mut figures: Vec<Figure> = sheet
        .rows()
        .filter_map(|row| of_languages(row, places))
        .collect();
    if figures.is_empty() {
        figures.extend(of_tasks(sheet, places));
    }
    (!figures.is_empty()).then(|| Gains {
        heading: format!("Gain of {main_title} over {reference_title}"),
        note: "In points of each task’s metric. Lines are 95 % intervals of the paired bootstrap. Pale bars \
               are not told apart from zero after correction, or were not tested.",
        figures,
    })
}

/// Gains in every language of a task, from low to high resource.
fn of_languages(row: &TaskRow<'_>, places: (usize, usize)) -> Option<Figure> {
    let languages = row.languages();
    let tested = row.contrast.map_or(&[][..], |contrast| &contrast.languages);
    let gains = languages.iter().filter_map(|(name, scores)| {
        let tested = tested.iter().find(|(language, _)| language == name);
        gain(
            name,
            scores,
            places,
            tested.map(|(_, difference)| difference),
        )
    });
    let gains: Vec<Gain> = gains.collect();
    (gains.len() > 1).then(|| {
        figure(
            &row.task.title,
            "languages, from low to high resource",
            &gains,
        )
    })
}

/// Gains in every task.
fn of_tasks(sheet: &Sheet<'_>, places: (usize, usize)) -> Option<Figure> {
    let gains = sheet.rows().filter_map(|row| {
        let tested = row.contrast.map(|contrast| &contrast.difference);
        gain(&row.task.title, row.scores(), places, tested)
    });
    let gains: Vec<Gain> = gains.collect();
    (gains.len() > 1).then(|| figure("By task", "tasks", &gains))
}

fn gain<'a>(
    name: &'a str,
    scores: &[Option<Score>],
    (main, reference): (usize, usize),
    tested: Option<&'a Difference>,
) -> Option<Gain<'a>> {
    let mean = |place: usize| Some((*scores.get(place)?)?.spread.mean);
    let points = match tested {
        Some(difference) => difference.points,
        None => mean(main)? - mean(reference)?,
    };
    points.is_finite().then_some(Gain {
        name,
        points,
        tested,
    })
}

fn figure(title: &str, of: &str, gains: &[Gain<'_>]) -> Figure {
    let bars = gains.iter().map(|gain| Bar {
        name: super::super::visible(gain.name).into_owned(),
        value: gain.points,
        interval: gain.tested.map(|difference| difference.interval_95),
        is_strong: gain
            .tested
            .is_some_and(|one| Outcome::of(one) != Outcome::Open),
    });
    let bars = Bars {
        y: Axis::new("gain, points", AxisKind::FromZero),
        x: of.to_owned(),
        bars: bars.collect(),
    };
    let by_points = |one: &&Gain<'_>, other: &&Gain<'_>| one.points.total_cmp(&other.points);
    let ends = (
        gains.iter().min_by(by_points),
        gains.iter().max_by(by_points),
    );
    let range = match ends {
        (Some(least), Some(most)) => format!(
            ", from {} ({}) to {} ({})",
            signed(least.points),
            least.name,
            signed(most.points),
            most.name
        ),
        _ => String::new(),
    };
    let above = gains.iter().filter(|gain| gain.points > 0.0).count();
    Figure {
        title: title.to_owned(),
        alt: format!("{} {of}{range}; above zero in {above}", gains.len()),
        svg: bars.svg_of(WIDE),
    }
}

/// Losses of all trainings over their steps, and of held-out data.
pub(super) fn curves(sheet: &Sheet<'_>) -> Vec<Figure> {
    let training = chart(sheet, "loss of training batches", Style::Line, |run| {
        let losses = finite(&run.losses);
        thin(&moving_mean(&losses), POINTS)
    });
    let validation = chart(sheet, "loss of held-out data", Style::Marked, |run| {
        thin(&finite(&run.validation), POINTS)
    });
    [training, validation].into_iter().flatten().collect()
}

fn finite(losses: &[(usize, f32)]) -> Vec<(f64, f64)> {
    let losses = losses.iter().filter(|(_, loss)| loss.is_finite());
    losses
        .map(|(step, loss)| (*step as f64, f64::from(*loss)))
        .collect()
}

/// One curve for every seed, those of a system in one colour.
fn chart(
    sheet: &Sheet<'_>,
    name: &str,
    style: Style,
    points_of: impl Fn(&TrainedRun) -> Vec<(f64, f64)>,
) -> Option<Figure> {
    let systems = &sheet.table.frame.systems;
    let mut curves = Vec::new();
    let mut ends = Vec::new();
    let trained = systems
        .iter()
        .filter(|system| !sheet.runs(&system.id).is_empty());
    for (number, system) in trained.enumerate() {
        let runs = sheet.runs(&system.id);
        let all = runs
            .iter()
            .map(|run| points_of(run))
            .filter(|points| !points.is_empty());
        let all: Vec<Vec<(f64, f64)>> = all.collect();
        let last: Vec<f64> = all
            .iter()
            .filter_map(|points| Some(points.last()?.1))
            .collect();
        if !last.is_empty() {
            let mean = last.iter().sum::<f64>() / last.len() as f64;
            ends.push(format!("{} {mean:.3}", system.title));
        }
        curves.extend(all.into_iter().enumerate().map(|(seed, points)| Curve {
            name: match seed {
                0 => super::super::visible(&system.title).into_owned(),
                _ => String::new(),
            },
            color: Color::Of(number),
            style,
            points,
        }));
    }
    let losses = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|(_, loss)| *loss);
    let (least, most) = losses.fold((f64::MAX, 0.0_f64), |(least, most), loss| {
        (least.min(loss), most.max(loss))
    });
    let kind = match least > 0.0 && most > RANGE * least {
        true => AxisKind::Logarithmic,
        false => AxisKind::Linear,
    };
    (!curves.is_empty()).then(|| Figure {
        title: capital(name),
        alt: format!(
            "{} trainings, a line for every seed{}; at the end, mean over seeds: {}",
            curves.len(),
            if style == Style::Line {
                ", smoothed"
            } else {
                ""
            },
            ends.join(", ")
        ),
        svg: Chart {
            x: Axis::new("optimiser step", AxisKind::FromZero),
            y: Axis::new("nats per target token", kind),
            curves,
        }
        .svg_of(HALF),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
