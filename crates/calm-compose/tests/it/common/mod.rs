//! Models, bridges and passes that several modules of tests use.

pub(crate) mod two_streams;

use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor};
use calm_backend::SeededInit;
use calm_compose::{Augmenting, BridgeOptions, Bridges, ComposedModel, FrozenParts, Gate, Text};
use calm_models::{CausalLm, ChosenPositions, FrozenModel, LoadOptions, PaddingMask};
pub(crate) use calm_testing::{assert_close, halves, ids, relative_error, values};

/// Ids that both checkpoints know.
pub(crate) const VOCAB: u32 = 48;
pub(crate) const HEADS: usize = 4;

pub(crate) fn fixtures() -> PathBuf {
    calm_testing::fixtures("calm-compose")
}

pub(crate) fn load(name: &str) -> FrozenModel {
    let directory = fixtures().join("checkpoints").join(name);
    FrozenModel::load(&directory, &LoadOptions::default()).unwrap()
}

/// `llama` (width 16, 2 key-value heads, 3 blocks) reads `llama3-scaled-tied` (width 24, 1
/// key-value head, 4 blocks) twice, and another model of its own shape once.
pub(crate) fn parts() -> FrozenParts {
    let anchor = load("llama").decoder;
    let other = calm_testing::decoder(anchor.config(), 5);
    let augmenting = |decoder, pairs: &[[usize; 2]]| {
        Augmenting::new(decoder, pairs.iter().copied().map(Into::into).collect())
    };
    FrozenParts {
        anchor,
        augmenting: vec![
            augmenting(load("llama3-scaled-tied").decoder, &[[2, 1], [4, 2]]),
            augmenting(other, &[[1, 2]]),
        ],
    }
}

/// Checkpoints of `calm-models` whose blocks are of other kinds than Llama's: parallel parts, norms of
/// every head, `ALiBi` of two kinds, normed skips, sinusoidal positions.
pub(crate) const KINDS: [&str; 8] = [
    "gpt_neox",
    "starcoder2",
    "stablelm-head-norms",
    "bloom",
    "bloom-normed-skip",
    "falcon-grouped",
    "falcon-alibi",
    "xglm",
];

/// A model that reads another of its own shape below its second and its third block.
pub(crate) fn parts_of_kind(name: &str) -> FrozenParts {
    let directory = calm_testing::fixtures("calm-models").join(name);
    let anchor = FrozenModel::load(&directory, &LoadOptions::default()).unwrap();
    let anchor = anchor.decoder;
    let pairs = [[1, 1], [2, 2]].map(Into::into).to_vec();
    FrozenParts {
        augmenting: vec![Augmenting::new(anchor.clone(), pairs)],
        anchor,
    }
}

/// Every option by itself, and all that go together.
pub(crate) fn options() -> Vec<(&'static str, BridgeOptions)> {
    let plain = BridgeOptions::paper();
    let all = BridgeOptions {
        d_inner: Some(12),
        anchor_norm: true,
        augmenting_norm: true,
        output_norm: true,
        norm_epsilon: 1e-3,
        bias: true,
        alibi: true,
        gate: Gate::Scalar,
        ..plain
    };
    let one = |change: fn(&mut BridgeOptions)| {
        let mut options = plain;
        change(&mut options);
        options
    };
    vec![
        ("wide", one(|o| o.d_inner = Some(24))),
        ("narrow", one(|o| o.d_inner = Some(8))),
        ("anchor norm", one(|o| o.anchor_norm = true)),
        ("augmenting norm", one(|o| o.augmenting_norm = true)),
        ("output norm", one(|o| o.output_norm = true)),
        ("bias", one(|o| o.bias = true)),
        ("alibi", one(|o| o.alibi = true)),
        ("gate", one(|o| o.gate = Gate::Scalar)),
        ("head gates", one(|o| o.gate = Gate::Heads)),
        ("all", all),
        ("default", BridgeOptions::default()),
    ]
}

