//! Low-resource languages (section 4.2 of the paper).

pub mod output;
pub mod world;
