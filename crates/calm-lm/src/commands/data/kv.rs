//! `calm data kv`: builds the key-value arithmetic of section 4.1.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use calm_lm::data::kv::{
    BUILDER_VERSION, DataMixture, KvConfig, KvDataset, KvSizes, Operator, build,
};
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The paper's dataset, 25000 keys:
    calm data kv --out kv

  The scale of the committed checkpoints, with fewer expressions:
    calm data kv --laptop --all 5000 --held-in 5000 --held-out 500 --out kv

  Other sizes:
    calm data kv --pairs 100 --largest-value 100 --operands 2..4 \
        --operators '+ - *' --seed 7 --out kv

DIR gets TASK.POOL.jsonl for three tasks and three pools of keys; mixed.jsonl, what a
composition learns from (60 % kv-arithmetic and 10 % kv-substitution over held-in keys,
30 % numeric-arithmetic), and arithmetic.jsonl and substitution.jsonl, one of these tasks
alone; with --masked, masked.jsonl: mixed.jsonl for anchor masking, where numbers may be
hidden; tokenizer.json; and kv.json with all settings and the secret
table. The same settings and --seed always
give the same bytes.";

#[derive(Debug, Args)]
pub(super) struct KvArgs {
    /// Directory to write to; files of the same names are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Start from 1000 pairs up to 1000, 3 or 4 operands, + and -, instead of the paper's scale
    #[arg(long)]
    laptop: bool,
    /// Number of keys [default: 25000, or 1000 with --laptop]
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    /// Fewest and most letters of a key, as `2 6` or `2..6` [default: 2..6]
    #[arg(long, value_name = "LETTERS", num_args = 1..=2)]
    key_length: Vec<Span>,
    /// Values are drawn from 1 to this [default: 25000, or 1000 with --laptop]
    #[arg(long, value_name = "N")]
    largest_value: Option<u32>,
    /// Fewest and most operands, as `3 6` or `3..6` [default: 3..6, or 3..4 with --laptop]
    #[arg(long, value_name = "OPERANDS", num_args = 1..=2)]
    operands: Vec<Span>,
    /// Operators among + - × (or x, or *) [default: '+ - ×', or '+ -' with --laptop]
    #[arg(long, allow_hyphen_values = true)]
    operators: Option<Operators>,
    /// Share of the keys that a composition may be trained on [default: 0.2]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    held_in_share: Option<f64>,
    /// Number of the part of the keys that is held in, from 0: the share cuts them into equal parts
    #[arg(long, value_name = "N", default_value_t = 0)]
    fold: usize,
    /// Expressions per task over all keys
    #[arg(long, value_name = "N", default_value_t = KvSizes::default().all)]
    all: usize,
    /// Expressions per task over held-in keys, and in each file to compose with
    #[arg(long, value_name = "N", default_value_t = KvSizes::default().held_in)]
    held_in: usize,
    /// Expressions per task over held-out keys
    #[arg(long, value_name = "N", default_value_t = KvSizes::default().held_out)]
    held_out: usize,
    /// Write masked.jsonl, too: mixed.jsonl with the parts of prompts that --mask-anchor may hide
    #[arg(long)]
    masked: bool,
}

/// One number, or a first and a last one.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: usize,
    last: usize,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        match (first.parse(), last.trim_start_matches('=').parse()) {
            (Ok(first), Ok(last)) => Ok(Self { first, last }),
            _ => Err("expected a number, or two as in 2..6".to_owned()),
        }
    }
}

#[derive(Debug, Clone)]
struct Operators(Vec<Operator>);

impl FromStr for Operators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let signs = text
            .chars()
            .filter(|sign| !sign.is_whitespace() && *sign != ',');
        let operators = signs.map(|sign| match sign {
            '+' => Ok(Operator::Plus),
            '-' | '−' => Ok(Operator::Minus),
            '×' | '*' | 'x' => Ok(Operator::Times),
            other => Err(format!("'{other}' is no operator; use +, - and ×")),
        });
        operators.collect::<Result<_, _>>().map(Self)
    }
}

