//! Composition of frozen language models (CALM, arXiv 2401.02412): the crates of this workspace
//! under one roof. The binary `calm` is built from here.
//!
//! | module | holds |
//! | --- | --- |
//! | [`backend`] | devices by name, number types, transformer operations |
//! | [`models`] | frozen decoders from Hugging Face directories |
//! | [`compose`] | bridges between frozen models |
//! | [`data`] | dataset builders and batches |
//! | [`train`] | the training loop |
//! | [`sandbox`] | generated programs in a process without rights |
//! | [`eval`] | metrics and tasks |
//! | [`files`] | files written whole or not at all, hashes, locks |
//! | [`chart`] | curves as pictures |
//! | [`terminal`] | progress, Ctrl-C and warnings of programs with a terminal |

pub use calm_backend as backend;
pub use calm_compose as compose;
pub use calm_data as data;
pub use calm_eval as eval;
pub use calm_files as files;
pub use calm_models as models;
pub use calm_sandbox as sandbox;
pub use calm_train as train;

pub mod chart;
pub mod terminal;
