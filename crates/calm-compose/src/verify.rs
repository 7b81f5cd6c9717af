//! Comparison of a composition with values that another implementation computed.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use calm_backend::ops;
use calm_models::{Decoder, EXPECTED_FILE, LoadOptions, ModelSource, PaddingMask};

use crate::file::{NamedTensors, read_bytes};
use crate::{
    Bridges, ComposeError, ComposedModel, Composition, CompositionFile, FrozenParts, LoadedModel,
    ModelReference,
};

/// Expected values are kept for small models only.
pub(crate) const MAX_EXPECTED_BYTES: u64 = 1 << 30;

/// Gradients that are a smaller share of all of them together are held to this share: the bias of
/// keys, which shifts all scores of a row alike, has a gradient of nothing but rounding.
const SMALL_GRADIENT: f64 = 1e-3;

/// Deviation of one tensor from its expected values.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorDeviation {
    /// `logits`, `loss`, or `grad.` and the name of a parameter.
    pub name: String,
    /// `‖found - expected‖ / ‖expected‖` over all values that are numbers; of the logits, over
    /// real positions; of a gradient below a thousandth of all gradients together, as a share of
    /// that thousandth.
    pub relative: f64,
    /// Values that are not numbers.
    pub nan: usize,
}

/// Comparison of a composition with its expected values.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Logits, loss, and the gradient of every bridge parameter.
    pub deviations: Vec<TensorDeviation>,
}

impl Verification {
    /// Whether every tensor is within the relative `tolerance` and holds nothing but numbers.
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.deviations
            .iter()
            .all(|deviation| deviation.relative <= tolerance && deviation.nan == 0)
    }
}

/// Compares a composition with values computed elsewhere in `f32`.
///
/// `directory` is a composition with `expected.safetensors` beside it: `input_ids`,
/// `attention_mask` and `labels` (−100 where there is no loss) `[batch, seq]`, `logits`
/// `[batch, seq, vocab]`, `loss` `[1]`, the mean over the labels, and for every parameter
/// `grad.{name}`. The models are directories of `checkpoints`, by their paths in
/// `composition.json`.
///
/// # Errors
///
/// Those of [`Composition::open_over`], and [`ComposeError::Malformed`] if a tensor is missing,
/// unknown, or of another type or shape.
pub fn verify(
    directory: &Path,
    checkpoints: &Path,
    options: &LoadOptions,
) -> Result<Verification, ComposeError> {
    let composition = Composition::open_among(directory, checkpoints, options)?;
    composition.verify(&directory.join(EXPECTED_FILE))
}

impl Composition {
    /// Opens a composition over models that are directories of `checkpoints`, by their paths in
    /// `composition.json`.
    ///
    /// # Errors
    ///
    /// Those of [`Composition::open_over`] and [`LoadedModel::load`].
    pub fn open_among(
        directory: &Path,
        checkpoints: &Path,
        options: &LoadOptions,
    ) -> Result<Self, ComposeError> {
        let file = CompositionFile::read(directory)?;
        let load = |reference: &ModelReference| {
            let source = ModelSource::Path(checkpoints.join(&reference.path));
            LoadedModel::load(&source, options)
        };
        let augmenting = file.augmenting.iter().map(load).collect::<Result<_, _>>()?;
        Self::open_over(directory, load(&file.anchor)?, augmenting)
    }

    /// Compares it with the values of a file; see [`verify`].
    ///
    /// # Errors
    ///
    /// As [`verify`].
    pub fn verify(self, expected: &Path) -> Result<Verification, ComposeError> {
        let ComposedModel { parts, bridges } = self.model;
        let bridges = bridges.train();
        let bytes = read_bytes(expected, MAX_EXPECTED_BYTES)?;
        Expected::parse(expected, &bytes, &parts.anchor, &bridges)?.compare(&parts, &bridges)
    }
}

/// `expected.safetensors`.
struct Expected {
    batch: Batch,
    logits: TensorData,
    loss: TensorData,
    /// In the order of the parameters.
    gradients: Vec<TensorData>,
}

