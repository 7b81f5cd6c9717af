//! Tensors of ids, and comparisons.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Rows of one length as a tensor, `[batch, seq]`.
pub fn ids(rows: &[impl AsRef<[u32]>]) -> Tensor<2, Int> {
    let all = rows.iter().flat_map(|row| row.as_ref());
    let all: Vec<i64> = all.map(|id| i64::from(*id)).collect();
    let shape = [rows.len(), rows[0].as_ref().len()];
    Tensor::from_data(TensorData::new(all, shape), &Device::default())
}

/// The numbers of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("numbers")
}

/// `‖a - b‖ / ‖b‖`.
#[track_caller]
pub fn relative_error<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let norm = |x: Vec<f32>| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    norm(values(a - b.clone())) / norm(values(b))
}

/// Asserts that two tensors are the same but for rounding.
#[track_caller]
pub fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
    let relative = relative_error(a, b);
    assert!(relative < 1e-5, "relative error {relative:e}");
}

/// The bits of all parameters, adapters included, in the order of the module.
pub fn bits<M: Module>(module: &M) -> Vec<Vec<u32>> {
    struct Bits(Vec<Vec<u32>>);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.base().into_data();
            self.0
                .push(values.iter::<f32>().map(f32::to_bits).collect());
        }
    }
    let mut bits = Bits(Vec::new());
    module.visit(&mut bits);
    bits.0
}
