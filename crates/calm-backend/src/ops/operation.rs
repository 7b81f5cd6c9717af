//! How a fused operation enters Burn: dispatch over the backends that have kernels, and autodiff.
//!
//! [`operation!`] writes both for one operation. On backends without a kernel, [`fits`] is false
//! and the plain composition runs.

use std::fmt::Debug;
use std::marker::PhantomData;

pub(super) use burn::backend::Dispatch;
#[cfg(feature = "gpu")]
use burn::backend::DispatchDevice;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use burn::tensor::{DType, Tensor};

/// Declares a fused operation: a trait `$name` whose method `run` computes it on every backend that
/// has a kernel, and on [`Dispatch`].
///
/// ```text
/// operation! {
///     Rotary {
///         inputs: [x],                                    // they may need a gradient
///         constants: [cos: FloatTensor, sin: FloatTensor], // they never get one
///         settings: [],                                   // anything that is no tensor
///     }
///     Flex("flex") => cpu::forward;                       // backend, feature, kernel
///     Cube("gpu") => gpu::forward, inference gpu::inference;
/// }
/// ```
///
/// A kernel is a function of inputs, constants, settings and `needs_grad: [bool; N]`, one for each
/// input, that returns the output and its [`BackwardState`]. Without autodiff the state is dropped;
/// an `inference` kernel, which takes no `needs_grad` and returns the output alone, spares it.
macro_rules! operation {
    ($name:ident $signature:tt
     $($backend:ident($feature:tt) => $forward:path $(, inference $inference:path)?;)+) => {
        $crate::ops::operation::operation!(@trait $name $signature $($backend $feature)+);
        $($crate::ops::operation::operation!(
            @backend $name $signature $backend $feature $forward [$($inference)?]
        );)+
    };

    (@trait $name:ident {
        inputs: [$($input:ident),+],
        constants: [$($constant:ident: $kind:ident),*],
        settings: [$($setting:ident: $type:ty),*],
    } $($backend:ident $feature:tt)+) => {
        #[burn::backend::backend_extension(
            $($backend: cfg(feature = $feature),)+ Autodiff
        )]
        trait $name: burn::backend::Backend {
            fn run(
                $($input: burn::backend::tensor::FloatTensor<Self>,)+
                $($constant: burn::backend::tensor::$kind<Self>,)*
                $($setting: $type,)*
            ) -> burn::backend::tensor::FloatTensor<Self>;
        }
    };

    (@backend $name:ident {
        inputs: [$($input:ident),+],
        constants: [$($constant:ident: $kind:ident),*],
        settings: [$($setting:ident: $type:ty),*],
    } $backend:ident $feature:tt $forward:path [$($inference:path)?]) => {
        #[cfg(feature = $feature)]
        impl $name for burn::backend::$backend {
            fn run(
                $($input: burn::backend::tensor::FloatTensor<Self>,)+
                $($constant: burn::backend::tensor::$kind<Self>,)*
                $($setting: $type,)*
            ) -> burn::backend::tensor::FloatTensor<Self> {
                $crate::ops::operation::operation!(
                    @inference $forward [$($inference)?] $($input)+ $($constant)* $($setting)*
                )
            }
        }

        #[cfg(feature = $feature)]
        impl<C> $name for burn::backend::Autodiff<burn::backend::$backend, C>
        where
            C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy,
        {
            fn run(
                $($input: burn::backend::tensor::FloatTensor<Self>,)+
                $($constant: burn::backend::tensor::$kind<Self>,)*
                $($setting: $type,)*
            ) -> burn::backend::tensor::FloatTensor<Self> {
                let needs_grad = [$($input.is_tracked()),+];
                $(let $input = $input.into_parts();)+
                let output_and_state = $forward(
                    $($input.0,)+
                    $($crate::ops::operation::operation!(@constant $kind $constant),)*
                    $($setting,)*
                    needs_grad,
                );
                $crate::ops::operation::record::<burn::backend::$backend, C, _, _>(
                    [$($input.1),+],
                    output_and_state,
                )
            }
        }
    };

    (@inference $forward:path [] $($argument:ident)+) => {
        $forward($($argument,)+ [false; _]).0
    };
    (@inference $forward:path [$inference:path] $($argument:ident)+) => {
        $inference($($argument),+)
    };

    (@constant FloatTensor $constant:ident) => { $constant.into_primitive() };
    (@constant $kind:ident $constant:ident) => { $constant };
}

pub(super) use operation;

/// Whether fused kernels take this tensor: in `f32`, on a backend that has kernels.
pub(super) fn fits<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && (is_on_processor(x) || suits_gpu(x))
}

/// As [`fits`], or in half precision on a GPU, whose kernels compute in `f32` all the same.
pub(super) fn fits_or_half<const D: usize>(x: &Tensor<D>) -> bool {
    fits(x) || matches!(x.dtype(), DType::F16 | DType::BF16) && suits_gpu(x)
}

#[cfg(feature = "flex")]
pub(super) fn is_on_processor<const D: usize>(x: &Tensor<D>) -> bool {
    // Devices are compared without their autodiff.
    x.device() == burn::tensor::Device::flex()
}

#[cfg(not(feature = "flex"))]
fn is_on_processor<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// Whether the kernels for GPUs take a tensor of this size. They count elements in 32 bits, and
/// cannot be launched over none.
#[cfg(feature = "gpu")]
fn suits_gpu<const D: usize>(x: &Tensor<D>) -> bool {
    let elements: usize = x.dims().iter().product();
    let device = x.device().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
        && (1..=u32::MAX as usize).contains(&elements)
}

#[cfg(not(feature = "gpu"))]
fn suits_gpu<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// Everything that the backward pass of an operation with `N` inputs reads.
pub(super) trait BackwardState<B: Backend, const N: usize>:
    Clone + Debug + Send + 'static
{
    /// The gradients of the inputs, given that of the output. Only those that are needed are
    /// computed: frozen inputs have none.
    fn backward(
        self,
        gradient: FloatTensor<B>,
        needs_grad: [bool; N],
    ) -> [Option<FloatTensor<B>>; N];
}

/// The step of the autodiff graph for any fused operation.
#[derive(Debug)]
struct Step<S>(PhantomData<S>);

impl<B: Backend, S: BackwardState<B, N>, const N: usize> Backward<B, N> for Step<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let needs_grad = ops.parents.each_ref().map(Option::is_some);
        let inputs = ops.state.backward(gradient, needs_grad);
        for (parent, gradient) in ops.parents.into_iter().zip(inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// The output of a fused operation as a step of the graph.
pub(super) fn record<B: Backend, C: CheckpointStrategy, S: BackwardState<B, N>, const N: usize>(
    inputs: [NodeGuard; N],
    (output, state): (FloatTensor<B>, S),
) -> FloatTensor<Autodiff<B, C>> {
    #[cfg(test)]
    RECORDED.set(RECORDED.get() + 1);
    let step = Step(PhantomData::<S>);
    match Backward::<B, N>::prepare::<C>(step, inputs)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

#[cfg(test)]
thread_local! {
    /// Number of fused operations that took part in autodiff on this thread. Tests read it to see
    /// that the plain composition did not run in their place.
    pub(super) static RECORDED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
