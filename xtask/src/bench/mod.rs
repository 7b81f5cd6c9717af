//! `cargo xtask bench`: this project beside `transformers` on PyTorch, in one run.
//!
//! Both sides are processes that take the same command line and print the same JSON:
//! `cargo xtask measure` (the folder `work`) and `peer.py`.

mod cost;
mod epochs;
mod pairs;
mod plot;
mod programs;
mod texts;
mod work;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use calm_lm::backend::FloatType;
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use self::cost::Cost;
use self::plot::Growth;
use self::programs::Bench;
use self::texts::Texts;
use self::work::{Machine, Measured, Work};

pub(crate) use self::work::{MeasureArgs, run as measure};

/// Rows and tokens of a step, for pairs that are there to be trained whole; of others 16 × 128.
const SHAPES: [(&str, [usize; 2]); 4] = [
    ("4x128", [64, 48]),
    ("6x256", [64, 48]),
    ("8x512", [8, 256]),
    ("8x1024", [1, 256]),
];

/// Our steps of training as a share of the products of matrices that the machine does at best.
const SHARE: &str = "share_of_gemm_peak";

/// Decoding is timed behind prompts of these lengths.
const CONTEXTS: [usize; 7] = [64, 128, 256, 512, 1024, 2048, 4032];

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A Python that has torch and transformers
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Leave PyTorch out
    #[arg(long)]
    alone: bool,
    /// Where the random checkpoints are kept
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pairs: PathBuf,
    /// Pairs to time
    #[arg(long, value_name = "PAIR", default_values = ["small", "base"])]
    pair: Vec<String>,
    /// Work to time
    #[arg(long, value_name = "WORK", value_enum, default_values_t = [Verb::Load, Verb::Prefill, Verb::Decode, Verb::Train])]
    work: Vec<Verb>,
    /// Rows at once
    #[arg(long, value_name = "N", default_values_t = [1, 8])]
    batch: Vec<usize>,
    /// How often each side is run, in turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// Examples of the work `epochs`
    #[arg(long, value_name = "N", default_value_t = 192)]
    examples: usize,
    /// Texts of the work `epochs`
    #[arg(long, value_name = "KIND", value_enum, default_values_t = [Texts::Prompts, Texts::Full])]
    texts: Vec<Texts>,
    /// Epochs of the work `epochs`
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: usize,
    /// Device of both sides, by our name: cpu, or cuda:0
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Number type of both sides; our bridges are in f32 whatever it is
    #[arg(long, value_name = "TYPE", default_value_t = FloatType::F32)]
    dtype: FloatType,
    /// Directory for results.json, results.md and charts
    #[arg(long, value_name = "DIR", default_value = "target/bench/results")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// Both checkpoints, until each has read a token
    Load,
    /// Reading 512 tokens
    Prefill,
    /// 64 tokens behind 64, and single tokens behind contexts of growing length
    Decode,
    /// Steps of training the bridges, 16 rows of 128 tokens
    Train,
    /// Steps of training the whole anchor
    Finetune,
    /// Training to the same loss over the same examples, each side in its own way
    Epochs,
    /// Training by batch, length, connections and epochs: ours alone, as charts
    Cost,
}

/// One thing that is timed on both sides.
struct Timed {
    work: Work,
    flags: String,
    /// The figures that are compared, and whether more is better.
    figures: &'static [(&'static str, bool)],
}

/// Both sides of one figure over all repeats.
#[derive(Debug, Serialize)]
struct Comparison {
    pair: String,
    work: String,
    figure: &'static str,
    ours: Spread,
    peer: Option<Spread>,
    /// How many times better the median is than the peer's.
    ratio: Option<f64>,
}

/// Several measurements of the same.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self {
            least: *figures.first()?,
            median: figures[figures.len() / 2],
            most: *figures.last()?,
        })
    }
}

/// results.json.
#[derive(Serialize)]
struct Results {
    machine: Machine,
    commit: String,
    cores: NonZeroUsize,
    repeats: usize,
    comparisons: Vec<Comparison>,
    ms_per_token_by_context: Vec<Growth>,
    training_costs: Vec<Cost>,
}

/// Times all that was asked for, writes results.json, results.md and charts, prints the tables.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let bench = Bench::new(args)?;
    let is_asked_for = |verb| args.work.contains(&verb);
    let machine = bench.machine()?;
    let mut comparisons = Vec::new();
    for pair in &args.pair {
        for timed in works(pair, args) {
            comparisons.extend(compare(&bench, pair, &timed)?);
        }
    }
    if is_asked_for(Verb::Epochs) {
        for pair in &args.pair {
            for texts in &args.texts {
                comparisons.extend(epochs::compare(&bench, pair, *texts)?);
            }
        }
    }
    let results = Results {
        machine,
        commit: crate::commit(),
        cores: std::thread::available_parallelism().into_diagnostic()?,
        repeats: args.repeats,
        comparisons,
        ms_per_token_by_context: match is_asked_for(Verb::Decode) {
            true => plot::growth(&bench, &args.pair[0])?,
            false => Vec::new(),
        },
        training_costs: match is_asked_for(Verb::Cost) {
            true => cost::measure(&bench)?,
            false => Vec::new(),
        },
    };
    let tables = results.tables();
    bench.write_json("results.json", &results)?;
    bench.write("results.md", &tables)?;
    println!("{tables}");
    Ok(())
}

