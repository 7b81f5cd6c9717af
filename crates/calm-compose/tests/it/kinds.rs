//! Compositions of models whose blocks are of every kind: experts, norms behind the parts, factors.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use calm_compose::{Augmenting, Bridges, ComposedModel, FrozenParts};
use calm_models::{
    BlockConfig, CausalLm, DecoderConfig, EmbeddingScale, ExpertWeights, ExpertsConfig,
    FeedForwardKind, NormKind, PaddingMask, QkNorm, ResidualConfig, ScoreScale, SequenceOptions,
    generate,
};

use crate::common::{
    assert_close, fresh_bridges, ids, logits, logits_after, random_bridges, values,
};

const TEXT: [&[u32]; 2] = [&[1, 30, 12, 45, 7, 7], &[0, 0, 41, 20, 9, 3]];

fn with_experts(block: &mut BlockConfig, weights: ExpertWeights, shared: Option<usize>) {
    block.feed_forward.d_ff = 12;
    block.feed_forward.kind = FeedForwardKind::Experts(ExpertsConfig {
        count: 5,
        used: 2,
        weights,
        shared,
    });
}

/// A change of a model's description.
type Change = fn(&mut DecoderConfig);

const KINDS: [(&str, Change); 5] = [
    ("norms behind the parts", |config| {
        for block in &mut config.blocks {
            block.residual = ResidualConfig::PostNorm;
            block.norm.kind = NormKind::UnroundedRms;
            block.attention.qk_norm = Some(QkNorm::Whole(block.norm));
        }
    }),
    ("factors", |config| {
        config.embedding.scale = Some(EmbeddingScale::Exact(12.3));
        config.head.divisor = Some(3.0);
        for block in &mut config.blocks {
            block.residual = ResidualConfig::ScaledPreNorm { factor: 0.4 };
            block.attention.scale = ScoreScale::Factor(0.3);
        }
    }),
    ("experts", |config| {
        for block in &mut config.blocks {
            with_experts(block, ExpertWeights::UnroundedNormalized, None);
        }
    }),
    ("experts in some blocks", |config| {
        with_experts(&mut config.blocks[1], ExpertWeights::Normalized, None);
    }),
    ("experts with a shared one", |config| {
        for block in &mut config.blocks {
            with_experts(block, ExpertWeights::Softmax, Some(20));
        }
    }),
];

/// A model of this kind reads another one, at two of its three blocks.
fn parts(change: Change) -> FrozenParts {
    let decoder = |width, seed| {
        let mut config = DecoderConfig::llama(48, width, 3, 4);
        change(&mut config);
        calm_testing::decoder(&config, seed)
    };
    let connections = [[2, 1], [3, 2]].map(Into::into).to_vec();
    FrozenParts {
        anchor: decoder(16, 1),
        augmenting: vec![Augmenting::new(decoder(24, 2), connections)],
    }
}

#[test]
fn fresh_bridges_change_no_bit_and_caches_nothing() {
    let padding = PaddingMask::left(&[6, 4]);
    for (name, change) in KINDS {
        let parts = parts(change);
        let bridges = fresh_bridges(&parts, &Device::default());
        let anchor = parts.anchor.clone();
        let composed = ComposedModel { parts, bridges };
        assert_eq!(
            values(logits(&composed, ids(&TEXT), &padding)),
            values(logits(&anchor, ids(&TEXT), &padding)),
            "{name}"
        );
        let parts = composed.parts;
        let bridges = random_bridges(&parts, &Device::default());
        let trained = ComposedModel { parts, bridges };
        let whole = logits(&trained, ids(&TEXT[..1]), &PaddingMask::none(1, 6));
        let mut cache = trained.new_cache(1);
        for (place, id) in TEXT[0].iter().enumerate() {
            let found = logits_after(&trained, &[&[*id]], &mut cache);
            assert_close(found, whole.clone().narrow(1, place, 1));
        }
        let prompts = [TEXT[0].to_vec(), TEXT[1][2..].to_vec()];
        let options = SequenceOptions::greedy(12, Vec::new());
        let together = generate(&trained, &prompts, &options).unwrap();
        let alone = generate(&trained, &prompts[1..], &options).unwrap();
        assert_eq!(together[1].ids, alone[0].ids, "{name}");
    }
}

/// The gradient goes from the logits through the frozen blocks above the bridge.
#[test]
fn gradients_of_bridges_are_slopes_of_the_loss() {
    let device = Device::default();
    let loss = |parts: &FrozenParts, bridges: &Bridges| -> Tensor<1> {
        let padding = PaddingMask::left(&[6, 4]);
        let hidden = parts.hidden_states(bridges, ids(&TEXT), &padding, None);
        let logits = parts.anchor.finish(hidden.unwrap());
        logits.slice([0..2, 2..6]).powi_scalar(2).mean()
    };
    for (name, change) in KINDS {
        let parts = parts(change);
        let plain = random_bridges(&parts, &device);
        let tracked = random_bridges(&parts, &device.clone().autodiff());
        let gradients = loss(&parts, &tracked).backward();
        let weight = |bridges: &Bridges| bridges.of[0][0].output.weight.val();
        let gradient = weight(&tracked).grad(&gradients).unwrap();
        let length = gradient.clone().square().sum().sqrt().into_scalar::<f32>();
        let direction = gradient / length;
        let at = |step: f32| {
            let mut bridges = plain.clone();
            let moved = weight(&plain) + direction.clone() * step;
            bridges.of[0][0].output.weight = Param::from_tensor(moved);
            loss(&parts, &bridges).into_scalar::<f32>()
        };
        let step = 2e-3;
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!(
            (slope / length - 1.0).abs() < 2e-2 && length > 1e-6,
            "{name}: {slope} instead of {length}"
        );
    }
}
