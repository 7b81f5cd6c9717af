//! The most that the machine gives, of which all other figures are a share.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use calm_lm::backend::{ops, threads};
use serde::{Deserialize, Serialize};

use super::median;

/// Rows, inputs and outputs of products that models are made of.
const PRODUCTS: [[usize; 3]; 4] = [
    [2048, 512, 1408],
    [2048, 1536, 1536],
    [2048, 1536, 4096],
    [2048, 2048, 2048],
];

/// Far more than any cache holds.
const READ_BYTES: usize = 1 << 30;

const REPEATS: usize = 7;

/// Peaks of a machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Name of the processor, where the system tells.
    pub(crate) processor: Option<String>,
    pub(crate) threads: usize,
    /// The fastest of the products.
    pub(crate) gemm_gflop_per_s: f64,
    products: Vec<Product>,
    pub(crate) read_gb_per_s: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Product {
    rows_inputs_outputs: [usize; 3],
    gflop_per_s: f64,
}

pub(super) fn measure(device: &Device) -> Machine {
    let products = PRODUCTS.map(|sizes| Product {
        rows_inputs_outputs: sizes,
        gflop_per_s: gflop_per_s(sizes, device),
    });
    let speeds = products.iter().map(|product| product.gflop_per_s);
    Machine {
        processor: processor(),
        threads: threads(),
        gemm_gflop_per_s: speeds.fold(0.0, f64::max),
        products: products.into(),
        read_gb_per_s: read_gb_per_s(threads()),
    }
}

fn gflop_per_s([rows, inputs, outputs]: [usize; 3], device: &Device) -> f64 {
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, device);
    let (x, weight) = (random([rows, inputs]), random([outputs, inputs]));
    let seconds = best_of(|| {
        let product = ops::linear(x.clone(), weight.clone().transpose(), None);
        // The device is done when a number of the result is here.
        let _: f32 = product.slice([0..1, 0..1]).into_scalar();
    });
    2e-9 * (rows * inputs * outputs) as f64 / seconds
}

/// Each thread reads a part of its own, in order.
fn read_gb_per_s(threads: usize) -> f64 {
    let numbers = vec![1u64; READ_BYTES / size_of::<u64>()];
    let part = numbers.len().div_ceil(threads);
    let seconds = best_of(|| {
        thread::scope(|scope| {
            for part in numbers.chunks(part) {
                scope.spawn(move || black_box(part.iter().fold(0, |all, number| all ^ number)));
            }
        });
    });
    READ_BYTES as f64 / seconds / 1e9
}

/// Median seconds of the fastest half, after once for nothing: what the machine gives when nobody
/// else uses it.
pub(super) fn best_of(mut work: impl FnMut()) -> f64 {
    let mut time = || {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    };
    time();
    let mut seconds: Vec<f64> = (0..REPEATS).map(|_| time()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.truncate(REPEATS.div_ceil(2));
    median(seconds)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
