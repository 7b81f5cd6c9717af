//! Checks of settings.

use crate::TrainError;

/// The first rule that does not hold, as an error.
pub(super) fn check<const N: usize>(
    rules: [(&'static str, bool, &'static str); N],
) -> Result<(), TrainError> {
    match rules.into_iter().find(|(_, holds, _)| !holds) {
        Some((setting, _, reason)) => Err(TrainError::setting(setting, reason)),
        None => Ok(()),
    }
}

/// Checks that nothing that has to be given is missing.
pub(super) fn require(settings: &[(&'static str, bool)]) -> Result<(), TrainError> {
    let missing = settings.iter().filter(|(_, is_given)| !is_given);
    let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
    match missing.as_slice() {
        [] => Ok(()),
        _ => Err(TrainError::Missing {
            settings: missing.join(", --"),
        }),
    }
}
