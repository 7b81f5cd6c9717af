//! Which program this is.

/// The commit, if whoever built the program set `CALM_COMMIT` meanwhile. Asking git instead would
/// name the commit of some other checkout, or one that the files have left behind.
pub(super) fn commit() -> Option<&'static str> {
    option_env!("CALM_COMMIT")
}

/// `calm 0.1.0`, followed by the commit if it is known.
pub(super) fn program() -> String {
    let version = concat!("calm ", env!("CARGO_PKG_VERSION"));
    commit().map_or_else(
        || version.to_owned(),
        |commit| format!("{version} ({commit})"),
    )
}
