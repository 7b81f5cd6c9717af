//! Steps of cleaning source code, file by file.
//!
//! | step | drops |
//! | --- | --- |
//! | [`Licensed`] | files without a licence that is allowed |
//! | [`Vendored`] | copies of other projects |
//! | [`Generated`] | files that a program wrote |
//! | [`Lines`] | files with long lines |
//! | [`Letters`] | files with few letters and digits |
//! | [`Comments`] | files with hardly any comments, or with little else |
//! | [`Decontaminate`] | what is in a benchmark |
//! | [`PersonalData`] | nothing; it replaces names, addresses, keys and passwords |

mod comments;
mod generated;
mod licensed;
mod personal;
mod text;

use std::sync::Arc;

pub use comments::{Comments, comment_share};
pub use generated::{Generated, Vendored};
pub use licensed::Licensed;
pub use personal::{PersonalData, without_personal_data};
pub use text::{Letters, Lines};

use crate::DataError;
use crate::cleaning::contamination;
use crate::cleaning::steps::Decontaminate;
use crate::corpus::{CodeManifest, SourceFile, Step};

/// The steps of a manifest that are on, in their order.
///
/// # Errors
///
/// [`DataError`] if a setting is out of its range, or a benchmark cannot be read.
pub fn steps(manifest: &CodeManifest) -> Result<Vec<Box<dyn Step<SourceFile>>>, DataError> {
    let config = &manifest.steps;
    config.validate()?;
    let mut steps: Vec<Box<dyn Step<SourceFile>>> =
        vec![Box::new(Licensed::new(&manifest.licences)?)];
    if config.vendored {
        steps.push(Box::new(Vendored));
    }
    if config.generated {
        steps.push(Box::new(Generated));
    }
    if let Some(lines) = config.lines.on() {
        steps.push(Box::new(Lines(*lines)));
    }
    if let Some(letters) = config.letters.on() {
        steps.push(Box::new(Letters(*letters)));
    }
    if let Some(comments) = config.comments.on() {
        steps.push(Box::new(Comments(*comments)));
    }
    if let Some(decontaminate) = config.decontaminate.on()
        && !manifest.benchmarks.is_empty()
    {
        let texts = contamination(&manifest.benchmarks, decontaminate.n)?;
        steps.push(Box::new(Decontaminate(Arc::new(texts))));
    }
    if config.personal_data {
        steps.push(Box::new(PersonalData));
    }
    Ok(steps)
}
