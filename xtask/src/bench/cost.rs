//! What training costs against everything that makes it larger: seconds and peak memory, each
//! measurement a process of its own.

use calm_lm::chart::{Axis, Chart, Curve, Style};
use miette::Result;
use serde::Serialize;
use serde_json::Value;

use super::epochs::{self, Texts};
use super::{Bench, Spread};

/// One thing that grows while all else stays as it is.
struct Sweep {
    /// What grows, as charts name it.
    name: &'static str,
    /// In the names of files.
    file: &'static str,
    values: &'static [usize],
    /// Arguments of `calm bench` for one of the values.
    arguments: fn(usize) -> String,
    /// What is timed: its field, and what the chart calls it.
    seconds: [&'static str; 2],
}

const SWEEPS: [Sweep; 4] = [
    Sweep {
        name: "rows of a batch, 128 tokens each",
        file: "batch",
        values: &[1, 2, 4, 8, 16, 32],
        arguments: |rows| format!("train --batch {rows} --seq 128 --steps 5"),
        seconds: ["step_s", "seconds per step"],
    },
    Sweep {
        name: "tokens of a row, 4 rows",
        file: "length",
        values: &[32, 64, 128, 256, 512, 1024],
        arguments: |tokens| format!("train --batch 4 --seq {tokens} --steps 5"),
        seconds: ["step_s", "seconds per step"],
    },
    Sweep {
        name: "connections behind the same first one",
        file: "connections",
        values: &[1, 2, 3, 4],
        arguments: |count| {
            // The same blocks of the anchor have a graph, however many of them read.
            let pairs: Vec<String> = (1..=count).map(|n| format!("[{n},{n}]")).collect();
            let pairs = pairs.join(",");
            format!("train --batch 16 --seq 128 --steps 5 --connections [{pairs}]")
        },
        seconds: ["step_s", "seconds per step"],
    },
    Sweep {
        name: "epochs over 96 examples",
        file: "epochs",
        values: &[1, 2, 4, 8, 16],
        // Held-out losses are not timed; few of them keep the wait short.
        arguments: |epochs| format!("epochs --batch 16 --epochs {epochs} --every 1000"),
        seconds: ["train_s", "seconds in all"],
    },
];

const EXAMPLES: usize = 96;

/// What one value comes to.
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
        for pair in &bench.args.pair {
            let data = epochs::write_data(bench, pair, Texts::Prompts, EXAMPLES)?;
            for value in sweep.values {
                let mut arguments: Vec<String> = (sweep.arguments)(*value)
                    .split(' ')
                    .map(str::to_owned)
                    .collect();
                if sweep.file == "epochs" {
                    arguments.extend(["--data".to_owned(), data.clone()]);
                }
                of_sweep.push(cost(bench, pair, sweep, *value, &arguments)?);
            }
        }
        draw(bench, sweep, &of_sweep)?;
        costs.extend(of_sweep);
    }
    Ok(costs)
}

fn cost(
    bench: &Bench<'_>,
    pair: &str,
    sweep: &Sweep,
    value: usize,
    arguments: &[String],
) -> Result<Cost> {
    eprintln!("{pair} {}", arguments.join(" "));
    let runs: Vec<Value> = (0..bench.args.repeats)
        .map(|_| bench.ours(arguments, pair))
        .collect::<Result<_>>()?;
    let spread = |figure: &str| {
        let figures = runs.iter().filter_map(|run| run[figure].as_f64()).collect();
        Spread::of(figures).expect("a run tells its figures")
    };
    Ok(Cost {
        pair: pair.to_owned(),
        against: sweep.file,
        value,
        seconds: spread(sweep.seconds[0]),
        peak_rss_mib: spread("peak_rss_mib"),
    })
}

fn draw(bench: &Bench<'_>, sweep: &Sweep, costs: &[Cost]) -> Result<()> {
    let figures: [(&str, &str, Figure); 2] = [
        ("seconds", sweep.seconds[1], |cost| cost.seconds.median),
        ("memory", "peak memory, MiB", |cost| {
            cost.peak_rss_mib.median
        }),
    ];
    for (file, name, figure) in figures {
        let curve = |(color, pair): (usize, &String)| Curve {
            name: pair.clone(),
            color,
            style: Style::Marked,
            points: costs
                .iter()
                .filter(|cost| cost.pair == *pair)
                .map(|cost| (cost.value as f64, figure(cost)))
                .collect(),
        };
        // Between linear axes, what costs so much each is a straight line, whatever it begins with.
        let chart = Chart {
            x: Axis::new(sweep.name, false),
            y: Axis::new(name, false),
            curves: bench.args.pair.iter().enumerate().map(curve).collect(),
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
