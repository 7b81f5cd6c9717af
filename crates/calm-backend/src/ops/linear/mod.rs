//! A projection.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
mod gemv;
#[cfg(feature = "flex")]
mod row_major;
#[cfg(feature = "flex")]
mod transposed;

#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
use super::operation::{Dispatch, is_on_processor, operation};

/// Fewest rows from which a product on the processor is batch-invariant: with a weight as
/// checkpoints store it, a row then has the same bits however many rows there are. Fewer rows are
/// summed in another order.
pub const BATCH_INVARIANT_ROWS: usize = 96;

/// `x · weight + bias`.
///
/// The weight is best the transposed view of a matrix as checkpoints store it,
/// `[d_output, d_input]`: for few rows the processor's kernels for that are twice as fast as Burn's
/// product.
///
/// The processor multiplies half precision in `f32`, and rounds after the bias is added, as
/// `transformers` does.
///
/// # Shapes
///
/// - `x`: `[.., d_input]`
/// - `weight`: `[d_input, d_output]`
/// - `bias`: `[d_output]`
/// - output: `[.., d_output]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if is_on_processor(&x) && is_on_processor(&weight) {
        let dtype = x.dtype();
        let (x, weight) = (x.cast(DType::F32).into_dispatch(), weight.into_dispatch());
        let product = Tensor::<D>::from_dispatch(Dispatch::run(x, weight));
        let sum = match bias {
            Some(bias) => product + bias.cast(DType::F32).unsqueeze(),
            None => product,
        };
        return sum.cast(dtype);
    }
    module::linear(x, weight, bias)
}

