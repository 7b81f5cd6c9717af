//! Losses as pictures.

use calm_lm::chart::{
    Axis, AxisKind, Chart, Color, Curve, Style, WINDOW_SHARE, half_window, moving_mean, thin,
};

use super::run::Run;

/// More points than this are not told apart, and only make the file large.
const POINTS: usize = 1000;
/// Losses that differ by more are drawn over a logarithmic axis.
const WIDE: f64 = 4.0;

/// Points (step, loss).
type Losses = Vec<(f64, f64)>;

/// The losses of one run.
struct OfRun {
    name: String,
    steps: Losses,
    held_out: Losses,
    /// Losses to compare with, such as that of the anchor alone, and their names.
    references: Vec<(String, f64)>,
}

/// The losses of these runs over their steps.
pub(super) fn losses(runs: &[Run]) -> Chart {
    let runs: Vec<OfRun> = runs.iter().map(OfRun::new).collect();
    let curves = curves(&runs);
    let losses = curves.iter().flat_map(|curve| &curve.points);
    let (least, most) = losses.fold((f64::MAX, 0.0_f64), |(least, most), (_, loss)| {
        (least.min(*loss), most.max(*loss))
    });
    let is_wide = least > 0.0 && most > WIDE * least;
    Chart {
        x: Axis::new("optimiser step", AxisKind::FromZero),
        y: Axis::new(
            "loss, nats per target token",
            match is_wide {
                true => AxisKind::Logarithmic,
                false => AxisKind::Linear,
            },
        ),
        curves,
    }
}

/// The curves of all runs, and what their styles mean.
fn curves(runs: &[OfRun]) -> Vec<Curve> {
    let mut curves = match runs {
        [run] => run.curves(0, |style| style_name(style, runs)),
        _ => {
            let curves = runs.iter().enumerate().flat_map(|(number, run)| {
                run.curves(number, |style| match style {
                    Style::Line => run.name.clone(),
                    _ => String::new(),
                })
            });
            let mut curves: Vec<Curve> = curves.collect();
            let all = [Style::Faint, Style::Line, Style::Marks, Style::Dashed];
            let drawn = all.map(|style| curves.iter().any(|curve| curve.style == style));
            let drawn = all.into_iter().zip(drawn).filter(|(_, is_drawn)| *is_drawn);
            curves.extend(drawn.map(|(style, _)| Curve {
                name: style_name(style, runs),
                color: Color::Neutral,
                style,
                points: Vec::new(),
            }));
            curves
        }
    };
    // An anchor that all runs have is of no run's colour.
    if runs
        .windows(2)
        .all(|pair| pair[0].references == pair[1].references)
    {
        let dashed = curves
            .iter_mut()
            .filter(|curve| curve.style == Style::Dashed);
        dashed.for_each(|curve| curve.color = Color::Neutral);
    }
    curves
}

impl OfRun {
    fn new(run: &Run) -> Self {
        let finite = |losses: &mut dyn Iterator<Item = (usize, f64)>| -> Losses {
            let losses = losses.filter(|(_, loss)| loss.is_finite());
            losses.map(|(step, loss)| (step as f64, loss)).collect()
        };
        let (steps, validations) = (&run.log.steps, &run.log.validations);
        let references = run.log.references().filter(|one| one.loss.is_finite());
        let references = references.map(|one| (one.model.to_string(), one.loss));
        Self {
            name: run.name.clone(),
            steps: finite(&mut steps.iter().map(|one| (one.step, f64::from(one.loss)))),
            held_out: finite(&mut validations.iter().map(|one| (one.step, one.loss))),
            references: references.collect(),
        }
    }

    /// Its curves, with the name of each style.
    fn curves(&self, number: usize, name: impl Fn(Style) -> String) -> Vec<Curve> {
        // The mean of a short run is the run.
        let each = match self.window() {
            1 => &[][..],
            _ => &self.steps,
        };
        let curves = [
            (Style::Faint, thin(each, POINTS)),
            (Style::Line, thin(&moving_mean(&self.steps), POINTS)),
            (Style::Marks, thin(&self.held_out, POINTS)),
        ];
        let last = self.steps.last().map_or(1.0, |(step, _)| *step);
        let references = self.references.iter().map(|(reference, loss)| {
            let is_named = !name(Style::Dashed).is_empty();
            let named = is_named.then(|| format!("{reference}, {loss:.2}"));
            let points = vec![(0.0, *loss), (last, *loss)];
            (named.unwrap_or_default(), Style::Dashed, points)
        });
        let curves = curves.map(|(style, points)| (name(style), style, points));
        let curves = curves.into_iter().chain(references);
        let curves = curves.filter(|(.., points)| !points.is_empty());
        let curves = curves.map(|(name, style, points)| Curve {
            name,
            color: Color::Of(number),
            style,
            points,
        });
        curves.collect()
    }

    /// Steps that a mean is over.
    fn window(&self) -> usize {
        2 * half_window(self.steps.len()) + 1
    }
}

/// The meaning of a style, for the legend.
fn style_name(style: Style, runs: &[OfRun]) -> String {
    match style {
        Style::Faint => "each step".to_owned(),
        Style::Marks => "held-out examples".to_owned(),
        Style::Dashed => {
            let names = runs.iter().flat_map(|run| &run.references);
            let mut names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        }
        Style::Line | Style::Marked => match runs {
            [first, others @ ..] if others.iter().all(|run| run.window() == first.window()) => {
                match first.window() {
                    1 => "each step".to_owned(),
                    steps => format!("mean of {steps} steps, centred"),
                }
            }
            _ => format!(
                "mean of {:.0} % of the steps, centred",
                100.0 * WINDOW_SHARE
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(loss: impl Fn(usize) -> f64) -> Losses {
        (0..1000).map(|step| (step as f64, loss(step))).collect()
    }

    #[test]
    fn the_legend_says_over_how_many_steps_a_mean_is() {
        let run = |steps: usize| OfRun {
            name: String::new(),
            steps: points(|_| 1.0)[..steps].to_vec(),
            held_out: Vec::new(),
            references: Vec::new(),
        };
        let name = |runs: &[OfRun]| style_name(Style::Line, runs);
        assert_eq!(name(&[run(1000), run(1000)]), "mean of 41 steps, centred");
        assert_eq!(
            name(&[run(1000), run(500)]),
            "mean of 4 % of the steps, centred"
        );
    }

    #[test]
    fn the_anchor_alone_is_a_line_from_the_first_step_to_the_last() {
        let run = OfRun {
            name: "run".to_owned(),
            steps: points(|_| 1.0),
            held_out: Vec::new(),
            references: vec![("anchor alone".to_owned(), 1.5)],
        };
        let curves = run.curves(0, |style| style_name(style, std::slice::from_ref(&run)));
        let line = curves.iter().find(|curve| curve.style == Style::Dashed);
        let line = line.unwrap();
        assert_eq!(line.name, "anchor alone, 1.50");
        assert_eq!(line.points, [(0.0, 1.5), (999.0, 1.5)]);
    }
}
