//! Options of a bridge: layers and types that the paper's bridge does not have.

use calm_backend::FloatType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ComposeError;

/// A learnt factor of what a bridge adds to the anchor's hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// No gate, as in the paper.
    #[default]
    None,
    /// tanh(g), with one number g per bridge.
    Scalar,
    /// σ(x W_G + b_G) per head and position, where x is the input of W_Q; CALM-pytorch has it.
    Heads,
}

/// Initial output of fresh bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputInit {
    /// Zero: the composition starts as its anchor, bit for bit.
    ///
    /// One factor starts at zero: the scalar gate, or else the weight of the norm behind W_O, or else
    /// W_O. If two of them were zero, neither would ever have a gradient.
    #[default]
    Zero,
    /// Small and random: W_O is a tenth as large as the other matrices.
    Random,
}

/// Unit in which the output of fresh bridges is learnt.
///
/// The hidden states of real models grow from block to block, by a factor of a thousand, and an
/// optimiser moves every parameter by its learning rate, whatever the size of the gradient. So a
/// step of the same W_O may be nothing for one block and ruin another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputUnit {
    /// One, as in the paper.
    #[default]
    One,
    /// The size of the anchor's hidden states at the connected block, which
    /// [`FrozenParts::calibrate`](crate::FrozenParts::calibrate) measures.
    ///
    /// Only training knows of it. Files have it multiplied into the bridge's last factor, W_O or the
    /// weight of the norm behind it.
    Anchor,
}

/// The options of a bridge. By default it reads both models through norms and writes in units of
/// the anchor's hidden states; [`BridgeOptions::paper`] is the bridge of section 3.1.
///
/// `composition.json` has them under these names. Those that it leaves out are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default = "BridgeOptions::paper", deny_unknown_fields)]
pub struct BridgeOptions {
    /// Width of queries, keys and values, all heads together. Default: D_B, as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d_inner: Option<usize>,
    /// RMS norm of the anchor's hidden states before W_Q.
    pub anchor_norm: bool,
    /// RMS norm of the augmenting model's hidden states before f_proj.
    ///
    /// It stands before f_proj since the size of these states differs between families, blocks and
    /// positions by orders of magnitude. f_proj can still give positions different sizes.
    pub augmenting_norm: bool,
    /// RMS norm of the output of W_O; google-deepmind/calm has it.
    pub output_norm: bool,
    /// Epsilon of the RMS norms, added to the mean square.
    pub norm_epsilon: f64,
    /// Biases of W_Q, W_K, W_V and W_O, as torch's `MultiheadAttention` has them. f_proj always has
    /// one. An anchor position that may see nothing then gets the bias of W_O added.
    pub bias: bool,
    /// Biases of the scores by which heads prefer the augmenting positions that came last, each head
    /// by another slope (ALiBi, arXiv 2108.12409). Without them nothing but the states tells a bridge
    /// which position of the augmenting model has the token that the anchor reads.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alibi: bool,
    /// Learnt factor of the output.
    pub gate: Gate,
    /// Initial output.
    pub output_init: OutputInit,
    /// Unit in which the output is learnt. Left out of files at the paper's value, so that these
    /// stay as they were before there was a choice.
    #[serde(skip_serializing_if = "OutputUnit::is_one")]
    pub output_unit: OutputUnit,
    /// Type in which bridges compute and are stored, whatever the models compute in. They are trained
    /// in `f32`.
    #[serde(serialize_with = "float_name", deserialize_with = "float_of_name")]
    pub dtype: FloatType,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            anchor_norm: true,
            augmenting_norm: true,
            output_unit: OutputUnit::Anchor,
            ..Self::paper()
        }
    }
}

impl BridgeOptions {
    /// The paper's bridge (section 3.1): no norm, bias or gate, and an output in units of one.
    pub const fn paper() -> Self {
        Self {
            d_inner: None,
            anchor_norm: false,
            augmenting_norm: false,
            output_norm: false,
            norm_epsilon: 1e-6,
            bias: false,
            alibi: false,
            gate: Gate::None,
            output_init: OutputInit::Zero,
            output_unit: OutputUnit::One,
            dtype: FloatType::F32,
        }
    }

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

impl OutputUnit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_one(&self) -> bool {
        *self == Self::One
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
