//! `cargo xtask bench`: this project beside `transformers` on PyTorch, in one run.

mod cost;
mod epochs;
mod plot;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use calm_lm::backend::FloatType;
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde::Serialize;
use serde_json::{Value, json};

use self::epochs::Texts;

/// The other side, which Python runs.
const PEER: &str = include_str!("peer.py");

/// Rows and tokens of a step, for pairs that are there to be trained whole; of others 16 × 128.
const SHAPES: [(&str, [usize; 2]); 4] = [
    ("4x128", [64, 48]),
    ("6x256", [64, 48]),
    ("8x512", [8, 256]),
    ("8x1024", [1, 256]),
];

/// What our steps of training come to, of the products of matrices that the machine does at best.
const SHARE: &str = "share_of_gemm_peak";

/// Decoding is timed behind prompts of these lengths.
const CONTEXTS: [usize; 7] = [64, 128, 256, 512, 1024, 2048, 4032];

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A Python that has torch and transformers
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Where the random checkpoints are kept
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pairs: PathBuf,
    /// Pairs to time
    #[arg(long, value_name = "PAIR", default_values = ["small", "base"])]
    pair: Vec<String>,
    /// What to time
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
#[derive(Debug, Clone, Serialize)]
struct Work {
    pair: String,
    /// Arguments of `calm bench` and of the peer.
    arguments: Vec<String>,
    /// The figures that are compared, and whether more is better.
    figures: Vec<(&'static str, bool)>,
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

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let bench = Bench::new(args)?;
    let machine = bench.machine()?;
    let mut comparisons = Vec::new();
    for work in args.pair.iter().flat_map(|pair| works(pair, args)) {
        comparisons.extend(bench.compare(&work, args.repeats)?);
    }
    if args.work.contains(&Verb::Epochs) {
        for pair in &args.pair {
            comparisons.extend(epochs::compare(&bench, pair)?);
        }
    }
    let growth = match args.work.contains(&Verb::Decode) {
        true => bench.growth(&args.pair[0])?,
        false => Vec::new(),
    };
    let costs = match args.work.contains(&Verb::Cost) {
        true => cost::measure(&bench)?,
        false => Vec::new(),
    };
    let results = json!({
        "machine": machine,
        "commit": crate::reproduce::commit(),
        "cores": std::thread::available_parallelism().into_diagnostic()?,
        "repeats": args.repeats,
        "comparisons": comparisons,
        "ms_per_token_by_context": growth,
        "training_costs": costs,
    });
    let tables = [
        Some(peaks(&machine)),
        (!comparisons.is_empty()).then(|| table(&comparisons)),
        (!costs.is_empty()).then(|| cost::table(&costs)),
    ];
    let table: Vec<String> = tables.into_iter().flatten().collect();
    let table = table.join("\n");
    bench.write("results.json", &format!("{results:#}\n"))?;
    bench.write("results.md", &table)?;
    if !growth.is_empty() {
        plot::growth(&args.out.join("decode.svg"), &growth)?;
    }
    println!("{table}");
    Ok(())
}

fn works(pair: &str, args: &BenchArgs) -> Vec<Work> {
    let work = |arguments: String, figures: &[(&'static str, bool)]| Work {
        pair: pair.to_owned(),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        figures: figures.to_vec(),
    };
    let mut works = Vec::new();
    if args.work.contains(&Verb::Load) {
        let figures = [
            ("load_s", false),
            ("first_token_s", false),
            ("peak_rss_mib", false),
        ];
        works.push(work("load".to_owned(), &figures));
    }
    let shape = SHAPES.iter().find(|(name, _)| *name == pair);
    let [rows, tokens] = shape.map_or([16, 128], |(_, shape)| *shape);
    for (verb, name) in [(Verb::Train, "train"), (Verb::Finetune, "finetune")] {
        if args.work.contains(&verb) {
            let figures = [
                ("step_s", false),
                ("peak_rss_mib", false),
                ("gflop_per_s", true),
                (SHARE, true),
            ];
            let arguments = format!("{name} --batch {rows} --seq {tokens} --steps 10");
            works.push(work(arguments, &figures));
        }
    }
    for batch in &args.batch {
        if args.work.contains(&Verb::Prefill) {
            let figures = [
                ("anchor_alone_tokens_per_s", true),
                ("composed_tokens_per_s", true),
            ];
            works.push(work(
                format!("prefill --batch {batch} --prompt 512"),
                &figures,
            ));
        }
        if args.work.contains(&Verb::Decode) {
            let figures = [
                ("anchor_alone_cached_tokens_per_s", true),
                ("composed_tokens_per_s", true),
                ("composed_recomputed_tokens_per_s", true),
            ];
            works.push(work(
                format!("decode --batch {batch} --prompt 64 --new 64"),
                &figures,
            ));
        }
    }
    works
}

/// The two programs, and where everything lies.
struct Bench<'a> {
    args: &'a BenchArgs,
    calm: PathBuf,
    peer: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(args: &'a BenchArgs) -> Result<Self> {
        fs::create_dir_all(&args.out)
            .into_diagnostic()
            .wrap_err_with(|| args.out.display().to_string())?;
        let calm = env::current_exe().into_diagnostic()?.with_file_name("calm");
        if !calm.exists() {
            return Err(miette!(
                "calm is not built; run cargo build --release --workspace"
            ));
        }
        let bench = Self {
            args,
            calm,
            peer: args.out.join("peer.py"),
        };
        bench.write("peer.py", PEER)?;
        for pair in &args.pair {
            bench.make(pair)?;
        }
        Ok(bench)
    }

    /// Random checkpoints, where there are none yet.
    fn make(&self, pair: &str) -> Result<()> {
        let anchor = self.args.pairs.join(pair).join("anchor/config.json");
        if !anchor.exists() {
            self.peer(&["make".to_owned()], pair)?;
        }
        Ok(())
    }

    /// Our side of a work as often as was asked for.
    fn repeated(&self, pair: &str, arguments: &[String]) -> Result<Vec<Value>> {
        eprintln!("{pair} {}", arguments.join(" "));
        (0..self.args.repeats)
            .map(|_| self.ours(arguments, pair))
            .collect()
    }

    fn compare(&self, work: &Work, repeats: usize) -> Result<Vec<Comparison>> {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for repeat in 1..=repeats {
            eprintln!(
                "{} {} ({repeat} of {repeats})",
                work.pair,
                work.arguments.join(" ")
            );
            ours.push(
                match work.figures.iter().any(|(figure, _)| *figure == SHARE) {
                    true => self.beside_the_machine(work)?,
                    false => self.ours(&work.arguments, &work.pair)?,
                },
            );
            peers.push(self.peer(&work.arguments, &work.pair)?);
        }
        let name = work.arguments.join(" ");
        Ok(compared(&work.pair, &name, &work.figures, &ours, &peers))
    }

    /// Our side, with its share of what the machine gives just before or just after: that of a
    /// machine that others use as well is another every minute.
    fn beside_the_machine(&self, work: &Work) -> Result<Value> {
        let before = self.machine()?;
        let mut run = self.ours(&work.arguments, &work.pair)?;
        let after = self.machine()?;
        let peak = |machine: &Value| machine["gemm_gflop_per_s"].as_f64();
        let reached = run["gflop_per_s"].as_f64();
        let of_all = reached.zip(peak(&before)).zip(peak(&after));
        run[SHARE] = json!(of_all.map(|((reached, before), after)| reached / before.max(after)));
        Ok(run)
    }

    /// What the machine gives at best.
    fn machine(&self) -> Result<Value> {
        let arguments = ["bench", "machine", "--json", "--device", &self.args.device];
        output(Command::new(&self.calm).args(arguments))
    }

    /// Milliseconds per decoded token behind contexts of growing length: ours, composed, and the peer's.
    fn growth(&self, pair: &str) -> Result<Vec<(usize, [f64; 3])>> {
        let mut rows = Vec::new();
        for context in CONTEXTS {
            eprintln!("{pair} decoding behind {context} tokens");
            let flags = format!("decode --prompt {context} --new 32 --repeats 3");
            let flags: Vec<String> = flags.split(' ').map(str::to_owned).collect();
            let ours = self.ours(&[&*flags, &["--cached-only".to_owned()]].concat(), pair)?;
            let peer = self.peer(&flags, pair)?;
            let figure = |run: &Value, name: &str| run[name].as_f64().unwrap_or(f64::NAN);
            rows.push((
                context,
                [
                    figure(&ours, "anchor_alone_ms_per_token"),
                    figure(&ours, "composed_ms_per_token"),
                    figure(&peer, "anchor_alone_ms_per_token"),
                ],
            ));
        }
        Ok(rows)
    }

    fn ours(&self, arguments: &[String], pair: &str) -> Result<Value> {
        let (verb, flags) = arguments.split_first().expect("a work has a verb");
        let mut command = Command::new(&self.calm);
        command
            .args(["bench", verb])
            .arg(&self.args.pairs)
            .arg(pair);
        let dtype = self.args.dtype.name();
        let common = ["--json", "--device", &self.args.device, "--dtype", dtype];
        output(command.args(flags).args(common))
    }

    fn peer(&self, arguments: &[String], pair: &str) -> Result<Value> {
        let (verb, flags) = arguments.split_first().expect("a work has a verb");
        let mut command = Command::new(&self.args.python);
        command
            .arg(&self.peer)
            .arg(verb)
            .arg(&self.args.pairs)
            .arg(pair);
        let dtype = match self.args.dtype {
            FloatType::F32 => "float32",
            FloatType::F16 => "float16",
            FloatType::BF16 => "bfloat16",
        };
        let common = ["--device", &self.args.device, "--dtype", dtype];
        output(command.args(flags).args(common))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        calm_files::write(self.args.out.join(name), text).into_diagnostic()
    }
}

/// The figures that both sides printed, or ours alone.
fn compared(
    pair: &str,
    work: &str,
    figures: &[(&'static str, bool)],
    ours: &[Value],
    peers: &[Value],
) -> Vec<Comparison> {
    let figures = figures.iter().filter_map(|(figure, more_is_better)| {
        let spread = |runs: &[Value]| {
            Spread::of(runs.iter().filter_map(|run| run[figure].as_f64()).collect())
        };
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

/// What the machine gives at best, in a line.
fn peaks(machine: &Value) -> String {
    format!(
        "{}, {} threads: products of matrices {} GFLOP/s, reading memory {} GB/s\n",
        machine["processor"].as_str().unwrap_or("unknown processor"),
        machine["threads"],
        machine["gemm_gflop_per_s"],
        machine["read_gb_per_s"],
    )
}

/// The JSON that a program prints; null if it prints nothing.
fn output(command: &mut Command) -> Result<Value> {
    let name = command.get_program().to_owned();
    let name = || Path::new(&name).display().to_string();
    let output = command.output().into_diagnostic().wrap_err_with(name)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or_default();
        return Err(miette!("{} failed: {last}", name()));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    if printed.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&printed)
        .into_diagnostic()
        .wrap_err_with(name)
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
