//! The options of bridges as flags.

use calm_lm::backend::FloatType;
use calm_lm::compose::{BridgeOptions, Gate, OutputInit};
use clap::{Args, ValueEnum};

/// What `calm compose` makes bridges of; docs/composition.md tells what each of it changes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bridges")]
pub(super) struct BridgeArgs {
    /// Attention heads of the bridges, a divisor of their inner width [default: the anchor's]
    #[arg(long, value_name = "N")]
    pub(super) heads: Option<usize>,
    /// Width of queries, keys and values, all heads together [default: the anchor's width]
    #[arg(long, value_name = "N")]
    d_inner: Option<usize>,
    /// RMS norm of the anchor's hidden states before the bridge's queries
    #[arg(long)]
    anchor_norm: bool,
    /// RMS norm of the augmenting model's hidden states before they are projected
    #[arg(long)]
    augmenting_norm: bool,
    /// RMS norm of what the bridge has read before it is added
    #[arg(long)]
    output_norm: bool,
    /// What these norms add to the mean square
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        default_value_t = BridgeOptions::default().norm_epsilon
    )]
    norm_epsilon: f64,
    /// Biases of all matrices of the bridge, not of the projection alone
    #[arg(long)]
    bridge_bias: bool,
    /// A learnt factor of what the bridge adds
    #[arg(long, value_name = "KIND", value_enum, default_value_t = GateKind::None)]
    gate: GateKind,
    /// What fresh bridges add to the anchor
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Init::Zero)]
    output_init: Init,
    /// What bridges compute and are stored in, f32, f16 or bf16; they are trained in f32
    #[arg(long, value_name = "TYPE", default_value_t)]
    bridge_dtype: FloatType,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GateKind {
    /// None, as in the paper
    None,
    /// One number for the whole bridge
    Scalar,
    /// One for every head and position, out of the anchor's hidden state
    Heads,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Init {
    /// Nothing: the composition starts as its anchor
    Zero,
    /// A little of what random weights read
    Random,
}

impl BridgeArgs {
    pub(super) fn options(&self) -> BridgeOptions {
        BridgeOptions {
            d_inner: self.d_inner,
            anchor_norm: self.anchor_norm,
            augmenting_norm: self.augmenting_norm,
            output_norm: self.output_norm,
            norm_epsilon: self.norm_epsilon,
            bias: self.bridge_bias,
            gate: match self.gate {
                GateKind::None => Gate::None,
                GateKind::Scalar => Gate::Scalar,
                GateKind::Heads => Gate::Heads,
            },
            output_init: match self.output_init {
                Init::Zero => OutputInit::Zero,
                Init::Random => OutputInit::Random,
            },
            dtype: self.bridge_dtype,
        }
    }
}
