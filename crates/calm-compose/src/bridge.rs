//! One bridge: f_proj and f_cross of section 3.1.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Bool, Device, Tensor};
use calm_backend::{SeededInit, ops};

use crate::ComposeError;

/// Sizes of a [`Bridge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeConfig {
    /// Width of the augmenting model, D_A.
    pub d_augmenting: usize,
    /// Width of the anchor, D_B.
    pub d_anchor: usize,
    /// Attention heads, N_H; the paper takes the anchor's own number.
    pub heads: usize,
}

impl BridgeConfig {
    /// Checks that the heads divide the anchor's width.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Heads`] if they don't, or if there are none.
    pub fn validate(&self) -> Result<(), ComposeError> {
        if self.heads == 0 || !self.d_anchor.is_multiple_of(self.heads) {
            return Err(ComposeError::Heads {
                heads: self.heads,
                d_anchor: self.d_anchor,
            });
        }
        Ok(())
    }

    /// Parameters of one bridge as stored, with W_O and the bias of f_proj.
    pub fn parameter_count(&self) -> usize {
        self.paper_parameter_count() + self.d_anchor * (self.d_anchor + 1)
    }

    /// Parameters of one bridge by the paper's count (appendix C.1), D_A D_B + 3 D_B²: without
    /// W_O and bias.
    pub fn paper_parameter_count(&self) -> usize {
        self.d_anchor * (self.d_augmenting + 3 * self.d_anchor)
    }

    /// A bridge that adds nothing yet: W_O starts at zero, so that an untrained composition is the
    /// anchor, bit for bit. The other weights are normal with standard deviation 1/√(inputs).
    pub fn init(&self, init: &mut SeededInit, device: &Device) -> Bridge {
        let mut linear = |d_input: usize, d_output: usize, std: f64| Linear {
            weight: init.normal([d_input, d_output], std, device),
            bias: None,
        };
        let std = |d_input: usize| (d_input as f64).sqrt().recip();
        let (d_augmenting, d_anchor) = (self.d_augmenting, self.d_anchor);
        let projection = linear(d_augmenting, d_anchor, std(d_augmenting));
        let [query, key, value] = [(); 3].map(|()| linear(d_anchor, d_anchor, std(d_anchor)));
        Bridge {
            projection: Linear {
                bias: Some(burn::module::Param::from_tensor(Tensor::zeros(
                    [d_anchor],
                    device,
                ))),
                ..projection
            },
            query,
            key,
            value,
            output: linear(d_anchor, d_anchor, 0.0),
            heads: self.heads,
        }
    }
}

/// Reads one augmenting block at one anchor block and adds what it found to the anchor's hidden
/// states:
///
/// ```text
/// P       = H_A W_P + b                                 f_proj
/// head_h  = softmax(Q_h K_hᵀ / √d_head) V_h             Q = H_B W_Q, K = P W_K, V = P W_V
/// H_A⊕B   = H_B + [head_1 … head_N] W_O                 f_cross
/// ```
#[derive(Module, Debug)]
pub struct Bridge {
    /// f_proj, `[d_augmenting, d_anchor]` with bias.
    pub projection: Linear,
    /// W_Q, `[d_anchor, d_anchor]`.
    pub query: Linear,
    /// W_K, `[d_anchor, d_anchor]`.
    pub key: Linear,
    /// W_V, `[d_anchor, d_anchor]`.
    pub value: Linear,
    /// W_O, `[d_anchor, d_anchor]`.
    pub output: Linear,
    heads: usize,
}

impl Bridge {
    /// The sizes that this bridge was built with.
    pub fn config(&self) -> BridgeConfig {
        let [d_augmenting, d_anchor] = self.projection.weight.shape().dims();
        BridgeConfig {
            d_augmenting,
            d_anchor,
            heads: self.heads,
        }
    }

    /// Keys and values of augmenting positions: all that a bridge ever needs to know of them.
    ///
    /// # Shapes
    ///
    /// - `augmenting`: `[batch, seq_augmenting, d_augmenting]`, the output of the connected block
    /// - keys and values: `[batch, heads, seq_augmenting, d_head]`
    pub fn keys_values(&self, augmenting: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        let projected = self.projection.forward(self.in_own_type(augmenting));
        let keys = self.split_heads(self.key.forward(projected.clone()));
        (keys, self.split_heads(self.value.forward(projected)))
    }

    /// The anchor's hidden states with what they read of the augmenting model added.
    ///
    /// A position that may see nothing gets nothing added.
    ///
    /// # Shapes
    ///
    /// - `anchor`: `[batch, seq_anchor, d_anchor]`, the output of the connected block
    /// - `keys`, `values`: as [`Bridge::keys_values`] gives them
    /// - `masked`: `[batch, 1, seq_anchor, seq_augmenting]`, `true` where nothing may be seen; none
    ///   where everything may
    /// - output: `[batch, seq_anchor, d_anchor]`
    pub fn forward(
        &self,
        anchor: Tensor<3>,
        keys: Tensor<4>,
        values: Tensor<4>,
        masked: Option<Tensor<4, Bool>>,
    ) -> Tensor<3> {
        let [batch, seq, d_anchor] = anchor.dims();
        let queries = self.query.forward(self.in_own_type(anchor.clone()));
        let queries = self.split_heads(queries);
        let scale = ((d_anchor / self.heads) as f64).sqrt().recip();
        let read = ops::attention(queries, keys, values, masked, scale)
            .swap_dims(1, 2) // [batch, seq_anchor, heads, d_head]
            .reshape([batch, seq, d_anchor]);
        let read = self.output.forward(read).cast(anchor.dtype());
        anchor + read
    }

    /// The projections under the names that files give them.
    pub fn parts(&self) -> [(&'static str, &Linear); 5] {
        [
            ("proj", &self.projection),
            ("q", &self.query),
            ("k", &self.key),
            ("v", &self.value),
            ("o", &self.output),
        ]
    }

    /// Frozen models may compute in half precision; what is trained does not.
    fn in_own_type(&self, x: Tensor<3>) -> Tensor<3> {
        x.cast(self.query.weight.val().dtype())
    }

    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, seq, d_model] = x.dims();
        x.reshape([batch, seq, self.heads, d_model / self.heads])
            .swap_dims(1, 2)
    }
}
