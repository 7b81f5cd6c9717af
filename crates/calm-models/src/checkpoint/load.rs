//! Loads the parameters of a decoder, all or none.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use calm_backend::FloatType;

use super::convert::{Loaded, MatrixSlice, StoredTensor};
use super::packed::refuse_packed;
use super::{StorageType, TensorSource, WeightProblem};
use crate::config::ParamId;
use crate::decoder::{ParameterSource, build};
use crate::families::{Names, NamesInFile, TensorLocation};
use crate::{Decoder, DecoderConfig, LoadOptions, ModelError, Part, Strictness, warn};

/// The decoder that `config` describes, with the weights of `source`.
///
/// Tensors are compared with the configuration before any is read, and then converted piece by
/// piece: at no time is more than one piece held twice.
pub(crate) fn load(
    source: &dyn TensorSource,
    config: &DecoderConfig,
    options: &LoadOptions,
) -> Result<Decoder, ModelError> {
    check_tensors(source, config, options.strictness)?;
    let mut reader = Reader {
        source,
        locations: Locations::new(source, config),
        dtype: options.resolve(stored_type(source))?,
        allow_not_finite: options.allow_not_finite,
        device: &options.device,
        problems: Vec::new(),
        failed: None,
    };
    let decoder = build(config, &mut reader);
    if let Some(error) = reader.failed {
        return Err(error);
    }
    all_well(source, reader.problems)?;
    Ok(decoder)
}

/// The type that most numbers of the files are stored in. Those that no model computes in count as
/// `f32`.
pub(crate) fn stored_type(source: &dyn TensorSource) -> FloatType {
    let tensors = source.in_file_order().into_iter();
    most_frequent(tensors.map(|(_, _, info)| (&*info.dtype, info.shape.iter().product())))
}

/// The type of most numbers; of those with equally many, the widest. Tensors are given by the names
/// of their types and by their sizes.
pub(crate) fn most_frequent<'a>(tensors: impl Iterator<Item = (&'a str, usize)>) -> FloatType {
    let mut counts = FloatType::ALL.map(|float| (0_usize, float));
    for (dtype, numbers) in tensors {
        let stored = StorageType::from_name(dtype).map_or(FloatType::F32, FloatType::from);
        let count = counts.iter_mut().find(|(_, float)| *float == stored);
        if let Some((count, _)) = count {
            *count = count.saturating_add(numbers);
        }
    }
    // Of equals the last is found.
    let most = counts.into_iter().rev().max_by_key(|(count, _)| *count);
    most.map_or(FloatType::F32, |(_, float)| float)
}

/// The description with its head as the files have it: `transformers` ties the head to the
/// embedding only where there is no head with other numbers.
pub(crate) fn settle_head(
    source: &dyn TensorSource,
    mut config: DecoderConfig,
) -> Result<DecoderConfig, ModelError> {
    let locations = Locations::new(source, &config);
    let tensor = |id| source.tensor(&locations.of(id).weight());
    if let (true, Some(head), Some(embedding)) = (
        config.head.tied,
        tensor(ParamId::Head),
        tensor(ParamId::Embedding),
    ) {
        config.head.tied = head.holds_the_same(embedding)?;
    }
    Ok(config)
}

/// Checks that the tensors of `source` are those that `config` asks for, without reading any,
/// and returns their names with what they belong to.
pub(crate) fn check_tensors(
    source: &dyn TensorSource,
    config: &DecoderConfig,
    strictness: Strictness,
) -> Result<BTreeMap<String, Part>, ModelError> {
    refuse_packed(source)?;
    let locations = Locations::new(source, config);
    let (mut expected, mut parts) = (Vec::new(), BTreeMap::new());
    for (id, shape) in config.params() {
        // A tensor that holds several parameters is expected once.
        for (name, stored) in locations.of(id).tensors(shape) {
            if parts.insert(name.clone(), Part::of(id)).is_none() {
                expected.push((name, stored));
            }
        }
    }
    let mut problems = compare(source, &locations, &expected, &parts);
    if strictness == Strictness::Lenient {
        pass_over_surplus(source.path(), &mut problems);
    }
    all_well(source, problems)?;
    Ok(parts)
}

/// Has tensors without a place be a warning.
fn pass_over_surplus(dir: &Path, problems: &mut Vec<WeightProblem>) {
    let is_surplus = |problem: &mut WeightProblem| matches!(problem, WeightProblem::Surplus { .. });
    let surplus: Vec<WeightProblem> = problems.extract_if(.., is_surplus).collect();
    if let Some(first) = surplus.first() {
        let (dir, count) = (dir.display(), surplus.len());
        warn::once(format!(
            "{dir}: {first}; passed over, with all {count} such tensors"
        ));
    }
}

fn all_well(source: &dyn TensorSource, problems: Vec<WeightProblem>) -> Result<(), ModelError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ModelError::Weights {
        path: source.path().to_owned(),
        problems,
    })
}

/// A tensor's name and its shape as stored.
type Expected = (String, Vec<usize>);