impl Expected {
    fn parse(
        path: &Path,
        bytes: &[u8],
        anchor: &Decoder,
        bridges: &Bridges,
    ) -> Result<Self, ComposeError> {
        let mut tensors = NamedTensors::parse(path, bytes)?;
        let vocab_size = anchor.config().vocab_size;
        let batch = Batch::take(&mut tensors, vocab_size);
        let [rows, seq] = batch.as_ref().map_or([0, 0], Batch::shape);
        let logits = tensors.take_f32("logits", &[rows, seq, vocab_size]);
        let loss = tensors.take_f32("loss", &[1]);
        // All are taken, whatever is wrong with one of them.
        let gradients: Vec<Option<TensorData>> = bridges
            .named_parameters()
            .into_iter()
            .map(|(name, data)| tensors.take_f32(&format!("grad.{name}"), data.shape()))
            .collect();
        tensors.finish()?;
        let reported = "what could not be taken is a problem, and problems are errors";
        Ok(Self {
            batch: batch.expect(reported),
            logits: logits.expect(reported),
            loss: loss.expect(reported),
            gradients: gradients
                .into_iter()
                .collect::<Option<_>>()
                .expect(reported),
        })
    }

    fn compare(
        &self,
        parts: &FrozenParts,
        bridges: &Bridges,
    ) -> Result<Verification, ComposeError> {
        let device = parts.anchor.device();
        let Computed {
            logits,
            loss,
            gradients,
        } = self.batch.computed(parts, bridges)?;
        let real = self.batch.real_positions(&device);
        let [loss, logits] = [
            deviation("loss", &loss, &self.loss, 0.0),
            deviation(
                "logits",
                &at_positions(logits, real.clone()),
                &at_positions(Tensor::from_data(self.logits.clone(), &device), real),
                0.0,
            ),
        ];
        let all = norm(self.gradients.iter().flat_map(TensorData::iter::<f64>));
        let gradients = gradients.iter().zip(&self.gradients);
        let gradients = gradients.map(|((name, found), expected)| {
            let name = format!("grad.{name}");
            deviation(&name, found, expected, SMALL_GRADIENT * all)
        });
        Ok(Verification {
            deviations: [logits, loss].into_iter().chain(gradients).collect(),
        })
    }
}

/// Outputs of a composition for a batch.
pub(crate) struct Computed {
    /// `[batch, seq, vocab]`.
    pub(crate) logits: Tensor<3>,
    /// `[1]`.
    pub(crate) loss: TensorData,
    /// The name and the gradient of every parameter of the bridges.
    pub(crate) gradients: Vec<(String, TensorData)>,
}

/// The batch that the expected values are for.
pub(crate) struct Batch {
    /// `[batch, seq]`, row by row.
    ids: Vec<i64>,
    padding: PaddingMask,
    /// Positions of the flattened `[batch * seq]` whose next token carries loss.
    loss_positions: Vec<i64>,
    /// That next token, for each of them.
    targets: Vec<i64>,
}

impl Batch {
    fn take(tensors: &mut NamedTensors<'_>, vocab_size: usize) -> Option<Self> {
        let ids = tensors.take_i64("input_ids");
        let mask = tensors.take_i64("attention_mask");
        let labels = tensors.take_i64("labels");
        let batch = Self::new(ids?, mask?, labels?, vocab_size);
        batch.map_err(|problem| tensors.problem(problem)).ok()
    }

    /// Ids, a mask that is not zero for real positions, and labels, each `[batch, seq]`.
    pub(crate) fn new(
        (shape, ids): ([usize; 2], Vec<i64>),
        (mask_shape, mask): ([usize; 2], Vec<i64>),
        (labels_shape, labels): ([usize; 2], Vec<i64>),
        vocab_size: usize,
    ) -> Result<Self, String> {
        if mask_shape != shape || labels_shape != shape {
            return Err(format!(
                "input_ids are {shape:?}, attention_mask {mask_shape:?} and labels \
                 {labels_shape:?}; all must be alike"
            ));
        }
        let in_vocabulary = |id: i64| usize::try_from(id).is_ok_and(|id| id < vocab_size);
        let [rows, seq] = shape;
        let loss_positions: Vec<usize> = (0..rows * seq)
            .filter(|at| at % seq + 1 < seq && labels[at + 1] != NO_LOSS)
            .collect();
        let targets: Vec<i64> = loss_positions.iter().map(|at| labels[at + 1]).collect();
        if let Some(id) = ids.iter().chain(&targets).find(|id| !in_vocabulary(**id)) {
            return Err(format!(
                "id {id} is outside the vocabulary of {vocab_size} tokens"
            ));
        }
        if targets.is_empty() {
            return Err("labels name no token that carries loss".to_owned());
        }
        Ok(Self {
            ids,
            padding: PaddingMask::new(rows, seq, |row, position| mask[row * seq + position] != 0),
            loss_positions: loss_positions.into_iter().map(|at| at as i64).collect(),
            targets,
        })
    }

