//! Pairs that do not share a tokenizer, and the definition of what their anchors see.

use burn::tensor::{Device, Tensor, TensorData};
use calm_compose::{ComposedModel, FrozenParts, Memory};
use calm_models::{Context, DecoderConfig, FrozenModel, PaddingMask, TextStream, Tokenizer};
use calm_testing::decoder;

use super::{ids, random_bridges};

pub(crate) const TOKENIZERS: [&str; 3] = ["byte-level", "byte-fallback", "words"];

pub(crate) fn tokenizer(name: &str) -> Tokenizer {
    match name {
        "words" => words("?"),
        _ => calm_testing::tokenizer(name),
    }
}

/// A token for each of a few words and signs, one for all others, and none around a text.
pub(crate) fn words(unknown: &str) -> Tokenizer {
    let words = [
        "?", "the", "anchor", "reads", "one", "two", "é", ".", ",", "!",
    ];
    calm_testing::words(&words, unknown)
}

pub(crate) fn augmenting_model(tokenizer: Tokenizer) -> FrozenModel {
    let mut config = DecoderConfig::llama(tokenizer.vocab_size(), 24, 4, 3);
    for block in &mut config.blocks {
        block.attention.kv_heads = 1;
    }
    // Windows count the tokens of a text, not those of the tree.
    config.blocks[1].attention.window = Some(4);
    FrozenModel::new(decoder(&config, 2), tokenizer)
}

pub(crate) fn anchor_model(tokenizer: Tokenizer) -> FrozenModel {
    calm_testing::model(tokenizer, [16, 3, 4], 1)
}

pub(crate) fn join(anchor: &FrozenModel, augmenting: &FrozenModel) -> FrozenParts {
    let connections = vec![[2, 1].into(), [4, 2].into()];
    FrozenParts::join(anchor, [(augmenting, connections)]).unwrap()
}

pub(crate) fn composed(anchor: &str, augmenting: &str) -> ComposedModel {
    let [anchor, augmenting] = [anchor, augmenting].map(tokenizer);
    let parts = join(&anchor_model(anchor), &augmenting_model(augmenting));
    let bridges = random_bridges(&parts, &Device::default());
    ComposedModel { parts, bridges }
}

/// Every pair of different tokenizers.
pub(crate) fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = TOKENIZERS.iter().flat_map(|a| TOKENIZERS.map(|b| (*a, b)));
    all.filter(|(a, b)| a != b)
}

/// The tokens that an anchor position sees, by definition: the augmenting model's tokens of the text so far.
pub(crate) fn seen_by_definition(model: &ComposedModel, ids: &[u32]) -> Vec<u32> {
    let tokens = model.parts.augmenting[0].tokens.as_ref().unwrap();
    let mut stream = TextStream::new(&tokens.anchor);
    let text: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    tokens.augmenting.encode(&text, true).unwrap().ids
}

/// Logits where each anchor position sees these tokens of the augmenting model.
pub(crate) fn logits_seeing(
    model: &ComposedModel,
    text: &[u32],
    seen: impl Fn(usize) -> Vec<u32>,
) -> Tensor<3> {
    let (anchor, augmenting) = (&model.parts.anchor, &model.parts.augmenting[0]);
    let context = Context::new(anchor, &PaddingMask::none(1, text.len()), None);
    let mut hidden = anchor.embed(ids(&[text]), &context);
    let mut done = 0;
    for (bridge, connection) in model.bridges.of[0].iter().zip(&augmenting.connections) {
        hidden = anchor.run(done..connection.anchor_block, hidden, &context, None);
        done = connection.anchor_block;
        let positions = (0..text.len()).map(|position| {
            let here = hidden.clone().narrow(1, position, 1);
            let seen = seen(position);
            if seen.is_empty() {
                return here;
            }
            let decoder = &augmenting.decoder;
            let context = Context::new(decoder, &PaddingMask::none(1, seen.len()), None);
            let state = decoder.embed(ids(&[&seen]), &context);
            let state = decoder.run(0..connection.augmenting_block, state, &context, None);
            let (keys, values) = bridge.keys_values(state);
            let masked = None;
            let config = bridge.config();
            let bias = config
                .options
                .alibi
                .then(|| alibi(config.heads, seen.len()));
            bridge.forward(
                here,
                Memory {
                    keys,
                    values,
                    masked,
                    bias,
                },
            )
        });
        hidden = Tensor::cat(positions.collect(), 1);
    }
    anchor.finish(anchor.run(done..anchor.block_count(), hidden, &context, None))
}

/// Three augmenting models: one reads the anchor's ids, two have tokenizers of their own.
pub(crate) fn three() -> (FrozenModel, ComposedModel) {
    let anchor = anchor_model(tokenizer("byte-level"));
    let same = augmenting_model(tokenizer("byte-level"));
    let others = ["byte-fallback", "words"].map(|name| augmenting_model(tokenizer(name)));
    let connections = |pairs: &[[usize; 2]]| pairs.iter().copied().map(Into::into).collect();
    let augmenting = [
        (&others[0], connections(&[[2, 1], [4, 2]])),
        (&same, connections(&[[1, 1], [3, 3]])),
        (&others[1], connections(&[[4, 1]])),
    ];
    let parts = FrozenParts::join(&anchor, augmenting).unwrap();
    let bridges = random_bridges(&parts, &Device::default());
    (anchor, ComposedModel { parts, bridges })
}

/// What ALiBi adds to the scores of positions that follow one another, `[1, heads, 1, positions]`.
fn alibi(heads: usize, positions: usize) -> Tensor<4> {
    let of_head = |head: usize| {
        let slope = 4.0 * 2f32.powf(-8.0 * head as f32 / heads as f32);
        (0..positions).map(move |position| slope * position as f32)
    };
    let biases: Vec<f32> = (0..heads).flat_map(of_head).collect();
    let shape = [1, heads, 1, positions];
    Tensor::from_data(TensorData::new(biases, shape), &Device::default())
}
