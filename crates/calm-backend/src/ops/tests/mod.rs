//! Checks that the tests of every operation share: against its plain composition, and against
//! finite differences.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;

#[cfg(any(feature = "flex", feature = "gpu"))]
use burn::backend::{Backend, tensor::FloatTensor};
use burn::tensor::{Device, Distribution, Tensor, Tolerance};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::BackwardState;

/// The device that tests run on, if it is a GPU.
#[cfg(feature = "gpu")]
pub(super) fn on_gpu() -> Option<Device> {
    let device = Device::default();
    super::operation::fits(&Tensor::<1>::zeros([1], &device))
        .then_some(device)
        .filter(|device| !crate::is_processor(device))
}

/// Normally distributed numbers with standard deviation `scale`.
pub(super) fn random<const D: usize>(shape: [usize; D], scale: f64) -> Tensor<D> {
    let device = Device::default();
    Tensor::random(shape, Distribution::Normal(0.0, scale), &device)
}

/// The output for these inputs, and the gradients of `Σ weightᵢ · outputᵢ` by each of them, with
/// weights that have no pattern.
fn value_and_gradients<const N: usize, const D: usize, const E: usize>(
    inputs: &[Tensor<D>; N],
    f: &impl Fn([Tensor<D>; N]) -> Tensor<E>,
) -> (Tensor<E>, [Tensor<D>; N]) {
    let tracked = inputs.clone().map(|x| x.autodiff().require_grad());
    let output = f(tracked.clone());
    let weights = Tensor::from_inner(weights(&output.clone().inner()));
    let gradients = (output.clone() * weights).sum().backward();
    (
        output.inner(),
        tracked.map(|x| x.grad(&gradients).expect("every input is tracked")),
    )
}

fn weights<const E: usize>(output: &Tensor<E>) -> Tensor<E> {
    let (shape, device) = (output.dims(), output.device());
    let count = shape.iter().product::<usize>() as i64;
    Tensor::arange(0..count, &device)
        .float()
        .mul_scalar(0.7)
        .cos()
        .reshape(shape)
}

/// The same values and gradients, tracked or not, to rounding.
pub(super) fn assert_same<const N: usize, const D: usize, const E: usize>(
    inputs: [Tensor<D>; N],
    fused: impl Fn([Tensor<D>; N]) -> Tensor<E>,
    plain: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    let (expected, expected_gradients) = value_and_gradients(&inputs, &plain);
    let (value, gradients) = value_and_gradients(&inputs, &fused);
    assert_close(fused(inputs), expected.clone());
    assert_close(value, expected);
    for (gradient, expected) in gradients.into_iter().zip(expected_gradients) {
        assert_close(gradient, expected);
    }
}

/// As [`assert_same`], and that `fused` takes part in autodiff as one step: a plain composition in
/// its place would give the same numbers.
#[cfg(any(feature = "flex", feature = "gpu"))]
pub(super) fn assert_fused<const N: usize, const D: usize, const E: usize>(
    inputs: [Tensor<D>; N],
    fused: impl Fn([Tensor<D>; N]) -> Tensor<E>,
    plain: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    use super::operation::RECORDED;

    let before = RECORDED.get();
    value_and_gradients(&inputs, &plain);
    assert_eq!(RECORDED.get(), before, "the reference is fused");
    value_and_gradients(&inputs, &fused);
    assert!(RECORDED.get() > before, "no fused kernel takes this");
    assert_same(inputs, fused, plain);
}

/// Asks an operation with `N` inputs for each subset of its gradients.
#[cfg(any(feature = "flex", feature = "gpu"))]
fn assert_only_needed<B: Backend, S: BackwardState<B, N>, const N: usize>(
    forward: impl Fn([bool; N]) -> (FloatTensor<B>, S),
) {
    for subset in 0..1 << N {
        let needs_grad = std::array::from_fn(|input| subset >> input & 1 == 1);
        let (output, state) = forward(needs_grad);
        let gradients = state.backward(output, needs_grad);
        assert_eq!(gradients.each_ref().map(Option::is_some), needs_grad);
    }
}

/// Relative to the largest element: sums of many terms cancel.
pub(super) fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    let largest: f32 = expected.clone().abs().max().into_scalar();
    let tolerance = Tolerance::absolute(1e-5 * largest.max(1.0));
    found
        .into_data()
        .assert_approx_eq::<f32>(&expected.into_data(), tolerance);
}

/// The gradients against central differences along one direction through all inputs. `f32` leaves
/// about three digits of a difference.
pub(super) fn assert_finite_differences<const N: usize, const D: usize, const E: usize>(
    inputs: &[Tensor<D>; N],
    f: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    const STEP: f64 = 5e-3;
    let (_, gradients) = value_and_gradients(inputs, &f);
    let directions = inputs
        .clone()
        .map(|x| random(x.dims(), 1.0).to_device(&x.device()));
    let at = |step: f64| {
        let mut moved = inputs.clone();
        for (x, direction) in moved.iter_mut().zip(&directions) {
            *x = x.clone() + direction.clone() * step;
        }
        let output = f(moved);
        let weights = weights(&output);
        total(output * weights)
    };
    let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
    let products = gradients.into_iter().zip(directions).map(|(a, b)| a * b);
    let (expected, size) = products.fold((0.0, 0.0), |(sum, size), product| {
        (sum + total(product.clone()), size + total(product.abs()))
    });
    let error = (slope - expected).abs() / size;
    assert!(error < 2e-3, "slope {slope}, gradients say {expected}");
}

fn total<const D: usize>(x: Tensor<D>) -> f64 {
    let values: Vec<f32> = x.into_data().try_into_vec().expect("f32");
    values.into_iter().map(f64::from).sum()
}
