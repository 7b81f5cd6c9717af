//! Filters of lists and dictionaries.

use std::rc::Rc;

use super::{folded, is_set, lookup};
use crate::args::{Args, int_of, required, size};
use crate::budget::Budget;
use crate::compare::{contains_value, equal, order, sort_by_key};
use crate::error::{Outcome, fail};
use crate::repr;
use crate::strings;
use crate::value::{Items, Value};

pub(super) fn run(
    name: &str,
    value: &Value,
    args: &Args,
    budget: &Budget,
) -> Outcome<Option<Value>> {
    Ok(Some(match name {
        "list" => {
            args.bind(name, &[])?;
            Value::list(value.iterate(budget)?)?
        }
        "first" | "last" => {
            args.bind(name, &[])?;
            end(name, value, budget)?
        }
        "join" => join(value, args, budget)?,
        "reverse" => reverse(value, args, budget)?,
        "sort" => {
            let names = ["reverse", "case_sensitive", "attribute"];
            let [reverse, case, attribute] = args.bind(name, &names)?;
            let case = is_set(case);
            let rows = value.iterate(budget)?;
            let keys = keys_of(attribute.as_ref());
            Value::list(sort_by_key(rows, is_set(reverse), budget, |row| {
                let keys = keys
                    .iter()
                    .map(|key| Ok(folded(lookup(row, key.as_ref(), budget)?, case)));
                Value::list(keys.collect::<Outcome<_>>()?)
            })?)?
        }
        "unique" => unique(value, args, budget)?,
        "min" | "max" => extreme(name, value, args, budget)?,
        "sum" => {
            let [attribute, start] = args.bind(name, &["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for row in value.iterate(budget)? {
                let row = lookup(&row, attribute.as_ref(), budget)?;
                if let (Value::Str(_), _) | (_, Value::Str(_)) = (&sum, &row) {
                    return fail("sum() can't sum strings [use ''.join(seq) instead]");
                }
                sum = super::sum(&sum, &row, budget)?;
            }
            sum
        }
        "map" if args.positional.is_empty() => {
            let [attribute, default] = args.bind(name, &["attribute", "default"])?;
            let Some(attribute) = attribute else {
                return fail("map requires a filter argument");
            };
            let found = value.iterate(budget)?.into_iter().map(|row| {
                let found = lookup(&row, Some(&attribute), budget)?;
                let is_missing = matches!(found, Value::Undefined(_));
                Ok(default.clone().filter(|_| is_missing).unwrap_or(found))
            });
            Value::iterator(found.collect::<Outcome<_>>()?)?
        }
        "map" => {
            let Some((filter, args)) = args.split_first() else {
                return fail("map requires a filter argument");
            };
            let filter = repr::text(&filter, budget)?;
            if !super::is_known(&filter) {
                return fail(format!("unknown filter {filter}"));
            }
            let rows = value.iterate(budget)?.into_iter();
            let found = rows.map(|row| budget.nested(|| super::run(&filter, &row, &args, budget)));
            Value::iterator(found.collect::<Outcome<_>>()?)?
        }
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, value, args, budget)?,
        "groupby" => group_by(value, args, budget)?,
        "batch" => batch(value, args, budget)?,
        "slice" => slice(value, args, budget)?,
        "items" => {
            args.bind(name, &[])?;
            match value {
                Value::Dict(dict) => Value::iterator(dict.items()?)?,
                Value::Undefined(_) => Value::iterator(Vec::new())?,
                _ => return fail("Can only get item pairs from a mapping."),
            }
        }
        "dictsort" => dict_sort(value, args, budget)?,
        _ => return Ok(None),
    }))
}

