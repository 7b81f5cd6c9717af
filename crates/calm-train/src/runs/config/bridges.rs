//! Settings of bridges.

use calm_backend::FloatType;
use calm_compose::{BridgeOptions, Gate, OutputInit, OutputUnit};
use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use crate::runs::flags::named;

/// Form of bridges, which further options add to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeForm {
    /// Norms on both inputs, and an output in units of the anchor's hidden states:
    /// [`BridgeOptions::default`].
    #[default]
    Normed,
    /// Section 3.1 of the paper: [`BridgeOptions::paper`].
    Paper,
}

/// Options of bridges, flat, by the names of files and flags; docs/composition.md explains each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Bridges")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct BridgeConfig {
    /// Form of the bridges: `normed`, or `paper` as in section 3.1
    ///
    /// `normed` has norms on both inputs and an output in units of the anchor's hidden states. The
    /// options below add to either.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORM", value_parser = named::<BridgeForm>, default_value = "normed"))]
    pub bridge: BridgeForm,
    /// Attention heads N_H of a bridge, a divisor of its width [default: the anchor's]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub heads: Option<usize>,
    /// Width of a bridge's queries, keys and values [default: the anchor's width]
    ///
    /// Of all heads together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub d_inner: Option<usize>,
    /// Norm the anchor's hidden states before the queries, as `normed` bridges do
    #[cfg_attr(feature = "cli", arg(long))]
    pub anchor_norm: bool,
    /// Norm m_A's hidden states before they are projected, as `normed` bridges do
    #[cfg_attr(feature = "cli", arg(long))]
    pub augmenting_norm: bool,
    /// Norm the bridge's output before it is added
    #[cfg_attr(feature = "cli", arg(long))]
    pub output_norm: bool,
    /// Number that these RMS norms add to the mean square
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = BridgeOptions::default().norm_epsilon))]
    pub norm_epsilon: f64,
    /// Give all matrices of a bridge biases, not the projection alone
    #[cfg_attr(feature = "cli", arg(long))]
    pub bridge_bias: bool,
    /// Let heads prefer the positions of m_A that came last, each by another slope (ALiBi)
    ///
    /// So a bridge finds m_A's state of the very token that the anchor reads, whatever that is.
    #[cfg_attr(feature = "cli", arg(long))]
    pub alibi: bool,
    /// Learn a factor of a bridge's output: `none`, `scalar` or `heads`
    ///
    /// `none`, as in the paper; `scalar`, one number for the whole bridge; `heads`, one for every
    /// head and position, from the anchor's hidden state.
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND", value_parser = named::<Gate>, default_value = "none"))]
    pub gate: Gate,
    /// Start from bridges whose output is `zero`, as the anchor alone, or `random`
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW", value_parser = named::<OutputInit>, default_value = "zero"))]
    pub output_init: OutputInit,
    /// Unit of a bridge's output: `one`, or `anchor` [default: that of the form]
    ///
    /// `anchor` is the size of the anchor's hidden states at that block.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "UNIT", value_parser = named::<OutputUnit>))]
    pub output_unit: Option<OutputUnit>,
    /// Number type in which bridges compute and are stored; they are trained in f32
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub bridge_dtype: FloatType,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let paper = BridgeOptions::paper();
        Self {
            bridge: BridgeForm::default(),
            heads: None,
            d_inner: paper.d_inner,
            anchor_norm: paper.anchor_norm,
            augmenting_norm: paper.augmenting_norm,
            output_norm: paper.output_norm,
            norm_epsilon: paper.norm_epsilon,
            bridge_bias: paper.bias,
            alibi: paper.alibi,
            gate: paper.gate,
            output_init: paper.output_init,
            output_unit: None,
            bridge_dtype: paper.dtype,
        }
    }
}

impl BridgeConfig {
    /// The options in the form in which a composition has them.
    pub fn options(&self) -> BridgeOptions {
        let form = match self.bridge {
            BridgeForm::Normed => BridgeOptions::default(),
            BridgeForm::Paper => BridgeOptions::paper(),
        };
        BridgeOptions {
            d_inner: self.d_inner,
            anchor_norm: form.anchor_norm || self.anchor_norm,
            augmenting_norm: form.augmenting_norm || self.augmenting_norm,
            output_norm: form.output_norm || self.output_norm,
            norm_epsilon: self.norm_epsilon,
            bias: self.bridge_bias,
            alibi: self.alibi,
            gate: self.gate,
            output_init: self.output_init,
            output_unit: self.output_unit.unwrap_or(form.output_unit),
            dtype: self.bridge_dtype,
        }
    }
}
