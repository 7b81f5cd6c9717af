//! Training through the public interface of the crate.

mod activations;
mod common;
mod frozen;
mod loss_positions;
mod modes;
mod not_finite;
mod resume;
mod streams;
mod validation;
mod workers;
