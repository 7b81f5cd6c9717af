//! A step of the AdamW optimiser.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;

#[cfg(any(feature = "flex", feature = "gpu"))]
use burn::backend::{Backend, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits};

/// Settings of one step of [`adamw`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// η.
    pub learning_rate: f64,
    /// β₁ and β₂, by which the moments decay.
    pub betas: [f32; 2],
    /// ε, added to the root of the second moment.
    pub epsilon: f32,
    /// λ, as a multiple of the learning rate.
    pub weight_decay: f32,
    /// t, the number of this step, counted from 1.
    pub time: usize,
}

impl AdamWStep {
    /// 1 - βᵗ for both moments: the correction of their start at zero.
    fn corrections(self) -> [f32; 2] {
        self.betas.map(|beta| 1.0 - beta.powi(self.time as i32))
    }

    /// 1 - ηλ, the factor of weight decay.
    fn decay(self) -> f32 {
        (1.0 - self.learning_rate * f64::from(self.weight_decay)) as f32
    }
}

/// A parameter and its moments after a step of AdamW (arXiv 1711.05101, algorithm 2):
///
/// ```text
/// m ← β₁ m + (1 - β₁) g
/// v ← β₂ v + (1 - β₂) g²
/// θ ← (1 - ηλ) θ - η (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
/// ```
///
/// No gradient flows through it. It rounds where Burn's optimiser does, which takes fifteen passes
/// over memory: on one device the bits are the same.
///
/// # Shapes
///
/// - `parameter`, `gradient`, each of the `moments` (m and v), and all that is returned: the same
///
/// # Panics
///
/// If the shapes differ.
pub fn adamw<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
    step: AdamWStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    for tensor in [&gradient, &moments[0], &moments[1]] {
        let (found, expected) = (tensor.dims(), parameter.dims());
        assert_eq!(found, expected, "all tensors have the parameter's shape");
    }
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if [&parameter, &gradient, &moments[0], &moments[1]]
        .into_iter()
        .all(fits)
    {
        let [first, second] = moments.map(Tensor::into_dispatch);
        let (parameter, gradient) = (parameter.into_dispatch(), gradient.into_dispatch());
        let (parameter, first, second) =
            Dispatch::adamw_step(parameter, gradient, first, second, step);
        let moments = [first, second].map(Tensor::from_dispatch);
        return (Tensor::from_dispatch(parameter), moments);
    }
    plain(parameter, gradient, moments, step)
}

/// [`adamw`] out of Burn's own operations.
pub fn plain<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    step: AdamWStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let [beta_1, beta_2] = step.betas;
    let first = first * beta_1 + gradient.clone() * (1.0 - beta_1);
    let second = second * beta_2 + gradient.square() * (1.0 - beta_2);
    let [correction_1, correction_2] = step.corrections();
    let root = (second.clone() / correction_2).sqrt() + step.epsilon;
    let delta = first.clone() / correction_1 / root;
    let parameter = parameter * step.decay() - delta * step.learning_rate;
    (parameter, [first, second])
}

/// The kernels. No gradient flows through them, so they need no autodiff; with kernel fusion a step
/// is one operation.
#[cfg(any(feature = "flex", feature = "gpu"))]
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
trait Kernels: Backend {
    /// The parameter and its two moments.
    #[fusion(meta = |parameter, _gradient, first, second, _step|
        (parameter.clone(), first.clone(), second.clone()))]
    fn adamw_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::ops::tests::random;

    const STEP: AdamWStep = AdamWStep {
        learning_rate: 0.1,
        betas: [0.5, 0.75],
        epsilon: 1.0,
        weight_decay: 2.0,
        time: 2,
    };

    #[test]
    fn by_hand() {
        let of = |value: f32| Tensor::<1>::from_floats([value], &Device::default());
        let (parameter, moments) = adamw(of(10.0), of(4.0), [of(2.0), of(5.0)], STEP);
        let [first, second] = moments.map(|moment| moment.into_scalar::<f32>());
        assert_eq!([first, second], [3.0, 7.75]);
        // m / (1 - 1/4) = 4, v / (1 - 9/16) = 17.71…, whose root is 4.208….
        let expected = 8.0 - 0.1 * 4.0 / (1.0 + (7.75f32 * 16.0 / 7.0).sqrt());
        assert!((parameter.into_scalar::<f32>() - expected).abs() < 1e-6);
    }

    /// The numbers of a parameter and its moments as bits.
    fn bits<const D: usize>((parameter, [first, second]): (Tensor<D>, [Tensor<D>; 2])) -> Vec<u32> {
        let all = [parameter, first, second].map(|x| x.into_data().try_to_vec::<f32>().unwrap());
        all.concat().into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn as_the_plain_composition_to_the_last_bit() {
        for shape in [[1, 1], [3, 5], [7, 0], [130, 700]] {
            let [parameter, gradient, first] = [(); 3].map(|()| random(shape, 1.0));
            let moments = [first, random(shape, 1.0).abs()];
            for time in [1, 2, 1000] {
                let step = AdamWStep {
                    betas: [0.9, 0.999],
                    epsilon: 1e-8,
                    weight_decay: 0.01,
                    time,
                    ..STEP
                };
                let op = |f: fn(_, _, _, _) -> _| {
                    bits(f(
                        parameter.clone(),
                        gradient.clone(),
                        moments.clone(),
                        step,
                    ))
                };
                assert_eq!(op(adamw), op(plain));
            }
        }
    }

    #[test]
    fn of_views_and_of_what_others_hold() {
        let held = [(); 4].map(|()| random([6, 4], 1.0).abs());
        let before = held.clone().map(Tensor::into_data);
        let op = |f: fn(_, _, _, _) -> _| {
            let [parameter, gradient, first, second] = held.clone().map(Tensor::<2>::transpose);
            bits(f(parameter, gradient, [first, second], STEP))
        };
        assert_eq!(op(adamw), op(plain));
        assert_eq!(held.map(Tensor::into_data), before);
    }

    #[test]
    #[should_panic(expected = "all tensors have the parameter's shape")]
    fn another_shape_is_refused() {
        let [parameter, other] = [[2, 3], [3, 2]].map(|shape| random::<2>(shape, 1.0));
        let moments = [parameter.clone(), parameter.clone()];
        adamw(parameter, other, moments, STEP);
    }
}
