//! Reports of tables: a page, Markdown, CSV, and text for a terminal.
//!
//! [`html`] makes one file that shows everything and holds the table itself; [`read`] gets the table
//! back, from such a page as from an experiment's directory.

mod bands;
mod csv;
mod error;
mod html;
mod markdown;
mod numbers;
mod read;
mod sheet;
mod terminal;
mod visible;

pub use csv::csv;
pub use error::ReportError;
pub use html::{html, table_of};
pub use markdown::markdown;
pub use read::{FILE, json, read};
pub use terminal::terminal;
pub use visible::visible;
