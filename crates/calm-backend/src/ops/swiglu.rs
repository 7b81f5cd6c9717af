//! The gate of the feed-forward layer.

use burn::tensor::{Tensor, activation::silu};

/// `silu(gate) · up`, element by element (arXiv 2002.05202).
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate) * up
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::default();
        // sigmoid(ln 3) = 3/4.
        let gate = Tensor::<3>::from_floats([[[0.0, 3f32.ln()]]], &device);
        let up = Tensor::<3>::from_floats([[[5.0, 4.0]]], &device);
        let expected = Tensor::<3>::from_floats([[[0.0, 3.0 * 3f32.ln()]]], &device);
        let output = swiglu(gate, up).into_data();
        output.assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }
}
