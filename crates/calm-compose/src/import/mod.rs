//! Compositions of other projects: the state dicts of google-deepmind/calm and of
//! lucidrains/CALM-pytorch, from safetensors files and those of `torch.save`, and to safetensors files.
//!
//! docs/composition.md has the table of names. A tensor that our bridges have no place for is refused
//! by its name.

mod deepmind;
mod lucidrains;
mod torch;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device};
use safetensors::tensor::{Dtype, TensorView};

use self::torch::Stored;
use crate::file::{MAX_WEIGHTS_BYTES, NamedTensors, parse, read_bytes, take_bridges, to_f32};
use crate::{BridgeConfig, BridgeOptions, Bridges, ComposeError, Connection, Gate};

/// A project with a state dict of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Project {
    /// google-deepmind/calm: one augmenting model, pairs (anchor, augmenting) counted from 0, and
    /// a norm behind W_O.
    Deepmind,
    /// lucidrains/CALM-pytorch: pairs (augmenting, anchor) counted from 1, head gates, and by
    /// default a norm before W_Q.
    Lucidrains,
}

/// Facts that a state dict does not hold.
#[derive(Debug, Clone)]
pub struct ImportPlan {
    /// The project that wrote it.
    pub project: Project,
    /// Per augmenting model, its pairs as that project writes them.
    pub connections: Vec<Vec<[usize; 2]>>,
    /// Attention heads. They may be left out if there are head gates, whose shape has them.
    pub heads: Option<usize>,
    /// Width of the anchor.
    pub d_anchor: usize,
    /// Width of each augmenting model.
    pub d_augmenting: Vec<usize>,
    /// Epsilon of the anchor's own norms, which google-deepmind/calm takes for its bridges.
    pub norm_epsilon: f64,
}

/// Imported bridges and their settings.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Per augmenting model, in the order of the state dict.
    pub connections: Vec<Vec<Connection>>,
    /// Attention heads.
    pub heads: usize,
    /// Options of the project's bridges.
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
        Project::Deepmind => (deepmind::to_ours(&state), deepmind::options(plan)),
        Project::Lucidrains => (
            lucidrains::to_ours(&state),
            lucidrains::options(plan, &state),
        ),
    };
    let gates = state
        .iter()
        .find(|(name, _)| name.ends_with(lucidrains::HEAD_GATE));
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

/// Writes bridges as another project's state dict, a safetensors file. A scalar gate is multiplied
/// into the last factor of the output, which the other project has.
///
/// # Errors
///
/// Those of [`check_export`], [`ComposeError::Io`] if the file can't be written.
pub fn export(bridges: &Bridges, to: Project, path: &Path) -> Result<(), ComposeError> {
    for bridge in bridges.of.iter().flatten() {
        check_export(&bridge.config(), bridges.of.len(), to)?;
    }
    let ours = bridges.clone().in_unit_one().named_parameters();
    let ours: StateDict = ours
        .into_iter()
        .map(|(name, data)| {
            let (shape, data) = (data.shape().to_vec(), data.convert_dtype(DType::F32));
            let values = data.iter::<f32>().collect();
            (name, Stored { shape, values })
        })
        .collect();
    let ours = without_gates(ours);
    let mut state = StateDict::new();
    for (m, set) in bridges.of.iter().enumerate() {
        for (n, bridge) in set.iter().enumerate() {
            let parts = Parts {
                ours: &ours,
                prefix: format!("a{m}.c{n}."),
            };
            match to {
                Project::Deepmind => deepmind::from_ours(&parts, n, &mut state),
                Project::Lucidrains => {
                    lucidrains::from_ours(&parts, m, n, bridge.config(), &mut state)
                }
            }
        }
    }
    Ok(calm_files::write(path, serialize(&state))?)
}

/// The same function without scalar gates: tanh(g) is multiplied into the weight of the norm behind
/// W_O, or where there is none, into W_O and its bias.
fn without_gates(mut state: StateDict) -> StateDict {
    let gates = state.extract_if(.., |name, _| name.ends_with(".gate"));
    let gates: Vec<(String, Stored)> = gates.collect();
    for (name, gate) in gates {
        let bridge = name.trim_end_matches("gate");
        let norm = format!("{bridge}output_norm.weight");
        let last = match state.contains_key(&norm) {
            true => vec![norm],
            false => ["o.weight", "o.bias"]
                .map(|part| format!("{bridge}{part}"))
                .to_vec(),
        };
        let factor = gate.values[0].tanh();
        for name in last {
            let values = state.get_mut(&name).into_iter().flat_map(|t| &mut t.values);
            values.for_each(|value| *value *= factor);
        }
    }
    state
}

impl Project {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Deepmind, Self::Lucidrains];

    /// Its repository.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Deepmind => "google-deepmind/calm",
            Self::Lucidrains => "lucidrains/CALM-pytorch",
        }
    }
}

/// Checks by their options whether [`export`] can write the bridges of so many augmenting models.
///
/// # Errors
///
/// [`ComposeError::Foreign`] naming every option that the project's bridges do not have, or lack.
pub fn check_export(
    config: &BridgeConfig,
    augmenting: usize,
    to: Project,
) -> Result<(), ComposeError> {
    let options = &config.options;
    let deepmind = to == Project::Deepmind;
    let obstacles = [
        (deepmind && augmenting != 1, "has one augmenting model"),
        (options.augmenting_norm, "has no `augmenting_norm`"),
        (deepmind && options.anchor_norm, "has no `anchor_norm`"),
        (
            deepmind && !options.output_norm,
            "always has an `output_norm`",
        ),
        (!deepmind && options.output_norm, "has no `output_norm`"),
        (deepmind && options.gate == Gate::Heads, "has no head gates"),
        (
            deepmind && config.d_inner() != config.d_anchor,
            "has no `d_inner`",
        ),
        (!deepmind && options.bias, "has no `bias`"),
        (options.alibi, "has no `alibi`"),
    ];
    let obstacles = obstacles.into_iter().filter(|(is_so, _)| *is_so);
    let obstacles: Vec<&str> = obstacles.map(|(_, obstacle)| obstacle).collect();
    if obstacles.is_empty() {
        return Ok(());
    }
    Err(ComposeError::Foreign {
        project: to.repository(),
        reason: obstacles.join(", "),
    })
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
