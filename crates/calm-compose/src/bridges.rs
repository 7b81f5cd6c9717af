//! Θ_C: all bridges of a composition, its only trained parameters.

use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use calm_backend::SeededInit;
use calm_models::ModelError;

use crate::{Bridge, BridgeConfig, ComposeError, Connection};

/// The bridges of every augmenting model, in the order of its connections.
#[derive(Module, Debug)]
pub struct Bridges {
    /// `[augmenting model][connection]`.
    pub of: Vec<Vec<Bridge>>,
}

impl Bridges {
    /// Fresh bridges: per augmenting model, a configuration and one bridge for each connection.
    ///
    /// # Errors
    ///
    /// As of [`BridgeConfig::validate`], and [`ModelError::UnsupportedType`] if the device does not
    /// compute in the type of the bridges.
    pub fn init(
        sets: &[(BridgeConfig, Vec<Connection>)],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ComposeError> {
        let mut init = SeededInit::new(seed);
        let of = sets
            .iter()
            .map(|(config, connections)| {
                config.validate()?;
                let dtype = config.options.dtype;
                if !dtype.is_supported_by(device) {
                    return Err(ModelError::UnsupportedType { dtype }.into());
                }
                Ok(connections
                    .iter()
                    .map(|_| config.init(&mut init, device))
                    .collect())
            })
            .collect::<Result<_, ComposeError>>()?;
        Ok(Self { of })
    }

    /// These bridges, followed by those of further augmenting models.
    #[must_use]
    pub fn followed_by(mut self, further: Self) -> Self {
        self.of.extend(further.of);
        self
    }

    /// The same functions with outputs in unit one ([`OutputUnit`](crate::OutputUnit)), as files have
    /// them.
    #[must_use]
    pub(crate) fn in_unit_one(self) -> Self {
        let sets = self.of.into_iter();
        Self {
            of: sets
                .map(|set| set.into_iter().map(Bridge::in_unit_one).collect())
                .collect(),
        }
    }

    /// Units in which the outputs are learnt, `[augmenting model][connection]`; none if all are one.
    pub fn output_units(&self) -> Option<Vec<Vec<f64>>> {
        let units = |set: &Vec<Bridge>| set.iter().map(Bridge::output_unit).collect();
        let units: Vec<Vec<f64>> = self.of.iter().map(units).collect();
        let is_learnt = units.iter().flatten().any(|unit| *unit != 1.0);
        is_learnt.then_some(units)
    }

    /// Parameters as stored, with W_O, biases, norms and gates.
    pub fn parameter_count(&self) -> usize {
        self.num_params()
    }

    /// Parameters by the paper's count (appendix C.1), n (D_A D_B + 3 D_B²): without W_O, biases,
    /// norms and gates.
    pub fn paper_parameter_count(&self) -> usize {
        self.of
            .iter()
            .flatten()
            .map(|bridge| bridge.config().paper_parameter_count())
            .sum()
    }

    /// Every parameter by its name in files (`a0.c1.q.weight`), matrices (out, in).
    pub fn named_parameters(&self) -> Vec<(String, TensorData)> {
        self.named(|weight| weight.val(), |vector| vector.val())
    }

    /// The gradient of every parameter, zeros where there is none, named like the parameters.
    pub fn named_gradients(&self, gradients: &Gradients) -> Vec<(String, TensorData)> {
        self.named(
            |weight| gradient(weight, gradients),
            |vector| gradient(vector, gradients),
        )
    }

    fn named(
        &self,
        of_weight: impl Fn(&Param<Tensor<2>>) -> Tensor<2>,
        of_vector: impl Fn(&Param<Tensor<1>>) -> Tensor<1>,
    ) -> Vec<(String, TensorData)> {
        let mut named = Vec::new();
        for (m, bridges) in self.of.iter().enumerate() {
            for (n, bridge) in bridges.iter().enumerate() {
                let name = |part| format!("a{m}.c{n}.{part}");
                for (part, linear) in bridge.linears() {
                    let weight = of_weight(&linear.weight).transpose();
                    named.push((name(part) + ".weight", weight.into_data()));
                    let bias = linear.bias.as_ref();
                    named.extend(bias.map(|b| (name(part) + ".bias", of_vector(b).into_data())));
                }
                for (part, vector) in bridge.vectors() {
                    named.push((name(part), of_vector(vector).into_data()));
                }
            }
        }
        named
    }
}

fn gradient<const D: usize>(parameter: &Param<Tensor<D>>, gradients: &Gradients) -> Tensor<D> {
    let value = parameter.val();
    let gradient = value.grad(gradients);
    gradient.unwrap_or_else(|| value.inner().zeros_like())
}
