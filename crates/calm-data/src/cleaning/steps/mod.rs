//! Steps of cleaning that judge records one by one.
//!
//! | step | drops |
//! | --- | --- |
//! | [`Unicode`] | texts that were decoded wrongly; it cleans all others |
//! | [`Empty`] | records with an empty side |
//! | [`Length`] | texts that are too short or too long, pairs of very different lengths |
//! | [`ExpectedScript`] | texts in another script than that of their language |
//! | [`Identify`] | texts that a model finds in another language |
//! | [`Copied`] | pairs whose sides are the same |
//! | [`Numbers`] | pairs whose numbers differ |
//! | [`Addresses`] | pairs whose URLs or e-mail addresses differ |
//! | [`Decontaminate`] | what is in a benchmark |

mod addresses;
mod benchmarks;
mod copied;
mod empty;
mod identify;
mod length;
mod numbers;
mod script;
mod unicode;

use std::sync::Arc;

pub use addresses::{Addresses, same_addresses};
pub use benchmarks::Decontaminate;
pub use copied::{Copied, overlap};
pub use empty::Empty;
pub use identify::Identify;
pub use length::{Length, TextLength};
pub use numbers::{Numbers, number_agreement};
pub use script::{ExpectedScript, script_share};
pub use unicode::{Unicode, clean};

use super::benchmarks::contamination;
use crate::DataError;
use crate::corpus::{CorporaManifest, Step};

/// The steps of a manifest that are on, in their order.
///
/// # Errors
///
/// [`DataError`] if a setting is out of its range, or a benchmark or a model cannot be read.
pub fn steps(manifest: &CorporaManifest) -> Result<Vec<Box<dyn Step>>, DataError> {
    let config = &manifest.steps;
    config.validate()?;
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    if config.unicode {
        steps.push(Box::new(Unicode));
    }
    if config.empty {
        steps.push(Box::new(Empty));
    }
    if let Some(length) = config.length.on() {
        steps.push(Box::new(Length(*length)));
    }
    if let Some(script) = config.script.on() {
        steps.push(Box::new(ExpectedScript(*script)));
    }
    if let Some(identify) = &config.identify {
        steps.push(Box::new(Identify::new(identify, manifest.languages())?));
    }
    if let Some(copied) = config.copied.on() {
        steps.push(Box::new(Copied(*copied)));
    }
    if let Some(numbers) = config.numbers.on() {
        steps.push(Box::new(Numbers(*numbers)));
    }
    if config.urls {
        steps.push(Box::new(Addresses));
    }
    if let Some(decontaminate) = config.decontaminate.on()
        && !manifest.benchmarks.is_empty()
    {
        let texts = contamination(&manifest.benchmarks, decontaminate.n)?;
        steps.push(Box::new(Decontaminate(Arc::new(texts))));
    }
    Ok(steps)
}
