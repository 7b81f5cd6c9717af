//! Losses that a run is measured by.

use burn::module::Module;
use calm_data::Batch;
use calm_models::Decoder;

use super::data::MeasuredData;
use crate::{LanguageModelling, Objective, Reference, ReferenceModel, TrainError};

/// The loss of a decoder by itself.
pub(super) fn of_decoder(
    model: ReferenceModel,
    decoder: &Decoder,
    data: MeasuredData,
) -> Reference<'_> {
    let objective = LanguageModelling::default();
    reference(model, data, move |batch| {
        objective.loss(decoder, batch).into_scalar()
    })
}

/// The loss of an objective with these parameters, without their gradients.
pub(super) fn of_objective<'a, O: Objective>(
    model: ReferenceModel,
    objective: &'a O,
    parameters: &O::Parameters,
    data: MeasuredData,
) -> Reference<'a>
where
    O::Parameters: 'a,
{
    let parameters = parameters.valid();
    reference(model, data, move |batch| {
        objective.loss(&parameters, batch).into_scalar()
    })
}

fn reference<'a>(
    model: ReferenceModel,
    data: MeasuredData,
    loss: impl Fn(&Batch) -> f32 + 'a,
) -> Reference<'a> {
    let (examples, held_out, batches) = (data.examples, data.held_out, data.batches);
    let measure = move || {
        let sum: f64 = batches.iter().map(|batch| f64::from(loss(batch))).sum();
        let target_tokens: usize = batches.iter().map(Batch::target_tokens).sum();
        Ok::<_, TrainError>(sum / target_tokens as f64)
    };
    Reference {
        model,
        examples,
        held_out,
        measure: Box::new(measure),
    }
}