#[cfg(feature = "flex")]
operation! {
    Product {
        inputs: [x, weight],
        constants: [],
        settings: [],
    }
    Flex("flex") => cpu::forward;
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::ops::tests::{self, assert_finite_differences, assert_same};

    /// On the processor, whose kernels are tested here, whatever other devices there are.
    fn random<const D: usize>(shape: [usize; D], scale: f64) -> Tensor<D> {
        tests::random(shape, scale).to_device(&Device::flex())
    }

    /// Rows, `d_input` and `d_output` around every limit of the kernels.
    const SIZES: [[usize; 3]; 14] = [
        [1, 1, 2],
        [1, 7, 3],
        [2, 16, 6],
        [3, 17, 13],
        [4, 33, 12],
        [5, 511, 7],
        [6, 513, 130],
        [7, 1030, 70],
        [95, 40, 33],
        [96, 41, 31],
        [97, 385, 65],
        [109, 800, 390],
        [200, 5, 1],
        [130, 2, 800],
    ];

    /// A weight as checkpoints store it.
    fn stored(d_input: usize, d_output: usize) -> Tensor<2> {
        random([d_output, d_input], 1.0)
    }

    #[test]
    fn stored_weights_give_burns_product() {
        for [rows, d_input, d_output] in SIZES {
            let inputs = [random([rows, d_input], 1.0), stored(d_input, d_output)];
            assert_same(
                inputs,
                |[x, weight]| linear(x, weight.transpose(), None),
                |[x, weight]| x.matmul(weight.transpose()),
            );
        }
    }

    #[test]
    fn weights_in_burns_order_give_the_same() {
        for [rows, d_input, d_output] in SIZES {
            let inputs = [
                random([rows, d_input], 1.0),
                random([d_input, d_output], 1.0),
            ];
            assert_same(
                inputs,
                |[x, weight]| linear(x, weight, None),
                |[x, weight]| x.matmul(weight),
            );
        }
    }

    #[test]
    fn either_may_be_frozen() {
        for rows in [3, 130] {
            let (x, weight): (Tensor<2>, _) = (random([rows, 40], 1.0), stored(40, 33));
            let frozen = weight.clone().transpose();
            assert_same(
                [x.clone()],
                |[x]| linear(x, frozen.clone(), None),
                |[x]| x.matmul(frozen.clone()),
            );
            assert_same(
                [weight],
                |[weight]| linear(x.clone(), weight.transpose(), None),
                |[weight]| x.clone().matmul(weight.transpose()),
            );
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        for [rows, d_input, d_output] in [[3, 17, 13], [97, 40, 33]] {
            let inputs = [random([rows, d_input], 1.0), stored(d_input, d_output)];
            assert_finite_differences(&inputs, |[x, weight]| linear(x, weight.transpose(), None));
        }
    }

    #[test]
    fn any_axes_and_none_at_all() {
        let weight = || stored(5, 9).transpose();
        let x: Tensor<4> = random([2, 3, 1, 5], 1.0);
        assert_eq!(linear(x, weight(), None).dims(), [2, 3, 1, 9]);
        let x: Tensor<1> = random([5], 1.0);
        assert_eq!(linear(x, weight(), None).dims(), [9]);
        let x: Tensor<3> = Tensor::zeros([2, 0, 5], &Device::flex());
        assert_eq!(linear(x, weight(), None).dims(), [2, 0, 9]);
        // The sum of nothing.
        let weight: Tensor<2> = Tensor::zeros([9, 0], &Device::flex());
        let x: Tensor<2> = Tensor::zeros([2, 0], &Device::flex());
        let sum: f32 = linear(x, weight.transpose(), None).sum().into_scalar();
        assert_eq!(sum, 0.0);
    }

    #[test]
    fn part_of_a_stored_matrix() {
        let (x, all): (Tensor<2>, _) = (random([3, 20], 1.0), stored(20, 12));
        let part = all.clone().narrow(0, 4, 5).transpose();
        let expected = linear(x.clone(), all.transpose(), None).slice([0..3, 4..9]);
        tests::assert_close(linear(x, part, None), expected);
    }

    #[test]
    fn half_precision_is_multiplied_in_full() {
        for dtype in [DType::BF16, DType::F16] {
            for rows in [3, 100] {
                let [x, weight] = [[rows, 33], [21, 33]].map(|dims| random(dims, 1.0).cast(dtype));
                let wide = |x: &Tensor<2>| x.clone().cast(DType::F32);
                let expected = wide(&x).matmul(wide(&weight).transpose());
                let found = linear(x, weight.transpose(), None);
                assert_eq!(found.dtype(), dtype);
                let expected = expected.cast(dtype).cast(DType::F32);
                let off: f32 = (found.cast(DType::F32) - expected)
                    .abs()
                    .max()
                    .into_scalar();
                assert!(off <= 0.125, "half a unit in the last place: {off}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for rows in [1, 100] {
            let mut weight = vec![0.0; 18 * 40];
            (weight[3], weight[40 + 38], weight[17 * 40]) = (f32::NAN, f32::INFINITY, -1.0);
            let weight = Tensor::<1>::from_floats(&weight[..], &Device::flex());
            let x = Tensor::<2>::ones([rows, 40], &Device::flex());
            let output = linear(x, weight.reshape([18, 40]).transpose(), None);
            let last: Vec<f32> = output
                .narrow(0, rows - 1, 1)
                .into_data()
                .try_to_vec()
                .unwrap();
            assert!(last[0].is_nan());
            assert_eq!((last[1], last[2], last[17]), (f32::INFINITY, 0.0, -1.0));
        }
    }

    /// A row has the same bits whatever rows are beside it, as long as all are few or all are many,
    /// and on any number of threads.
    #[test]
    fn a_row_depends_on_itself_alone() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let pool = pool.unwrap();
        let assert_alike = |[first, second]: [usize; 2], weight: Tensor<2>| {
            let x: Tensor<2> = random([second, weight.dims()[0]], 1.0);
            let product = |rows: usize| {
                let x = x.clone().narrow(0, 0, rows);
                linear(x, weight.clone(), None).narrow(0, 0, first)
            };
            let elsewhere = pool.install(|| product(second));
            assert_eq!(product(first).into_data(), elsewhere.into_data());
        };
        for [d_input, d_output] in [[900, 500], [1300, 1], [40, 2], [520, 3], [2, 70]] {
            let weight = stored(d_input, d_output);
            for rows in [[1, 1], [2, 7], [96, 97], [100, 230], [200, 1500]] {
                assert_alike(rows, weight.clone().transpose());
            }
        }
    }

    #[test]
    fn the_bias_is_added_before_rounding() {
        let device = Device::flex();
        let half = |x: Tensor<2>| x.cast(DType::BF16);
        // 256 + 0.75 + 0.75; bf16 has steps of 2 there, so that rounding in between gives 256.
        let x = half(Tensor::from_floats([[16.0, 0.75]], &device));
        let weight = half(Tensor::from_floats([[16.0], [1.0]], &device));
        let bias = Tensor::<1>::from_floats([0.75], &device).cast(DType::BF16);
        let found: f32 = linear(x, weight, Some(bias)).into_scalar();
        assert_eq!(found, 258.0);
    }
}
