//! Version of the program.

/// The commit that the program was built from, if `CALM_COMMIT` was set at that time.
///
/// An installed program cannot ask git: that names the commit of whatever checkout it runs in. A
/// program that cargo has just built in its checkout can, see `commit` of `xtask`.
pub(super) fn commit() -> Option<&'static str> {
    option_env!("CALM_COMMIT")
}
