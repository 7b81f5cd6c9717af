//! From the gradients of a sum to those of a step.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Makes of gradients of a sum over `count` tokens those of the mean, clipped so that their joint
/// L2 norm is at most `clip_norm`, and returns the norm they had before that.
///
/// Burn's own clipping looks at one tensor at a time; that changes the direction of the step.
pub(crate) fn mean_and_clip<M: Module>(
    module: &M,
    grads: &mut GradientsParams,
    count: usize,
    clip_norm: f64,
) -> f64 {
    let mut squares = SumOfSquares { grads, sum: 0.0 };
    module.visit(&mut squares);
    let norm = squares.sum.sqrt() / count as f64;
    let clip = (clip_norm / norm).min(1.0);
    module.visit(&mut Scale {
        grads,
        factor: clip / count as f64,
    });
    norm
}

struct SumOfSquares<'a> {
    grads: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let square: f32 = grad.square().sum().into_scalar();
            self.sum += f64::from(square);
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads.register(param.id, grad.mul_scalar(self.factor));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    fn gradients(linear: &burn::nn::Linear, device: &Device) -> GradientsParams {
        let input = Tensor::<2>::from_data([[3.0, 4.0]], device);
        GradientsParams::from_grads(linear.forward(input).sum().backward(), linear)
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let device = Device::default().autodiff();
        let linear = LinearConfig::new(2, 1).init(&device);
        // Weight gradient (3, 4), bias gradient 1: joint norm √26.
        let mut grads = gradients(&linear, &device);
        let norm = mean_and_clip(&linear, &mut grads, 1, 100.0);
        assert!((norm - 26f64.sqrt()).abs() < 1e-5);
        let again = mean_and_clip(&linear, &mut grads, 1, 1.0);
        assert!(
            (again - norm).abs() < 1e-5,
            "a norm below the limit is left alone"
        );
        let clipped = mean_and_clip(&linear, &mut grads, 4, f64::INFINITY);
        assert!((clipped - 0.25).abs() < 1e-5, "1 over 4 tokens");
        let weight: Vec<f32> = grads
            .get::<2>(linear.weight.id)
            .unwrap()
            .into_data()
            .try_to_vec()
            .unwrap();
        assert!(
            (weight[1] / weight[0] - 4.0 / 3.0).abs() < 1e-5,
            "direction is kept"
        );
    }
}
