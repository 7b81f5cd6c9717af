//! Tables as data: experiment files, a runner, statistics and reports.

pub mod table;
