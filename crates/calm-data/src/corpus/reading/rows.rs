//! Rows of named fields, and what is made of them.

use super::Skip;

/// The fields of a row that are read.
pub(super) trait RowFields: Send {
    /// What they make.
    type Content;

    /// Their names, as paths into objects.
    fn paths(&self) -> &[Vec<String>];

    /// The index of the path at which there may be a list of texts. It is read as one text, with ` AND `
    /// between them.
    fn list(&self) -> Option<usize> {
        None
    }

    /// What these values make; that of null is empty.
    fn content(&self, values: Vec<String>) -> Result<Self::Content, Skip>;
}

/// What is put between the texts of a list.
pub(super) const BETWEEN: &str = " AND ";
