//! Training through the public interface of the crate.

mod activations;
mod bridges;
mod chat;
mod common;
mod frozen;
mod loss_positions;
mod modes;
mod not_finite;
mod packed;
mod resume;
mod specialise;
mod stability;
mod streams;
mod validation;
mod workers;
