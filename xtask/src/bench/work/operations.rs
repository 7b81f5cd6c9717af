//! Single operations: the fused one, and the plain composition that it replaces, forward alone and
//! forward with backward.

use burn::tensor::{Bool, Device, Distribution, Int, Tensor, module};
use calm_lm::backend::ops::{self, AdamWStep, plain};

use super::Measured;
use super::machine::best_of;

/// A batch of short texts through a small model, and one of long texts through a larger one.
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

const HEADS: usize = 8;
const EPSILON: f64 = 1e-5;
const VOCAB: usize = 1024;

/// Rows, inputs and outputs of projections.
const ROWS: [usize; 5] = [1, 8, 64, 512, 4096];
const PROJECTIONS: [[usize; 2]; 3] = [[512, 512], [512, 1408], [2048, 5632]];

/// Numbers of all weights that a projection is timed over: enough to come from memory, as those of a
/// model do.
const WEIGHTS: usize = 1 << 25;

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    seq: usize,
    d_model: usize,
}

impl Shape {
    /// Heads split off as a decoder does, without a copy.
    fn heads(self, x: Tensor<3>) -> Tensor<4> {
        x.reshape([self.batch, self.seq, HEADS, self.d_model / HEADS])
            .swap_dims(1, 2)
    }
}

/// Microseconds of every operation.
pub(super) fn measure(device: &Device) -> Measured {
    let mut times = Times {
        measured: Measured::default(),
        device,
    };
    for shape in SHAPES {
        times.of_blocks(shape);
    }
    times.adamw();
    times.projections();
    times.measured
}

struct Times<'a> {
    measured: Measured,
    device: &'a Device,
}

