//! Cost of a composition (appendix C), computed from the sizes of its models and bridges.

use calm_backend::FloatType;
use calm_models::{BlockConfig, DecoderConfig};

use crate::{BridgeConfig, Connection};

/// Cost of one token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCost {
    /// Two per weight that multiplies the token, and those of attention over the tokens before it.
    /// Norms, activations and rotations are not counted.
    pub flops: u64,
    /// Size of its keys and values in a cache. Blocks with a window keep those of the last tokens
    /// only.
    pub cache_bytes: u64,
}

/// Cost of the bridges of one augmenting model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgesCost {
    /// Per token of the anchor: W_Q, W_O, head gates and the attention.
    pub of_anchor: TokenCost,
    /// Per token that the augmenting model reads: f_proj, W_K, W_V, keys and values.
    pub of_augmenting: TokenCost,
}

/// Cost of a composition, by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overhead {
    /// m_B alone, its head included.
    pub anchor: TokenCost,
    /// The part of it below the first bridge, which training computes once for each example if the
    /// activations are cached.
    pub anchor_below_flops: u64,
    /// The part of it that is its head, which training computes for tokens that carry loss alone.
    pub anchor_head_flops: u64,
    /// Every m_A, per token that it reads: its blocks up to the last that is connected, no head.
    pub augmenting: Vec<TokenCost>,
    /// The bridges of every m_A.
    pub bridges: Vec<BridgesCost>,
    /// The backward pass through m_B, per token of training: gradients of activations, none of
    /// weights, from the head down to the first block behind a bridge.
    pub anchor_backward_flops: u64,
}

/// A model, and the type that it computes in.
type Typed<'a> = (&'a DecoderConfig, FloatType);

impl Overhead {
    /// Cost after `context` tokens. Every model has the type that it computes in, and an augmenting
    /// model its connections and the sizes of their bridges.
    pub fn new<'a>(
        (anchor, dtype): (&DecoderConfig, FloatType),
        models: impl IntoIterator<Item = (Typed<'a>, &'a [Connection], BridgeConfig)>,
        context: usize,
    ) -> Self {
        let head = 2 * (anchor.vocab_size * anchor.d_model) as u64;
        let mut cost = of_blocks(&anchor.blocks, anchor, context, dtype);
        cost.flops += head;
        let mut first = anchor.block_count();
        let read = models
            .into_iter()
            .map(|((config, dtype), connections, bridge)| {
                let last = connections.iter().map(|c| c.augmenting_block).max();
                let blocks = &config.blocks[..last.unwrap_or(0).min(config.block_count())];
                let model = of_blocks(blocks, config, context, dtype);
                let lowest = connections.iter().map(|c| c.anchor_block).min();
                first = lowest.unwrap_or(first).min(first);
                (model, of_bridges(&bridge, connections.len(), context))
            });
        let (augmenting, bridges) = read.unzip();
        let above = |context| of_blocks(&anchor.blocks[first..], anchor, context, dtype).flops;
        let below = of_blocks(&anchor.blocks[..first], anchor, context, dtype);
        Self {
            anchor: cost,
            anchor_below_flops: below.flops,
            anchor_head_flops: head,
            augmenting,
            bridges,
            // Each product of attention has two inputs, both of which have a gradient.
            anchor_backward_flops: head + 2 * above(context) - above(0),
        }
    }

    /// FLOPs of training per token that all models read, without cached activations: the forward
    /// pass, and the backward pass through bridges and anchor.
    pub fn training_flops(&self) -> u64 {
        let augmenting: u64 = self.augmenting.iter().map(|cost| cost.flops).sum();
        let bridges = self.bridges.iter();
        let bridges: u64 = bridges
            .map(|cost| cost.of_anchor.flops + cost.of_augmenting.flops)
            .sum();
        // The gradient of a product takes two: one for each of its factors.
        self.anchor.flops + self.anchor_backward_flops + augmenting + 3 * bridges
    }

    /// Size of all keys and values of one token that all models read.
    pub fn cache_bytes(&self) -> u64 {
        let bridges = self.bridges.iter().map(|cost| cost.of_augmenting);
        let read = self.augmenting.iter().copied().chain(bridges);
        self.anchor.cache_bytes + read.map(|cost| cost.cache_bytes).sum::<u64>()
    }

    /// Size of all keys and values per token of the anchor, for augmenting models that read these
    /// numbers of tokens for it.
    pub fn cache_bytes_where(&self, read_per_token: &[f64]) -> f64 {
        let models = self.augmenting.iter().zip(&self.bridges);
        let models = models.zip(read_per_token).map(|((model, bridges), read)| {
            read * (model.cache_bytes + bridges.of_augmenting.cache_bytes) as f64
        });
        self.anchor.cache_bytes as f64 + models.sum::<f64>()
    }
}

/// Some blocks of a decoder.
fn of_blocks(
    blocks: &[BlockConfig],
    config: &DecoderConfig,
    context: usize,
    dtype: FloatType,
) -> TokenCost {
    let flops = blocks.iter();
    let flops = flops.map(|block| block.flops_per_token(config.d_model, context));
    let cached: usize = blocks.iter().map(BlockConfig::cached_values).sum();
    TokenCost {
        flops: flops.sum(),
        cache_bytes: (cached * dtype.bytes()) as u64,
    }
}

