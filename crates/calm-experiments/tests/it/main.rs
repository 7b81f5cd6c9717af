//! Tests of experiments from outside.

mod report;
mod tables;
mod wide_tables;
