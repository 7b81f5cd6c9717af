//! `calm compose`: trains the bridges of a composition.

use std::path::Path;

use calm_lm::compose::{BridgeOptions, Composition, Connection, Mode, TrainingRecord};
use calm_lm::train::runs::{
    BaselineOutcome, BridgeRecord, ComposeConfig, ComposeOutcome, ComposeRun, RunRecord,
};
use clap::Args;
use serde::Serialize;

use super::dry_run;
use super::seeds::{SeedArgs, SeedRun};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, connection_rows, count, significant, table};
use crate::settings::CallArgs;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The anchor reads every fourth block of a specialist, the paper's choice:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition

  Connections of one's own, from an augmenting block to an anchor block:
    calm compose --anchor anchor --augmenting specialist \
        --connections '[[1,1],[2,3]]' --train data.jsonl --out composition

  The four blocks in the middle of each model:
    calm compose --anchor anchor --augmenting specialist --connections middle:4 \
        --train data.jsonl --out composition

  Small models and little data, every block:
    calm compose --anchor anchor --augmenting specialist --connections every:1 --rows 16 \
        --steps 500 --learning-rate 2e-3 --train data.jsonl --out composition

  The best checkpoint by a file of held-out examples, or by a tenth of the training data:
    calm compose --anchor anchor --augmenting specialist --train data.jsonl \
        --validation held-out.jsonl --out composition
    calm compose --anchor anchor --augmenting specialist --train data.jsonl \
        --validation-share 0.1 --out other

  Two specialists, read through narrower bridges with a gate:
    calm compose --anchor anchor --augmenting code --augmenting law \
        --connections every:2 --d-inner 256 --heads 4 --gate scalar \
        --train data.jsonl --out composition

  Models of the Hugging Face Hub; composition.json names their commits:
    calm compose --anchor hf:HuggingFaceTB/SmolLM2-360M \
        --augmenting hf:HuggingFaceTB/SmolLM2-135M --train data.jsonl --out composition

  Passes over the data instead of steps, with three seeds, and mean ± deviation of the results:
    calm compose --anchor anchor --augmenting specialist --train data.jsonl \
        --epochs 3 --seeds 0..2 --out compositions

  Train a composition further, on other data:
    calm compose --init-from composition --train more.jsonl --out further

  A further specialist for a composition, whose bridges stay as they are:
    calm compose --extend composition --augmenting law --connections every:2 \
        --train law.jsonl --out both

  The controls of the paper: a specialist that reads the prompt only, one with untrained
  weights, and the anchor alone with adapters or with all its weights:
    calm compose --anchor anchor --augmenting specialist --mode encoder \
        --train data.jsonl --out encoder
    calm compose --anchor anchor --augmenting specialist --random-augmenting 1 \
        --train data.jsonl --out random
    calm compose --anchor anchor --augmenting specialist --baseline lora \
        --train data.jsonl --out lora
    calm compose --anchor anchor --augmenting specialist --baseline finetune \
        --train data.jsonl --out finetuned

  See first what the run will be, and keep its flags in a file:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition --dry-run > composition.toml
    calm compose --config composition.toml --tui

  Go on with a run that was interrupted, with the flags that it was started with:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition --resume

  Two GPUs of this machine and those of another one, which has the same models and data, and
  where the first of these commands is given:
    calm compose --config composition.toml --worker-token token \
        --listen 0.0.0.0:4100 --devices cuda:0,cuda:1
    calm compose --config composition.toml --worker-token token \
        --workers gpu2:4100 --devices cuda:0,cuda:1 --accumulation 4

DIR gets composition.json and bridge.safetensors, also at every checkpoint, so that a run
that is not over can be tried; the models stay where and what they are. The loss of the
anchor alone is the first line of a run, and the last one says what became of it, on
examples that were held out of the training data. The run itself (settings, metrics of every step, checkpoints) is kept in DIR/run,
which may be deleted once it is done. On the processor, a run that was killed and
resumed ends with the same bytes as one that was not.";

#[derive(Debug, Args)]
pub(crate) struct ComposeArgs {
    #[command(flatten)]
    pub(crate) call: CallArgs,
    #[command(flatten)]
    pub(crate) seeds: SeedArgs,
    #[command(flatten)]
    pub(crate) config: ComposeConfig,
}