/// Fresh bridges with these options.
pub(crate) fn bridges_with(
    parts: &FrozenParts,
    options: BridgeOptions,
    device: &Device,
) -> Bridges {
    Bridges::init(&parts.bridge_sets_with(HEADS, options), 11, device).unwrap()
}

/// Bridges none of whose parameters is zero.
pub(crate) fn shaken(bridges: Bridges) -> Bridges {
    struct Shake(SeededInit);
    impl ModuleMapper for Shake {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = param.val();
            let noise = self.0.normal(value.dims(), 0.3, &value.device()).val();
            Param::from_tensor((value.clone() + noise.cast(value.dtype())).detach())
        }
    }
    bridges.map(&mut Shake(SeededInit::new(12)))
}

/// Bridges as a composition starts with: W_O is zero.
pub(crate) fn fresh_bridges(parts: &FrozenParts, device: &Device) -> Bridges {
    Bridges::init(&parts.bridge_sets(HEADS), 11, device).unwrap()
}

/// Bridges as training might leave them: W_O and the bias of f_proj are not zero either.
pub(crate) fn random_bridges(parts: &FrozenParts, device: &Device) -> Bridges {
    let mut bridges = fresh_bridges(parts, device);
    let mut init = SeededInit::new(12);
    for bridge in bridges.of.iter_mut().flatten() {
        let d_anchor = bridge.config().d_anchor;
        bridge.output.weight = init.normal([d_anchor; 2], 0.4, device);
        bridge.projection.bias = Some(init.normal([d_anchor], 0.5, device));
    }
    bridges
}

pub(crate) fn model(bridges: impl Fn(&FrozenParts, &Device) -> Bridges) -> ComposedModel {
    let parts = parts();
    let bridges = bridges(&parts, &Device::default());
    ComposedModel { parts, bridges }
}

/// Logits of a whole pass, `[batch, seq, vocab]`.
pub(crate) fn logits(
    model: &impl CausalLm,
    ids: Tensor<2, Int>,
    padding: &PaddingMask,
) -> Tensor<3> {
    let hidden = model.hidden_states(ids, padding, None).unwrap();
    model.head().finish(hidden)
}

/// Logits of whole rows, padded on the right, as training computes them, `[batch, seq, vocab]`; the
/// first tokens of each are its prompt.
pub(crate) fn training_logits(
    model: &ComposedModel,
    rows: &[&[u32]],
    prompts: &[usize],
) -> Tensor<3> {
    let rows: Vec<_> = rows.iter().copied().zip(prompts.iter().copied()).collect();
    let read = model.parts.read_rows(&rows).unwrap();
    let texts = rows.iter().zip(&read);
    let texts = texts.map(|((ids, prompt), tokens)| Text {
        ids,
        anchor_ids: ids,
        prompt: *prompt,
        tokens,
    });
    let texts: Vec<_> = texts.collect();
    let states = model.parts.activations(&texts);
    let shape = [rows.len(), states.anchor.dims()[1]];
    let all: Vec<u32> = (0..(shape[0] * shape[1]) as u32).collect();
    let all = ChosenPositions::new(&all, shape, &Device::default());
    let suffix = model
        .parts
        .trainable_suffix(&texts, states, all, |state| state);
    let [batch, seq] = shape;
    let logits = model
        .parts
        .anchor
        .finish_positions(suffix.hidden_states(&model.bridges));
    logits.reshape([batch as i32, seq as i32, -1])
}

/// Logits of a pass that continues a cache, `[batch, seq, vocab]`.
pub(crate) fn logits_after<M: CausalLm>(
    model: &M,
    rows: &[&[u32]],
    cache: &mut M::Cache,
) -> Tensor<3> {
    let padding = PaddingMask::none(rows.len(), rows[0].len());
    let hidden = model.hidden_states(ids(rows), &padding, Some(cache));
    let hidden = hidden.unwrap();
    model.head().finish(hidden)
}