fn end(name: &str, value: &Value, budget: &Budget) -> Outcome<Value> {
    let found = match (name, value) {
        ("first", Value::Iterator(values, _)) => values.borrow_mut().pop_front(),
        ("last", Value::Iterator(..)) => return fail("'generator' object is not reversible"),
        (_, Value::List(items) | Value::Tuple(items)) => match name {
            "first" => items.values.first().cloned(),
            _ => items.values.last().cloned(),
        },
        _ => {
            let mut values = value.iterate(budget)?;
            match name {
                "first" => values.drain(..).next(),
                _ => values.pop(),
            }
        }
    };
    let none = || Value::undefined(format!("No {name} item, sequence was empty."));
    Ok(found.unwrap_or_else(none))
}

fn join(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [separator, attribute] = args.bind("join", &["d", "attribute"])?;
    let separator = match separator {
        Some(separator) => repr::text(&separator, budget)?,
        None => String::new(),
    };
    let parts = value.iterate(budget)?.into_iter().map(|row| {
        let row = lookup(&row, attribute.as_ref(), budget)?;
        Ok(match row {
            Value::Str(text) => text,
            other => repr::text(&other, budget)?.into(),
        })
    });
    let parts = parts.collect::<Outcome<Vec<Rc<str>>>>()?;
    strings::joined(&separator, &parts, budget)
}

fn reverse(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    args.bind("reverse", &[])?;
    if let Value::Str(text) = value {
        budget.text(text.len())?;
        return Ok(Value::str(text.chars().rev().collect::<String>()));
    }
    let mut values = value.iterate(budget)?;
    values.reverse();
    match value {
        // Of what Python cannot go through backwards, it makes a list.
        Value::Iterator(..) | Value::Undefined(_) => Value::list(values),
        _ => Value::iterator(values),
    }
}

/// Comma-separated attributes to sort by.
fn keys_of(attribute: Option<&Value>) -> Vec<Option<Value>> {
    match attribute {
        Some(Value::Str(text)) => text.split(',').map(|part| Some(Value::str(part))).collect(),
        other => vec![other.cloned()],
    }
}

fn unique(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [case, attribute] = args.bind("unique", &["case_sensitive", "attribute"])?;
    let case = is_set(case);
    let (mut seen, mut kept) = (Vec::new(), Vec::new());
    for row in value.iterate(budget)? {
        let key = folded(lookup(&row, attribute.as_ref(), budget)?, case);
        if !contains_value(&seen, &key, budget)? {
            seen.push(key);
            kept.push(row);
        }
    }
    Value::iterator(kept)
}

fn extreme(name: &str, value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [case, attribute] = args.bind(name, &["case_sensitive", "attribute"])?;
    let case = is_set(case);
    let key = |row: &Value| Ok(folded(lookup(row, attribute.as_ref(), budget)?, case));
    let mut rows = value.iterate(budget)?.into_iter();
    let Some(mut best) = rows.next() else {
        return Ok(Value::undefined("No aggregated item, sequence was empty."));
    };
    let mut best_key = key(&best)?;
    for row in rows {
        let row_key = key(&row)?;
        let is_better = match name {
            "min" => {
                order(&row_key, &best_key, "<", budget)?.is_some_and(std::cmp::Ordering::is_lt)
            }
            _ => order(&row_key, &best_key, ">", budget)?.is_some_and(std::cmp::Ordering::is_gt),
        };
        if is_better {
            (best, best_key) = (row, row_key);
        }
    }
    Ok(best)
}

/// Rows that pass a test, or whose attribute does, or that do not.
fn select(name: &str, value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let keeps = name.starts_with("select");
    let mut args = args.clone();
    let mut attribute = None;
    if name.ends_with("attr") {
        let Some((first, rest)) = args.split_first() else {
            return fail("Missing parameter for attribute name");
        };
        (attribute, args) = (Some(first), rest);
    }
    let test = args.split_first();
    let mut kept = Vec::new();
    for row in value.iterate(budget)? {
        let tested = lookup(&row, attribute.as_ref(), budget)?;
        let passes = match &test {
            None => tested.is_true(),
            Some((test, args)) => {
                let test = repr::text(test, budget)?;
                crate::tests::run(&test, &tested, args, budget)?
            }
        };
        if passes == keeps {
            kept.push(row);
        }
    }
    Value::iterator(kept)
}

