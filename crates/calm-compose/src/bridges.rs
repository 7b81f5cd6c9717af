//! Θ_C: all bridges of a composition, the only thing that is trained.

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use calm_backend::SeededInit;

use crate::{Bridge, BridgeConfig, ComposeError, Connection};

/// The bridges of every augmenting model, in the order of its connections.
#[derive(Module, Debug)]
pub struct Bridges {
    /// `[augmenting model][connection]`.
    pub of: Vec<Vec<Bridge>>,
}

impl Bridges {
    /// Fresh bridges for these sizes: one set per augmenting model, of one size each.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Heads`] if the heads of one don't divide the anchor's width.
    pub fn init(
        sets: &[(BridgeConfig, Vec<Connection>)],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ComposeError> {
        let mut init = SeededInit::new(seed);
        let of = sets
            .iter()
            .map(|(config, connections)| {
                config.validate()?;
                Ok(connections
                    .iter()
                    .map(|_| config.init(&mut init, device))
                    .collect())
            })
            .collect::<Result<_, ComposeError>>()?;
        Ok(Self { of })
    }

    /// Parameters as stored, with W_O and the bias of f_proj.
    pub fn parameter_count(&self) -> usize {
        self.num_params()
    }

    /// Parameters by the paper's count (appendix C.1), n (D_A D_B + 3 D_B²): without W_O and bias.
    pub fn paper_parameter_count(&self) -> usize {
        self.of
            .iter()
            .flatten()
            .map(|bridge| {
                let BridgeConfig {
                    d_augmenting,
                    d_anchor,
                    ..
                } = bridge.config();
                d_anchor * (d_augmenting + 3 * d_anchor)
            })
            .sum()
    }

    /// Every parameter under the name it has in files (`a0.c1.q.weight`), weights (out, in).
    pub fn named_parameters(&self) -> Vec<(String, TensorData)> {
        let mut named = Vec::new();
        for (m, bridges) in self.of.iter().enumerate() {
            for (n, bridge) in bridges.iter().enumerate() {
                for (part, linear) in bridge.parts() {
                    let name = |kind| format!("a{m}.c{n}.{part}.{kind}");
                    named.push((name("weight"), linear.weight.val().transpose().into_data()));
                    named.extend(
                        linear
                            .bias
                            .iter()
                            .map(|b| (name("bias"), b.val().into_data())),
                    );
                }
            }
        }
        named
    }
}
