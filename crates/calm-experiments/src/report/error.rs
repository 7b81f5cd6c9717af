//! Errors of reports.

use std::path::PathBuf;

use calm_files::FileError;

use crate::table::TableError;

/// A report that cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A page without the table of a report.
    #[error("{}: is no report of calm; a page that `calm report` wrote holds its table", path.display())]
    NoReport {
        /// The page.
        path: PathBuf,
    },
    /// A table that is damaged or cut off.
    #[error("{}: its table cannot be read: {reason}; make it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault, with its place.
        reason: String,
    },
    /// A table of another layout.
    #[error("{}: the table has layout {found}; this version reads layout {expected}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Layout of the file.
        found: u64,
        /// Layout of this version.
        expected: u32,
    },
    /// A file among several places.
    #[error(
        "{}: is a file, of which a report shows one alone; of several places, give directories of \
         evaluations",
        path.display()
    )]
    OneFile {
        /// The file.
        path: PathBuf,
    },
    /// Directories whose results make no table.
    #[error(transparent)]
    Table(Box<TableError>),
    /// The page's template and its values do not fit, which is a fault of this program.
    #[error("the page cannot be rendered: {0}")]
    Render(#[from] minijinja::Error),
    /// Compressing, or making rows, in memory.
    #[error("the report cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

impl From<TableError> for ReportError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}
