//! Expressions over the fields of a record.

use minijinja::Value;

use super::read::Fields;
use super::template::{environment, known, one_line, value_of_record};

/// An expression in the language of Jinja over the fields of a record, such as `keys | length`. It
/// knows the filters of a [`Template`](super::Template).
#[derive(Debug)]
pub struct Expression(minijinja::Expression<'static, 'static>);

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// The reason, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let compiled = environment().compile_expression_owned(text.to_owned());
        compiled.map(Self).map_err(one_line)
    }

    /// The value for a record, as text.
    ///
    /// # Errors
    ///
    /// The reason, in one line: a field that the record has not, or an operation that does not suit
    /// its value.
    pub fn text(&self, record: &Fields) -> Result<String, String> {
        known(self.0.undeclared_variables(false).iter(), record)?;
        let value = self.value(record)?;
        match value.is_undefined() {
            true => Err("it has no value".to_owned()),
            false => Ok(value.to_string()),
        }
    }

    /// Whether it holds for a record.
    pub(super) fn holds(&self, record: &Fields) -> Result<bool, String> {
        Ok(self.value(record)?.is_true())
    }

    fn value(&self, record: &Fields) -> Result<Value, String> {
        self.0.eval(value_of_record(record)).map_err(one_line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(expression: &str) -> Result<String, String> {
        let record = json!({"keys": ["<A>", "<B>"], "sum": -4, "prompt": "1 + 2 ="});
        let record = record.as_object().unwrap();
        Expression::parse(expression)?.text(record)
    }

    #[test]
    fn values_are_texts() {
        for (expression, expected) in [
            ("keys | length", "2"),
            ("keys | length > 1", "True"),
            ("'negative' if sum < 0 else 'positive'", "negative"),
            ("prompt | before(' ')", "1"),
            ("sum / 8", "-0.5"),
        ] {
            assert_eq!(text(expression).as_deref(), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn a_bad_expression_is_an_error_in_one_line() {
        for (expression, expected) in [
            ("keys |", "syntax error"),
            ("kys | length", "no field 'kys'; did you mean 'keys'?"),
            ("sum | length", "invalid operation"),
            ("keys[7]", "it has no value"),
            ("range(100000000) | list", "range"),
        ] {
            let reason = text(expression).unwrap_err();
            assert!(reason.contains(expected), "{expression}: {reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
