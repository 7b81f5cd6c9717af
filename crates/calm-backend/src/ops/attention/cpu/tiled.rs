//! Attention over long sequences, a tile of queries at a time. The scores of one tile exist at
//! once; the backward pass computes them again, which is faster than keeping them.

use std::ops::Range;

use super::inputs::{Biases, Inputs, Mask, Rows, Sizes, heads_inside};
use super::softmax::{normalise, shift, softmax_gradient};
use crate::ops::attention::scoring::Scoring;
use crate::ops::cpu::matmul::{Matrix, Threads, multiply};
use crate::ops::cpu::{Columns, FlexTensor, exp, run, zeros};

/// Queries of a tile. In causal attention a tile does not read the keys after its last query.
const TILE: usize = 64;

/// The softmax of a row of scores: the largest of them, and the factor of their exponentials.
pub(super) type RowSoftmax = [f32; 2];

/// The output, and the softmax of every text, head and query.
pub(super) fn forward(inputs: &Inputs, mask: &Mask<'_>) -> (FlexTensor, Vec<RowSoftmax>) {
    let (sizes, texts) = (inputs.sizes, Texts::new(inputs, mask));
    let (heads, width) = (sizes.heads(), sizes.heads() * sizes.d_value);
    let mut output = zeros(sizes.batch * sizes.seq_q * width);
    let mut softmaxes = vec![[0.0; 2]; sizes.batch * heads * sizes.seq_q];
    let columns = output
        .chunks_mut((sizes.seq_q * width).max(1))
        .flat_map(|text| Columns::split(text, width, sizes.d_value));
    let tasks = columns.zip(softmaxes.chunks_mut(sizes.seq_q.max(1)));
    run(
        sizes.work(),
        tasks.enumerate(),
        #[inline(always)]
        |(task, (mut output, softmaxes))| {
            texts.attend([task / heads, task % heads], &mut output, softmaxes);
        },
    );
    let output = heads_inside(output, [sizes.seq_q, heads, sizes.d_value], sizes.batch);
    (output, softmaxes)
}

/// The gradients of queries, keys and values, as far as they are needed.
pub(super) fn gradients(
    inputs: &Inputs,
    mask: &Mask<'_>,
    softmaxes: &[RowSoftmax],
    output: &FlexTensor,
    needs_grad: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let (sizes, texts) = (inputs.sizes, Texts::new(inputs, mask));
    let output = Rows::new(output, output.storage());
    let shapes = sizes.input_shapes();
    let mut gradients: [Option<Vec<f32>>; 3] = std::array::from_fn(|input| {
        needs_grad[input].then(|| zeros(sizes.batch * shapes[input].iter().product::<usize>()))
    });
    let [queries, keys, values] = &mut gradients;
    let mut queries = heads_of(queries, shapes[0]);
    let (mut keys, mut values) = (heads_of(keys, shapes[1]), heads_of(values, shapes[2]));
    let tasks = (0..sizes.batch * sizes.kv_heads).map(move |task| {
        let queries = queries.by_ref().take(sizes.group).collect();
        (
            task,
            Gradients {
                queries,
                keys: keys.next(),
                values: values.next(),
            },
        )
    });
    run(
        sizes.work(),
        tasks,
        #[inline(always)]
        |(task, mut gradients)| {
            let place = [task / sizes.kv_heads, task % sizes.kv_heads];
            texts.differentiate(place, softmaxes, &output, &mut gradients);
        },
    );
    std::array::from_fn(|input| {
        let gradient = gradients[input].take();
        gradient.map(|gradient| heads_inside(gradient, shapes[input], sizes.batch))
    })
}

/// The columns of every head of every text, or nothing.
fn heads_of(
    gradient: &mut Option<Vec<f32>>,
    [seq, heads, width]: [usize; 3],
) -> impl Iterator<Item = Columns<'_>> {
    let texts = gradient.as_deref_mut().unwrap_or_default();
    texts
        .chunks_mut((seq * heads * width).max(1))
        .flat_map(move |text| Columns::split(text, heads * width, width))
}

/// The places of the gradients of one key-value head, as far as they are needed.
struct Gradients<'a> {
    /// Of each query head of the group.
    queries: Vec<Columns<'a>>,
    keys: Option<Columns<'a>>,
    values: Option<Columns<'a>>,
}

