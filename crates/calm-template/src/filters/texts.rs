//! Filters that make texts.

use super::is_set;
use crate::args::{Args, int_of, required, size, text_of};
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::format::percent;
use crate::repr;
use crate::strings;
use crate::text;
use crate::value::{Dict, Value};

/// Width of a line of `pprint`.
const LINE: usize = 80;

/// By how much a text may be too long for `truncate`.
const LEEWAY: i128 = 5;

pub(super) fn run(
    name: &str,
    value: &Value,
    args: &Args,
    budget: &Budget,
) -> Outcome<Option<Value>> {
    let plain = |write: fn(&str) -> String| {
        args.bind(name, &[])?;
        Ok(Some(Value::str(write(&repr::text(value, budget)?))))
    };
    Ok(Some(match name {
        "upper" => return plain(str::to_uppercase),
        "lower" => return plain(str::to_lowercase),
        "capitalize" => return plain(text::capitalize),
        "title" => return plain(title),
        "string" | "safe" => return plain(str::to_owned),
        "e" | "escape" | "forceescape" => return plain(text::escape_html),
        "striptags" => return plain(without_tags),
        "wordcount" => {
            args.bind(name, &[])?;
            let text = repr::text(value, budget)?;
            let is_word = |c: char| c == '_' || text::is_alnum(c);
            let words = text.split(|c: char| !is_word(c));
            Value::Int(words.filter(|word| !word.is_empty()).count() as i128)
        }
        "trim" => {
            let [chars] = args.bind(name, &["chars"])?;
            let chars = chars.filter(|chars| !matches!(chars, Value::None));
            let chars = chars.map(|chars| text_of(name, &chars)).transpose()?;
            let text = repr::text(value, budget)?;
            Value::str(strings::stripped(&text, chars.as_deref(), "strip"))
        }
        "center" => {
            let [width] = args.bind(name, &["width"])?;
            let width = size(int_of(name, width)?.unwrap_or(80));
            budget.text(width)?;
            Value::str(strings::centered(&repr::text(value, budget)?, width, ' '))
        }
        "replace" => {
            let [old, new, count] = args.bind(name, &["old", "new", "count"])?;
            let old = repr::text(&required(name, "old", old)?, budget)?;
            let new = repr::text(&required(name, "new", new)?, budget)?;
            let count = int_of(name, count)?.unwrap_or(-1);
            let text = repr::text(value, budget)?;
            Value::str(strings::replaced(&text, &old, &new, count, budget)?)
        }
        "format" => {
            let format = repr::text(value, budget)?;
            let filled = match (args.positional.is_empty(), args.named.is_empty()) {
                (false, false) => {
                    return fail("can't handle positional and keyword arguments at the same time");
                }
                (true, false) => {
                    let named = args.named.iter();
                    let named =
                        named.map(|(name, value)| (Value::Str(name.clone()), value.clone()));
                    let fields = Dict::of_distinct(named.collect())?;
                    percent(&format, &Value::Dict(fields.into()), budget)?
                }
                _ => percent(&format, &Value::tuple(args.positional.clone())?, budget)?,
            };
            Value::str(filled)
        }
        "indent" => indent(value, args, budget)?,
        "truncate" => truncate(value, args, budget)?,
        "urlencode" => {
            args.bind(name, &[])?;
            url_encode(value, budget)?
        }
        "xmlattr" => xml_attributes(value, args, budget)?,
        "pprint" => {
            args.bind(name, &[])?;
            let text = repr::repr(&sorted(value, budget)?, budget)?;
            if text.chars().count() > LINE {
                return fail("the filter pprint is not supported for values of several lines");
            }
            Value::str(text)
        }
        _ => return Ok(None),
    }))
}

/// Words begin behind white space, hyphens and opening brackets.
fn title(text: &str) -> String {
    let is_between = |c: char| text::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    for c in text.chars() {
        match is_inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        is_inside = !is_between(c);
    }
    out
}

fn indent(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [width, first, blank] = args.bind("indent", &["width", "first", "blank"])?;
    let indentation = match &width {
        Some(Value::Str(text)) => text.to_string(),
        _ => {
            let width = size(int_of("indent", width)?.unwrap_or(4));
            budget.text(width)?;
            " ".repeat(width)
        }
    };
    let text = text_of("indent", value)?;
    let lines = text::lines(&text);
    budget.text(
        (lines.len() + 1)
            .saturating_mul(indentation.len())
            .saturating_add(text.len()),
    )?;
    let mut lines: Vec<&str> = lines.into_iter().map(|(line, _)| line).collect();
    if text.is_empty() || text.ends_with('\n') {
        lines.push("");
    }
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let is_indented = match at {
            0 => is_set(first.clone()),
            _ => is_set(blank.clone()) || !line.is_empty(),
        };
        out.push_str(if at > 0 { "\n" } else { "" });
        out.push_str(if is_indented { &indentation } else { "" });
        out.push_str(line);
    }
    Ok(Value::str(out))
}

