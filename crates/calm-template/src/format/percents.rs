//! `'%s' % value`

use super::spec::{Spec, padded};
use crate::args::size;
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::repr;
use crate::value::Value;

/// The text with its fields filled in.
pub(crate) fn percent(format: &str, args: &Value, budget: &Budget) -> Outcome<String> {
    let mut fields = Fields { args, at: 0 };
    let mut out = String::new();
    let mut rest = format;
    budget.text(format.len())?;
    while let Some((before, field)) = rest.split_once('%') {
        out.push_str(before);
        let (text, behind) = one_field(field, &mut fields, budget)?;
        out.push_str(&text);
        rest = behind;
    }
    out.push_str(rest);
    match fields.are_left() {
        true => fail("not all arguments converted during string formatting"),
        false => Ok(out),
    }
}

/// The values of the fields, in order.
struct Fields<'a> {
    args: &'a Value,
    at: usize,
}

impl Fields<'_> {
    fn next(&mut self) -> Outcome<Value> {
        let found = match self.args {
            Value::Tuple(items) => items.values.get(self.at).cloned(),
            single => (self.at == 0).then(|| single.clone()),
        };
        self.at += 1;
        found.map_or_else(|| fail("not enough arguments for format string"), Ok)
    }

    fn are_left(&self) -> bool {
        match self.args {
            Value::Tuple(items) => self.at < items.values.len(),
            Value::Dict(_) | Value::List(_) | Value::Undefined(_) | Value::Range(_) => false,
            _ => self.at == 0,
        }
    }
}

/// The text of a field, from behind its `%`, and what is behind it.
fn one_field<'a>(
    field: &'a str,
    fields: &mut Fields<'_>,
    budget: &Budget,
) -> Outcome<(String, &'a str)> {
    let mut rest = field;
    let mut named = None;
    if let Some(name) = rest.strip_prefix('(') {
        let Some((name, behind)) = name.split_once(')') else {
            return fail("incomplete format key");
        };
        let Value::Dict(dict) = fields.args else {
            return fail("format requires a mapping");
        };
        let Some(value) = dict.get(&Value::str(name), budget)? else {
            return fail(format!("'{name}'"));
        };
        named = Some(value);
        rest = behind;
    }
    let flags = rest.trim_start_matches(['-', '+', ' ', '#', '0']);
    let given = &rest[..rest.len() - flags.len()];
    rest = flags;
    let mut width = number(&mut rest, fields)?;
    let precision = match rest.strip_prefix('.') {
        Some(behind) => {
            rest = behind;
            Some(number(&mut rest, fields)?.unwrap_or(0))
        }
        None => None,
    };
    rest = rest.trim_start_matches(['h', 'l', 'L']);
    let Some(kind) = rest.chars().next() else {
        return fail("incomplete format");
    };
    rest = &rest[kind.len_utf8()..];
    if kind == '%' {
        return Ok(("%".to_owned(), rest));
    }
    let is_left = given.contains('-') || width.is_some_and(|width| width < 0);
    width = width.map(i128::abs);
    let spec = Spec {
        align: is_left.then_some('<'),
        sign: ['+', ' '].into_iter().find(|&sign| given.contains(sign)),
        is_alternate: given.contains('#'),
        has_zeros: given.contains('0') && !is_left,
        width: size(width.unwrap_or(0)),
        precision: precision.map(size),
        kind: Some(kind),
        ..Spec::default()
    };
    let value = match named {
        Some(value) => value,
        None => fields.next()?,
    };
    Ok((spec.percent(kind, &value, budget)?, rest))
}

/// Digits, or `*` for the next value.
fn number(rest: &mut &str, fields: &mut Fields<'_>) -> Outcome<Option<i128>> {
    if let Some(behind) = rest.strip_prefix('*') {
        *rest = behind;
        return match fields.next()?.as_int() {
            Some(whole) => Ok(Some(whole)),
            None => fail("* wants int"),
        };
    }
    let length = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, behind) = rest.split_at(length);
    *rest = behind;
    match digits.is_empty() {
        true => Ok(None),
        false => Ok(Some(digits.parse().unwrap_or(i128::MAX))),
    }
}

impl Spec {
    fn percent(&self, kind: char, value: &Value, budget: &Budget) -> Outcome<String> {
        budget.text(self.width)?;
        let align = self.align.unwrap_or('>');
        let plain = |text: String| padded(&text, self.width, ' ', align);
        let cut = |text: String| match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        };
        match kind {
            's' => Ok(plain(cut(repr::text(value, budget)?))),
            'r' | 'a' => Ok(plain(cut(repr::repr(value, budget)?))),
            'c' => match value {
                Value::Str(text) if text.chars().count() == 1 => Ok(plain(text.to_string())),
                Value::Int(code) => match u32::try_from(*code).ok().and_then(char::from_u32) {
                    Some(c) => Ok(plain(c.to_string())),
                    None => fail("%c arg not in range(0x110000)"),
                },
                _ => fail("%c requires int or char"),
            },
            'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
                let whole = match value {
                    Value::Float(number) if matches!(kind, 'd' | 'i' | 'u') => {
                        Some(number.trunc() as i128)
                    }
                    _ => value.as_int(),
                };
                let Some(whole) = whole else {
                    return self.no_number(kind, value);
                };
                let digits = Self {
                    kind: Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind }),
                    precision: None,
                    ..self.clone()
                };
                match self.precision {
                    None => digits.whole(whole, budget),
                    Some(precision) => self.with_digits(&digits, whole, precision, budget),
                }
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => match value.as_float() {
                Some(number) => self.float(number, budget),
                None => fail(format!("must be real number, not {}", value.type_name())),
            },
            _ => fail(format!("unsupported format character '{kind}'")),
        }
    }

    /// A whole number of at least so many digits.
    fn with_digits(
        &self,
        digits: &Self,
        whole: i128,
        precision: usize,
        budget: &Budget,
    ) -> Outcome<String> {
        budget.text(precision)?;
        let sign = usize::from(whole < 0 || self.sign.is_some());
        let zeros = Self {
            width: precision + sign,
            has_zeros: true,
            align: None,
            ..digits.clone()
        };
        let text = zeros.whole(whole, budget)?;
        Ok(padded(&text, self.width, ' ', self.align.unwrap_or('>')))
    }

    fn no_number(&self, kind: char, value: &Value) -> Outcome<String> {
        let wanted = match kind {
            'd' | 'i' | 'u' => "a real number",
            _ => "an integer",
        };
        fail(format!(
            "%{kind} format: {wanted} is required, not {}",
            value.type_name()
        ))
    }
}