fn of_bridges(bridge: &BridgeConfig, count: usize, context: usize) -> BridgesCost {
    let (d_anchor, d_inner, count) = (bridge.d_anchor, bridge.d_inner(), count as u64);
    let gates = match bridge.options.gate {
        crate::Gate::Heads => d_anchor * bridge.heads,
        _ => 0,
    };
    let per_anchor_token =
        2 * (2 * d_anchor * d_inner + gates) as u64 + attention(d_inner, context);
    let per_augmenting_token = 2 * d_anchor * (bridge.d_augmenting + 2 * d_inner);
    let kept = 2 * d_inner * bridge.options.dtype.bytes();
    BridgesCost {
        of_anchor: TokenCost {
            flops: count * per_anchor_token,
            cache_bytes: 0,
        },
        of_augmenting: TokenCost {
            flops: count * per_augmenting_token as u64,
            cache_bytes: count * kept as u64,
        },
    }
}

/// FLOPs of the scores and of the weighted sum over `seen` tokens.
fn attention(width: usize, seen: usize) -> u64 {
    4 * (width * seen) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n, D_A, D_B, the parameters of m_B, n (D_A D_B + 3 D_B²), and n (D_A D_B + 4 D_B² + D_B).
    const COUNTS: [(usize, usize, usize, usize, usize, usize); 4] = [
        (1, 1, 1, 1, 4, 6),
        (4, 768, 1024, 340_000_000, 15_728_640, 19_927_040),
        (7, 576, 960, 361_821_120, 23_224_320, 29_682_240),
        (4, 2048, 3072, 8_537_680_896, 138_412_032, 176_173_056),
    ];

    #[test]
    fn parameters_by_the_paper_and_as_stored() {
        for (n, d_augmenting, d_anchor, _, paper, stored) in COUNTS {
            let bridge = BridgeConfig::new(d_augmenting, d_anchor, 1);
            let counts = [bridge.paper_parameter_count(), bridge.parameter_count()];
            assert_eq!(counts.map(|count| n * count), [paper, stored]);
        }
        // The paper has about 1.5 % of m_B for its own models; a model of 2 and one of 8 billion
        // parameters, every fourth block of the small one, come to that.
        let (_, _, _, anchor, paper, _) = COUNTS[3];
        let share = paper as f64 / anchor as f64;
        assert!((0.014..0.018).contains(&share), "{share}");
    }

    #[test]
    fn every_multiplication_is_counted() {
        // Two blocks of width 8, two heads, a gated layer of 32; 50 tokens.
        let mut anchor = DecoderConfig::llama(50, 8, 2, 2);
        anchor.blocks[1].attention.window = Some(10);
        let augmenting = DecoderConfig::llama(60, 6, 4, 3);
        let augmenting = augmenting.with_blocks(|block| block.attention.kv_heads = 1);
        let bridge = BridgeConfig::new(6, 8, 2);
        let connections = [[1, 1].into(), [3, 2].into()];
        let models = [((&augmenting, FloatType::F32), &connections[..], bridge)];
        let found = Overhead::new((&anchor, FloatType::F16), models, 100);
        let matrices = 4 * 8 * 8 + 3 * 8 * 32;
        let attended = 4 * 8 * (100 + 10);
        assert_eq!(found.anchor.flops, 2 * (2 * matrices + 8 * 50) + attended);
        assert_eq!(found.anchor.cache_bytes, 2 * 2 * 8 * 2);
        assert_eq!(found.anchor_below_flops, 2 * matrices + 4 * 8 * 100);
        assert_eq!(found.anchor_head_flops, 2 * 8 * 50);
        // The first bridge is at block 1, so that block 2 is gone back through, and the head.
        let expected = 2 * (matrices + 8 * 50) + 2 * 4 * 8 * 10;
        assert_eq!(found.anchor_backward_flops, expected);
        // Three of its four blocks, keys and values of width 2, no head.
        let matrices = 6 * (6 + 2 + 2 + 6) + 3 * 6 * 16;
        let expected = TokenCost {
            flops: 3 * (2 * matrices + 4 * 6 * 100),
            cache_bytes: 3 * 2 * 2 * 4,
        };
        assert_eq!(found.augmenting, [expected]);
        let [bridges] = found.bridges[..] else {
            panic!()
        };
        assert_eq!(bridges.of_anchor.flops, 2 * (2 * 2 * 8 * 8 + 4 * 8 * 100));
        assert_eq!(bridges.of_augmenting.flops, 2 * 2 * (6 * 8 + 2 * 8 * 8));
        // Bridges keep their own type.
        assert_eq!(bridges.of_augmenting.cache_bytes, 2 * 2 * 8 * 4);
        assert_eq!(found.cache_bytes(), 64 + 48 + 128);
        let bridges = bridges.of_anchor.flops + bridges.of_augmenting.flops;
        let frozen = found.anchor.flops + found.anchor_backward_flops + found.augmenting[0].flops;
        assert_eq!(found.training_flops(), frozen + 3 * bridges);
    }
}
