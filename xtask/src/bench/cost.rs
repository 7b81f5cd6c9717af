//! Cost of training against everything that makes it larger: seconds and peak memory, each
//! measurement a process of its own.

use calm_lm::chart::{Axis, AxisKind, Chart, Color, Curve, Style};
use miette::Result;
use serde::Serialize;

use super::epochs;
use super::texts::Texts;
use super::work::{Measured, Work};
use super::{Bench, Spread, pairs, words};

/// One thing that grows while all else stays as it is.
struct Sweep {
    /// Name of the varied quantity in charts.
    name: &'static str,
    /// In the names of files.
    file: &'static str,
    values: &'static [usize],
    /// The pair for one of the values, where it is not one that was asked for.
    pair: Option<fn(usize) -> String>,
    work: Work,
    /// Flags of the work for one of the values.
    flags: fn(usize) -> String,
    /// Timed field, and its name in the chart.
    seconds: [&'static str; 2],
}

const SWEEPS: [Sweep; 6] = [
    Sweep {
        name: "rows of a batch, 128 tokens each",
        file: "batch",
        values: &[1, 2, 4, 8, 16, 32],
        pair: None,
        work: Work::Train,
        flags: |rows| format!("--batch {rows} --seq 128 --steps 5"),
        seconds: ["step_s", "time per optimiser step, s"],
    },
    Sweep {
        name: "tokens of a row, 4 rows",
        file: "length",
        values: &[32, 64, 128, 256, 512, 1024],
        pair: None,
        work: Work::Train,
        flags: |tokens| format!("--batch 4 --seq {tokens} --steps 5"),
        seconds: ["step_s", "time per optimiser step, s"],
    },
    Sweep {
        name: "connections behind the same first one",
        file: "connections",
        values: &[1, 2, 3, 4],
        pair: None,
        work: Work::Train,
        flags: |count| {
            // The same blocks of the anchor have a graph, however many of them read.
            let pairs: Vec<String> = (1..=count).map(|n| format!("[{n},{n}]")).collect();
            let pairs = pairs.join(",");
            format!("--batch 16 --seq 128 --steps 5 --connections [{pairs}]")
        },
        seconds: ["step_s", "time per optimiser step, s"],
    },
    Sweep {
        name: "epochs over 96 examples",
        file: "epochs",
        values: &[1, 2, 4, 8, 16],
        pair: None,
        work: Work::Epochs,
        // Held-out losses are not timed; few of them keep the wait short.
        flags: |epochs| format!("--batch 16 --epochs {epochs} --every 1000"),
        seconds: ["train_s", "time of the whole training, s"],
    },
    Sweep {
        name: "width of an anchor of 6 blocks, m_A half as wide, 8 × 128 tokens",
        file: "width",
        values: &[128, 256, 512, 1024],
        pair: Some(|width| format!("width-{width}")),
        work: Work::Train,
        flags: |_| "--batch 8 --seq 128 --steps 5".to_owned(),
        seconds: ["step_s", "time per optimiser step, s"],
    },
    Sweep {
        name: "threads, 16 × 128 tokens",
        file: "threads",
        values: &[1, 2, 4],
        pair: None,
        work: Work::Train,
        flags: |threads| format!("--batch 16 --seq 128 --steps 5 --threads {threads}"),
        seconds: ["step_s", "time per optimiser step, s"],
    },
];

const EXAMPLES: usize = 96;

/// Measurement at one value.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    pair: String,
    against: &'static str,
    value: usize,
    seconds: Spread,
    peak_rss_mib: Spread,
}

/// One of the figures of a measurement.
type Figure = fn(&Cost) -> f64;

/// Measures everything, and draws a chart of seconds and one of memory for each sweep.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for sweep in &SWEEPS {
        let mut of_sweep = Vec::new();
        for curve in sweep.curves(&bench.args.pair) {
            for value in sweep.values {
                let pair = sweep.pair.map_or(curve.clone(), |pair| pair(*value));
                pairs::make(&bench.args.pairs, &pair)?;
                let mut flags = words(&(sweep.flags)(*value));
                if sweep.work == Work::Epochs {
                    let data = epochs::write_data(bench, &pair, Texts::Prompts, EXAMPLES)?;
                    flags.extend(["--data".to_owned(), data.display().to_string()]);
                }
                eprintln!("{pair} {} {}", sweep.work.name(), flags.join(" "));
                let runs = (0..bench.args.repeats).map(|_| bench.ours(sweep.work, &flags, &pair));
                let runs: Vec<Measured> = runs.collect::<Result<_>>()?;
                of_sweep.push(cost(&curve, sweep, *value, &runs));
            }
        }
        draw(bench, sweep, &of_sweep)?;
        costs.extend(of_sweep);
    }
    Ok(costs)
}

impl Sweep {
    /// Subject of each curve: a pair that was asked for, or one pair after the other.
    fn curves(&self, pairs: &[String]) -> Vec<String> {
        match self.pair {
            Some(_) => vec!["bridges between random models".to_owned()],
            None => pairs.to_vec(),
        }
    }
}

fn cost(curve: &str, sweep: &Sweep, value: usize, runs: &[Measured]) -> Cost {
    let spread = |figure: &str| {
        let figures = runs.iter().filter_map(|run| run.get(figure)).collect();
        Spread::of(figures).expect("a run tells its figures")
    };
    Cost {
        pair: curve.to_owned(),
        against: sweep.file,
        value,
        seconds: spread(sweep.seconds[0]),
        peak_rss_mib: spread("peak_rss_mib"),
    }
}

fn draw(bench: &Bench<'_>, sweep: &Sweep, costs: &[Cost]) -> Result<()> {
    let figures: [(&str, &str, Figure); 2] = [
        ("seconds", sweep.seconds[1], |cost| cost.seconds.median),
        ("memory", "peak memory of the process, MiB", |cost| {
            cost.peak_rss_mib.median
        }),
    ];
    let names = sweep.curves(&bench.args.pair);
    for (file, name, figure) in figures {
        let curve = |(color, pair): (usize, &String)| Curve {
            name: pair.clone(),
            color: Color::Of(color),
            style: Style::Marked,
            points: costs
                .iter()
                .filter(|cost| cost.pair == *pair)
                .map(|cost| (cost.value as f64, figure(cost)))
                .collect(),
        };
        // Between linear axes, what costs so much each is a straight line, and what doubles is twice
        // as high.
        let chart = Chart {
            x: Axis::new(sweep.name, AxisKind::FromZero),
            y: Axis::new(name, AxisKind::FromZero),
            curves: names.iter().enumerate().map(curve).collect(),
        };
        bench.write(&format!("cost-{}-{file}.svg", sweep.file), &chart.svg())?;
    }
    Ok(())
}

/// Every measurement, with what it is of the one before, whose value is half as large but for
/// connections.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut text = "| pair | against | at | seconds | of the row above | MiB | more than above |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (number, cost) in costs.iter().enumerate() {
        let before = number.checked_sub(1).map(|before| &costs[before]);
        let before =
            before.filter(|before| (&before.pair, before.against) == (&cost.pair, cost.against));
        let (seconds, mib) = (cost.seconds.median, cost.peak_rss_mib.median);
        let [ratio, more] = match before {
            Some(before) => [
                format!("{:.2} ×", seconds / before.seconds.median),
                format!("{:.0}", mib - before.peak_rss_mib.median),
            ],
            None => [String::new(), String::new()],
        };
        text += &format!(
            "| {} | {} | {} | {seconds:.3} | {ratio} | {mib:.0} | {more} |\n",
            cost.pair, cost.against, cost.value,
        );
    }
    text
}