/// A trained composition, for programs.
#[derive(Serialize)]
struct ComposedReport<'a> {
    out: &'a Path,
    connections: Vec<&'a [Connection]>,
    heads: usize,
    options: BridgeOptions,
    mode: Mode,
    training: &'a TrainingRecord,
}

/// A worker whose run is over, for programs.
#[derive(Serialize)]
struct ServedReport {
    listened_at: std::net::SocketAddr,
}

pub(super) fn run(args: &ComposeArgs, common: &Common) -> Result<Report, Failure> {
    let config = &args.config;
    config.validate()?;
    let each = |seed, out| {
        let config = ComposeConfig {
            out,
            ..config.clone()
        };
        let context = common.seeded_context(&config.ranks.devices, seed)?;
        train(&ComposeRun::new(config, context)?, args, common)
    };
    if let Some(report) = args.seeds.run_each(&config.out, each)? {
        return Ok(report);
    }
    let run = ComposeRun::new(config.clone(), common.run_context(&config.ranks.devices)?)?;
    if args.call.dry_run {
        let (estimate, resolved) = run.estimate(&mut common.run_display(args.call.tui))?;
        return dry_run::report(common, &resolved, &estimate);
    }
    Ok(train(&run, args, common)?.report)
}

fn train(run: &ComposeRun, args: &ComposeArgs, common: &Common) -> Result<SeedRun, Failure> {
    let mut display = common.run_display(args.call.tui);
    Ok(match run.run(&mut display)? {
        ComposeOutcome::Composed {
            composition,
            record,
        } => SeedRun {
            report: composed_report(run.out(), &composition, &record),
            summary: record.run.summary.clone(),
        },
        ComposeOutcome::Baseline(outcome) => SeedRun {
            report: baseline_report(&outcome),
            summary: outcome.training.summary.clone(),
        },
        ComposeOutcome::Served { address } => {
            let listened_at = address;
            SeedRun {
                report: Report::new("the run is over\n", ServedReport { listened_at }),
                summary: None,
            }
        }
    })
}

fn composed_report(out: &Path, composition: &Composition, record: &BridgeRecord) -> Report {
    let connections: Vec<&[Connection]> = composition.connections().collect();
    let (added, run) = (record.added_parameters, &record.run);
    let (stored, paper) = (count(added.stored), count(added.paper));
    let mut rows = vec![("written to", out.display().to_string())];
    rows.extend(connection_rows(&connections));
    rows.extend([
        (
            "added parameters",
            format!("{stored}, {paper} by the paper's count"),
        ),
        ("result", result(run)),
        ("time", format!("{:.1} s", run.seconds)),
    ]);
    let text = table(&rows);
    let json = ComposedReport {
        out,
        connections,
        heads: composition.heads,
        options: composition.options,
        mode: composition.mode,
        training: &composition.training,
    };
    Report::new(text, json)
}

fn baseline_report(outcome: &BaselineOutcome) -> Report {
    let (trained, bridges) = (outcome.trainable_parameters, outcome.bridge_parameters);
    let difference = trained as i64 - bridges as i64;
    let mut rows = vec![("written to", outcome.out.display().to_string())];
    rows.extend(outcome.rank.map(|rank| ("rank", rank.to_string())));
    rows.extend([
        (
            "trained parameters",
            format!(
                "{}, {:+.2} % beside the {} of the bridges",
                count(trained),
                100.0 * difference as f64 / bridges.max(1) as f64,
                count(bridges)
            ),
        ),
        ("result", result(&outcome.training)),
        ("time", format!("{:.1} s", outcome.training.seconds)),
    ]);
    Report::new(table(&rows), outcome)
}

/// The result of a run, in one line.
pub(super) fn result(run: &RunRecord) -> String {
    match (&run.summary, run.final_loss) {
        (Some(summary), _) => summary.to_string(),
        (None, Some(loss)) => format!("training loss {} nats per token", significant(loss.into())),
        (None, None) => "the loss of the last step is not finite".to_owned(),
    }
}
