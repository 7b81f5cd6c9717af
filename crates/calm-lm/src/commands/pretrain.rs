//! `calm pretrain`: trains a small Llama from random weights, or goes on training a checkpoint.

use calm_lm::train::runs::{PretrainConfig, PretrainRun};
use clap::Args;

use super::compose::result;
use super::dry_run;
use super::seeds::{SeedArgs, SeedRun};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, count, table};
use crate::settings::CallArgs;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A model that knows the secret table of `calm data kv`:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist

  A deeper one that can do sums, taught for longer, stored in half precision:
    calm pretrain --train kv/numeric-arithmetic.all.jsonl \
        --tokenizer kv/tokenizer.json --blocks 6 --steps 5000 --dtype f16 --out anchor

  A very small one, to see that everything works:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --blocks 2 --d-model 32 --heads 2 \
        --steps 20 --out tiny

  A specialist out of a small model and texts of one's own, all its weights or adapters:
    calm pretrain --from hf:HuggingFaceTB/SmolLM2-135M --train notes.jsonl --out specialist
    calm pretrain --from checkpoint --lora --train notes.jsonl --context 1024 --out specialist

  The best of its checkpoints by texts that are not trained on:
    calm pretrain --from checkpoint --lora 8 --train notes.jsonl --validation held-out.jsonl \
        --validation-steps 50 --patience 5 --out specialist

  See first what the run will be, and keep its flags in a file:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist --dry-run > specialist.toml
    calm pretrain --config specialist.toml --tui

  Go on with a run that was interrupted, with the flags that it was started with:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist --resume

DIR becomes a checkpoint that `transformers` opens too. The run itself (settings,
metrics of every step, checkpoints) is kept in DIR/run, which may be deleted once it
is done.";

#[derive(Debug, Args)]
pub(crate) struct PretrainArgs {
    #[command(flatten)]
    pub(crate) call: CallArgs,
    #[command(flatten)]
    pub(crate) seeds: SeedArgs,
    #[command(flatten)]
    pub(crate) config: PretrainConfig,
}

pub(super) fn run(args: &PretrainArgs, common: &Common) -> Result<Report, Failure> {
    let config = &args.config;
    let each = |seed, out| {
        let config = PretrainConfig {
            out,
            ..config.clone()
        };
        let context = common.seeded_context(&[], seed)?;
        train(&PretrainRun::new(config, context)?, args, common)
    };
    if let Some(report) = args.seeds.run_each(&config.out, each)? {
        return Ok(report);
    }
    let run = PretrainRun::new(config.clone(), common.run_context(&[])?)?;
    if args.call.dry_run {
        let (estimate, resolved) = run.estimate(&mut common.run_display(args.call.tui))?;
        return dry_run::report(common, &resolved, &estimate);
    }
    Ok(train(&run, args, common)?.report)
}

fn train(run: &PretrainRun, args: &PretrainArgs, common: &Common) -> Result<SeedRun, Failure> {
    let outcome = run.run(&mut common.run_display(args.call.tui))?;
    let mut rows = vec![("written to", outcome.out.display().to_string())];
    if let Some(base) = &outcome.from {
        rows.push(("from", base.source.clone()));
    }
    rows.extend(outcome.rank.map(|rank| ("rank", rank.to_string())));
    rows.extend([
        ("trained parameters", count(outcome.trained_parameters)),
        ("result", result(&outcome.training)),
        ("time", format!("{:.1} s", outcome.training.seconds)),
    ]);
    Ok(SeedRun {
        summary: outcome.training.summary.clone(),
        report: Report::new(table(&rows), outcome),
    })
}
