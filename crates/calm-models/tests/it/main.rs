//! Behaviour of the whole crate, through its public interface.

mod chat;
mod chosen;
mod common;
mod continuations;
mod damaged;
mod decoding;
mod families;
mod forms;
mod gguf;
mod gguf_hostile;
mod golden;
mod growing;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
mod info;
mod mapped;
mod save;
mod session;
mod settings;
mod text;
mod tokenizer_files;
mod training;
mod trees;
