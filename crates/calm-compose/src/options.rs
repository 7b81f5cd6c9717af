//! What a bridge may have besides the paper's layers.

use calm_backend::FloatType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ComposeError;

/// A factor between what a bridge has read and the anchor's hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// There is none, as in the paper.
    #[default]
    None,
    /// tanh(g), with one number g for the whole bridge.
    Scalar,
    /// σ(x W_G + b_G) for every head and position, x being what W_Q reads; CALM-pytorch has it.
    Heads,
}

/// What fresh bridges add to the anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputInit {
    /// Nothing, so that the composition starts as its anchor, bit for bit.
    ///
    /// The last factor starts at zero: the scalar gate, or else the weight of the norm behind W_O,
    /// or else W_O. Were two of them zero, neither would ever have a gradient.
    #[default]
    Zero,
    /// A little of what random weights read: W_O is a tenth as large as the other matrices.
    Random,
}

/// The options of a bridge; by default it is the paper's (section 3.1).
///
/// `composition.json` has them under these names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeOptions {
    /// Width of queries, keys and values of all heads together; none for D_B, the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d_inner: Option<usize>,
    /// RMS norm of the anchor's hidden states before W_Q.
    pub anchor_norm: bool,
    /// RMS norm of the augmenting model's hidden states before f_proj.
    ///
    /// Before and not behind it: what differs between families and blocks by orders of magnitude
    /// is the size of these states, and f_proj may then still give positions different sizes.
    pub augmenting_norm: bool,
    /// RMS norm of what W_O gives, before it is added; google-deepmind/calm has it.
    pub output_norm: bool,
    /// What the RMS norms add to the mean square.
    pub norm_epsilon: f64,
    /// Biases of W_Q, W_K, W_V and W_O besides that of f_proj, as torch's `MultiheadAttention` has
    /// them. With them, a position that may see nothing gets the bias of W_O added.
    pub bias: bool,
    /// A learnt factor.
    pub gate: Gate,
    /// What fresh bridges add.
    pub output_init: OutputInit,
    /// What bridges compute in and are stored in, whatever the models compute in. They are trained
    /// in `f32`.
    #[serde(serialize_with = "float_name", deserialize_with = "float_of_name")]
    pub dtype: FloatType,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            d_inner: None,
            anchor_norm: false,
            augmenting_norm: false,
            output_norm: false,
            norm_epsilon: 1e-6,
            bias: false,
            gate: Gate::None,
            output_init: OutputInit::Zero,
            dtype: FloatType::F32,
        }
    }
}

impl BridgeOptions {
    pub(crate) fn validate(&self) -> Result<(), ComposeError> {
        // A NaN is not within.
        if (0.0..=1.0).contains(&self.norm_epsilon) {
            return Ok(());
        }
        Err(ComposeError::NormEpsilon {
            found: self.norm_epsilon,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn float_name<S: Serializer>(float: &FloatType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(float.name())
}

fn float_of_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FloatType, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(serde::de::Error::custom)
}
