//! `calm trace`: which tokens of its augmenting models an anchor reads.

use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::compose::{BridgeTrace, ModelTrace, Trace};
use calm_lm::data::encode_prompt;
use calm_lm::models::Tokenizer;
use clap::Args;
use serde_json::{Value, json};

use super::model::{Model, ModelArgs, ScaleArgs};
use super::picture::{Panel, draw};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  What the last token of a text reads most through each bridge:
    calm trace composition --text 'kip + qat - zu ='

  Every weight, per connection, head and token, as JSON and as a picture:
    calm trace composition --text 'kip + qat =' --out trace.json --picture trace.svg

Weights are those of the softmax, before values, gates and W_O. A picture has a row for
each token of the anchor and a column for each of the augmenting model; what a row may not
see is grey. Of a composition that reads prompts only, the text is a prompt.";

/// Tokens that the summary names of every bridge.
const NAMED: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    scales: ScaleArgs,
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
    let model = Model::load(&args.model, &args.scales, &common.device()?, common.quiet)?;
    let Some(composed) = model.composed() else {
        let reason = "is no composition (there is no composition.json in it), and reads nothing";
        return Err(Failure::path(&model.name, reason));
    };
    let ids = encode_prompt(model.tokenizer().inner(), 0, &args.text);
    let ids = ids.map_err(|source| Failure::Text {
        origin: "--text".to_owned(),
        source,
    })?;
    let trace = composed.trace(&ids)?;
    let traced = Traced {
        anchor: texts(model.tokenizer(), &ids),
        augmenting: model
            .augmenting_tokenizers()
            .iter()
            .zip(&trace.models)
            .map(|(tokenizer, model)| texts(tokenizer, &model.tokens))
            .collect(),
        trace: &trace,
    };
    let all = json!({
        "schema": 1,
        "composition": model.name,
        "text": args.text,
        "anchor_tokens": with_ids(&traced.anchor, &ids),
        "augmenting": traced.models(),
    });
    if let Some(path) = &args.out {
        write(path, &format!("{all}\n"))?;
    }
    if let Some(path) = &args.picture {
        write(path, &draw(&traced.panels()))?;
    }
    Ok(Report::new(traced.summary(), all))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::path(path, error.to_string()))
}

/// A trace with the texts of all tokens.
struct Traced<'a> {
    anchor: Vec<String>,
    augmenting: Vec<Vec<String>>,
    trace: &'a Trace,
}

impl Traced<'_> {
    /// Every augmenting model with the texts of its tokens and its bridges.
    fn bridges(
        &self,
    ) -> impl Iterator<Item = (usize, &[String], &ModelTrace, usize, &BridgeTrace)> {
        let models = self.trace.models.iter().zip(&self.augmenting).enumerate();
        models.flat_map(|(m, (model, texts))| {
            let bridges = model.bridges.iter().enumerate();
            bridges.map(move |(n, bridge)| (m, texts.as_slice(), model, n, bridge))
        })
    }

    fn models(&self) -> Vec<Value> {
        let models = self.trace.models.iter().zip(&self.augmenting);
        let models = models.map(|(model, texts)| {
            let bridges = model
                .bridges
                .iter()
                .map(|bridge| json!({ "connection": bridge.connection, "heads": bridge.heads }));
            json!({
                "tokens": with_ids(texts, &model.tokens),
                "sees": model.sees,
                "bridges": bridges.collect::<Vec<_>>(),
            })
        });
        models.collect()
    }

    fn panels(&self) -> Vec<Panel<'_>> {
        let bridges = self.bridges().flat_map(|(m, columns, model, n, bridge)| {
            let [from, to] = [
                bridge.connection.augmenting_block,
                bridge.connection.anchor_block,
            ];
            let heads = bridge.heads.iter().enumerate();
            heads.map(move |(head, weights)| Panel {
                title: format!("a{m}.c{n}, block {from} at {to}, head {}", head + 1),
                line: (m, n),
                rows: &self.anchor,
                columns,
                sees: &model.sees,
                weights,
            })
        });
        bridges.collect()
    }

    /// What the last token reads most, all heads together.
    fn summary(&self) -> String {
        let last = self.anchor.len() - 1;
        let rows: Vec<(String, String)> =
            self.bridges()
                .map(|(m, texts, model, n, bridge)| {
                    let [from, to] = [
                        bridge.connection.augmenting_block,
                        bridge.connection.anchor_block,
                    ];
                    let name = format!("a{m}.c{n}, block {from} at {to}");
                    let mut seen: Vec<(f32, usize)> = model.sees[last]
                        .iter()
                        .enumerate()
                        .map(|(place, token)| {
                            let heads = bridge.heads.iter().map(|head| head[last][place]);
                            (heads.sum::<f32>() / bridge.heads.len() as f32, *token)
                        })
                        .collect();
                    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
                    let named = seen.iter().take(NAMED).map(|(weight, token)| {
                        format!("{:?} {:.0} %", texts[*token], 100.0 * weight)
                    });
                    (name, named.collect::<Vec<_>>().join(", "))
                })
                .collect();
        format!(
            "{:?}, the last of {} tokens, reads most, over all heads:\n{}",
            self.anchor[last],
            self.anchor.len(),
            table(&rows)
        )
    }
}

fn with_ids(texts: &[String], ids: &[u32]) -> Vec<Value> {
    let tokens = texts.iter().zip(ids);
    tokens
        .map(|(text, id)| json!({ "id": id, "text": text }))
        .collect()
}

/// The text of each token by itself; of one that is no text by itself, its name in the vocabulary.
fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let text = |id: &u32| {
        let decoded = tokenizer.decode(&[*id], false).unwrap_or_default();
        if decoded.is_empty() || decoded.contains(char::REPLACEMENT_CHARACTER) {
            return tokenizer.token(*id).unwrap_or(decoded);
        }
        decoded
    };
    ids.iter().map(text).collect()
}
