//! Attention on GPUs, out of the backend's own matrix products, with its own gradient.
//!
//! Queries are taken in tiles, forwards and backwards, so that at most [`TILE_SCORES`] scores exist
//! at a time (or a row for each head, if that is more). The backward pass computes them again from
//! the inputs, the output and one number for each query. Kernel fusion makes one kernel of the
//! elementwise steps between two products. In half precision the products take such numbers, and
//! everything between them is in `f32`.
//!
//! Burn's own fused attention does not return the sums of its softmax. On devices with matrix units
//! it also multiplies in half precision whatever its inputs are, so that the gradient would be that
//! of another function.

use std::iter::zip;
use std::ops::Range;

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Cube, TensorMetadata};
use burn::tensor::{DType, Shape, Slice};

use super::scoring::Scoring;
use crate::ops::operation::BackwardState;

/// Most scores at a time: 64 MiB.
const TILE_SCORES: usize = 1 << 24;

/// The inputs, and the sums that give the weights again.
#[derive(Debug, Clone)]
struct Weighted<B: Backend> {
    inputs: Inputs<B>,
    output: FloatTensor<B>,
    /// The logarithm of each query's sum of exponentials: `[batch, heads, seq_q, 1]`.
    log_sums: FloatTensor<B>,
}

#[derive(Debug, Clone)]
struct Inputs<B: Backend> {
    queries: FloatTensor<B>,
    keys: FloatTensor<B>,
    values: FloatTensor<B>,
    masked: BoolTensor<B>,
    /// `[batch or 1, heads, 1, seq_k]`.
    bias: Option<FloatTensor<B>>,
    scoring: Scoring,
    /// Most scores at a time.
    tile_scores: usize,
}

pub(crate) fn forward(
    queries: FloatTensor<Cube>,
    keys: FloatTensor<Cube>,
    values: FloatTensor<Cube>,
    masked: BoolTensor<Cube>,
    scoring: Scoring,
    _: [bool; 3],
) -> (FloatTensor<Cube>, impl BackwardState<Cube, 3>) {
    let inputs = [queries, keys, values];
    in_tiles::<Cube>(inputs, masked, None, scoring, TILE_SCORES)
}

pub(crate) fn biased_forward(
    queries: FloatTensor<Cube>,
    keys: FloatTensor<Cube>,
    values: FloatTensor<Cube>,
    masked: BoolTensor<Cube>,
    bias: FloatTensor<Cube>,
    scoring: Scoring,
    _: [bool; 3],
) -> (FloatTensor<Cube>, impl BackwardState<Cube, 3>) {
    let inputs = [queries, keys, values];
    in_tiles::<Cube>(inputs, masked, Some(bias), scoring, TILE_SCORES)
}

fn in_tiles<B: Backend>(
    [queries, keys, values]: [FloatTensor<B>; 3],
    masked: BoolTensor<B>,
    bias: Option<FloatTensor<B>>,
    scoring: Scoring,
    tile_scores: usize,
) -> (FloatTensor<B>, Weighted<B>) {
    let inputs = Inputs {
        queries,
        keys,
        values,
        masked,
        bias,
        scoring,
        tile_scores,
    };
    inputs.assert_sizes();
    let tiles = inputs.tiles().map(|rows| inputs.attend(rows));
    let (outputs, log_sums): (Vec<_>, Vec<_>) = tiles.unzip();
    let [output, log_sums] = [outputs, log_sums].map(join::<B>);
    let weighted = Weighted {
        inputs,
        output: output.clone(),
        log_sums,
    };
    (output, weighted)
}

impl<B: Backend> BackwardState<B, 3> for Weighted<B> {
    fn backward(
        self,
        gradient: FloatTensor<B>,
        needs_grad: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        let inputs = &self.inputs;
        // Σ weight · gradient of the weight, which the gradient of a softmax subtracts.
        let product = B::float_mul(wide::<B>(gradient.clone()), wide::<B>(self.output));
        let means = B::float_sum_dim(product, 3);
        let mut queries = Vec::new();
        let mut sums = [None, None];
        for rows in inputs.tiles() {
            let tile = |x: &FloatTensor<B>| tile::<B>(x, &rows);
            let log_sums = tile(&self.log_sums);
            let gradients = [tile(&gradient), tile(&means)];
            let [of_queries, of_keys, of_values] =
                inputs.tile_gradients(&rows, log_sums, gradients, needs_grad);
            queries.extend(of_queries);
            for (sum, part) in zip(&mut sums, [of_keys, of_values]) {
                *sum = match (sum.take(), part.map(wide::<B>)) {
                    (Some(sum), Some(part)) => Some(B::float_add(sum, part)),
                    (sum, part) => sum.or(part),
                };
            }
        }
        let [keys, values] = sums.map(|sum| sum.map(|sum| inputs.narrow(sum)));
        [needs_grad[0].then(|| join::<B>(queries)), keys, values]
    }
}

impl<B: Backend> Inputs<B> {
    /// Batch, heads, queries and keys.
    fn sizes(&self) -> [usize; 4] {
        let [batch, heads, seq_q, _] = self.queries.shape().dims();
        [batch, heads, seq_q, self.keys.shape()[2]]
    }

