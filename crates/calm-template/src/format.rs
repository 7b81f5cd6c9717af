//! `'%s' % value` and `'{}'.format(value)`.

mod braces;
mod percents;
mod spec;

pub(crate) use braces::braces;
pub(crate) use percents::percent;
pub(crate) use spec::{fixed, padded};
