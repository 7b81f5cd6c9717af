//! Parameters out of a checkpoint, all or none.

use std::collections::BTreeMap;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor};
use calm_backend::FloatType;

use super::convert::{Loaded, Rectangle, StoredTensor};
use super::{Checkpoint, Stored, WeightProblem};
use crate::decoder::{ParameterSource, Slot, build};
use crate::family::Place;
use crate::{Decoder, DecoderConfig, LoadOptions, ModelError, Part};

/// The decoder that `config` describes, with the weights of `checkpoint`.
///
/// Tensors are compared with the configuration before any is read, and then converted piece by
/// piece: at no time is more than one piece held twice.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
    options: &LoadOptions,
) -> Result<Decoder, ModelError> {
    check_tensors(checkpoint, config)?;
    let mut reader = Reader {
        checkpoint,
        places: Places::new(checkpoint, config),
        dtype: options.dtype,
        allow_not_finite: options.allow_not_finite,
        device: &options.device,
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

/// The description with its head as the files have it: `transformers` ties the head to the
/// embedding only where there is no head with other numbers.
pub(crate) fn settle_head(
    checkpoint: &Checkpoint,
    mut config: DecoderConfig,
) -> Result<DecoderConfig, ModelError> {
    let places = Places::new(checkpoint, &config);
    let tensor = |slot| checkpoint.tensor(&places.of(slot).weight());
    if let (true, Some(head), Some(embedding)) = (
        config.tied_head,
        tensor(Slot::Head),
        tensor(Slot::Embedding),
    ) {
        config.tied_head = head.holds_the_same(embedding)?;
    }
    Ok(config)
}

/// Checks that the tensors of `checkpoint` are those that `config` asks for, without reading any,
/// and returns their names with what they belong to.
pub(crate) fn check_tensors(
    checkpoint: &Checkpoint,
    config: &DecoderConfig,
) -> Result<BTreeMap<String, Part>, ModelError> {
    let mut inventory = Inventory {
        places: Places::new(checkpoint, config),
        expected: Vec::new(),
        parts: BTreeMap::new(),
        device: &Device::default(),
    };
    build(config, &mut inventory);
    all_well(checkpoint, compare(checkpoint, config, &inventory))?;
    Ok(inventory.parts)
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
    inventory: &Inventory<'_>,
) -> Vec<WeightProblem> {
    let names = config.family.names();
    let surplus: Vec<&str> = checkpoint
        .names()
        .filter(|name| !inventory.parts.contains_key(*name) && !names.is_harmless(name, config))
        .collect();
    let near_misses = NearMisses::new(&surplus);
    let mut problems = checkpoint.duplicates().to_vec();
    problems.extend(
        inventory
            .expected
            .iter()
            .filter_map(|(name, shape)| check(checkpoint, name, shape, &near_misses)),
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
    near_misses: &NearMisses<'_>,
) -> Option<WeightProblem> {
    let name = name.to_owned();
    let Some(tensor) = checkpoint.tensor(&name) else {
        let near_miss = near_misses.of(&name).map(str::to_owned);
        return Some(WeightProblem::Missing { name, near_miss });
    };
    let info = tensor.info;
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

/// Left-over tensors by their names without outer modules: one is probably the tensor that is
/// missing if the checkpoint was saved without its outer wrapper, or with one more.
struct NearMisses<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> NearMisses<'a> {
    fn new(surplus: &[&'a str]) -> Self {
        let inner = |name: &'a str| inner_names(name).map(move |inner| (inner, name));
        Self(surplus.iter().copied().flat_map(inner).collect())
    }

    fn of(&self, missing: &str) -> Option<&'a str> {
        let outer = self.0.get(missing).copied();
        outer.or_else(|| {
            let mut inner = inner_names(missing).filter_map(|name| self.0.get_key_value(name));
            inner
                .find(|(inner, whole)| inner == whole)
                .map(|(_, whole)| *whole)
        })
    }
}

/// A name, and what is left of it as outer modules are taken away.
fn inner_names(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, inner)| inner)
    })
}

/// Where the parameters of a model are in a checkpoint.
struct Places<'a> {
    config: &'a DecoderConfig,
    /// Whether the names lack what those of a whole model begin with.
    bare: bool,
}

impl<'a> Places<'a> {
    fn new(checkpoint: &Checkpoint, config: &'a DecoderConfig) -> Self {
        let bare = config.family.names().are_bare(checkpoint.names());
        Self { config, bare }
    }

    fn of(&self, slot: Slot) -> Place {
        self.config
            .family
            .names()
            .place(self.config, slot, self.bare)
    }
}

impl Place {
    /// A matrix of this shape, `[d_input, d_output]`, in the tensor that holds it.
    fn matrix(&self, [d_input, d_output]: [usize; 2]) -> Rectangle {
        let outputs = self.offset..self.offset + d_output;
        let [_, width] = self.matrix_shape(d_input);
        let (rows, columns) = if self.input_first {
            (0..d_input, outputs)
        } else {
            (outputs, 0..d_input)
        };
        Rectangle {
            rows,
            columns,
            width,
        }
    }