    /// Checked before anything is recorded: it would fail later, far from its cause.
    fn assert_sizes(&self) {
        let [batch, heads, seq_q, d_head] = self.queries.shape().dims();
        let [batch_k, kv_heads, seq_k, d_key] = self.keys.shape().dims();
        let [batch_v, heads_v, seq_v, _] = self.values.shape().dims();
        let [batch_m, heads_m, rows, seq_m] = self.masked.shape().dims();
        assert!(
            heads.is_multiple_of(kv_heads),
            "{kv_heads} key-value heads for {heads} heads"
        );
        assert_eq!([batch_k, d_key], [batch, d_head], "keys fit the queries");
        assert_eq!(
            [batch_v, heads_v, seq_v],
            [batch, kv_heads, seq_k],
            "one value for each key"
        );
        assert_eq!(
            [self.keys.dtype(), self.values.dtype()],
            [self.queries.dtype(); 2],
            "numbers of one type"
        );
        assert!(batch_m == 1 || batch_m == batch, "a mask for each text");
        assert!(rows == 1 || rows == seq_q, "a mask for each query");
        assert_eq!([heads_m, seq_m], [1, seq_k], "a mask for each key");
        if let Some(bias) = &self.bias {
            let [batch_b, heads_b, rows_b, seq_b] = bias.shape().dims();
            assert!(batch_b == 1 || batch_b == batch, "biases for each text");
            assert_eq!(
                [heads_b, rows_b, seq_b],
                [heads, 1, seq_k],
                "a bias for each head and key"
            );
        }
    }

    /// The queries of each tile.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<B> {
        let [batch, heads, seq_q, seq_k] = self.sizes();
        let rows = (self.tile_scores / (batch * heads * seq_k)).clamp(1, seq_q);
        (0..seq_q)
            .step_by(rows)
            .map(move |start| start..seq_q.min(start + rows))
    }

    /// Scaled and bounded, or biased: `[batch, heads, rows, seq_k]`.
    fn scores(&self, rows: &Range<usize>) -> FloatTensor<B> {
        let queries = self.by_group(tile::<B>(&self.queries, rows));
        let scores = B::float_matmul(queries, transposed::<B>(self.keys.clone()));
        let scores = wide::<B>(self.by_head(scores));
        let Scoring { scale, cap } = self.scoring;
        match cap {
            None => {
                let scores = B::float_mul_scalar(scores, scale.into());
                match &self.bias {
                    Some(bias) => B::float_add(scores, bias.clone()),
                    None => scores,
                }
            }
            Some(cap) => {
                let shares = B::float_tanh(B::float_mul_scalar(scores, (scale / cap).into()));
                B::float_mul_scalar(shares, cap.into())
            }
        }
    }

    /// The scores with -∞ where the mask hides a key.
    fn hide(&self, scores: FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        let [batch, heads, _, seq_k] = self.sizes();
        let one_for_all = self.masked.shape()[2] == 1;
        let masked = if one_for_all {
            self.masked.clone()
        } else {
            B::bool_slice(self.masked.clone(), &slices(rows))
        };
        let masked = B::bool_expand(masked, Shape::new([batch, heads, rows.len(), seq_k]));
        B::float_mask_fill(scores, masked, f32::NEG_INFINITY.into())
    }

    /// The output of a tile, and the logarithms of its sums of exponentials.
    fn attend(&self, rows: Range<usize>) -> (FloatTensor<B>, FloatTensor<B>) {
        let scores = self.hide(self.scores(&rows), &rows);
        // The lower bounds only matter for rows that see nothing: -∞ - (-∞) and 0 / 0.
        let largest = B::float_max_dim(scores.clone(), 3);
        let largest = B::float_clamp_min(largest, f32::MIN.into());
        let weights = B::float_exp(B::float_sub(scores, largest.clone()));
        let sums = B::float_sum_dim(weights.clone(), 3);
        let sums = B::float_clamp_min(sums, f32::MIN_POSITIVE.into());
        let products = B::float_matmul(self.by_group(self.narrow(weights)), self.values.clone());
        let output = B::float_div(wide::<B>(self.by_head(products)), sums.clone());
        (
            self.narrow(output),
            B::float_add(largest, B::float_log(sums)),
        )
    }

    /// The weights of a tile, from its scores and the sums of its softmax.
    fn weights(
        &self,
        rows: &Range<usize>,
        scores: FloatTensor<B>,
        log_sums: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::float_exp(B::float_sub(self.hide(scores, rows), log_sums))
    }

    /// The gradient of the products of queries and keys, from that of their scores.
    fn by_product(&self, by_score: FloatTensor<B>, scores: FloatTensor<B>) -> FloatTensor<B> {
        let Scoring { scale, cap } = self.scoring;
        let scaled = B::float_mul_scalar(by_score, scale.into());
        let Some(cap) = cap else {
            return scaled;
        };
        // 1 - tanh², the scores being cap · tanh.
        let shares = B::float_mul_scalar(scores, cap.recip().into());
        let lost = B::float_mul(B::float_mul(shares.clone(), shares), scaled.clone());
        B::float_sub(scaled, lost)
    }

    /// The gradients of the queries of a tile, and its share of those of keys and values.
    fn tile_gradients(
        &self,
        rows: &Range<usize>,
        log_sums: FloatTensor<B>,
        [gradient, means]: [FloatTensor<B>; 2],
        needs_grad: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        let scores = self.scores(rows);
        let weights = self.weights(rows, scores.clone(), log_sums);
        let gradient = self.by_group(gradient);
        let values = needs_grad[2].then(|| {
            let weights = self.by_group(self.narrow(weights.clone()));
            B::float_matmul(transposed::<B>(weights), gradient.clone())
        });
        if !needs_grad[0] && !needs_grad[1] {
            return [None, None, values];
        }
        let by_weight = B::float_matmul(gradient, transposed::<B>(self.values.clone()));
        let by_weight = B::float_sub(wide::<B>(self.by_head(by_weight)), means);
        let by_product = self.by_product(B::float_mul(weights, by_weight), scores);
        let by_product = self.by_group(self.narrow(by_product));
        let keys = needs_grad[1].then(|| {
            let queries = self.by_group(tile::<B>(&self.queries, rows));
            B::float_matmul(transposed::<B>(by_product.clone()), queries)
        });
        let queries =
            needs_grad[0].then(|| self.by_head(B::float_matmul(by_product, self.keys.clone())));
        [queries, keys, values]
    }

    /// In the type of the inputs.
    fn narrow(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        cast::<B>(x, self.queries.dtype())
    }

    /// `[batch, heads, rows, _]` as `[batch, kv_heads, group * rows, _]`: a single matrix product
    /// multiplies the query heads of a group with their shared keys.
    fn by_group(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let kv_heads = self.keys.shape()[1];
        let [batch, heads, rows, width] = x.shape().dims();
        let rows = heads / kv_heads * rows;
        B::float_reshape(x, Shape::new([batch, kv_heads, rows, width]))
    }

    /// The inverse of [`Inputs::by_group`].
    fn by_head(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let heads = self.queries.shape()[1];
        let [batch, kv_heads, rows, width] = x.shape().dims();
        let rows = rows * kv_heads / heads;
        B::float_reshape(x, Shape::new([batch, heads, rows, width]))
    }
}

