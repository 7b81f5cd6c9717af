//! What the process of a run and its workers say to each other.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::WorkerError;

/// Changed whenever processes of an earlier program would misunderstand.
pub(super) const PROTOCOL: u32 = 1;

/// What both say first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    /// All that the outcome of the run depends on, as JSON.
    pub(super) settings: String,
    /// Batches that it works on at a time.
    pub(super) capacity: usize,
}

/// What the process of a run wants.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Gradients of a share, by the parameters whose [`Request::Tensor`]s follow.
    Gradients {
        step: usize,
        first: usize,
        number: usize,
        batches: usize,
    },
    /// The next parameter.
    Tensor(TensorData),
    /// Nothing more: the run is over.
    Finished,
}

/// What a worker has to say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It is still computing.
    Busy,
    /// A sum, followed by a [`Reply::Tensor`] for each parameter.
    Sum {
        first: usize,
        batches: usize,
        loss: f64,
    },
    /// The gradient of the next parameter; none if the loss does not depend on it.
    Tensor(Option<TensorData>),
    /// All sums were sent.
    Done,
    /// It cannot compute this.
    Failed { reason: String },
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

/// Number of parameters that [`values`] would have.
pub(super) fn count<M: Module>(module: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.0 += 1;
        }
    }
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

/// The module with other values.
pub(super) fn with_values<M: Module>(module: M, values: Vec<TensorData>) -> Result<M, WorkerError> {
    struct Load {
        values: std::vec::IntoIter<TensorData>,
        misfit: bool,
    }
    impl ModuleMapper for Load {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let next = self.values.next();
            let Some(value) = next.filter(|value| fits(value, &param.val())) else {
                self.misfit = true;
                return param;
            };
            param.map(|old| {
                let new = Tensor::from_data(value, (&old.device(), old.dtype()));
                new.set_require_grad(old.is_require_grad())
            })
        }
    }
    let mut load = Load {
        values: values.into_iter(),
        misfit: false,
    };
    let module = module.map(&mut load);
    match load.misfit {
        true => Err(misfit()),
        false => Ok(module),
    }
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
) -> Result<GradientsParams, WorkerError> {
    struct Register {
        values: std::vec::IntoIter<Option<TensorData>>,
        gradients: GradientsParams,
        misfit: bool,
    }
    impl ModuleVisitor for Register {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(Some(value)) = self.values.next() else {
                return;
            };
            let parameter = param.val();
            if !fits(&value, &parameter) {
                self.misfit = true;
                return;
            }
            let device = parameter.device().without_autodiff();
            let gradient = Tensor::<D>::from_data(value, (&device, parameter.dtype()));
            self.gradients.register(param.id, gradient);
        }
    }
    let mut register = Register {
        values: values.into_iter(),
        gradients: GradientsParams::new(),
        misfit: false,
    };
    module.visit(&mut register);
    match register.misfit {
        true => Err(misfit()),
        false => Ok(register.gradients),
    }
}

fn fits<const D: usize>(value: &TensorData, parameter: &Tensor<D>) -> bool {
    value.dtype() == parameter.dtype() && value.shape() == &parameter.shape()
}

fn misfit() -> WorkerError {
    let reason = "tensors of other shapes or types than those that are trained".to_owned();
    WorkerError::Protocol { reason }
}
