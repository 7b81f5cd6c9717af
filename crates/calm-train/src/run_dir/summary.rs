//! The measure of a run, and its result.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Metric;
use super::records::number_or_nan;

/// A model whose loss shows what training was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReferenceModel {
    /// The anchor of a composition without any bridge.
    AnchorAlone,
    /// The composition that is extended, or trained further.
    CompositionBefore,
    /// The checkpoint that is trained.
    ModelBefore,
    /// Random weights.
    UntrainedModel,
}

/// The loss of such a model on the data that a run is measured on, taken before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceLoss {
    /// The model.
    pub model: ReferenceModel,
    /// Mean cross-entropy per target token, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f64,
    /// Examples that it is the mean over.
    pub examples: usize,
    /// Whether these are held out. Otherwise they are the first that are trained on.
    pub held_out: bool,
}

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Losses to compare with. The last is that of the parameters that training began with.
    pub references: Vec<ReferenceLoss>,
    /// Loss of the result, in nats per target token: held out at its step, or else the mean over
    /// the last tenth of the steps.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f64,
    /// Its exponential.
    #[serde(deserialize_with = "number_or_nan")]
    pub perplexity: f64,
    /// Score of the result, if one is measured.
    pub metric: Option<Metric>,
    /// Whether the losses are those of held-out examples.
    pub held_out: bool,
    /// Number of examples that the references, and the loss if it is held out, are means over.
    pub examples: usize,
    /// Step whose parameters are the result.
    pub best_step: usize,
}

impl fmt::Display for ReferenceModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AnchorAlone => "anchor alone",
            Self::CompositionBefore => "composition before",
            Self::ModelBefore => "model before",
            Self::UntrainedModel => "untrained model",
        })
    }
}

/// `anchor alone: loss 1.26 nats per token (perplexity 3.53) on 64 held-out examples`.
impl fmt::Display for ReferenceLoss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.held_out {
            "held-out"
        } else {
            "training"
        };
        write!(
            formatter,
            "{}: loss {} nats per token (perplexity {}) on {} {kind} examples",
            self.model,
            number(self.loss),
            number(self.loss.exp()),
            self.examples
        )
    }
}

/// `held-out loss 1.26 (anchor alone) → 1.19 nats per token, perplexity 3.53 → 3.29, 64 examples,
/// best step 180`.
impl fmt::Display for RunSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.held_out {
            "held-out loss "
        } else {
            "training loss "
        })?;
        for reference in &self.references {
            let loss = number(reference.loss);
            write!(formatter, "{loss} ({}) → ", reference.model)?;
        }
        write!(
            formatter,
            "{} nats per token, perplexity ",
            number(self.loss)
        )?;
        for reference in &self.references {
            write!(formatter, "{} → ", number(reference.loss.exp()))?;
        }
        write!(formatter, "{}, ", number(self.perplexity))?;
        if let Some(Metric { name, value }) = &self.metric {
            write!(formatter, "{name} {:.1} %, ", 100.0 * value)?;
        }
        let (examples, step) = (self.examples, self.best_step);
        match self.held_out {
            true => write!(formatter, "{examples} examples, best step {step}"),
            false => write!(
                formatter,
                "the first on {examples} examples, the last over the last tenth of the steps"
            ),
        }
    }
}

/// Three significant digits, at least.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs().max(1e-6).log10().floor();
    let digits = (2.0 - magnitude).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::super::{Event, EventKind};
    use super::*;

    fn reference(model: ReferenceModel, loss: f64) -> ReferenceLoss {
        ReferenceLoss {
            model,
            loss,
            examples: 64,
            held_out: true,
        }
    }

    #[test]
    fn a_run_is_summed_up_in_one_line() {
        let anchor = reference(ReferenceModel::AnchorAlone, 1.2613);
        assert_eq!(
            anchor.to_string(),
            "anchor alone: loss 1.26 nats per token (perplexity 3.53) on 64 held-out examples"
        );
        let before = reference(ReferenceModel::CompositionBefore, 1.22);
        let mut summary = RunSummary {
            references: vec![anchor],
            loss: 1.191,
            perplexity: 1.191f64.exp(),
            metric: None,
            held_out: true,
            examples: 64,
            best_step: 180,
        };
        assert_eq!(
            summary.to_string(),
            "held-out loss 1.26 (anchor alone) → 1.19 nats per token, perplexity 3.53 → 3.29, \
             64 examples, best step 180"
        );
        summary.references.push(before);
        let (name, value) = ("exact".to_owned(), 0.875);
        summary.metric = Some(Metric { name, value });
        assert_eq!(
            summary.to_string(),
            "held-out loss 1.26 (anchor alone) → 1.22 (composition before) → 1.19 nats per token, \
             perplexity 3.53 → 3.39 → 3.29, exact 87.5 %, 64 examples, best step 180"
        );
        for kind in [
            EventKind::Reference(summary.references[0].clone()),
            EventKind::Summary(summary),
        ] {
            let event = Event::now(200, kind);
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(
                serde_json::from_str::<Event>(&line).unwrap(),
                event,
                "{line}"
            );
        }
    }

    #[test]
    fn small_and_large_numbers_keep_their_digits() {
        let written = [0.001_234, 0.0589, 1.0, 12.34, 50_257.3].map(number);
        assert_eq!(written, ["0.00123", "0.0589", "1.00", "12.3", "50257"]);
    }
}