fn wide<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    cast::<B>(x, DType::F32)
}

fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype {
        x
    } else {
        B::float_cast(x, dtype.into())
    }
}

fn slices(rows: &Range<usize>) -> [Slice; 4] {
    let all = Slice::full();
    [all, all, Slice::from(rows.clone()), all]
}

fn tile<B: Backend>(x: &FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
    if *rows == (0..x.shape()[2]) {
        return x.clone();
    }
    B::float_slice(x.clone(), &slices(rows))
}

fn transposed<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(x, 2, 3)
}

/// The tiles one after another.
fn join<B: Backend>(mut tiles: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    if tiles.len() == 1 {
        return tiles.remove(0);
    }
    B::float_cat(tiles, 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Tensor};

    use super::*;
    use crate::ops::tests::{assert_close, on_gpu, random};

    #[test]
    fn the_size_of_a_tile_changes_nothing() {
        let Some(device) = on_gpu() else { return };
        let shapes = [[2, 4, 11, 6], [2, 2, 13, 6], [2, 2, 13, 5]];
        let inputs: [Tensor<4>; 3] = shapes.map(|shape| random(shape, 1.0));
        let masked: Tensor<4, Bool> =
            Tensor::<2, Bool>::tril_mask([11, 13], 2, &device).unsqueeze_dims(&[0, 1]);
        let gradient: Tensor<4> = random([2, 4, 11, 5], 1.0);
        let primitive = |x: Tensor<4>| x.try_into_primitive::<Cube>().expect("on a GPU");
        let bias: Tensor<4> = random([1, 4, 1, 13], 1.0);
        let run = |cap: Option<f32>, tile_scores| {
            let masked = masked.clone().try_into_primitive::<Cube>();
            let bias = cap.is_none().then(|| primitive(bias.clone()));
            let (output, state) = in_tiles::<Cube>(
                inputs.clone().map(primitive),
                masked.expect("on a GPU"),
                bias,
                Scoring { scale: 0.4, cap },
                tile_scores,
            );
            let gradients = state.backward(primitive(gradient.clone()), [true; 3]);
            let all = gradients.into_iter().flatten().chain([output]);
            all.map(Tensor::<4>::from_primitive::<Cube>)
                .collect::<Vec<_>>()
        };
        // Tiles of one row, of four with three left over, and one of all rows.
        for cap in [None, Some(1.5)] {
            let sizes = [usize::MAX, 1, 4 * 2 * 4 * 13];
            let [expected, ones, fours] = sizes.map(|tile_scores| run(cap, tile_scores));
            for tiles in [ones, fours] {
                for (found, expected) in zip(tiles, expected.clone()) {
                    assert_close(found, expected);
                }
            }
        }
    }
}
