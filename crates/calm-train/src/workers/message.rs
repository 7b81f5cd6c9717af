//! Messages between the process of a run and its workers.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Changed whenever processes of an earlier program would misunderstand.
pub(super) const PROTOCOL: u32 = 1;

/// First message of both sides.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    /// All that the outcome of the run depends on, as JSON.
    pub(super) settings: String,
    /// Batches that it works on at a time.
    pub(super) capacity: usize,
}

/// Request of the process of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Gradients of the assigned batches, by the parameters, which follow.
    Gradients {
        step: usize,
        first: usize,
        number: usize,
        batches: usize,
    },
    /// Nothing more: the run is over.
    Finished,
}

/// Reply of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It is still computing.
    Busy,
    /// A sum, whose gradients by every parameter follow.
    Sum {
        first: usize,
        batches: usize,
        loss: f64,
    },
    /// All sums were sent.
    Done,
    /// It cannot compute this.
    Failed { reason: String },
}

/// Header of a tensor, sent before its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TensorHead {
    shape: Vec<usize>,
    dtype: DType,
}

impl TensorHead {
    pub(super) fn of(data: &TensorData) -> Self {
        Self {
            shape: data.shape().to_vec(),
            dtype: data.dtype(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The tensor of these bytes.
    ///
    /// # Panics
    ///
    /// If they are not as many as [`Self::bytes`] says.
    pub(super) fn with_bytes(self, bytes: Vec<u8>) -> TensorData {
        TensorData::from_bytes_vec(bytes, self.shape, self.dtype)
    }
}

/// Shape and type of every parameter, in the order of the module.
pub(super) fn heads<M: Module>(module: &M) -> Vec<TensorHead> {
    struct Heads(Vec<TensorHead>);
    impl ModuleVisitor for Heads {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            self.0.push(TensorHead {
                shape: tensor.dims().to_vec(),
                dtype: tensor.dtype(),
            });
        }
    }
    let mut heads = Heads(Vec::new());
    module.visit(&mut heads);
    heads.0
}

/// The values of all parameters, in the order of the module.
pub(super) fn values<M: Module>(module: &M) -> Vec<TensorData> {
    struct Values(Vec<TensorData>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_data());
        }
    }
    let mut values = Values(Vec::new());
    module.visit(&mut values);
    values.0
}

/// The module with other values, each like its [`heads`] say.
pub(super) fn with_values<M: Module>(module: M, values: Vec<TensorData>) -> M {
    struct Load(std::vec::IntoIter<TensorData>);
    impl ModuleMapper for Load {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = self.0.next().expect("a value for every parameter");
            param.map(|old| {
                let new = Tensor::from_data(value, (&old.device(), old.dtype()));
                new.set_require_grad(old.is_require_grad())
            })
        }
    }
    module.map(&mut Load(values.into_iter()))
}

/// The gradients by all parameters, in the order of the module.
pub(super) fn of_gradients<M: Module>(
    module: &M,
    gradients: GradientsParams,
) -> Vec<Option<TensorData>> {
    struct Take {
        gradients: GradientsParams,
        values: Vec<Option<TensorData>>,
    }
    impl ModuleVisitor for Take {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.remove::<D>(param.id);
            self.values.push(gradient.map(Tensor::into_data));
        }
    }
    let mut take = Take {
        gradients,
        values: Vec::new(),
    };
    module.visit(&mut take);
    take.values
}

/// Gradients from what [`of_gradients`] made of them.
pub(super) fn to_gradients<M: Module>(
    module: &M,
    values: Vec<Option<TensorData>>,
) -> GradientsParams {
    struct Register {
        values: std::vec::IntoIter<Option<TensorData>>,
        gradients: GradientsParams,
    }
    impl ModuleVisitor for Register {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(value) = self.values.next().flatten() {
                let (device, dtype) = (param.val().device(), value.dtype());
                let device = device.without_autodiff();
                let gradient = Tensor::<D>::from_data(value, (&device, dtype));
                self.gradients.register(param.id, gradient);
            }
        }
    }
    let mut register = Register {
        values: values.into_iter(),
        gradients: GradientsParams::new(),
    };
    module.visit(&mut register);
    register.gradients
}
