//! Parameters out of a checkpoint, all or none.

use std::collections::BTreeSet;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor};
use calm_backend::FloatType;

use super::convert::StoredTensor;
use super::{Checkpoint, Stored, WeightProblem};
use crate::decoder::{ParameterSource, Slot, build};
use crate::{Decoder, DecoderConfig, ModelError};

/// The decoder that `config` describes, with the weights of `checkpoint`.
///
/// Tensors are compared with the configuration before any is read, and then converted one by one:
/// at no time is more than one of them held twice.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
    dtype: FloatType,
    device: &Device,
) -> Result<Decoder, ModelError> {
    check_tensors(checkpoint, config)?;
    let mut reader = Reader {
        checkpoint,
        config,
        dtype,
        device,
        problems: Vec::new(),
        failed: None,
    };
    let decoder = build(config, &mut reader);
    if let Some(error) = reader.failed {
        return Err(error);
    }
    all_well(checkpoint, reader.problems)?;
    Ok(decoder)
}

/// Checks that the tensors of `checkpoint` are those that `config` asks for, without reading any,
/// and returns how many parameters they are.
pub(crate) fn check_tensors(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
) -> Result<usize, ModelError> {
    let mut inventory = Inventory {
        config,
        expected: Vec::new(),
        device: &Device::default(),
    };
    build(config, &mut inventory);
    all_well(checkpoint, compare(checkpoint, config, &inventory.expected))?;
    let shapes = inventory.expected.iter().map(|(_, shape)| shape);
    Ok(shapes.map(|shape| shape.iter().product::<usize>()).sum())
}

fn all_well(checkpoint: &Checkpoint, problems: Vec<WeightProblem>) -> Result<(), ModelError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ModelError::Weights {
        dir: checkpoint.dir().to_owned(),
        problems,
    })
}

/// A tensor's name and its shape as stored.
type Expected = (String, Vec<usize>);

fn compare(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
    expected: &[Expected],
) -> Vec<WeightProblem> {
    let wanted: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    let surplus: Vec<&str> = checkpoint
        .names()
        .filter(|name| !wanted.contains(name) && !config.family.is_harmless(name, config))
        .collect();
    let mut problems = checkpoint.duplicates().to_vec();
    problems.extend(
        expected
            .iter()
            .filter_map(|(name, shape)| check(checkpoint, name, shape, &surplus)),
    );
    problems.extend(surplus.iter().map(|name| WeightProblem::Surplus {
        name: (*name).to_owned(),
    }));
    problems
}

fn check(
    checkpoint: &Checkpoint,
    name: &str,
    shape: &[usize],
    surplus: &[&str],
) -> Option<WeightProblem> {
    let name = name.to_owned();
    let Some(info) = checkpoint.info(&name) else {
        let near_miss = near_miss(&name, surplus);
        return Some(WeightProblem::Missing { name, near_miss });
    };
    if info.shape != shape {
        let (expected, found) = (shape.to_owned(), info.shape.clone());
        return Some(WeightProblem::Shape {
            name,
            expected,
            found,
        });
    }
    if Stored::from_name(&info.dtype).is_none() {
        return Some(WeightProblem::Type {
            name,
            found: info.dtype.clone(),
        });
    }
    None
}

/// A left-over tensor that is probably the one missing: the same name inside another module, as
/// when a checkpoint was saved without its outer wrapper, or with one more.
fn near_miss(name: &str, surplus: &[&str]) -> Option<String> {
    let nested = |outer: &str, inner: &str| {
        outer
            .strip_suffix(inner)
            .is_some_and(|prefix| prefix.ends_with('.'))
    };
    let found = surplus
        .iter()
        .find(|other| nested(name, other) || nested(other, name));
    found.map(|name| (*name).to_owned())
}

/// Notes what a decoder consists of. Its parameters are promises that nobody calls in.
struct Inventory<'a> {
    config: &'a DecoderConfig,
    expected: Vec<Expected>,
    device: &'a Device,
}

impl Inventory<'_> {
    fn note<const D: usize>(&mut self, name: String, stored: [usize; D]) -> Param<Tensor<D>> {
        self.expected.push((name, stored.to_vec()));
        Param::uninitialized(
            ParamId::new(),
            move |device, _| Tensor::zeros(stored, device),
            self.device.clone(),
            false,
            Shape::from(stored),
        )
    }
}

impl ParameterSource for Inventory<'_> {
    fn table(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        self.note(weight_name(self.config, slot), shape)
    }

    fn matrix(&mut self, slot: Slot, [d_input, d_output]: [usize; 2]) -> Param<Tensor<2>> {
        self.note(weight_name(self.config, slot), [d_output, d_input])
    }

    fn bias(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>> {
        self.note(bias_name(self.config, slot), [width])
    }

    fn norm(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>> {
        self.note(weight_name(self.config, slot), [width])
    }
}

pub(super) fn weight_name(config: &DecoderConfig, slot: Slot) -> String {
    config.family.tensor_name(slot) + ".weight"
}

pub(super) fn bias_name(config: &DecoderConfig, slot: Slot) -> String {
    config.family.tensor_name(slot) + ".bias"
}

/// Reads tensors that are known to be there.
struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a DecoderConfig,
    dtype: FloatType,
    device: &'a Device,
    problems: Vec<WeightProblem>,
    /// The first failure to read.
    failed: Option<ModelError>,
}

impl Reader<'_> {
    fn read<const D: usize>(
        &mut self,
        name: String,
        shape: [usize; D],
        transposed: bool,
    ) -> Param<Tensor<D>> {
        let tensor = match self.try_read(&name, shape, transposed) {
            Ok(Some(tensor)) => tensor,
            // A stand-in keeps the list of problems going; the decoder is thrown away.
            Ok(None) => {
                self.problems.push(WeightProblem::NotFinite {
                    name,
                    dtype: self.dtype,
                });
                Tensor::zeros([1; D], self.device)
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                Tensor::zeros([1; D], self.device)
            }
        };
        Param::from_tensor(tensor)
    }

    /// A tensor whose shape and type have been compared; none if a number is not finite.
    fn try_read<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        transposed: bool,
    ) -> Result<Option<Tensor<D>>, ModelError> {
        let Some((info, bytes)) = self.checkpoint.tensor(name)? else {
            return Ok(None);
        };
        let rows_and_columns = match info.shape.as_slice() {
            [rows, columns] => [*rows, *columns],
            one_row => [1, one_row.iter().product()],
        };
        Ok(Stored::from_name(&info.dtype).and_then(|stored| {
            let tensor = StoredTensor {
                bytes: &bytes,
                stored,
                shape: rows_and_columns,
            };
            tensor.load(shape, transposed, self.dtype, self.device)
        }))
    }
}

impl ParameterSource for Reader<'_> {
    fn table(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        self.read(weight_name(self.config, slot), shape, false)
    }

    fn matrix(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        self.read(weight_name(self.config, slot), shape, true)
    }

    fn bias(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>> {
        self.read(bias_name(self.config, slot), [width], false)
    }

    fn norm(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>> {
        self.read(weight_name(self.config, slot), [width], false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_differ_by_an_outer_module() {
        let surplus = [
            "layers.0.mlp.up_proj.weight",
            "model.model.norm.weight",
            "norm",
        ];
        assert_eq!(
            near_miss("model.layers.0.mlp.up_proj.weight", &surplus).as_deref(),
            Some("layers.0.mlp.up_proj.weight")
        );
        assert_eq!(
            near_miss("model.norm.weight", &surplus).as_deref(),
            Some("model.model.norm.weight")
        );
        assert_eq!(near_miss("lm_head.weight", &surplus), None);
    }
}