fn truncate(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let names = ["length", "killwords", "end", "leeway"];
    let [length, killwords, end, leeway] = args.bind("truncate", &names)?;
    let length = int_of("truncate", length)?.unwrap_or(255);
    let leeway = int_of("truncate", leeway)?.unwrap_or(LEEWAY);
    let end = match end {
        Some(end) => text_of("truncate", &end)?,
        None => "...".into(),
    };
    let text = text_of("truncate", value)?;
    budget.text(text.len())?;
    let ending = end.chars().count() as i128;
    if length < ending {
        return fail(format!("expected length >= {ending}, got {length}"));
    }
    if leeway < 0 {
        return fail(format!("expected leeway >= 0, got {leeway}"));
    }
    if text.chars().count() as i128 <= length.saturating_add(leeway) {
        return Ok(Value::Str(text));
    }
    let kept: String = text.chars().take(size(length - ending)).collect();
    let kept = match (is_set(killwords), kept.rsplit_once(' ')) {
        (false, Some((words, _))) => words,
        _ => &kept,
    };
    Ok(Value::str(format!("{kept}{end}")))
}

/// Removes comments and tags, and joins words by single spaces.
fn without_tags(text: &str) -> String {
    let cut = |text: &str, open: &str, close: &str| {
        let mut kept = String::new();
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once(open) {
            let Some((_, behind)) = inside.split_once(close) else {
                break;
            };
            kept.push_str(before);
            rest = behind;
        }
        kept + rest
    };
    let text = cut(&cut(text, "<!--", "-->"), "<", ">");
    let words: Vec<&str> = text
        .split(text::is_space)
        .filter(|word| !word.is_empty())
        .collect();
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let text = words.join(" ");
    entities
        .iter()
        .fold(text, |text, (entity, plain)| text.replace(entity, plain))
}

fn url_encode(value: &Value, budget: &Budget) -> Outcome<Value> {
    let pairs = match value {
        Value::Dict(dict) => dict.items()?,
        Value::Str(_) | Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            return Ok(Value::str(quoted(value, "/", budget)?));
        }
        other => other.iterate(budget)?,
    };
    let mut out = Vec::new();
    for pair in pairs {
        let pair = pair.iterate(budget)?;
        let [key, value] = &pair[..] else {
            return fail("urlencode takes pairs of names and values");
        };
        let [key, value] = [quoted(key, "", budget)?, quoted(value, "", budget)?];
        out.push(format!("{key}={value}").replace("%20", "+"));
    }
    Ok(Value::str(out.join("&")))
}

/// All but ASCII letters, digits and `_.-~` in the form `%XX`.
fn quoted(value: &Value, safe: &str, budget: &Budget) -> Outcome<String> {
    let text = repr::text(value, budget)?;
    budget.text(3 * text.len())?;
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        match c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            true => out.push(c),
            false => out += &format!("%{byte:02X}"),
        }
    }
    Ok(out)
}

fn xml_attributes(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [autospace] = args.bind("xmlattr", &["autospace"])?;
    let Value::Dict(dict) = value else {
        return fail(format!(
            "'{}' object has no attribute 'items'",
            value.type_name()
        ));
    };
    let mut parts = Vec::new();
    for (key, value) in &dict.entries {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let key = text_of("xmlattr", key)?;
        let is_bad = |c: char| matches!(c, ' ' | '\t'..='\r' | '/' | '>' | '=');
        if key.contains(is_bad) {
            return fail(format!("Invalid character in attribute name: '{key}'"));
        }
        let value = text::escape_html(&repr::text(value, budget)?);
        parts.push(format!("{}=\"{value}\"", text::escape_html(&key)));
    }
    let is_spaced = !parts.is_empty() && autospace.is_none_or(|autospace| autospace.is_true());
    let space = if is_spaced { " " } else { "" };
    Ok(Value::str(format!("{space}{}", parts.join(" "))))
}

/// With dictionaries in the order of their keys.
fn sorted(value: &Value, budget: &Budget) -> Outcome<Value> {
    let rows = |values: &[Value]| -> Outcome<Vec<Value>> {
        values.iter().map(|value| sorted(value, budget)).collect()
    };
    budget.step()?;
    match value {
        Value::List(items) => Value::list(rows(&items.values)?),
        Value::Tuple(items) => Value::tuple(rows(&items.values)?),
        Value::Dict(dict) => {
            let key = |pair: &Value| match pair {
                Value::Tuple(pair) => Ok(pair.values[0].clone()),
                other => Ok(other.clone()),
            };
            let items = crate::compare::sort_by_key(dict.items()?, false, budget, key)?;
            let entries = items.into_iter().filter_map(|pair| match pair {
                Value::Tuple(pair) => Some((pair.values[0].clone(), pair.values[1].clone())),
                _ => None,
            });
            let entries = entries.map(|(key, value)| Ok((key, sorted(&value, budget)?)));
            Ok(Value::Dict(
                Dict::of_distinct(entries.collect::<Outcome<_>>()?)?.into(),
            ))
        }
        other => Ok(other.clone()),
    }
}
