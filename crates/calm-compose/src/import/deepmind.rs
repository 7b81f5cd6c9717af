//! State dicts of google-deepmind/calm.

use super::torch::Stored;
use super::{ImportPlan, Parts, StateDict};
use crate::BridgeOptions;

/// Options of its bridges.
pub(super) fn options(plan: &ImportPlan) -> BridgeOptions {
    BridgeOptions {
        output_norm: true,
        bias: true,
        norm_epsilon: plan.norm_epsilon,
        ..BridgeOptions::paper()
    }
}

/// Names behind `cross_attention_hooks.{n}.` in google-deepmind/calm, and ours. Besides them there
/// are W_Q, W_K and W_V in one tensor, and the weight of a norm that has one added to it.
const DEEPMIND: [(&str, &str); 4] = [
    ("proj.weight", "proj.weight"),
    ("proj.bias", "proj.bias"),
    ("cross_attention.out_proj.weight", "o.weight"),
    ("cross_attention.out_proj.bias", "o.bias"),
];
const DEEPMIND_NORM: &str = "post_attention_layernorm.weight";
const QUERY_KEY_VALUE: [&str; 3] = ["q", "k", "v"];

/// Under our names; what has none of ours keeps its own, and is refused by it.
pub(super) fn to_ours(state: &StateDict) -> StateDict {
    let mut ours = StateDict::new();
    for (name, tensor) in state {
        let hook = name.strip_prefix("cross_attention_hooks.");
        let hook = hook.and_then(|rest| rest.split_once('.'));
        let hook = hook.and_then(|(n, part)| Some((n.parse::<usize>().ok()?, part)));
        let Some((n, part)) = hook else {
            ours.insert(name.clone(), tensor.clone());
            continue;
        };
        let simple = DEEPMIND.into_iter().find(|(theirs, _)| *theirs == part);
        let packed = part.strip_prefix("cross_attention.in_proj_");
        match (simple, packed, thirds(tensor)) {
            (Some((_, part)), ..) => {
                ours.insert(format!("a0.c{n}.{part}"), tensor.clone());
            }
            (_, Some(kind @ ("weight" | "bias")), Some(thirds)) => {
                for (part, third) in QUERY_KEY_VALUE.into_iter().zip(thirds) {
                    ours.insert(format!("a0.c{n}.{part}.{kind}"), third);
                }
            }
            _ if part == DEEPMIND_NORM => {
                let weight = tensor.plus(1.0);
                ours.insert(format!("a0.c{n}.output_norm.weight"), weight);
            }
            _ => {
                ours.insert(name.clone(), tensor.clone());
            }
        }
    }
    ours
}

pub(super) fn from_ours(parts: &Parts<'_>, n: usize, state: &mut StateDict) {
    let mut insert = |name: &str, tensor: Option<Stored>| {
        let name = format!("cross_attention_hooks.{n}.{name}");
        state.extend(tensor.map(|tensor| (name, tensor)));
    };
    let d_anchor = parts.get("proj.bias").map_or(0, |bias| bias.values.len());
    let bias = |name: &str| {
        let none = || Stored {
            shape: vec![d_anchor],
            values: vec![0.0; d_anchor],
        };
        parts.get(name).cloned().unwrap_or_else(none)
    };
    insert("proj.weight", parts.get("proj.weight").cloned());
    insert("proj.bias", parts.get("proj.bias").cloned());
    insert(
        "cross_attention.out_proj.weight",
        parts.get("o.weight").cloned(),
    );
    insert("cross_attention.out_proj.bias", Some(bias("o.bias")));
    let weights = QUERY_KEY_VALUE.map(|part| parts.get(&format!("{part}.weight")).cloned());
    insert(
        "cross_attention.in_proj_weight",
        stacked(weights.into_iter().flatten()),
    );
    let biases = QUERY_KEY_VALUE.map(|part| bias(&format!("{part}.bias")));
    insert("cross_attention.in_proj_bias", stacked(biases));
    let norm = parts.get("output_norm.weight");
    insert(DEEPMIND_NORM, norm.map(|weight| weight.plus(-1.0)));
}

impl Stored {
    fn plus(&self, number: f32) -> Self {
        Self {
            shape: self.shape.clone(),
            values: self.values.iter().map(|value| value + number).collect(),
        }
    }
}

/// A tensor whose rows are those of three.
fn thirds(tensor: &Stored) -> Option<Vec<Stored>> {
    let rows = *tensor.shape.first()?;
    if rows == 0 || rows % 3 != 0 {
        return None;
    }
    let mut shape = tensor.shape.clone();
    shape[0] = rows / 3;
    let parts = tensor.values.chunks(tensor.values.len() / 3);
    let parts = parts.map(|values| Stored {
        shape: shape.clone(),
        values: values.to_vec(),
    });
    Some(parts.collect())
}

/// The reverse of [`thirds`].
fn stacked(tensors: impl IntoIterator<Item = Stored>) -> Option<Stored> {
    let mut tensors = tensors.into_iter();
    let mut stack = tensors.next()?;
    for tensor in tensors {
        stack.shape[0] += tensor.shape[0];
        stack.values.extend(tensor.values);
    }
    Some(stack)
}
