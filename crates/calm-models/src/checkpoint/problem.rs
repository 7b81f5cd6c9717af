//! Faults of single tensors of a checkpoint.

use calm_backend::FloatType;

/// One disagreement between a checkpoint's tensors and its configuration. Names that a file brings
/// are escaped: an error is one line, whatever they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightProblem {
    /// The configuration asks for a tensor that no file holds.
    #[error("tensor {name} is missing{}", hint(near_miss))]
    Missing {
        /// Its name.
        name: String,
        /// A tensor left over whose name comes close.
        near_miss: Option<String>,
    },
    /// A tensor that the model has no place for.
    #[error("tensor {} is not part of this model", name.escape_debug())]
    Surplus {
        /// Its name.
        name: String,
    },
    /// Two files hold a tensor of the same name.
    #[error("tensor {} is in two files", name.escape_debug())]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape.
    #[error("tensor {name} has shape {found:?}, the configuration implies {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape that the configuration implies, as stored.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor whose numbers are of a type that weights are not stored in.
    #[error("tensor {name} is stored as {found}, {}", remedy(found))]
    Type {
        /// Its name.
        name: String,
        /// The type in the file.
        found: String,
    },
    /// A tensor holds NaN, an infinity, or a number too large for the type computed in.
    #[error("tensor {name} holds a number that is not finite in {dtype}")]
    NotFinite {
        /// Its name.
        name: String,
        /// The type computed in.
        dtype: FloatType,
    },
}

/// The way out for numbers of a type that weights are not read in.
fn remedy(found: &str) -> &'static str {
    match found {
        "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => {
            "8 bits with scales of their own; take the model in 16 bits, or let transformers \
             dequantise it and save it as bfloat16"
        }
        "I8" | "U8" | "I16" | "U16" | "I32" | "U32" | "I64" | "U64" => {
            "whole numbers, as quantised weights are; take the model in 16 bits, or let \
             transformers dequantise it and save it as bfloat16"
        }
        _ => "which is no type of weights; F32, F16, BF16 and F64 can be read",
    }
}

fn hint(near_miss: &Option<String>) -> String {
    match near_miss {
        Some(name) => format!(" (there is a {})", name.escape_debug()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_do_not_break_lines() {
        let name = || "a\nb".to_owned();
        let problems = [
            WeightProblem::Missing {
                name: "ab".to_owned(),
                near_miss: Some(name()),
            },
            WeightProblem::Surplus { name: name() },
            WeightProblem::Duplicate { name: name() },
        ];
        for problem in problems {
            assert!(problem.to_string().contains("a\\nb"), "{problem}");
        }
    }
}