    pub(crate) fn computed(
        &self,
        parts: &FrozenParts,
        bridges: &Bridges,
    ) -> Result<Computed, ComposeError> {
        let device = parts.anchor.device();
        let hidden = parts.hidden_states(bridges, self.ids(&device), &self.padding, None)?;
        let logits = parts.anchor.finish(hidden).cast(DType::F32);
        let loss = self.mean_loss(logits.clone(), &device);
        Ok(Computed {
            gradients: bridges.named_gradients(&loss.backward()),
            loss: loss.into_data(),
            logits: logits.inner(),
        })
    }

    fn shape(&self) -> [usize; 2] {
        [self.padding.batch(), self.padding.seq()]
    }

    fn ids(&self, device: &Device) -> Tensor<2, Int> {
        Tensor::from_data(TensorData::new(self.ids.clone(), self.shape()), device)
    }

    fn real_positions(&self, device: &Device) -> Tensor<1, Int> {
        let rows = (0..self.padding.batch()).flat_map(|row| self.padding.row(row));
        let real = rows.enumerate().filter(|(_, real)| **real);
        int_tensor(real.map(|(at, _)| at as i64).collect(), device)
    }

    fn mean_loss(&self, logits: Tensor<3>, device: &Device) -> Tensor<1> {
        let [rows, seq, vocab] = logits.dims();
        let positions = int_tensor(self.loss_positions.clone(), device);
        let logits = logits.reshape([rows * seq, vocab]).select(0, positions);
        let targets = int_tensor(self.targets.clone(), device);
        ops::cross_entropy_sum(logits, targets).div_scalar(self.targets.len() as f64)
    }
}

/// The label of a token that carries no loss.
pub(crate) const NO_LOSS: i64 = -100;

fn int_tensor(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn at_positions(values: Tensor<3>, positions: Tensor<1, Int>) -> TensorData {
    let [rows, seq, width] = values.dims();
    let values = values.reshape([rows * seq, width]);
    values.select(0, positions).into_data()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// Expected values with a smaller norm than `least` are held to this one.
fn deviation(name: &str, found: &TensorData, expected: &TensorData, least: f64) -> TensorDeviation {
    let (mut difference, mut norm, mut nan) = (0.0, 0.0, 0);
    for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
        if found.is_nan() {
            nan += 1;
        } else {
            difference += (found - expected).powi(2);
            norm += expected.powi(2);
        }
    }
    let relative = if difference == 0.0 {
        0.0 // Two tensors of zeros agree.
    } else {
        difference.sqrt() / norm.sqrt().max(least)
    };
    TensorDeviation {
        name: name.to_owned(),
        relative,
        nan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation_of(found: [f32; 3], expected: [f32; 3]) -> (f64, usize) {
        let deviation = deviation("x", &found.into(), &expected.into(), 0.0);
        (deviation.relative, deviation.nan)
    }

    #[test]
    fn values_that_are_no_numbers_are_counted_by_themselves() {
        assert_eq!(deviation_of([3.0, 4.5, 0.0], [3.0, 4.0, 0.0]), (0.1, 0));
        assert_eq!(
            deviation_of([3.0, 4.5, f32::NAN], [3.0, 4.0, 9.0]),
            (0.1, 1)
        );
        assert_eq!(deviation_of([0.0; 3], [0.0; 3]), (0.0, 0));
        assert_eq!(deviation_of([1.0; 3], [0.0; 3]), (f64::INFINITY, 0));
        let small = deviation("x", &[3e-9_f32, 0.0].into(), &[0.0_f32, 4e-9].into(), 5e-6);
        assert!((small.relative - 1e-3).abs() < 1e-6, "{small:?}");
        let expected_nan = deviation_of([1.0; 3], [f32::NAN; 3]).0;
        assert!(expected_nan.is_nan(), "and NaN is within no tolerance");
    }

    #[test]
    fn a_position_carries_the_loss_of_the_token_after_it() {
        let ids = ([2, 3], vec![5, 6, 7, 0, 8, 9]);
        let mask = ([2, 3], vec![1, 1, 1, 0, 1, 1]);
        // The first label of a row has no position that predicts it.
        let labels = ([2, 3], vec![5, NO_LOSS, 7, NO_LOSS, 8, NO_LOSS]);
        let batch = Batch::new(ids.clone(), mask.clone(), labels.clone(), 10).unwrap();
        assert_eq!(batch.loss_positions, [1, 3]);
        assert_eq!(batch.targets, [7, 8]);
        assert!(Batch::new(ids, mask, labels, 9).is_err_and(|e| e.contains("id 9")));
    }
}
