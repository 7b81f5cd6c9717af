//! Low-rank adapters on one model: those of the paper's baseline (section 4.4) have as many
//! trainable parameters as the bridges.

use burn::module::{Lora, LoraAdapter, Module, ModuleVisitor, Param, ParamGroup, Reparameterizer};
use burn::tensor::{Device, Tensor};
use calm_backend::SeededInit;
use calm_models::Decoder;

use crate::ComposeError;

/// Adapters, by their rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraPlan {
    /// Rank of every adapter.
    pub rank: usize,
    /// Trainable parameters of all adapters together.
    pub parameters: usize,
}

impl LoraPlan {
    /// The rank whose parameter count is nearest to `wanted`, with adapters on every weight
    /// matrix of every block of `decoder`. A matrix `[d_in, d_out]` takes `rank (d_in + d_out)`.
    ///
    /// # Errors
    ///
    /// [`ComposeError::LoraRank`] if even rank 1 has twice as many parameters as wanted.
    pub fn near(decoder: &Decoder, wanted: usize) -> Result<Self, ComposeError> {
        let one = Self::of_rank(decoder, 1);
        let rank = (wanted + one.parameters / 2) / one.parameters;
        if rank == 0 {
            return Err(ComposeError::LoraRank {
                wanted,
                smallest: one.parameters,
            });
        }
        Ok(Self {
            rank,
            parameters: rank * one.parameters,
        })
    }

    /// Adapters of this rank on every weight matrix of every block of `decoder`.
    pub fn of_rank(decoder: &Decoder, rank: usize) -> Self {
        let mut sides = SidesOfMatrices::default();
        decoder.visit(&mut sides);
        Self {
            rank,
            parameters: rank * sides.sum,
        }
    }

    /// `decoder` on `device`, frozen but for fresh adapters that change nothing yet.
    ///
    /// The scale α / rank is 2, the usual choice.
    pub fn apply(self, decoder: &Decoder, seed: u64, device: &Device) -> Decoder {
        let blocks = ParamGroup::from_predicate("blocks");
        let lora = Lora::new(self.rank, 2.0 * self.rank as f64).set_param_group(blocks);
        // Adapters live where their matrix does: on a device with autodiff only after `train`.
        let decoder = decoder.clone().fork(device).train();
        decoder.apply_reparameterization(SeededLora {
            lora,
            init: SeededInit::new(seed),
        })
    }
}

/// Burn's LoRA with first factors that a seed fixes: Burn draws them from the generator of the
/// whole process, with other numbers on every kind of device.
struct SeededLora {
    lora: Lora,
    init: SeededInit,
}

impl Reparameterizer for SeededLora {
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let (base, adapter) = self.lora.reparameterize(path, param);
        let adapter = adapter.map(|adapter| {
            let drawn = adapter.a.val();
            let device = drawn.device().without_autodiff();
            let std = (self.lora.rank as f64).recip(); // As Burn has it.
            let first = self.init.normal(drawn.dims(), std, &device).val();
            let first = Tensor::from_inner(first.cast(drawn.dtype()));
            LoraAdapter {
                a: Param::from_tensor(first),
                ..adapter
            }
        });
        (base, adapter)
    }
}

/// Sum of d_in + d_out over the weight matrices of all blocks.
#[derive(Default)]
struct SidesOfMatrices {
    inside_blocks: usize,
    sum: usize,
}

impl ModuleVisitor for SidesOfMatrices {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        if name == "blocks" || self.inside_blocks > 0 {
            self.inside_blocks += 1;
        }
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.inside_blocks = self.inside_blocks.saturating_sub(1);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 2 && self.inside_blocks > 0 {
            self.sum += param.shape().iter().sum::<usize>();
        }
    }
}
