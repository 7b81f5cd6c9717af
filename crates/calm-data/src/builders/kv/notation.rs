//! Notation of the answers of arithmetic tasks.
//!
//! Operands are single tokens. An answer is written digit by digit from the units upwards, padded
//! to a fixed width, so that every digit depends only on digits already read or written. Negative
//! numbers are written as their ten's complement: with four digits, -12 is 9988, written `8 8 9 9`.
//! So the digits do not depend on the sign.

use super::{KvConfig, Operator};

/// Fixed-width, least-significant-first decimal numbers in complement notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notation {
    /// Digits of an answer.
    width: u32,
}

impl Notation {
    /// Wide enough for every value that expressions of this dataset can have.
    pub(super) fn for_values(config: &KvConfig) -> Self {
        let largest = i128::from(config.largest_value);
        let operands = config.operands[1] as u32;
        let bound = if config.operators.contains(&Operator::Times) {
            largest.pow(operands)
        } else {
            largest * i128::from(operands)
        };
        let mut width = 1;
        while 10i128.pow(width) <= 2 * bound {
            width += 1;
        }
        Self { width }
    }

    /// Digits of an answer.
    pub(super) fn width(self) -> usize {
        self.width as usize
    }

    /// `8 0 0 0` for 8.
    pub(super) fn write(self, value: i128) -> String {
        let mut rest = value.rem_euclid(10i128.pow(self.width));
        let mut digits = Vec::with_capacity(self.width());
        for _ in 0..self.width {
            digits.push((rest % 10).to_string());
            rest /= 10;
        }
        digits.join(" ")
    }

    /// The number that [`Notation::write`] wrote, or `None` if the text is not one.
    pub(super) fn read(self, text: &str) -> Option<i128> {
        // A longer text could overflow, whatever its first words are.
        if text.split(' ').count() != self.width() {
            return None;
        }
        let mut value = 0;
        for word in text.rsplit(' ') {
            let [digit @ b'0'..=b'9'] = word.as_bytes() else {
                return None;
            };
            value = 10 * value + i128::from(digit - b'0');
        }
        let modulus = 10i128.pow(self.width);
        Some(if 2 * value >= modulus {
            value - modulus
        } else {
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_start_with_the_units() {
        let notation = Notation::for_values(&KvConfig::laptop());
        assert_eq!(notation.write(8), "8 0 0 0");
        assert_eq!(notation.write(-12), "8 8 9 9");
        assert_eq!(notation.write(3940), "0 4 9 3");
    }

    #[test]
    fn only_whole_answers_are_read() {
        let notation = Notation::for_values(&KvConfig::laptop());
        for text in [
            "",
            "8",
            "8 0 0",
            "8 0 0 0 0",
            "8 0 0 x",
            "8 0 0 10",
            "8  0 0",
        ] {
            assert_eq!(notation.read(text), None, "{text:?}");
        }
    }

    #[test]
    fn no_text_is_too_long_to_be_refused() {
        let notation = Notation::for_values(&KvConfig::default());
        assert_eq!(notation.read(&vec!["9"; 50].join(" ")), None);
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(value in -4000i128..=4000) {
            let notation = Notation::for_values(&KvConfig::laptop());
            prop_assert_eq!(notation.read(&notation.write(value)), Some(value));
        }

        #[test]
        fn the_papers_products_fit(value in -(25_000i128.pow(6))..=25_000i128.pow(6)) {
            let notation = Notation::for_values(&KvConfig::default());
            prop_assert_eq!(notation.read(&notation.write(value)), Some(value));
        }
    }
}
