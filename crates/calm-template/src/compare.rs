//! Equality and order, and what rests on them: the keys of dictionaries.

use std::cmp::Ordering;

use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::value::{Dict, Object, Value, View};

pub(crate) fn equal(a: &Value, b: &Value, budget: &Budget) -> Outcome<bool> {
    budget.step()?;
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => {
            budget.text(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            equal_rows(&a.values, &b.values, budget)?
        }
        (Value::Dict(a), Value::Dict(b)) => equal_dicts(a, b, budget)?,
        (Value::Range(a), Value::Range(b)) => {
            a.len() == b.len()
                && (a.len() == 0 || (a.start == b.start && (a.len() == 1 || a.step == b.step)))
        }
        (Value::View(View::Values, _), Value::View(View::Values, _)) => same(a, b),
        (Value::View(x, _), Value::View(y, _)) if x == y => {
            let (a, b) = (a.iterate(budget)?, b.iterate(budget)?);
            a.len() == b.len() && contains_all(&a, &b, budget)?
        }
        (Value::Object(_) | Value::Iterator(..), _) => same(a, b),
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn contains_all(a: &[Value], b: &[Value], budget: &Budget) -> Outcome<bool> {
    for value in b {
        if !contains_value(a, value, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn contains_value(values: &[Value], wanted: &Value, budget: &Budget) -> Outcome<bool> {
    for value in values {
        if equal(value, wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_rows(a: &[Value], b: &[Value], budget: &Budget) -> Outcome<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        if !equal(a, b, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_dicts(a: &Dict, b: &Dict, budget: &Budget) -> Outcome<bool> {
    if a.entries.len() != b.entries.len() {
        return Ok(false);
    }
    for (key, value) in &a.entries {
        match b.get(key, budget)? {
            Some(other) if equal(value, &other, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

impl Dict {
    /// Entries of which a later one replaces an earlier one with its key.
    pub(crate) fn of(
        entries: impl IntoIterator<Item = (Value, Value)>,
        budget: &Budget,
    ) -> Outcome<Self> {
        let mut dict = Self::default();
        for (key, value) in entries {
            match dict.position(&key, budget)? {
                Some(at) => dict.entries[at].1 = value,
                None => dict.entries.push((key, value)),
            }
        }
        Self::of_distinct(dict.entries)
    }

    pub(crate) fn get(&self, key: &Value, budget: &Budget) -> Outcome<Option<Value>> {
        let at = self.position(key, budget)?;
        Ok(at.map(|at| self.entries[at].1.clone()))
    }

    fn position(&self, key: &Value, budget: &Budget) -> Outcome<Option<usize>> {
        check_hashable(key, budget)?;
        budget.items(self.entries.len() / 4)?;
        for (at, (found, _)) in self.entries.iter().enumerate() {
            if equal(found, key, budget)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

/// Python takes no key that could change.
fn check_hashable(key: &Value, budget: &Budget) -> Outcome<()> {
    budget.step()?;
    match key {
        Value::List(_) | Value::Dict(_) => fail(format!("unhashable type: '{}'", key.type_name())),
        Value::Tuple(items) => {
            let mut keys = items.values.iter();
            keys.try_for_each(|key| check_hashable(key, budget))
        }
        _ => Ok(()),
    }
}

/// Whether both are one object.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    use std::rc::Rc;
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        // Small whole numbers and the texts of a template are one object each in Python.
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Tuple(a), Value::Tuple(b)) => {
            Rc::ptr_eq(a, b) || (a.values.is_empty() && b.values.is_empty())
        }
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Iterator(a, _), Value::Iterator(b, _)) => Rc::ptr_eq(a, b),
        (Value::Object(a), Value::Object(b)) => match (&**a, &**b) {
            (Object::Function(a), Object::Function(b)) => a == b,
            _ => Rc::ptr_eq(a, b),
        },
        _ => false,
    }
}

/// The order of two numbers; `None` if one is none, or not comparable.
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(whole), None) => whole_and_float(whole, b.as_float()?),
        (None, Some(whole)) => whole_and_float(whole, a.as_float()?).map(Ordering::reverse),
        (None, None) => a.as_float()?.partial_cmp(&b.as_float()?),
    }
}

/// Large whole numbers are not rounded to be compared.
fn whole_and_float(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.abs() >= 1e38 {
        return 0.0.partial_cmp(&float);
    }
    let truncated = float.trunc();
    let order = whole.cmp(&(truncated as i128));
    Some(order.then_with(|| truncated.partial_cmp(&float).unwrap_or(Ordering::Equal)))
}

/// The order of two values, of the operator of this name. `None` if neither is before the other, as
/// with a number that is none.
pub(crate) fn order(
    a: &Value,
    b: &Value,
    operator: &str,
    budget: &Budget,
) -> Outcome<Option<Ordering>> {
    budget.step()?;
    match (a, b) {
        (Value::Undefined(message), _) | (_, Value::Undefined(message)) => fail(&**message),
        (Value::Str(a), Value::Str(b)) => {
            budget.text(a.len().min(b.len()))?;
            Ok(Some(a.cmp(b)))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.values.iter().zip(&b.values) {
                if !equal(a, b, budget)? {
                    return order(a, b, operator, budget);
                }
            }
            Ok(Some(a.values.len().cmp(&b.values.len())))
        }
        _ if a.is_number() && b.is_number() => Ok(numbers(a, b)),
        _ => fail(format!(
            "'{operator}' not supported between instances of '{}' and '{}'",
            a.type_name(),
            b.type_name()
        )),
    }
}

/// Sorts by keys, in Python's order; equal ones stay as they are.
pub(crate) fn sort_by_key(
    values: Vec<Value>,
    is_reversed: bool,
    budget: &Budget,
    key: impl Fn(&Value) -> Outcome<Value>,
) -> Outcome<Vec<Value>> {
    let keyed = values.into_iter().map(|value| Ok((key(&value)?, value)));
    let mut keyed = keyed.collect::<Outcome<Vec<(Value, Value)>>>()?;
    let is_before = |a: &(Value, Value), b: &(Value, Value)| {
        let (a, b) = if is_reversed { (b, a) } else { (a, b) };
        Ok(order(&a.0, &b.0, "<", budget)? == Some(Ordering::Less))
    };
    merge_sort(&mut keyed, &is_before)?;
    Ok(keyed.into_iter().map(|(_, value)| value).collect())
}

/// The standard library's sort takes no comparison that may fail, or that is none for some values.
fn merge_sort<T: Clone>(
    values: &mut Vec<T>,
    is_before: &impl Fn(&T, &T) -> Outcome<bool>,
) -> Outcome<()> {
    if values.len() < 2 {
        return Ok(());
    }
    let mut right = values.split_off(values.len() / 2);
    merge_sort(values, is_before)?;
    merge_sort(&mut right, is_before)?;
    let mut left = std::mem::take(values).into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if is_before(b, a)? {
            &mut right
        } else {
            &mut left
        };
        values.extend(next.next());
    }
    values.extend(left.chain(right));
    Ok(())
}
