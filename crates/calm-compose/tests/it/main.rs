//! Behaviour of the whole crate, through its public interface.

mod common;
mod composed;
mod file;
mod foreign;
mod golden;
mod gradients;
mod kinds;
mod load;
mod lora;
mod modes;
mod options;
mod python;
mod schema;
mod session;
mod streams;
mod torch;
mod trace;
