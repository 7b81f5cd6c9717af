//! The binary `calm` as a user runs it.

mod activations;
mod bad_input;
mod bridges;
mod chat;
mod common;
mod config;
#[cfg(all(unix, feature = "tui"))]
mod dashboard;
mod data_forms;
mod eval;
mod examples;
mod experiments;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(unix)]
mod full_disk;
mod habits;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
#[path = "../../../calm-models/tests/it/common/hub_server.rs"]
mod hub_server;
mod inspect;
mod measured;
#[cfg(unix)]
mod ntl;
mod output;
mod places;
mod precision;
mod previous_release;
mod report;
#[cfg(unix)]
mod resume;
mod runs;
mod score;
mod specialise;
mod threads;
mod training_bad_input;
mod training_data;
mod validation;
mod verify;
mod walk;
#[cfg(unix)]
mod workers;
