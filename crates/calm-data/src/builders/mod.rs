//! Builders of datasets, one folder each.

pub mod kv;
