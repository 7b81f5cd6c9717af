//! Tests of experiments from outside.
