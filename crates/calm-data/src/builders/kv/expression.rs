//! Expressions over numbered operands, and their exact value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// `+`
    #[serde(rename = "+")]
    Plus,
    /// `-`
    #[serde(rename = "-")]
    Minus,
    /// `×`, which binds more tightly.
    #[serde(rename = "×")]
    Times,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "×",
        })
    }
}

/// Operands joined by operators, one fewer.
///
/// The value of six operands up to a million is below 10³⁶ and fits an `i128`.
pub(super) fn value(operands: &[u32], operators: &[Operator]) -> i128 {
    let mut sum = 0i128;
    let mut product = i128::from(operands[0]);
    for (operator, operand) in operators.iter().zip(&operands[1..]) {
        let operand = i128::from(*operand);
        match operator {
            Operator::Times => product *= operand,
            Operator::Plus => {
                sum += product;
                product = operand;
            }
            Operator::Minus => {
                sum += product;
                product = -operand;
            }
        }
    }
    sum + product
}

/// `a + b - c`, each operand written by `word`.
pub(super) fn text<W: fmt::Display>(
    operands: impl IntoIterator<Item = W>,
    operators: &[Operator],
) -> String {
    let mut text = String::new();
    for (position, operand) in operands.into_iter().enumerate() {
        if position > 0 {
            text.push_str(&format!(" {} ", operators[position - 1]));
        }
        text.push_str(&operand.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Operator::{Minus, Plus, Times};
    use super::*;

    #[test]
    fn times_binds_more_tightly() {
        assert_eq!(value(&[10, 22, 24], &[Plus, Minus]), 8);
        assert_eq!(value(&[2, 3, 4], &[Plus, Times]), 14);
        assert_eq!(value(&[20, 3, 4, 5], &[Minus, Times, Times]), -40);
        assert_eq!(value(&[7], &[]), 7);
    }

    #[test]
    fn the_largest_product_is_exact() {
        assert_eq!(value(&[25_000; 6], &[Times; 5]), 25_000i128.pow(6));
        assert_eq!(value(&[1_000_000; 6], &[Times; 5]), 10i128.pow(36));
    }

    #[test]
    fn expressions_keep_the_papers_form() {
        assert_eq!(text([10, 22, 24], &[Plus, Minus]), "10 + 22 - 24");
        assert_eq!(text(["kip"], &[]), "kip");
    }
}
