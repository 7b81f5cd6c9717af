//! Experts: feed-forward layers of which every token uses a few.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::feed_forward::{FeedForward, project};
use super::top_k::top_k;
use crate::config::ExpertWeights;

/// Gated layers of which every token uses those with the largest logits of a router.
#[derive(Module, Debug)]
pub struct Experts {
    /// `[d_model, experts]`.
    pub router: Linear,
    /// In order.
    pub layers: Vec<FeedForward>,
    /// Used by all tokens besides.
    pub shared: Option<SharedExpert>,
    /// Number of experts that a token uses.
    pub(crate) used: usize,
    #[module(skip)]
    pub(crate) weights: ExpertWeights,
}

/// A gated layer that all tokens use, times a sigmoid.
#[derive(Module, Debug)]
pub struct SharedExpert {
    /// The layer.
    pub layer: FeedForward,
    /// `[d_model, 1]`, to the sigmoid.
    pub gate: Linear,
}

impl Experts {
    /// `x` and output: `[batch, seq, d_model]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, seq, d_model] = x.dims();
        let tokens = x.reshape([1, batch * seq, d_model]);
        let output = self.routed(&tokens);
        let output = match &self.shared {
            Some(shared) => output + shared.forward(tokens),
            None => output,
        };
        output.reshape([batch, seq, d_model])
    }

    /// The weighted sum of the outputs of each token's experts, `[1, tokens, d_model]`.
    fn routed(&self, tokens: &Tensor<3>) -> Tensor<3> {
        let [_, count, d_model] = tokens.dims();
        let logits = project(&self.router, tokens.clone()).cast(DType::F32);
        let shares = softmax(logits.reshape([count, self.layers.len()]), 1);
        let routes = Routes::new(&shares, self.used);
        let outputs = self.outputs(tokens, &routes);
        let outputs = outputs.reshape([count, self.used, d_model]);
        let weights = self.weights(shares, &routes, outputs.dtype());
        weighted_sum(outputs, weights.unsqueeze_dim(2)).unsqueeze()
    }

    /// Weights of each token's experts, `[tokens, used]`, out of all experts' shares.
    fn weights(&self, shares: Tensor<2>, routes: &Routes, dtype: DType) -> Tensor<2> {
        let [count, _] = shares.dims();
        let shares = shares.gather(1, routes.experts(count));
        let normalized = |shares: Tensor<2>| shares.clone() / shares.sum_dim(1);
        match self.weights {
            ExpertWeights::Softmax => shares.cast(dtype),
            ExpertWeights::Normalized => normalized(shares).cast(dtype),
            ExpertWeights::UnroundedNormalized => normalized(shares),
        }
    }

    /// Outputs of each token's experts, `[1, tokens * used, d_model]`. Every expert computes the tokens
    /// that use it as one batch.
    fn outputs(&self, tokens: &Tensor<3>, routes: &Routes) -> Tensor<3> {
        let outputs = routes.by_expert().map(|(expert, of_expert)| {
            let tokens = tokens.clone().select(1, of_expert);
            self.layers[expert].forward(tokens)
        });
        Tensor::cat(outputs.collect(), 1).select(1, routes.places())
    }
}

/// The sum of outputs `[tokens, used, d_model]` with weights `[tokens, used, 1]`: products in the wider of
/// their types, the sum in `f32`. Output: `[tokens, d_model]`, of the outputs' type.
fn weighted_sum(outputs: Tensor<3>, weights: Tensor<3>) -> Tensor<2> {
    let dtype = outputs.dtype();
    let products = outputs.cast(weights.dtype()) * weights;
    products
        .cast(DType::F32)
        .sum_dim(1)
        .squeeze_dim(1)
        .cast(dtype)
}

impl SharedExpert {
    /// `x` and output: `[1, tokens, d_model]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = sigmoid(project(&self.gate, x.clone()));
        gate * self.layer.forward(x)
    }
}

/// The experts that tokens use.
struct Routes {
    /// The expert of each use: those of the first token, then those of the second, and so on.
    experts: Vec<usize>,
    /// The uses, sorted by expert.
    order: Vec<usize>,
    /// Experts that a token uses.
    used: usize,
    device: Device,
}

impl Routes {
    /// For shares of all experts, `[tokens, experts]`.
    fn new(shares: &Tensor<2>, used: usize) -> Self {
        let [_, count] = shares.dims();
        // Which experts are used is a constant, whatever is trained.
        let device = shares.device().without_autodiff();
        let shares: Vec<f32> = shares.to_data().iter().collect();
        let rows = shares.chunks(count);
        let experts: Vec<usize> = rows.flat_map(|row| top_k(row, used)).collect();
        let mut order: Vec<usize> = (0..experts.len()).collect();
        order.sort_by_key(|usage| experts[*usage]);
        Self {
            experts,
            order,
            used,
            device,
        }
    }

    /// `[tokens, used]`.
    fn experts(&self, tokens: usize) -> Tensor<2, Int> {
        let experts = self.experts.iter().copied();
        self.indices(experts).reshape([tokens, self.used])
    }

    /// Each expert that is used at all, with the tokens that use it.
    fn by_expert(&self) -> impl Iterator<Item = (usize, Tensor<1, Int>)> {
        let groups = self
            .order
            .chunk_by(|a, b| self.experts[*a] == self.experts[*b]);
        groups.map(|uses| {
            let tokens = uses.iter().map(|usage| usage / self.used);
            (self.experts[uses[0]], self.indices(tokens))
        })
    }

    /// The place of each use among those sorted by expert.
    fn places(&self) -> Tensor<1, Int> {
        let mut places = vec![0; self.order.len()];
        for (place, usage) in self.order.iter().enumerate() {
            places[*usage] = place;
        }
        self.indices(places.into_iter())
    }

    fn indices(&self, indices: impl Iterator<Item = usize>) -> Tensor<1, Int> {
        let indices: Vec<i64> = indices.map(|index| index as i64).collect();
        let shape = [indices.len()];
        Tensor::from_data(TensorData::new(indices, shape), &self.device)
    }
}
