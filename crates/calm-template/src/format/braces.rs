//! `'{}'.format(value)`

use super::spec::Spec;
use crate::args::Args;
use crate::attributes;
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::repr;
use crate::value::Value;

/// The values of the fields: by number, by name, or by the keys of a mapping.
pub(crate) struct Fields<'a> {
    pub(crate) args: &'a Args,
    pub(crate) mapping: Option<&'a Value>,
    next: usize,
    is_numbered: bool,
}

/// The text with its fields filled in.
pub(crate) fn braces(
    format: &str,
    args: &Args,
    mapping: Option<&Value>,
    budget: &Budget,
) -> Outcome<String> {
    let mut fields = Fields {
        args,
        mapping,
        next: 0,
        is_numbered: false,
    };
    fields.fill(format, 3, budget)
}

impl Fields<'_> {
    fn fill(&mut self, format: &str, depth: usize, budget: &Budget) -> Outcome<String> {
        if depth == 0 {
            return fail("Max string recursion exceeded");
        }
        budget.text(format.len())?;
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = behind;
                continue;
            }
            if brace == "}" {
                return fail("Single '}' encountered in format string");
            }
            let end = field_end(rest)?;
            let text = self.field(&rest[..end], depth, budget)?;
            out.push_str(&text);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A field without its braces: `name!conversion:spec`.
    fn field(&mut self, field: &str, depth: usize, budget: &Budget) -> Outcome<String> {
        let mut within = 0;
        let end = field.find(|c| {
            within += i32::from(c == '[') - i32::from(c == ']');
            within <= 0 && matches!(c, '!' | ':')
        });
        let (name, rest) = field.split_at(end.unwrap_or(field.len()));
        let (conversion, spec) = match rest.strip_prefix('!') {
            Some(rest) => match rest.split_once(':') {
                Some((conversion, spec)) => (Some(conversion), spec),
                None => (Some(rest), ""),
            },
            None => (None, rest.strip_prefix(':').unwrap_or("")),
        };
        let mut value = self.value(name, budget)?;
        match conversion {
            None => {}
            Some("s") => value = Value::str(repr::text(&value, budget)?),
            Some("r" | "a") => value = Value::str(repr::repr(&value, budget)?),
            Some(other) => return fail(format!("Unknown conversion specifier '{other}'")),
        }
        let spec = self.fill(spec, depth - 1, budget)?;
        match spec.is_empty() {
            true => repr::text(&value, budget),
            false => Spec::parse(&spec)?.apply(&value, budget),
        }
    }

    /// The value of `name.attribute[index]`.
    fn value(&mut self, name: &str, budget: &Budget) -> Outcome<Value> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        let mut value = self.first(first, budget)?;
        while !rest.is_empty() {
            if let Some(attribute) = rest.strip_prefix('.') {
                let end = attribute.find(['.', '[']).unwrap_or(attribute.len());
                value = attributes::attribute(&value, &attribute[..end], budget)?;
                rest = &attribute[end..];
            } else {
                let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let Some((index, behind)) = inner else {
                    return fail("Missing ']' in format string");
                };
                let index = match index.parse() {
                    Ok(number) => Value::Int(number),
                    Err(_) => Value::str(index),
                };
                value = attributes::item(&value, &index, budget)?;
                rest = behind;
            }
        }
        Ok(value)
    }

    fn first(&mut self, name: &str, budget: &Budget) -> Outcome<Value> {
        let number = match name {
            "" => {
                if self.is_numbered {
                    return fail(
                        "cannot switch from manual field specification to automatic field numbering",
                    );
                }
                self.next += 1;
                Some(self.next - 1)
            }
            _ => name.parse().ok(),
        };
        if !name.is_empty() && number.is_some() {
            if self.next > 0 {
                return fail(
                    "cannot switch from automatic field numbering to manual field specification",
                );
            }
            self.is_numbered = true;
        }
        if let Some(mapping) = self.mapping {
            let key = Value::str(name);
            let Some(value) = crate::ops::item(mapping, &key, budget)? else {
                return fail(format!("'{name}'"));
            };
            return Ok(value);
        }
        let found = match number {
            Some(number) => self.args.positional.get(number),
            None => self.args.named(name),
        };
        match (found, number) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(number)) => fail(format!(
                "Replacement index {number} out of range for positional args tuple"
            )),
            (None, None) => fail(format!("'{name}'")),
        }
    }
}

/// Place of the brace that closes a field.
fn field_end(field: &str) -> Outcome<usize> {
    let mut open = 0;
    for (at, c) in field.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Ok(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    fail("expected '}' before end of string")
}