    /// A vector of this length in the tensor that holds it.
    fn vector(&self, length: usize) -> Rectangle {
        Rectangle {
            rows: 0..1,
            columns: self.offset..self.offset + length,
            width: self.total,
        }
    }
}

/// Notes what a decoder consists of. Its parameters are promises that nobody calls in.
struct Inventory<'a> {
    places: Places<'a>,
    /// Every tensor once, also where it holds several parameters.
    expected: Vec<Expected>,
    /// The same tensors, and what they belong to.
    parts: BTreeMap<String, Part>,
    device: &'a Device,
}

impl Inventory<'_> {
    fn note<const D: usize>(
        &mut self,
        slot: Slot,
        name: String,
        stored: [usize; D],
    ) -> Param<Tensor<D>> {
        if self.parts.insert(name.clone(), Part::of(slot)).is_none() {
            self.expected.push((name, stored.to_vec()));
        }
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
        self.note(slot, self.places.of(slot).weight(), shape)
    }

    fn matrix(&mut self, slot: Slot, [d_input, _]: [usize; 2]) -> Param<Tensor<2>> {
        let place = self.places.of(slot);
        self.note(slot, place.weight(), place.matrix_shape(d_input))
    }

    fn bias(&mut self, slot: Slot, _width: usize) -> Param<Tensor<1>> {
        let place = self.places.of(slot);
        self.note(slot, place.bias(), [place.total])
    }

    fn norm(&mut self, slot: Slot, width: usize, _neutral: f32) -> Param<Tensor<1>> {
        self.note(slot, self.places.of(slot).weight(), [width])
    }
}

/// Reads tensors that are known to be there.
struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    places: Places<'a>,
    dtype: FloatType,
    allow_not_finite: bool,
    device: &'a Device,
    problems: Vec<WeightProblem>,
    /// The first failure to read.
    failed: Option<ModelError>,
}

impl Reader<'_> {
    fn read<const D: usize>(
        &mut self,
        name: String,
        part: Rectangle,
        shape: [usize; D],
        transposed: bool,
    ) -> Param<Tensor<D>> {
        let tensor = match self.try_read(&name, part, shape, transposed) {
            Ok(Some(loaded)) => {
                if !loaded.is_finite && !self.allow_not_finite {
                    let dtype = self.dtype;
                    self.problems.push(WeightProblem::NotFinite { name, dtype });
                }
                loaded.tensor
            }
            // A stand-in lets the building go on; the decoder is thrown away.
            Ok(None) => Tensor::zeros([1; D], self.device),
            Err(error) => {
                self.failed.get_or_insert(error);
                Tensor::zeros([1; D], self.device)
            }
        };
        Param::from_tensor(tensor)
    }

    /// Part of a tensor whose shape and type have been compared; none once reading has failed.
    fn try_read<const D: usize>(
        &self,
        name: &str,
        part: Rectangle,
        shape: [usize; D],
        transposed: bool,
    ) -> Result<Option<Loaded<D>>, ModelError> {
        let tensor = self
            .checkpoint
            .tensor(name)
            .filter(|_| self.failed.is_none());
        let stored = tensor.and_then(|tensor| Stored::from_name(&tensor.info.dtype));
        let (Some(tensor), Some(stored)) = (tensor, stored) else {
            return Ok(None);
        };
        let tensor = StoredTensor {
            tensor,
            stored,
            part,
        };
        tensor
            .load(shape, transposed, self.dtype, self.device)
            .map(Some)
    }
}

impl ParameterSource for Reader<'_> {
    fn table(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        let [rows, width] = shape;
        let part = Rectangle {
            rows: 0..rows,
            columns: 0..width,
            width,
        };
        self.read(self.places.of(slot).weight(), part, shape, false)
    }

    fn matrix(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        let place = self.places.of(slot);
        self.read(
            place.weight(),
            place.matrix(shape),
            shape,
            !place.input_first,
        )
    }

    fn bias(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>> {
        let place = self.places.of(slot);
        self.read(place.bias(), place.vector(width), [width], false)
    }

    fn norm(&mut self, slot: Slot, width: usize, _neutral: f32) -> Param<Tensor<1>> {
        let place = self.places.of(slot);
        self.read(place.weight(), place.vector(width), [width], false)
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
        let near_misses = NearMisses::new(&surplus);
        assert_eq!(
            near_misses.of("model.layers.0.mlp.up_proj.weight"),
            Some("layers.0.mlp.up_proj.weight")
        );
        assert_eq!(
            near_misses.of("model.norm.weight"),
            Some("model.model.norm.weight")
        );
        assert_eq!(near_misses.of("lm_head.weight"), None);
        assert_eq!(near_misses.of("model.final.weight"), None);
    }
}