fn works(pair: &str, args: &BenchArgs) -> Vec<Timed> {
    let of_steps: &[_] = &[
        ("step_s", false),
        ("peak_rss_mib", false),
        ("gflop_per_s", true),
        (SHARE, true),
    ];
    let shape = SHAPES.iter().find(|(name, _)| *name == pair);
    let [rows, tokens] = shape.map_or([16, 128], |(_, shape)| *shape);
    let steps = format!("--batch {rows} --seq {tokens} --steps 10");
    let timed = |verb: &Verb, work, flags: String, figures| {
        let timed = Timed {
            work,
            flags,
            figures,
        };
        args.work.contains(verb).then_some(timed)
    };
    let mut works = vec![
        timed(
            &Verb::Load,
            Work::Load,
            String::new(),
            &[
                ("load_s", false),
                ("first_token_s", false),
                ("peak_rss_mib", false),
            ],
        ),
        timed(&Verb::Train, Work::Train, steps.clone(), of_steps),
        timed(&Verb::Finetune, Work::Finetune, steps, of_steps),
    ];
    for batch in &args.batch {
        works.push(timed(
            &Verb::Prefill,
            Work::Prefill,
            format!("--batch {batch} --prompt 512"),
            &[
                ("anchor_alone_tokens_per_s", true),
                ("composed_tokens_per_s", true),
            ],
        ));
        works.push(timed(
            &Verb::Decode,
            Work::Decode,
            format!("--batch {batch} --prompt 64 --new 64"),
            &[
                ("anchor_alone_cached_tokens_per_s", true),
                ("composed_tokens_per_s", true),
                ("composed_recomputed_tokens_per_s", true),
            ],
        ));
    }
    works.into_iter().flatten().collect()
}

fn compare(bench: &Bench<'_>, pair: &str, timed: &Timed) -> Result<Vec<Comparison>> {
    let name = format!("{} {}", timed.work.name(), timed.flags);
    let (name, flags) = (name.trim_end(), words(&timed.flags));
    let is_share_asked_for = timed.figures.iter().any(|(figure, _)| *figure == SHARE);
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for repeat in 1..=bench.args.repeats {
        eprintln!("{pair} {name} ({repeat} of {})", bench.args.repeats);
        ours.push(match is_share_asked_for {
            true => beside_the_machine(bench, timed.work, &flags, pair)?,
            false => bench.ours(timed.work, &flags, pair)?,
        });
        peers.extend(bench.peer(timed.work, &flags, pair)?);
    }
    Ok(compared(pair, name, timed.figures, &ours, &peers))
}

/// Our side, with its share of what the machine gives just before or just after: that of a machine
/// that others use as well is another every minute.
fn beside_the_machine(
    bench: &Bench<'_>,
    work: Work,
    flags: &[String],
    pair: &str,
) -> Result<Measured> {
    let before = bench.machine()?.gemm_gflop_per_s;
    let mut run = bench.ours(work, flags, pair)?;
    let peak = before.max(bench.machine()?.gemm_gflop_per_s);
    if let Some(reached) = run.get("gflop_per_s") {
        run.set(SHARE, reached / peak);
    }
    Ok(run)
}

/// The figures that both sides printed, or ours alone.
fn compared(
    pair: &str,
    work: &str,
    figures: &[(&'static str, bool)],
    ours: &[Measured],
    peers: &[Measured],
) -> Vec<Comparison> {
    let figures = figures.iter().filter_map(|(figure, more_is_better)| {
        let spread =
            |runs: &[Measured]| Spread::of(runs.iter().filter_map(|run| run.get(figure)).collect());
        let (ours, peer) = (spread(ours)?, spread(peers));
        let ratio = peer.map(|peer| ours.median / peer.median);
        Some(Comparison {
            pair: pair.to_owned(),
            work: work.to_owned(),
            figure,
            ours,
            peer,
            ratio: ratio.map(|ratio| match more_is_better {
                true => ratio,
                false => ratio.recip(),
            }),
        })
    });
    figures.collect()
}

fn words(flags: &str) -> Vec<String> {
    flags.split_whitespace().map(str::to_owned).collect()
}

impl Results {
    fn tables(&self) -> String {
        let tables = [
            Some(self.peaks()),
            (!self.comparisons.is_empty()).then(|| table(&self.comparisons)),
            (!self.training_costs.is_empty()).then(|| cost::table(&self.training_costs)),
        ];
        let tables: Vec<String> = tables.into_iter().flatten().collect();
        tables.join("\n")
    }

    fn peaks(&self) -> String {
        let Machine {
            processor, threads, ..
        } = &self.machine;
        format!(
            "{}, {threads} threads: products of matrices {:.1} GFLOP/s, reading memory {:.1} GB/s\n",
            processor.as_deref().unwrap_or("unknown processor"),
            self.machine.gemm_gflop_per_s,
            self.machine.read_gb_per_s,
        )
    }
}

fn table(comparisons: &[Comparison]) -> String {
    let spread = |Spread {
                      least,
                      median,
                      most,
                  }: Spread| { format!("{median:.2} ({least:.2} to {most:.2})") };
    let mut text = "| pair | work | figure | here | transformers | ratio |\n\
                    | --- | --- | --- | ---: | ---: | ---: |\n"
        .to_owned();
    for row in comparisons {
        let peer = row.peer.map(spread).unwrap_or_default();
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2} ×"));
        text += &format!(
            "| {} | {} | {} | {} | {peer} | {} |\n",
            row.pair,
            row.work,
            row.figure,
            spread(row.ours),
            ratio.unwrap_or_default(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_told_by_its_middle_and_its_ends() {
        let spread = Spread::of(vec![3.0, 1.0, 9.0]).unwrap();
        assert_eq!([spread.least, spread.median, spread.most], [1.0, 3.0, 9.0]);
        assert!(Spread::of(vec![]).is_none());
    }
}
