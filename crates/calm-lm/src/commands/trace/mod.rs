//! `calm trace`: shows which tokens of its augmenting models an anchor reads.

mod canvas;
mod panel;
mod picture;

use std::path::PathBuf;

use calm_lm::compose::{BridgeTrace, Trace};
use calm_lm::data::encode_prompt;
use calm_lm::models::{Tokenizer, token_text};
use calm_lm::train::DataTokenizer;
use clap::Args;
use serde::Serialize;

use self::panel::shown;
use self::picture::{Bridge, Picture, draw};
use super::model::{Model, OpenArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The tokens that the last token of a text reads most through each bridge:
    calm trace composition --text 'Two plus two is'

  Every weight, per connection, head and token, as JSON and as a picture:
    calm trace composition --text 'Two plus two is' --out trace.json --picture trace.svg

Weights are those of the softmax, before values, gates and W_O. A picture has a row of
maps for each connection: the mean of its heads, then each head. A map has a row for each
token of the anchor and a column for each of the augmenting model; what a token may not
see is grey. For a composition that reads prompts only, the text is a prompt.";

/// Tokens that the summary names for every bridge.
const NAMED: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Text to read
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    /// Write every weight to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw every weight into this file, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

pub(super) fn run(args: &TraceArgs, common: &Common) -> Result<Report, Failure> {
    let model = args.open.open(common)?;
    let Some(composed) = model.composed() else {
        let reason = "is no composition (there is no composition.json in it), and reads nothing";
        return Err(Failure::path(&model.name, reason));
    };
    let ids = encode_prompt(&DataTokenizer(model.tokenizer()), 0, &args.text);
    let ids = ids.map_err(|source| Failure::Text {
        origin: "--text".to_owned(),
        source,
    })?;
    let traced = Traced::new(&model, &args.text, &ids, composed.trace(&ids)?);
    let report = Report::new(traced.summary(), &traced);
    if let Some(path) = &args.out {
        calm_lm::files::write(path, format!("{}\n", report.json()))?;
    }
    if let Some(path) = &args.picture {
        calm_lm::files::write(path, draw(&traced.picture()))?;
    }
    Ok(report)
}

/// A trace with the texts of all tokens.
#[derive(Serialize)]
struct Traced<'a> {
    composition: &'a str,
    text: &'a str,
    anchor: String,
    anchor_tokens: Vec<Token>,
    augmenting: Vec<TracedModel>,
}

#[derive(Serialize)]
struct TracedModel {
    name: String,
    tokens: Vec<Token>,
    /// For every token of the anchor, the places in `tokens` that it may see.
    sees: Vec<Vec<usize>>,
    bridges: Vec<BridgeTrace>,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    text: String,
}

impl<'a> Traced<'a> {
    fn new(model: &'a Model, text: &'a str, ids: &[u32], trace: Trace) -> Self {
        let composition = &model.composition;
        let augmenting = composition.augmenting.iter().zip(trace.models);
        let augmenting = augmenting.map(|(loaded, model)| TracedModel {
            name: loaded.name(),
            tokens: tokens(&loaded.model.tokenizer, &model.tokens),
            sees: model.sees,
            bridges: model.bridges,
        });
        Self {
            composition: &model.name,
            text,
            anchor: composition.anchor.name(),
            anchor_tokens: tokens(model.tokenizer(), ids),
            augmenting: augmenting.collect(),
        }
    }

    /// Every bridge with its model and the name of its connection.
    fn bridges(&self) -> impl Iterator<Item = (&TracedModel, &BridgeTrace, String)> {
        self.augmenting.iter().flat_map(move |model| {
            model.bridges.iter().map(move |bridge| {
                let connection = bridge.connection;
                let (from, to) = (connection.augmenting_block, connection.anchor_block);
                let name = format!(
                    "block {from} of {} → block {to} of {}",
                    model.name, self.anchor
                );
                (model, bridge, name)
            })
        })
    }

    fn picture(&self) -> Picture<'_> {
        let bridges = self.bridges().map(|(model, bridge, title)| Bridge {
            title,
            augmenting: &model.name,
            tokens: texts(&model.tokens),
            sees: &model.sees,
            heads: &bridge.heads,
            mean: bridge.mean(),
        });
        Picture {
            anchor: self.anchor.clone(),
            tokens: texts(&self.anchor_tokens),
            bridges: bridges.collect(),
        }
    }

    /// The tokens that the last token reads most, as the mean over the heads.
    fn summary(&self) -> String {
        let last = self.anchor_tokens.len() - 1;
        let rows = self.bridges().map(|(model, bridge, name)| {
            let mean = bridge.mean();
            let mut seen: Vec<_> = mean[last].iter().zip(&model.sees[last]).collect();
            seen.sort_by(|a, b| b.0.total_cmp(a.0));
            let named = seen.iter().take(NAMED).map(|(weight, token)| {
                let text = shown(&model.tokens[**token].text);
                format!("{text} {:.0} %", 100.0 * **weight)
            });
            (name, named.collect::<Vec<_>>().join(", "))
        });
        format!(
            "The last of {} tokens, {}, reads most of (share of attention, mean of all heads):\n{}",
            self.anchor_tokens.len(),
            shown(&self.anchor_tokens[last].text),
            table(&rows.collect::<Vec<_>>())
        )
    }
}

fn texts(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

fn tokens(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<Token> {
    let text = |id| token_text(tokenizer, id);
    let ids = ids.iter();
    ids.map(|&id| Token { id, text: text(id) }).collect()
}