impl KvArgs {
    fn config(&self, seed: u64) -> KvConfig {
        let base = if self.laptop {
            KvConfig::laptop()
        } else {
            KvConfig::default()
        };
        let operators = self.operators.clone().map(|operators| operators.0);
        KvConfig {
            pairs: self.pairs.unwrap_or(base.pairs),
            key_length: hull(&self.key_length).unwrap_or(base.key_length),
            largest_value: self.largest_value.unwrap_or(base.largest_value),
            operands: hull(&self.operands).unwrap_or(base.operands),
            operators: operators.unwrap_or(base.operators),
            held_in_share: self.held_in_share.unwrap_or(base.held_in_share),
            fold: self.fold,
            seed,
        }
    }

    fn sizes(&self) -> KvSizes {
        KvSizes {
            all: self.all,
            held_in: self.held_in,
            held_out: self.held_out,
            mixture: None,
            masked: self.masked,
        }
    }
}

/// First and last number of `2 6`, which are two spans, or of `2..6`, which is one.
fn hull(spans: &[Span]) -> Option<[usize; 2]> {
    Some([spans.first()?.first, spans.last()?.last])
}

#[derive(Serialize)]
struct Built<'a> {
    out: &'a Path,
    builder_version: u32,
    config: &'a KvConfig,
    sizes: KvSizes,
    held_in_keys: usize,
    answer_width: usize,
}

pub(super) fn run(args: &KvArgs, common: &Common) -> Result<Report, Failure> {
    let dataset = KvDataset::new(args.config(common.seed))?;
    let sizes = args.sizes();
    build(&dataset, sizes, &args.out)?;
    let config = dataset.config();
    let text = table(&[
        ("written to", args.out.display().to_string()),
        (
            "keys",
            format!("{}, {} of them held in", config.pairs, config.held_in()),
        ),
        ("answers", format!("{} digits", dataset.answer_width())),
        (
            "to compose",
            format!(
                "{}: {} expressions over held-in keys, of all three tasks",
                DataMixture::Mixed.file_name(),
                sizes.held_in
            ),
        ),
        (
            "expressions",
            format!(
                "{} over all keys, {} over held-in and {} over held-out ones, for each task",
                sizes.all, sizes.held_in, sizes.held_out
            ),
        ),
    ]);
    let built = Built {
        out: &args.out,
        builder_version: BUILDER_VERSION,
        config,
        sizes,
        held_in_keys: config.held_in(),
        answer_width: dataset.answer_width(),
    };
    Ok(Report::new(text, built))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: KvArgs,
    }

    fn config(flags: &str) -> KvConfig {
        let words = ["kv", "--out", "DIR"]
            .into_iter()
            .chain(flags.split(' ').skip(1));
        Alone::parse_from(words).args.config(3)
    }

    #[test]
    fn flags_change_the_preset() {
        assert_eq!(
            config(""),
            KvConfig {
                seed: 3,
                ..KvConfig::default()
            }
        );
        assert_eq!(
            config(" --laptop"),
            KvConfig {
                seed: 3,
                ..KvConfig::laptop()
            }
        );
        let changed = config(" --laptop --pairs 9 --held-in-share 0.5");
        assert_eq!((changed.pairs, changed.held_in_share), (9, 0.5));
        assert_eq!(changed.largest_value, KvConfig::laptop().largest_value);
    }

    #[test]
    fn ranges_are_one_word_or_two() {
        for flags in [" --operands 2 5", " --operands 2..5", " --operands 2..=5"] {
            assert_eq!(config(flags).operands, [2, 5], "{flags}");
        }
        assert_eq!(config(" --key-length 4").key_length, [4, 4]);
        assert!("2..".parse::<Span>().is_err() && "x".parse::<Span>().is_err());
    }

    #[test]
    fn operators_have_several_spellings() {
        let read = |text: &str| text.parse::<Operators>().map(|operators| operators.0);
        let all = vec![Operator::Plus, Operator::Minus, Operator::Times];
        for text in ["+ - ×", "+-*", "+,-,x"] {
            assert_eq!(read(text), Ok(all.clone()), "{text}");
        }
        assert!(read("+ %").unwrap_err().contains("'%' is no operator"));
    }
}