fn group_by(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let names = ["attribute", "default", "case_sensitive"];
    let [attribute, default, case] = args.bind("groupby", &names)?;
    let attribute = required("groupby", "attribute", attribute)?;
    let case = is_set(case);
    let original = |row: &Value| {
        let found = lookup(row, Some(&attribute), budget)?;
        let is_missing = matches!(found, Value::Undefined(_));
        Ok(default.clone().filter(|_| is_missing).unwrap_or(found))
    };
    let key = |row: &Value| Ok(folded(original(row)?, case));
    let rows = sort_by_key(value.iterate(budget)?, false, budget, key)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    let mut last: Option<Value> = None;
    for row in rows {
        let row_key = key(&row)?;
        let is_same = match &last {
            Some(last) => equal(last, &row_key, budget)?,
            None => false,
        };
        match groups.last_mut() {
            Some((_, rows)) if is_same => rows.push(row),
            _ => groups.push((original(&row)?, vec![row])),
        }
        last = Some(row_key);
    }
    let group = |(grouper, rows)| {
        let mut items = Items::new(vec![grouper, Value::list(rows)?])?;
        items.is_group = true;
        Ok(Value::Tuple(Rc::new(items)))
    };
    Value::list(groups.into_iter().map(group).collect::<Outcome<_>>()?)
}

fn batch(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [count, fill] = args.bind("batch", &["linecount", "fill_with"])?;
    let count = size(int_of("batch", Some(required("batch", "linecount", count)?))?.unwrap_or(0));
    let rows = value.iterate(budget)?;
    let batches = match count {
        // Python finds no full batch, and never begins another.
        0 if rows.is_empty() => Vec::new(),
        0 => vec![rows],
        _ => rows.chunks(count).map(<[Value]>::to_vec).collect(),
    };
    let batches = batches.into_iter().map(|mut batch| {
        if let Some(fill) = fill.clone().filter(|fill| !matches!(fill, Value::None)) {
            budget.items(count.saturating_sub(batch.len()))?;
            batch.resize(count.max(batch.len()), fill);
        }
        Value::list(batch)
    });
    Value::iterator(batches.collect::<Outcome<_>>()?)
}

fn slice(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [slices, fill] = args.bind("slice", &["slices", "fill_with"])?;
    let slices = size(int_of("slice", Some(required("slice", "slices", slices)?))?.unwrap_or(0));
    if slices == 0 {
        return fail("integer division or modulo by zero");
    }
    budget.items(slices)?;
    let rows = value.iterate(budget)?;
    let (each, longer) = (rows.len() / slices, rows.len() % slices);
    let mut rows = rows.into_iter();
    let mut found = Vec::with_capacity(slices);
    for at in 0..slices {
        let mut slice: Vec<Value> = rows
            .by_ref()
            .take(each + usize::from(at < longer))
            .collect();
        if let Some(fill) = fill.clone().filter(|fill| !matches!(fill, Value::None))
            && at >= longer
        {
            slice.push(fill);
        }
        found.push(Value::list(slice)?);
    }
    Value::iterator(found)
}

fn dict_sort(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let names = ["case_sensitive", "by", "reverse"];
    let [case, by, reverse] = args.bind("dictsort", &names)?;
    let by = by.unwrap_or_else(|| Value::str("key"));
    let at = match by.as_str() {
        Some("key") => 0,
        Some("value") => 1,
        _ => return fail("You can only sort by either \"key\" or \"value\""),
    };
    let Value::Dict(dict) = value else {
        return match value {
            Value::Undefined(message) => fail(&**message),
            _ => fail(format!(
                "'{}' object has no attribute 'items'",
                value.type_name()
            )),
        };
    };
    let case = is_set(case);
    let sorted = sort_by_key(dict.items()?, is_set(reverse), budget, |pair| match pair {
        Value::Tuple(pair) => Ok(folded(pair.values[at].clone(), case)),
        other => Ok(other.clone()),
    });
    Value::list(sorted?)
}
