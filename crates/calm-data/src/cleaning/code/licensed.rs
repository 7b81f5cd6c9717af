//! Files whose licence allows their use.

use crate::DataError;
use crate::corpus::code::Allowed;
use crate::corpus::{LicencesConfig, SourceFile, Step, Verdict};

/// Drops files whose licence is not allowed, or unknown.
#[derive(Debug, Clone)]
pub struct Licensed {
    allowed: Allowed,
    unknown: bool,
}

impl Licensed {
    /// Allows these licences.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming what SPDX does not know.
    pub fn new(config: &LicencesConfig) -> Result<Self, DataError> {
        let allowed = Allowed::new(&config.allow).map_err(|name| {
            DataError::setting(
                "licences",
                "allow",
                format!("'{name}'"),
                "names of SPDX, such as \"Apache-2.0\"",
            )
        })?;
        Ok(Self {
            allowed,
            unknown: config.unknown,
        })
    }
}

impl Step<SourceFile> for Licensed {
    fn name(&self) -> &'static str {
        "licences"
    }

    fn apply(&self, file: &mut SourceFile) -> Verdict {
        match &file.licence {
            Some(licence) if self.allowed.allows(licence) => Verdict::Keep,
            Some(licence) => Verdict::Drop(licence.to_string().into()),
            None if self.unknown => Verdict::Keep,
            None => Verdict::Drop("of no known licence".into()),
        }
    }
}
