//! Tests of experiments from outside.

mod tables;
