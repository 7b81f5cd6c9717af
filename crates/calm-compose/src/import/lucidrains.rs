//! State dicts of lucidrains/CALM-pytorch.

use super::torch::Stored;
use super::{ImportPlan, Parts, StateDict};
use crate::{BridgeConfig, BridgeOptions, Gate};

pub(super) const HEAD_GATE: &str = ".attn.to_v_head_gate.weight";

/// Options of its bridges, as far as a state dict tells them.
pub(super) fn options(plan: &ImportPlan, state: &StateDict) -> BridgeOptions {
    let has = |end: &str| state.keys().any(|name| name.ends_with(end));
    let query = state
        .iter()
        .find(|(name, _)| name.ends_with(".attn.to_q.weight"));
    let d_inner = query.and_then(|(_, weight)| weight.shape.first().copied());
    BridgeOptions {
        d_inner: d_inner.filter(|d_inner| *d_inner != plan.d_anchor),
        anchor_norm: has(".pre_rmsnorm.g"),
        // It divides by the norm itself, which it only keeps from being zero.
        norm_epsilon: 1e-12,
        gate: if has(HEAD_GATE) {
            Gate::Heads
        } else {
            Gate::None
        },
        ..BridgeOptions::paper()
    }
}

/// Names behind `{m}.{n}.` in lucidrains/CALM-pytorch, and ours.
const LUCIDRAINS: [(&str, &str); 9] = [
    ("context_proj.weight", "proj.weight"),
    ("context_proj.bias", "proj.bias"),
    ("pre_rmsnorm.g", "anchor_norm.weight"),
    ("attn.to_q.weight", "q.weight"),
    ("attn.to_k.weight", "k.weight"),
    ("attn.to_v.weight", "v.weight"),
    ("attn.to_out.weight", "o.weight"),
    ("attn.to_v_head_gate.weight", "head_gate.weight"),
    ("attn.to_v_head_gate.bias", "head_gate.bias"),
];

/// Under our names; what has none of ours keeps its own, and is refused by it.
pub(super) fn to_ours(state: &StateDict) -> StateDict {
    let renamed = state.iter().map(|(name, tensor)| {
        let ours = || {
            let (m, rest) = name.split_once('.')?;
            let (n, part) = rest.split_once('.')?;
            let (m, n): (usize, usize) = (m.parse().ok()?, n.parse().ok()?);
            let (_, part) = LUCIDRAINS.into_iter().find(|(theirs, _)| *theirs == part)?;
            Some(format!("a{m}.c{n}.{part}"))
        };
        (ours().unwrap_or_else(|| name.clone()), tensor.clone())
    });
    renamed.collect()
}

/// A gate that is open: σ(100) is 1 in `f32`.
const OPEN: f32 = 100.0;

pub(super) fn from_ours(
    parts: &Parts<'_>,
    m: usize,
    n: usize,
    config: BridgeConfig,
    state: &mut StateDict,
) {
    for (theirs, ours) in LUCIDRAINS {
        if let Some(tensor) = parts.get(ours) {
            state.insert(format!("{m}.{n}.{theirs}"), tensor.clone());
        }
    }
    if config.options.gate == Gate::None {
        let (heads, d_anchor) = (config.heads, config.d_anchor);
        let gate = |shape: Vec<usize>, value: f32| {
            let values = vec![value; shape.iter().product()];
            Stored { shape, values }
        };
        let name = |kind| format!("{m}.{n}.attn.to_v_head_gate.{kind}");
        state.insert(name("weight"), gate(vec![heads, d_anchor], 0.0));
        state.insert(name("bias"), gate(vec![heads], OPEN));
    }
}
