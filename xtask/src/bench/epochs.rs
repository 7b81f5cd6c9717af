//! Time to the same loss: both sides train the same bridges over the same examples, each in its own
//! way. Held-out losses meanwhile are not timed.

use std::iter::once;
use std::path::{Path, PathBuf};

use calm_lm::chart::{Axis, AxisKind, Chart, Color, Curve, Style};
use miette::{IntoDiagnostic, Result, miette};
use serde::{Deserialize, Serialize};

use super::texts::{Data, Texts, read_json};
use super::work::{Measured, Work};
use super::{Bench, Comparison, compared, words};

/// Rows of a batch.
const BATCH: usize = 16;

/// The losses of both sides before the first step may differ by this much: one is the mean of
/// thousands of logarithms in `f32`, summed in another order.
const SAME: f64 = 1e-4;

/// Figures that are compared, and whether more is better.
const FIGURES: [(&str, bool); 4] = [
    ("s_to_the_same_loss", false),
    ("train_s", false),
    ("peak_rss_mib", false),
    ("final_loss", false),
];

/// Everything that both sides measured, as it is written to `NAME.runs.json`.
#[derive(Serialize)]
struct Runs<'a> {
    ours: &'a [Measured],
    peer: &'a [Measured],
}

/// Trains over texts on both sides in turn.
pub(super) fn compare(bench: &Bench<'_>, pair: &str, texts: Texts) -> Result<Vec<Comparison>> {
    let (examples, epochs) = (bench.args.examples, bench.args.epochs);
    let work = format!("{epochs} epochs, {examples} {}", texts.name());
    let name = format!("epochs-{pair}-{}", texts.name());
    let data = write_data(bench, pair, texts, examples)?;
    let initial = bench.args.out.join(format!("{name}.safetensors"));
    let flags = format!("--batch {BATCH} --epochs {epochs} --learning-rate 5e-4");
    let with = |flag: &str| -> Vec<String> {
        let paths = [("--data", &data), (flag, &initial)];
        let paths = paths.map(|(flag, path)| [flag.to_owned(), path.display().to_string()]);
        words(&flags)
            .into_iter()
            .chain(paths.into_iter().flatten())
            .collect()
    };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for repeat in 1..=bench.args.repeats {
        eprintln!("{pair} {work} ({repeat} of {})", bench.args.repeats);
        let mut one = bench.ours(Work::Epochs, &with("--write-initial"), pair)?;
        if let Some(mut other) = bench.peer(Work::Epochs, &with("--initial"), pair)? {
            meet(&mut one, &mut other)?;
            peers.push(other);
        }
        ours.push(one);
    }
    std::fs::remove_file(&initial).into_diagnostic()?;
    let runs = Runs {
        ours: &ours,
        peer: &peers,
    };
    bench.write_json(&format!("{name}.runs.json"), &runs)?;
    bench.write(&format!("{name}.svg"), &chart(&ours, &peers).svg())?;
    Ok(compared(pair, &work, &FIGURES, &ours, &peers))
}

/// Writes so many examples, and those that are held out, and returns where.
pub(super) fn write_data(
    bench: &Bench<'_>,
    pair: &str,
    texts: Texts,
    examples: usize,
) -> Result<PathBuf> {
    let name = format!("{pair}-{}-{examples}.json", texts.name());
    let anchor = bench.args.pairs.join(pair).join("anchor/config.json");
    bench.write_json(&name, &Data::new(texts, examples, vocabulary(&anchor)?))?;
    Ok(bench.args.out.join(name))
}

fn vocabulary(config: &Path) -> Result<u32> {
    #[derive(Deserialize)]
    struct Config {
        vocab_size: u32,
    }
    Ok(read_json::<Config>(config)?.vocab_size)
}

/// Adds to both runs when they came to the loss that both came to, and where they ended.
fn meet(ours: &mut Measured, peer: &mut Measured) -> Result<()> {
    let [begin, other] = [&*ours, &*peer].map(initial_loss);
    if (begin - other).abs() > SAME * begin.abs() {
        return Err(miette!(
            "before the first step the loss is {begin} here and {other} there"
        ));
    }
    let last = |run: &Measured| run.step_seconds_loss.last().map_or(f64::NAN, |last| last.2);
    let both = last(ours).max(last(peer));
    for run in [ours, peer] {
        run.figures.insert("final_loss".to_owned(), last(run));
        if let Some(seconds) = reached(&run.step_seconds_loss, both) {
            let name = "s_to_the_same_loss".to_owned();
            run.figures.insert(name, seconds);
        }
    }
    Ok(())
}

fn initial_loss(run: &Measured) -> f64 {
    run.get("initial_loss").unwrap_or(f64::NAN)
}

/// Seconds until the loss first was so low, by a line between two measurements.
fn reached(curve: &[(usize, f64, f64)], loss: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.2 <= loss)?;
    let (_, seconds, low) = curve[after];
    let Some((_, before, high)) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(seconds);
    };
    Some(before + (seconds - before) * (high - loss) / (high - low))
}

fn chart(ours: &[Measured], peers: &[Measured]) -> Chart {
    let runs = [("calm", ours.first()), ("PyTorch", peers.first())];
    let runs = runs.into_iter().enumerate();
    let curve = |(color, (name, run)): (usize, (&str, Option<&Measured>))| {
        let run = run?;
        let measured = run.step_seconds_loss.iter();
        let points = measured.map(|(_, seconds, loss)| (*seconds, *loss));
        Some(Curve {
            name: name.to_owned(),
            color: Color::Of(color),
            style: Style::Marked,
            points: once((0.0, initial_loss(run))).chain(points).collect(),
        })
    };
    Chart {
        x: Axis::new("time of training, s", AxisKind::FromZero),
        y: Axis::new("held-out loss, nats per target token", AxisKind::Linear),
        curves: runs.filter_map(curve).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(initial_loss: f64, curve: &[(usize, f64, f64)]) -> Measured {
        Measured {
            figures: [("initial_loss".to_owned(), initial_loss)].into(),
            step_seconds_loss: curve.to_vec(),
        }
    }

    #[test]
    fn both_sides_are_timed_to_the_loss_that_both_reach() {
        let mut ours = run(7.0, &[(4, 1.0, 5.0), (8, 2.0, 3.0)]);
        let mut peer = run(7.0, &[(4, 3.0, 6.0), (8, 6.0, 4.0)]);
        meet(&mut ours, &mut peer).unwrap();
        assert_eq!(ours.get("s_to_the_same_loss"), Some(1.5));
        assert_eq!(peer.get("s_to_the_same_loss"), Some(6.0));
        let mut other = run(6.9, &[(4, 3.0, 6.0)]);
        assert!(meet(&mut ours, &mut other).is_err(), "another model");
    }
}