fn compare(
    source: &dyn TensorSource,
    locations: &Locations<'_>,
    expected: &[Expected],
    parts: &BTreeMap<String, Part>,
) -> Vec<WeightProblem> {
    let names = locations.names;
    // A head beside a tied embedding is a copy of it.
    let head = locations.of(ParamId::Head).weight();
    let copy = locations.config.head.tied.then_some(&*head);
    let is_harmless = |name: &str| {
        names.is_harmless(name) || locations.file.is_around(name) || copy == Some(name)
    };
    let is_surplus = |name: &&str| !parts.contains_key(*name) && !is_harmless(name);
    let surplus: Vec<&str> = source.names().into_iter().filter(is_surplus).collect();
    let near_misses = NearMisses::new(&surplus);
    let mut problems = source.duplicates().to_vec();
    let found = expected.iter();
    problems.extend(found.filter_map(|(name, shape)| check(source, name, shape, &near_misses)));
    problems.extend(surplus.iter().map(|name| WeightProblem::Surplus {
        name: (*name).to_owned(),
    }));
    problems
}

fn check(
    source: &dyn TensorSource,
    name: &str,
    shape: &[usize],
    near_misses: &NearMisses<'_>,
) -> Option<WeightProblem> {
    let name = name.to_owned();
    let Some(tensor) = source.tensor(&name) else {
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
    if StorageType::from_name(&info.dtype).is_none() {
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

/// Locations of the parameters of a model in a source.
struct Locations<'a> {
    config: &'a DecoderConfig,
    names: &'static Names,
    file: NamesInFile,
    /// Whether a tied embedding is stored under the name of the head alone.
    under_head: bool,
}

impl<'a> Locations<'a> {
    fn new(source: &dyn TensorSource, config: &'a DecoderConfig) -> Self {
        let names = source.names_of(config.family);
        let file = names.in_file(&source.names());
        let mut locations = Self {
            config,
            names,
            file,
            under_head: false,
        };
        let holds = |id| source.tensor(&locations.of(id).weight()).is_some();
        locations.under_head =
            config.head.tied && !holds(ParamId::Embedding) && holds(ParamId::Head);
        locations
    }

    fn of(&self, id: ParamId) -> TensorLocation {
        let id = match id {
            ParamId::Embedding if self.under_head => ParamId::Head,
            id => id,
        };
        self.names.location(self.config, id, &self.file)
    }
}

impl TensorLocation {
    /// A matrix with so many inputs in the tensor that holds it.
    fn matrix(&self, d_input: usize) -> MatrixSlice {
        let [_, width] = self.matrix_shape(d_input);
        if !self.input_first {
            return MatrixSlice {
                rows: self.outputs.clone(),
                columns: 0..d_input,
                width,
            };
        }
        let outputs = self.outputs.as_one();
        MatrixSlice {
            rows: (0..d_input).into(),
            columns: outputs.expect("no family stores inputs first, and outputs head by head"),
            width,
        }
    }

    /// A vector in the tensor that holds it.
    fn vector(&self) -> MatrixSlice {
        MatrixSlice {
            rows: self.outputs.clone(),
            columns: 0..1,
            width: 1,
        }
    }
}

/// Reads tensors that are known to be there.
struct Reader<'a> {
    source: &'a dyn TensorSource,
    locations: Locations<'a>,
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
        part: MatrixSlice,
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
        part: MatrixSlice,
        shape: [usize; D],
        transposed: bool,
    ) -> Result<Option<Loaded<D>>, ModelError> {
        let tensor = self.source.tensor(name).filter(|_| self.failed.is_none());
        let stored = tensor.and_then(|tensor| StorageType::from_name(&tensor.info.dtype));
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
    fn table(&mut self, id: ParamId, shape: [usize; 2]) -> Param<Tensor<2>> {
        let [rows, width] = shape;
        let part = MatrixSlice {
            rows: (0..rows).into(),
            columns: 0..width,
            width,
        };
        self.read(self.locations.of(id).weight(), part, shape, false)
    }

    fn matrix(&mut self, id: ParamId, shape: [usize; 2]) -> Param<Tensor<2>> {
        let location = self.locations.of(id);
        self.read(
            location.weight(),
            location.matrix(shape[0]),
            shape,
            !location.input_first,
        )
    }

    fn bias(&mut self, id: ParamId, width: usize) -> Param<Tensor<1>> {
        let location = self.locations.of(id);
        self.read(location.bias(), location.vector(), [width], false)
    }

    fn norm(&mut self, id: ParamId, width: usize, neutral: f32) -> Param<Tensor<1>> {
        let names = self.locations.of(id).weights();
        let width = width / names.len();
        let parts = names.into_iter().map(|name| {
            let part = MatrixSlice::column(width);
            self.read(name, part, [width], false).into_value()
        });
        let parts: Vec<Tensor<1>> = parts.collect();
        let norm = Tensor::cat(parts, 0);
        Param::from_tensor(match self.locations.names.norms_are_factors {
            true if neutral != 1.0 => norm + (neutral - 1.0),
            _ => norm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_numbers_decide_the_stored_type() {
        let of = |tensors: &[(&'static str, usize)]| most_frequent(tensors.iter().copied());
        assert_eq!(of(&[("F32", 4), ("BF16", 9), ("F32", 4)]), FloatType::BF16);
        assert_eq!(of(&[("F16", 9), ("F32", 4), ("F32", 6)]), FloatType::F32);
        assert_eq!(of(&[("BF16", 9), ("F32", 9), ("F16", 9)]), FloatType::F32);
        assert_eq!(of(&[("I8", 9), ("F16", 8)]), FloatType::F32);
        assert_eq!(of(&[("F16", usize::MAX), ("F16", 8)]), FloatType::F16);
        assert_eq!(of(&[]), FloatType::F32);
    }

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
