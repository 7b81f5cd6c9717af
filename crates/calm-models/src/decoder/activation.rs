//! Activations of feed-forward layers.

use std::f64::consts::{FRAC_2_PI, SQRT_2};

use burn::tensor::activation::{
    hard_swish, leaky_relu, mish, relu, relu6, sigmoid, silu, softplus, tanh,
};
use burn::tensor::{DType, Tensor};
use calm_backend::ops;

use crate::config::Activation;

/// The mean of the distribution, rounded as the models were trained with it.
#[expect(clippy::approx_constant, reason = "not 1/√2, which it comes from")]
const LAPLACE_MEAN: f64 = 0.707_107;

impl Activation {
    /// `act(x)`, every operation of the reference in `f32`, its result rounded to the compute type.
    pub(super) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        let wide = |x: Tensor<D>| x.cast(DType::F32);
        let step = |x: Tensor<D>| wide(x.cast(dtype));
        let tanh_unit = |half: Tensor<D>, inner| step(step(tanh(step(inner))) + 1.0) * half;
        let root = FRAC_2_PI.sqrt();
        let y = match self {
            Self::Silu => return silu(x),
            Self::Gelu => return ops::gelu(x),
            Self::GeluNew | Self::GeluFast if dtype == DType::F32 => return ops::gelu_tanh(x),
            Self::GeluTanh => return ops::gelu_tanh(x),
            Self::Linear => return x,
            Self::GeluNew => {
                let x = wide(x);
                let cube = step(x.clone().square() * x.clone());
                let inner = step(step(cube * 0.044_715) + x.clone()) * root;
                tanh_unit(x * 0.5, inner)
            }
            Self::GeluFast => {
                let x = wide(x);
                let square = step(step(x.clone() * 0.044_715) * x.clone());
                let inner = step(x.clone() * root) * step(square + 1.0);
                tanh_unit(x * 0.5, inner)
            }
            Self::GeluClipped => ops::gelu(wide(x)).clamp(-10.0, 10.0),
            Self::QuickGelu => {
                let x = wide(x);
                step(sigmoid(step(x.clone() * 1.702))) * x
            }
            Self::Relu => relu(x),
            Self::SquaredRelu => relu(wide(x)).square(),
            Self::Relu6 => relu6(x),
            Self::LeakyRelu => leaky_relu(wide(x), 0.01),
            Self::HardSwish => hard_swish(wide(x)),
            Self::Mish => mish(wide(x)),
            Self::Laplace => {
                let shares = step(step(wide(x) - LAPLACE_MEAN) / (0.282_095 * SQRT_2));
                step(step(shares.erf()) + 1.0) * 0.5
            }
            Self::SqrtSoftplus => step(softplus(wide(x), 1.0)).sqrt(),
            Self::Sigmoid => sigmoid(wide(x)),
            Self::Tanh => tanh(wide(x)),
        };
        y.cast(dtype)
    }

    /// `act(gate) · up`.
    pub(super) fn gate(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        let is_single = gate.dtype() == DType::F32;
        match self {
            Self::Silu => ops::swiglu(gate, up),
            Self::GeluTanh => ops::geglu_tanh(gate, up),
            Self::GeluNew | Self::GeluFast if is_single => ops::geglu_tanh(gate, up),
            other => other.apply(gate) * up,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    #[track_caller]
    fn assert_values(activation: Activation, expected: [f32; 4]) {
        let device = Device::default();
        let x = Tensor::<1>::from_floats([-4.0, -0.5, 0.5, 12.0], &device);
        let expected = Tensor::<1>::from_floats(expected, &device);
        activation
            .apply(x)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(2e-6));
    }

    /// The values of `transformers.activations.ACT2FN`.
    #[test]
    fn known_values() {
        use Activation::*;

        assert_values(Silu, [-0.071_944_8, -0.188_770_3, 0.311_229_7, 11.999_926]);
        assert_values(Gelu, [-0.000_126_5, -0.154_268_8, 0.345_731_2, 12.0]);
        assert_values(GeluTanh, [-0.000_070_2, -0.154_286, 0.345_714, 12.0]);
        assert_values(GeluNew, [-0.000_070_2, -0.154_286, 0.345_714, 12.0]);
        assert_values(GeluFast, [-0.000_070_2, -0.154_286, 0.345_714, 12.0]);
        assert_values(GeluClipped, [-0.000_126_5, -0.154_268_8, 0.345_731_2, 10.0]);
        assert_values(QuickGelu, [-0.004_414_7, -0.149_611_6, 0.350_388_4, 12.0]);
        assert_values(Relu, [0.0, 0.0, 0.5, 12.0]);
        assert_values(SquaredRelu, [0.0, 0.0, 0.25, 144.0]);
        assert_values(Relu6, [0.0, 0.0, 0.5, 6.0]);
        assert_values(LeakyRelu, [-0.04, -0.005, 0.5, 12.0]);
        assert_values(HardSwish, [-0.0, -0.208_333_3, 0.291_666_7, 12.0]);
        assert_values(Mish, [-0.072_591_8, -0.220_743_8, 0.375_245_2, 12.0]);
        assert_values(Laplace, [0.0, 0.000_009_4, 0.231_421_1, 1.0]);
        assert_values(
            SqrtSoftplus,
            [0.134_721_7, 0.688_532_5, 0.986_953_4, 3.464_102_5],
        );
        assert_values(
            Sigmoid,
            [0.017_986_2, 0.377_540_7, 0.622_459_4, 0.999_993_8],
        );
        assert_values(Tanh, [-0.999_329_3, -0.462_117_2, 0.462_117_2, 1.0]);
        assert_values(Linear, [-4.0, -0.5, 0.5, 12.0]);
    }

    #[test]
    fn steps_are_rounded_in_half_precision() {
        let device = Device::default();
        if !calm_backend::FloatType::BF16.is_supported_by(&device) {
            return;
        }
        let of = |activation: Activation, x: f32| -> f32 {
            let x = Tensor::<1>::from_floats([x], &device).cast(DType::BF16);
            activation.apply(x).cast(DType::F32).into_scalar()
        };
        assert_eq!(of(Activation::GeluNew, 0.78515625), 0.61328125);
        assert_eq!(of(Activation::GeluFast, 0.78515625), 0.61328125);
        assert_eq!(of(Activation::QuickGelu, 0.6796875), 0.51953125);
        assert_eq!(of(Activation::Laplace, 1.0078125), 0.859375);
        assert_eq!(of(Activation::SqrtSoftplus, 0.6796875), 1.0390625);
    }
}
