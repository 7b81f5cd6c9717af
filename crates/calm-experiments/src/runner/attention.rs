//! Attention of the bridges of a composition over examples of the tasks.

use calm_compose::{Composition, ModelTrace};
use calm_data::encode_prompt;
use calm_eval::run::{RunError, Sample};
use calm_models::{ModelError, Tokenizer, token_text};
use calm_train::DataTokenizer;

use super::model::Model;
use crate::ExperimentError;
use crate::plan::{Job, Plan};
use crate::table::{AttentionSample, BridgeAttention, Evaluated};

/// Examples that are shown, each the first of a task.
const EXAMPLES: usize = 4;
/// Most tokens of an example that is shown: a map of more is not legible.
const TOKENS: usize = 64;

/// The attention over the first example of each tested task that is short enough.
pub(super) fn attention(
    plan: &Plan,
    job: &Job,
    evaluated: &[Evaluated],
    model: &mut Model<'_>,
) -> Result<Vec<AttentionSample>, ExperimentError> {
    let wrong =
        |source: ModelError| ExperimentError::evaluation(&job.title, RunError::Model(source));
    let system = &evaluated[0].system;
    let tested = plan.tasks.iter().zip(evaluated);
    let tested = tested.filter(|(task, _)| task.frame.tested);
    let composition = model.get()?;
    let mut shown = Vec::new();
    for (_, evaluated) in tested.take(EXAMPLES) {
        for sample in &evaluated.samples {
            if let Some(ids) = tokens_of(composition, sample) {
                let place = (&**system, &*evaluated.task);
                shown.extend(traced(place, composition, &ids).map_err(wrong)?);
                break;
            }
        }
    }
    Ok(shown)
}

/// The tokens of an example with the output, if they are few.
fn tokens_of(composition: &Composition, sample: &Sample) -> Option<Vec<u32>> {
    let text = format!("{}{}", sample.prompt, sample.output);
    let ids = encode_prompt(&DataTokenizer(composition.tokenizer()), 0, &text).ok()?;
    (ids.len() <= TOKENS).then_some(ids)
}

fn traced(
    (system, task): (&str, &str),
    composition: &Composition,
    ids: &[u32],
) -> Result<Vec<AttentionSample>, ModelError> {
    let trace = composition.model.trace(ids)?;
    let anchor_tokens = texts(composition.tokenizer(), ids);
    let models = composition.augmenting.iter().zip(&trace.models);
    let sample = |(loaded, model): (&calm_compose::LoadedModel, &ModelTrace)| AttentionSample {
        system: system.to_owned(),
        task: task.to_owned(),
        anchor_tokens: anchor_tokens.clone(),
        model: loaded.name(),
        augmenting_tokens: texts(&loaded.model.tokenizer, &model.tokens),
        bridges: bridges(model),
    };
    Ok(models.map(sample).collect())
}

fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| token_text(tokenizer, *id)).collect()
}

fn bridges(model: &ModelTrace) -> Vec<BridgeAttention> {
    let bridges = model.bridges.iter().map(|bridge| {
        let rows = bridge.mean().into_iter().zip(&model.sees);
        let weights = rows.map(|(weights, sees)| {
            let mut row = vec![0.0; model.tokens.len()];
            for (place, weight) in sees.iter().zip(weights) {
                row[*place] = weight;
            }
            row
        });
        BridgeAttention {
            augmenting_block: bridge.connection.augmenting_block,
            anchor_block: bridge.connection.anchor_block,
            weights: weights.collect(),
        }
    });
    bridges.collect()
}
