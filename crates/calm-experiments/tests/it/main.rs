//! Tests of experiments from outside.

mod report;
mod table_of_runs;
mod tables;
mod wide_tables;