/// Some queries, and the keys that at least one of them sees.
struct Tile {
    queries: Range<usize>,
    keys: Range<usize>,
}

/// The inputs of all texts.
struct Texts<'a> {
    queries: Rows<'a, f32>,
    keys: Rows<'a, f32>,
    values: Rows<'a, f32>,
    mask: &'a Mask<'a>,
    biases: Option<Biases<'a>>,
    /// The tiles of each text of the mask.
    tiles: Vec<Vec<Tile>>,
    scoring: Scoring,
    sizes: Sizes,
}

impl<'a> Texts<'a> {
    fn new(inputs: &'a Inputs, mask: &'a Mask<'a>) -> Self {
        let rows = |x: &'a FlexTensor| Rows::new(x, x.storage());
        let seq_q = inputs.sizes.seq_q;
        let tiles = |batch| {
            let starts = (0..seq_q).step_by(TILE);
            let tiles = starts.map(|start| start..(start + TILE).min(seq_q));
            let tile = |queries: Range<usize>| Tile {
                keys: mask.seen(batch, queries.clone()),
                queries,
            };
            tiles.map(tile).collect()
        };
        Self {
            queries: rows(&inputs.queries),
            keys: rows(&inputs.keys),
            values: rows(&inputs.values),
            mask,
            biases: inputs.biases(),
            tiles: (0..mask.batches).map(tiles).collect(),
            scoring: inputs.scoring,
            sizes: inputs.sizes,
        }
    }

    /// One query head of one text.
    #[inline(always)]
    fn attend(
        &self,
        [batch, head]: [usize; 2],
        output: &mut Columns<'_>,
        softmaxes: &mut [RowSoftmax],
    ) {
        let kv_place = [batch, head / self.sizes.group];
        let mut scores = Vec::new();
        for tile in self.tiles(batch) {
            self.scores([batch, head], tile, &mut scores);
            let width = tile.keys.len();
            let biases = self.biases([batch, head], tile);
            let scale = self.scoring.finish(&mut scores, biases);
            for (query, scores) in tile.queries.clone().zip(scores.chunks_mut(width)) {
                let largest = shift(scores, self.hidden(batch, query, tile), scale);
                for score in &mut *scores {
                    *score = exp(*score);
                }
                softmaxes[query] = [largest, normalise(scores)];
            }
            let values = self.values.matrix(kv_place, tile.keys.clone());
            let mut output = output.part(tile.queries.clone());
            let weights = Matrix::in_rows(&scores, width);
            multiply(weights, values, &mut output, false, Threads::One);
        }
    }

    /// One key-value head of one text: from the gradient of the output, those of its queries, keys
    /// and values.
    #[inline(always)]
    fn differentiate(
        &self,
        [batch, kv_head]: [usize; 2],
        softmaxes: &[RowSoftmax],
        by_output: &Rows<'_, f32>,
        by: &mut Gradients<'_>,
    ) {
        let (kv_place, sizes) = ([batch, kv_head], self.sizes);
        let (mut weights, mut slopes, mut by_scores) = (Vec::new(), Vec::new(), Vec::new());
        for member in 0..sizes.group {
            let head = kv_head * sizes.group + member;
            let softmaxes = &softmaxes[(batch * sizes.heads() + head) * sizes.seq_q..];
            for tile in self.tiles(batch) {
                let (rows, keys) = (tile.queries.clone(), tile.keys.clone());
                self.weights([batch, head], tile, softmaxes, &mut weights, &mut slopes);
                let by_output = by_output.matrix([batch, head], rows.clone());
                if let Some(values) = &mut by.values {
                    let weights = Matrix::in_rows(&weights, keys.len()).transposed();
                    multiply(
                        weights,
                        by_output,
                        &mut values.part(keys.clone()),
                        true,
                        Threads::One,
                    );
                }
                if by.keys.is_none() && by.queries.is_empty() {
                    continue;
                }
                let values = self.values.matrix(kv_place, keys.clone());
                product(
                    by_output,
                    values.transposed(),
                    [rows.len(), keys.len()],
                    &mut by_scores,
                );
                let both = by_scores
                    .chunks_mut(keys.len())
                    .zip(weights.chunks(keys.len()));
                for (by_scores, weights) in both {
                    softmax_gradient(by_scores, weights, self.scoring.scale);
                }
                // There are no slopes without a cap.
                for (by_score, slope) in by_scores.iter_mut().zip(&slopes) {
                    *by_score *= slope;
                }
                let by_scores = Matrix::in_rows(&by_scores, keys.len());
                if let Some(by_keys) = &mut by.keys {
                    let queries = self.queries.matrix([batch, head], rows.clone());
                    let mut by_keys = by_keys.part(keys.clone());
                    multiply(
                        by_scores.transposed(),
                        queries,
                        &mut by_keys,
                        true,
                        Threads::One,
                    );
                }
                if let Some(by_queries) = by.queries.get_mut(member) {
                    let keys = self.keys.matrix(kv_place, keys);
                    let mut by_queries = by_queries.part(rows);
                    multiply(by_scores, keys, &mut by_queries, false, Threads::One);
                }
            }
        }
    }

