//! Lines on standard error.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error. If that is closed, nobody reads the line, and it is dropped.
pub fn write_line(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
