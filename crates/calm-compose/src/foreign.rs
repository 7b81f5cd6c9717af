//! Compositions of other projects: the state dicts of google-deepmind/calm and of
//! lucidrains/CALM-pytorch, from safetensors files and those of `torch.save`, and to safetensors files.
//!
//! docs/composition.md has the table of names. What our bridges have no place for is refused by
//! its name.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device};
use safetensors::tensor::{Dtype, TensorView};

use crate::file::{MAX_WEIGHTS_BYTES, take_bridges};
use crate::files::read_bytes;
use crate::tensors::{NamedTensors, parse, to_f32};
use crate::torch::{self, Stored};
use crate::{BridgeConfig, BridgeOptions, Bridges, ComposeError, Connection, Gate};

/// Whose state dict it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Project {
    /// google-deepmind/calm: one augmenting model, pairs (anchor, augmenting) counted from 0, and
    /// a norm behind W_O.
    Deepmind,
    /// lucidrains/CALM-pytorch: pairs (augmenting, anchor) counted from 1, head gates, and by
    /// default a norm before W_Q.
    Lucidrains,
}

/// What a state dict does not say of itself.
#[derive(Debug, Clone)]
pub struct ImportPlan {
    /// Whose it is.
    pub project: Project,
    /// Per augmenting model, its pairs as that project writes them.
    pub connections: Vec<Vec<[usize; 2]>>,
    /// Attention heads; none if there are head gates to tell them by.
    pub heads: Option<usize>,
    /// Width of the anchor.
    pub d_anchor: usize,
    /// Width of each augmenting model.
    pub d_augmenting: Vec<usize>,
    /// Epsilon of the anchor's own norms, which google-deepmind/calm takes for its bridges.
    pub norm_epsilon: f64,
}

/// Bridges with all that belongs to them.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Per augmenting model, in the order of the state dict.
    pub connections: Vec<Vec<Connection>>,
    /// Attention heads.
    pub heads: usize,
    /// What the project's bridges have that the paper's do not.
    pub options: BridgeOptions,
    /// The parameters, in `f32`.
    pub bridges: Bridges,
}

type StateDict = BTreeMap<String, Stored>;

/// Reads the bridges of another project's state dict.
///
/// Weights of the frozen models that it may hold are passed over.
///
/// # Errors
///
/// [`ComposeError::Io`] or [`ComposeError::Malformed`] if the file can't be read, lacks a tensor,
/// or holds one that our bridges have no place for, [`ComposeError::Connections`] if a pair can't be
/// ours, and those of [`BridgeConfig::validate`].
pub fn import(path: &Path, plan: &ImportPlan, device: &Device) -> Result<Imported, ComposeError> {
    let state = read(path)?;
    let connections = plan.connections()?;
    let (ours, options) = match plan.project {
        Project::Deepmind => (from_deepmind(&state), plan.deepmind_options()),
        Project::Lucidrains => (from_lucidrains(&state), plan.lucidrains_options(&state)),
    };
    let gates = state.iter().find(|(name, _)| name.ends_with(HEAD_GATE));
    let told = gates.and_then(|(_, gate)| gate.shape.first().copied());
    let heads = plan.heads.or(told).ok_or_else(|| ComposeError::Malformed {
        path: path.to_owned(),
        reason: "does not tell how many heads its attention has; give --heads".to_owned(),
    })?;
    let widths = plan.d_augmenting.iter();
    let sets: Vec<_> = widths
        .zip(&connections)
        .map(|(d_augmenting, connections)| {
            let config = BridgeConfig {
                options,
                ..BridgeConfig::new(*d_augmenting, plan.d_anchor, heads)
            };
            (config, connections.clone())
        })
        .collect();
    let fresh = Bridges::init(&sets, 0, device)?;
    let bytes = serialize(&ours);
    let mut tensors = NamedTensors::parse(path, &bytes)?;
    let bridges = take_bridges(&mut tensors, fresh, device);
    tensors.finish()?;
    Ok(Imported {
        connections,
        heads,
        options,
        bridges,
    })
}

/// Writes bridges as another project's state dict, a safetensors file.
///
/// # Errors
///
/// [`ComposeError::Foreign`] naming an option that the project's bridges do not have, or lack,
/// [`ComposeError::Io`] if the file can't be written.
pub fn export(bridges: &Bridges, to: Project, path: &Path) -> Result<(), ComposeError> {
    for bridge in bridges.of.iter().flatten() {
        check_exportable(&bridge.config(), to)?;
    }
    if to == Project::Deepmind && bridges.of.len() != 1 {
        return refuse(to, "has one augmenting model");
    }
    let ours = bridges.named_parameters().into_iter();
    let ours: StateDict = ours
        .map(|(name, data)| {
            let (shape, data) = (data.shape().to_vec(), data.convert_dtype(DType::F32));
            let values = data.iter::<f32>().collect();
            (name, Stored { shape, values })
        })
        .collect();
    let mut state = StateDict::new();
    for (m, set) in bridges.of.iter().enumerate() {
        for (n, bridge) in set.iter().enumerate() {
            let parts = Parts {
                ours: &ours,
                prefix: format!("a{m}.c{n}."),
            };
            match to {
                Project::Deepmind => to_deepmind(&parts, n, &mut state),
                Project::Lucidrains => to_lucidrains(&parts, m, n, bridge.config(), &mut state),
            }
        }
    }
    Ok(calm_files::write(path, serialize(&state))?)
}