    fn tiles(&self, batch: usize) -> &[Tile] {
        &self.tiles[batch % self.mask.batches]
    }

    /// The mask of a query, for the keys of its tile.
    #[inline(always)]
    fn hidden(&self, batch: usize, query: usize, tile: &Tile) -> &'a [u8] {
        &self.mask.row(batch, query)[tile.keys.clone()]
    }

    /// The biases of a head, for the keys of a tile.
    #[inline(always)]
    fn biases(&self, place: [usize; 2], tile: &Tile) -> Option<&'a [f32]> {
        let biases = self.biases.as_ref()?;
        Some(&biases.of_head(place)[tile.keys.clone()])
    }

    /// `Q Kᵀ` of a tile, `[queries, keys]`.
    fn scores(&self, [batch, head]: [usize; 2], tile: &Tile, scores: &mut Vec<f32>) {
        let queries = self.queries.matrix([batch, head], tile.queries.clone());
        let keys = [batch, head / self.sizes.group];
        let keys = self.keys.matrix(keys, tile.keys.clone());
        product(
            queries,
            keys.transposed(),
            [tile.queries.len(), tile.keys.len()],
            scores,
        );
    }

    /// The weights of a tile as the forward pass had them, and the slopes of a cap, both
    /// `[queries, keys]`.
    #[inline(always)]
    fn weights(
        &self,
        place: [usize; 2],
        tile: &Tile,
        softmaxes: &[RowSoftmax],
        weights: &mut Vec<f32>,
        slopes: &mut Vec<f32>,
    ) {
        self.scores(place, tile, weights);
        let scale = self.scoring.finish(weights, self.biases(place, tile));
        self.scoring.slopes(weights, slopes);
        for (query, weights) in tile
            .queries
            .clone()
            .zip(weights.chunks_mut(tile.keys.len()))
        {
            let [largest, factor] = softmaxes[query];
            let hidden = self.hidden(place[0], query, tile);
            for (weight, hidden) in weights.iter_mut().zip(hidden) {
                let seen = exp(*weight * scale - largest) * factor;
                *weight = if *hidden == 0 { seen } else { 0.0 };
            }
        }
    }
}

/// Overwrites `output` with `a · b`.
fn product(a: Matrix<'_>, b: Matrix<'_>, [rows, columns]: [usize; 2], output: &mut Vec<f32>) {
    output.resize(rows * columns, 0.0);
    multiply(
        a,
        b,
        &mut Columns::all(output, columns),
        false,
        Threads::One,
    );
}

impl Mask<'_> {
    /// The keys from the first to the last that any of these queries of a text sees; one key if
    /// they see none.
    fn seen(&self, batch: usize, queries: Range<usize>) -> Range<usize> {
        let (mut start, mut end) = (usize::MAX, 1);
        for query in queries {
            let hidden = self.row(batch, query);
            let first = hidden.iter().position(|hidden| *hidden == 0);
            let last = hidden.iter().rposition(|hidden| *hidden == 0);
            start = start.min(first.unwrap_or(start));
            end = end.max(last.map_or(0, |last| last + 1));
        }
        start.min(end - 1)..end
    }
}
