//! Fused operations against the plain compositions that they replace, forward alone and forward
//! with backward: `cargo bench -p calm-backend`.
//!
//! Set `RAYON_NUM_THREADS=1` to see the kernels rather than the threads.

use burn::tensor::{Bool, Device, Distribution, Int, Tensor};
use calm_backend::ops;
use divan::Bencher;

// The allocator of the programs: without it, fresh pages take much of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// A batch of short texts through a small model, and one of long texts through a larger one.
#[derive(Debug, Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    d_model: usize,
}

const HEADS: usize = 8;
const SHAPES: [Shape; 2] = [
    Shape {
        batch: 64,
        seq: 12,
        d_model: 128,
    },
    Shape {
        batch: 8,
        seq: 512,
        d_model: 512,
    },
];

impl Shape {
    fn rows<const N: usize>(self, width: usize) -> [Tensor<3>; N] {
        [(); N].map(|()| random([self.batch, self.seq, width]))
    }

    /// Heads split off as a decoder does, without a copy.
    fn heads(self, x: Tensor<3>) -> Tensor<4> {
        x.reshape([self.batch, self.seq, HEADS, self.d_model / HEADS])
            .swap_dims(1, 2)
    }
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(
        shape,
        Distribution::Normal(0.0, 1.0),
        &Device::default().autodiff(),
    )
    .require_grad()
}

/// Times `f` alone, or with the gradients of the sum of its output.
fn time<const N: usize, const D: usize, const E: usize>(
    bencher: Bencher<'_, '_>,
    backward: bool,
    inputs: &[Tensor<D>; N],
    f: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    // Graphs without a backward pass would stay for a while and fill the memory.
    let inputs = inputs.clone().map(|x| if backward { x } else { x.inner() });
    bencher.bench_local(|| {
        let output = f(inputs.clone());
        if backward {
            drop(output.sum().backward());
        }
    });
}

#[divan::bench_group]
mod swiglu {
    use super::*;

    pub(crate) fn run(
        bencher: Bencher<'_, '_>,
        shape: Shape,
        backward: bool,
        f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>,
    ) {
        let inputs = shape.rows::<2>(shape.d_model * 3);
        time(bencher, backward, &inputs, |[gate, up]| f(gate, up));
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::swiglu);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::swiglu);
    }
}

#[divan::bench_group]
mod geglu_tanh {
    use super::swiglu::run;
    use super::*;

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::geglu_tanh);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::geglu_tanh);
    }
}

#[divan::bench_group]
mod layer_norm {
    use super::*;

    type LayerNorm = fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>;

    fn run(bencher: Bencher<'_, '_>, shape: Shape, backward: bool, f: LayerNorm) {
        let vector = Tensor::ones([shape.d_model], &Device::default());
        let inputs = shape.rows::<1>(shape.d_model);
        time(bencher, backward, &inputs, |[x]| {
            f(x, vector.clone(), vector.clone(), 1e-5)
        });
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::layer_norm);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::layer_norm);
    }
}

/// One step over a matrix of a bridge, which overwrites its moments.
#[divan::bench_group]
mod adamw {
    use calm_backend::ops::AdamWStep;

    use super::*;

    type AdamW = fn(Tensor<2>, Tensor<2>, [Tensor<2>; 2], AdamWStep) -> (Tensor<2>, [Tensor<2>; 2]);

    const STEP: AdamWStep = AdamWStep {
        learning_rate: 1e-3,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 0.01,
        time: 10,
    };

    fn run(bencher: Bencher<'_, '_>, width: usize, f: AdamW) {
        let [mut parameter, gradient, first, second] = [(); 4].map(|()| {
            let shape = [width, width];
            Tensor::<2>::random(shape, Distribution::Uniform(0.0, 1.0), &Device::default())
        });
        let mut moments = Some([first, second]);
        bencher.bench_local(|| {
            let held = moments.take().expect("the moments of the last call");
            let (moved, next) = f(parameter.clone(), gradient.clone(), held, STEP);
            (parameter, moments) = (moved, Some(next));
        });
    }

    #[divan::bench(args = [512, 1536])]
    fn fused(bencher: Bencher<'_, '_>, width: usize) {
        run(bencher, width, ops::adamw);
    }

    #[divan::bench(args = [512, 1536])]
    fn plain(bencher: Bencher<'_, '_>, width: usize) {
        run(bencher, width, ops::plain::adamw);
    }
}

#[divan::bench_group]
mod rms_norm {
    use super::*;

    fn run(
        bencher: Bencher<'_, '_>,
        shape: Shape,
        backward: bool,
        f: fn(Tensor<3>, Tensor<1>, f64) -> Tensor<3>,
    ) {
        let weight = Tensor::ones([shape.d_model], &Device::default());
        let inputs = shape.rows::<1>(shape.d_model);
        time(bencher, backward, &inputs, |[x]| f(x, weight.clone(), 1e-5));
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::rms_norm);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::rms_norm);
    }
}