fn refuse<T>(project: Project, reason: &'static str) -> Result<T, ComposeError> {
    let project = match project {
        Project::Deepmind => "google-deepmind/calm",
        Project::Lucidrains => "lucidrains/CALM-pytorch",
    };
    Err(ComposeError::Foreign { project, reason })
}

fn check_exportable(config: &BridgeConfig, to: Project) -> Result<(), ComposeError> {
    let options = &config.options;
    let deepmind = to == Project::Deepmind;
    let rules = [
        (options.augmenting_norm, "has no `augmenting_norm`"),
        (options.gate == Gate::Scalar, "has no `gate` of kind scalar"),
        (deepmind && options.gate == Gate::Heads, "has no head gates"),
        (deepmind && options.anchor_norm, "has no `anchor_norm`"),
        (
            deepmind && !options.output_norm,
            "always has an `output_norm`",
        ),
        (
            deepmind && config.d_inner() != config.d_anchor,
            "has no `d_inner`",
        ),
        (!deepmind && options.output_norm, "has no `output_norm`"),
        (!deepmind && options.bias, "has no `bias`"),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, reason)) => refuse(to, reason),
        None => Ok(()),
    }
}

impl ImportPlan {
    fn connections(&self) -> Result<Vec<Vec<Connection>>, ComposeError> {
        let fail = |reason: String| Err(ComposeError::Connections { reason });
        if self.connections.len() != self.d_augmenting.len() {
            let (lists, models) = (self.connections.len(), self.d_augmenting.len());
            return fail(format!(
                "{lists} lists of pairs for {models} augmenting models"
            ));
        }
        if self.project == Project::Deepmind && self.connections.len() != 1 {
            return fail("google-deepmind/calm has one augmenting model".to_owned());
        }
        let lists = self.connections.iter();
        let ours = |[first, second]: [usize; 2]| match self.project {
            Project::Deepmind => [second.saturating_add(1), first.saturating_add(1)].into(),
            Project::Lucidrains => [first, second].into(),
        };
        Ok(lists
            .map(|pairs| pairs.iter().copied().map(ours).collect())
            .collect())
    }

    fn deepmind_options(&self) -> BridgeOptions {
        BridgeOptions {
            output_norm: true,
            bias: true,
            norm_epsilon: self.norm_epsilon,
            ..BridgeOptions::default()
        }
    }

    fn lucidrains_options(&self, state: &StateDict) -> BridgeOptions {
        let has = |end: &str| state.keys().any(|name| name.ends_with(end));
        let query = state
            .iter()
            .find(|(name, _)| name.ends_with(".attn.to_q.weight"));
        let d_inner = query.and_then(|(_, weight)| weight.shape.first().copied());
        BridgeOptions {
            d_inner: d_inner.filter(|d_inner| *d_inner != self.d_anchor),
            anchor_norm: has(".pre_rmsnorm.g"),
            // It divides by the norm itself, which it only keeps from being zero.
            norm_epsilon: 1e-12,
            gate: if has(HEAD_GATE) {
                Gate::Heads
            } else {
                Gate::None
            },
            ..BridgeOptions::default()
        }
    }
}

const HEAD_GATE: &str = ".attn.to_v_head_gate.weight";

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
fn from_lucidrains(state: &StateDict) -> StateDict {
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

fn to_lucidrains(
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
fn from_deepmind(state: &StateDict) -> StateDict {
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

fn to_deepmind(parts: &Parts<'_>, n: usize, state: &mut StateDict) {
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

/// The parameters of one bridge.
struct Parts<'a> {
    ours: &'a StateDict,
    prefix: String,
}

impl Parts<'_> {
    fn get(&self, part: &str) -> Option<&Stored> {
        self.ours.get(&format!("{}{part}", self.prefix))
    }
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

fn read(path: &Path) -> Result<StateDict, ComposeError> {
    let malformed = |reason: String| ComposeError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let bytes = read_bytes(path, MAX_WEIGHTS_BYTES)?;
    if bytes.starts_with(b"PK") {
        return torch::read(&bytes, |name| !is_frozen(name)).map_err(malformed);
    }
    if bytes.first() == Some(&0x80) {
        return Err(malformed(
            "is pickled as torch did before 1.6; save it again with torch.save of a newer one"
                .to_owned(),
        ));
    }
    let file = parse(path, &bytes)?;
    let tensors = file.iter().filter(|(name, _)| !is_frozen(name));
    tensors
        .map(|(name, view)| {
            let values = to_f32(view.dtype(), view.data())
                .ok_or_else(|| malformed(format!("{name} is {:?}, not a float", view.dtype())))?;
            let shape = view.shape().to_vec();
            Ok((name.to_owned(), Stored { shape, values }))
        })
        .collect()
}

/// Weights of a frozen model, which may be most of a file.
fn is_frozen(name: &str) -> bool {
    name.starts_with("anchor_model.") || name.starts_with("aug_model.")
}

fn serialize(state: &StateDict) -> Vec<u8> {
    let tensors = state.iter().map(|(name, tensor)| {
        let bytes: Vec<u8> = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        (name, &tensor.shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        (name, view.expect("bytes and shape of one tensor agree"))
    });
    safetensors::serialize(views, None).expect("names are distinct and tensors are whole")
}