impl Times<'_> {
    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let device = self.device.clone().autodiff();
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device).require_grad()
    }

    /// The operations of blocks and of the loss.
    fn of_blocks(&mut self, shape: Shape) {
        let Shape {
            batch,
            seq,
            d_model,
        } = shape;
        let device = self.device;
        let rows = |times: &Self, width| times.random([batch, seq, width]);
        let ones = &Tensor::<1>::ones([d_model], device);
        let angles = &Tensor::<4>::ones([1, 1, seq, d_model / HEADS / 2], device);
        let masked = Tensor::<2, Bool>::tril_mask([seq, seq], 0, device).unsqueeze::<4>();
        let masked = &masked;
        let targets = &Tensor::<1, Int>::zeros([batch * seq], device);

        let gated = [(); 2].map(|()| rows(self, 3 * d_model));
        let f: [fn(_, _) -> _; 2] = [ops::swiglu, plain::swiglu];
        let f = f.map(|f| move |[gate, up]: [Tensor<3>; 2]| f(gate, up));
        self.pair("swiglu", shape, &gated, f);
        let f: [fn(_, _) -> _; 2] = [ops::geglu_tanh, plain::geglu_tanh];
        let f = f.map(|f| move |[gate, up]: [Tensor<3>; 2]| f(gate, up));
        self.pair("geglu_tanh", shape, &gated, f);

        let one = [rows(self, d_model)];
        let f: [fn(_, _, _, _) -> _; 2] = [ops::layer_norm, plain::layer_norm];
        let f = f.map(|f| move |[x]: [Tensor<3>; 1]| f(x, ones.clone(), ones.clone(), EPSILON));
        self.pair("layer_norm", shape, &one, f);
        let f: [fn(_, _, _) -> _; 2] = [ops::rms_norm, plain::rms_norm];
        let f = f.map(|f| move |[x]: [Tensor<3>; 1]| f(x, ones.clone(), EPSILON));
        self.pair("rms_norm", shape, &one, f);
        let f: [fn(_, _, _) -> _; 2] = [ops::rotary, plain::rotary];
        let f =
            f.map(|f| move |[x]: [Tensor<3>; 1]| f(shape.heads(x), angles.clone(), angles.clone()));
        self.pair("rotary", shape, &one, f);

        let three = [(); 3].map(|()| rows(self, d_model));
        let f: [fn(_, _, _, _, _) -> _; 2] = [ops::attention, plain::attention];
        let f = f.map(|f| {
            move |inputs: [Tensor<3>; 3]| {
                let [queries, keys, values] = inputs.map(|x| shape.heads(x));
                f(queries, keys, values, Some(masked.clone()), 0.25)
            }
        });
        self.pair("attention", shape, &three, f);
        let f: [fn(_, _, _, _, _, _) -> _; 2] = [ops::softcap_attention, plain::softcap_attention];
        let f = f.map(|f| {
            move |inputs: [Tensor<3>; 3]| {
                let [queries, keys, values] = inputs.map(|x| shape.heads(x));
                f(queries, keys, values, Some(masked.clone()), 0.25, 50.0)
            }
        });
        self.pair("softcap_attention", shape, &three, f);

        let logits = [self.random([batch * seq, VOCAB])];
        let f: [fn(_, _) -> _; 2] = [ops::cross_entropy_sum, plain::cross_entropy_sum];
        let f = f.map(|f| move |[logits]: [Tensor<2>; 1]| f(logits, targets.clone()));
        self.pair("cross_entropy", shape, &logits, f);
    }

    /// Times a fused operation and its plain twin, alone and with the gradients of the sum of their
    /// output.
    fn pair<const N: usize, const D: usize, const E: usize>(
        &mut self,
        name: &str,
        shape: Shape,
        inputs: &[Tensor<D>; N],
        [fused, plain]: [impl Fn([Tensor<D>; N]) -> Tensor<E>; 2],
    ) {
        // Graphs without a backward pass would stay for a while and fill the memory.
        let constant = inputs.clone().map(Tensor::inner);
        for (kind, f) in [("fused", fused), ("plain", plain)] {
            let Shape {
                batch,
                seq,
                d_model,
            } = shape;
            let name = format!("{name} {batch} x {seq} x {d_model}, {kind}");
            self.set(&name, best_of(|| wait(f(constant.clone()))));
            let seconds = best_of(|| {
                let sum = f(inputs.clone()).sum();
                drop(sum.clone().backward());
                wait(sum);
            });
            self.set(&format!("{name}, with backward"), seconds);
        }
    }

    /// One step over a matrix of a bridge, which overwrites its moments.
    fn adamw(&mut self) {
        const STEP: AdamWStep = AdamWStep {
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            time: 10,
        };
        let steps: [fn(_, _, _, _) -> _; 2] = [ops::adamw, plain::adamw];
        for width in [512, 1536] {
            for (kind, step) in ["fused", "plain"].into_iter().zip(steps) {
                let [mut parameter, gradient, first, second] = [(); 4].map(|()| {
                    let spread = Distribution::Uniform(0.0, 1.0);
                    Tensor::<2>::random([width, width], spread, self.device)
                });
                let mut moments = Some([first, second]);
                let seconds = best_of(|| {
                    let held = moments.take().expect("the moments of the last call");
                    let (moved, next) = step(parameter.clone(), gradient.clone(), held, STEP);
                    wait(moved.clone());
                    (parameter, moments) = (moved, Some(next));
                });
                self.set(&format!("adamw {width} x {width}, {kind}"), seconds);
            }
        }
    }

    /// Projections without gradients: ours over weights stored by output, and Burn's over those in the
    /// order that is fastest for it.
    fn projections(&mut self) {
        for [d_input, d_output] in PROJECTIONS {
            let count = (WEIGHTS / (d_input * d_output)).max(2);
            let weights: Vec<Tensor<2>> = (0..count)
                .map(|_| self.random([d_output, d_input]).inner())
                .collect();
            let mut turn = (0..count).cycle();
            let mut next = || weights[turn.next().unwrap_or_default()].clone();
            for rows in ROWS {
                let x = self.random([rows, d_input]).inner();
                let name = format!("linear {rows} x {d_input} x {d_output}");
                let seconds = best_of(|| {
                    wait(ops::linear(x.clone(), next().transpose(), None));
                });
                self.set(&format!("{name}, ours"), seconds);
                let seconds = best_of(|| {
                    let weight = next().reshape([d_input, d_output]);
                    wait(module::linear(x.clone(), weight, None));
                });
                self.set(&format!("{name}, burn"), seconds);
            }
        }
    }

    fn set(&mut self, name: &str, seconds: f64) {
        self.measured.set(&format!("{name}, µs"), 1e6 * seconds);
    }
}

/// The device is done when a number of the result is here.
fn wait<const D: usize>(result: Tensor<D>) {
    let _: f32 = result.reshape([1, -1]).slice([0..1, 0..1]).into_scalar();
}
