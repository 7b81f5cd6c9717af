//! Experiments from outside: files, runs, tables.

mod files;
mod languages;
mod report;
mod runs;
mod table_of_runs;
mod tables;
mod wide_tables;