#[divan::bench_group]
mod rotary {
    use super::*;

    fn run(
        bencher: Bencher<'_, '_>,
        shape: Shape,
        backward: bool,
        f: fn(Tensor<4>, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) {
        let angles = [1, 1, shape.seq, shape.d_model / HEADS / 2];
        let angles = Tensor::<4>::ones(angles, &Device::default());
        let inputs = shape.rows::<1>(shape.d_model);
        time(bencher, backward, &inputs, |[x]| {
            f(shape.heads(x), angles.clone(), angles.clone())
        });
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::rotary);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::rotary);
    }
}

#[divan::bench_group]
mod attention {
    use super::*;

    type Masked = Option<Tensor<4, Bool>>;

    pub(crate) fn run(
        bencher: Bencher<'_, '_>,
        shape: Shape,
        backward: bool,
        f: impl Fn(Tensor<4>, Tensor<4>, Tensor<4>, Masked, f64) -> Tensor<4>,
    ) {
        let masked: Tensor<4, Bool> =
            Tensor::<2, Bool>::tril_mask([shape.seq, shape.seq], 0, &Device::default())
                .unsqueeze_dims(&[0, 1]);
        let inputs = shape.rows::<3>(shape.d_model);
        time(bencher, backward, &inputs, |inputs| {
            let [queries, keys, values] = inputs.map(|x| shape.heads(x));
            f(queries, keys, values, Some(masked.clone()), 0.25)
        });
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::attention);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::attention);
    }
}

#[divan::bench_group]
mod softcap_attention {
    use super::attention::run;
    use super::*;

    const CAP: f64 = 50.0;

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(
            bencher,
            shape,
            BACKWARD,
            |queries, keys, values, masked, scale| {
                ops::softcap_attention(queries, keys, values, masked, scale, CAP)
            },
        );
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(
            bencher,
            shape,
            BACKWARD,
            |queries, keys, values, masked, scale| {
                ops::plain::softcap_attention(queries, keys, values, masked, scale, CAP)
            },
        );
    }
}

#[divan::bench_group]
mod cross_entropy {
    use super::*;

    const VOCAB: usize = 1024;

    fn run(
        bencher: Bencher<'_, '_>,
        shape: Shape,
        backward: bool,
        f: fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
    ) {
        let rows = shape.batch * shape.seq;
        let targets = Tensor::zeros([rows], &Device::default());
        time(bencher, backward, &[random([rows, VOCAB])], |[logits]| {
            f(logits, targets.clone())
        });
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn fused<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::cross_entropy_sum);
    }

    #[divan::bench(args = SHAPES, consts = [false, true])]
    fn plain<const BACKWARD: bool>(bencher: Bencher<'_, '_>, shape: Shape) {
        run(bencher, shape, BACKWARD, ops::plain::cross_entropy_sum);
    }
}

/// A projection without gradients, over enough weights to come from memory, as those of a model do.
#[divan::bench_group(sample_count = 20)]
mod linear {
    use std::cell::Cell;

    use burn::tensor::module;

    use super::*;

    const WIDTHS: [[usize; 2]; 3] = [[512, 512], [512, 1408], [2048, 5632]];
    const WEIGHTS: usize = 1 << 25;

    fn run<const ROWS: usize>(
        bencher: Bencher<'_, '_>,
        [d_input, d_output]: [usize; 2],
        f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) {
        let count = (WEIGHTS / (d_input * d_output)).max(2);
        let weights = |_| random([d_output, d_input]).inner();
        let weights: Vec<Tensor<2>> = (0..count).map(weights).collect();
        let (x, turn) = (random([ROWS, d_input]).inner(), Cell::new(0));
        bencher.bench_local(|| {
            turn.set((turn.get() + 1) % count);
            f(x.clone(), weights[turn.get()].clone())
        });
    }

    const ROWS: [usize; 5] = [1, 8, 64, 512, 4096];

    #[divan::bench(args = WIDTHS, consts = ROWS)]
    fn transposed<const ROWS: usize>(bencher: Bencher<'_, '_>, widths: [usize; 2]) {
        run::<ROWS>(bencher, widths, |x, weight| {
            ops::linear(x, weight.transpose(), None)
        });
    }

    /// Burn's product, with the weight in the order that is fastest for it.
    #[divan::bench(args = WIDTHS, consts = ROWS)]
    fn burn<const ROWS: usize>(bencher: Bencher<'_, '_>, [d_input, d_output]: [usize; 2]) {
        run::<ROWS>(bencher, [d_input, d_output], |x, weight| {
            module::linear(x, weight.reshape([d_input, d_output]), None)
        });
    }
}
