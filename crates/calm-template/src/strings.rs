//! The methods of texts.

use std::rc::Rc;

use crate::args::{Args, int_of, required, size, text_of};
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::format::{braces, padded};
use crate::text;
use crate::value::Value;

/// All that are offered. Python's others make or take bytes: `encode`.
pub(crate) const METHODS: [&str; 46] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

pub(crate) fn call(text: &Rc<str>, method: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    budget.text(text.len())?;
    match method {
        "format" => return Ok(Value::str(braces(text, args, None, budget)?)),
        "format_map" => {
            let [mapping] = args.bind(method, &["mapping"])?;
            let mapping = required(method, "mapping", mapping)?;
            return Ok(Value::str(braces(text, args, Some(&mapping), budget)?));
        }
        _ => {}
    }
    if let Some(value) = without_arguments(text, method) {
        args.bind(method, &[])?;
        return Ok(value);
    }
    match method {
        "strip" | "lstrip" | "rstrip" => strip(text, method, args),
        "split" | "rsplit" => split(text, method, args, budget),
        "splitlines" => {
            let [keepends] = args.bind(method, &["keepends"])?;
            let keeps = keepends.is_some_and(|keeps| keeps.is_true());
            let lines = text::lines(text).into_iter();
            let line = |(line, end): (&str, &str)| {
                Value::str([line, if keeps { end } else { "" }].concat())
            };
            Value::list(lines.map(line).collect())
        }
        "partition" | "rpartition" => partition(text, method, args),
        "startswith" | "endswith" => affix(text, method, args),
        "removeprefix" | "removesuffix" => {
            let [affix] = args.bind(method, &["affix"])?;
            let affix = text_of(method, &required(method, "affix", affix)?)?;
            let stripped = match method {
                "removeprefix" => text.strip_prefix(&*affix),
                _ => text.strip_suffix(&*affix),
            };
            Ok(stripped.map_or_else(|| Value::Str(text.clone()), Value::str))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => find(text, method, args),
        "replace" => {
            let [old, new, count] = args.bind(method, &["old", "new", "count"])?;
            let old = text_of(method, &required(method, "old", old)?)?;
            let new = text_of(method, &required(method, "new", new)?)?;
            let count = int_of(method, count)?.unwrap_or(-1);
            Ok(Value::str(replaced(text, &old, &new, count, budget)?))
        }
        "join" => {
            let [items] = args.bind(method, &["iterable"])?;
            let items = required(method, "iterable", items)?.iterate(budget)?;
            let mut parts = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                match item {
                    Value::Str(part) => parts.push(part.clone()),
                    _ => {
                        let found = item.type_name();
                        return fail(format!(
                            "sequence item {at}: expected str instance, {found} found"
                        ));
                    }
                }
            }
            joined(text, &parts, budget)
        }
        "center" | "ljust" | "rjust" | "zfill" => justified(text, method, args, budget),
        "expandtabs" => {
            let [width] = args.bind(method, &["tabsize"])?;
            expanded(text, size(int_of(method, width)?.unwrap_or(8)), budget)
        }
        "translate" => translated(text, args, budget),
        "maketrans" => table(args, budget),
        _ => fail(format!("the method '{method}' of texts is not supported")),
    }
}

/// Methods that take no arguments.
fn without_arguments(text: &str, method: &str) -> Option<Value> {
    let all = |fits: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(fits));
    Some(match method {
        "lower" => Value::str(text.to_lowercase()),
        "upper" => Value::str(text.to_uppercase()),
        "title" => Value::str(text::title(text)),
        "capitalize" => Value::str(text::capitalize(text)),
        "casefold" => Value::str(text::casefold(text)),
        "swapcase" => Value::str(text::swapcase(text)),
        "isalnum" => all(text::is_alnum),
        "isalpha" => all(text::is_alpha),
        "isdecimal" => all(text::is_decimal),
        "isdigit" => all(text::is_digit),
        "isnumeric" => all(text::is_numeric),
        "isspace" => all(text::is_space),
        "isascii" => Value::Bool(text.is_ascii()),
        "isprintable" => Value::Bool(text.chars().all(text::is_printable)),
        "islower" => Value::Bool(text::all_cased(text, char::is_lowercase)),
        "isupper" => Value::Bool(text::all_cased(text, char::is_uppercase)),
        "istitle" => Value::Bool(text::is_titled(text)),
        "isidentifier" => {
            let is_start = |c: char| c == '_' || text::is_alpha(c);
            let is_inner = |c: char| c == '_' || text::is_alpha(c) || text::is_decimal(c);
            Value::Bool(text.starts_with(is_start) && text.chars().all(is_inner))
        }
        _ => return None,
    })
}

fn strip(text: &Rc<str>, method: &str, args: &Args) -> Outcome<Value> {
    let [chars] = args.bind(method, &["chars"])?;
    let chars: Option<Rc<str>> = match chars {
        None | Some(Value::None) => None,
        Some(chars) => Some(text_of(method, &chars)?),
    };
    Ok(Value::str(stripped(text, chars.as_deref(), method)))
}

/// The text without these characters, or white space, at its ends, or at that of the method.
pub(crate) fn stripped<'a>(text: &'a str, chars: Option<&str>, method: &str) -> &'a str {
    let goes = |c: char| chars.map_or_else(|| text::is_space(c), |chars| chars.contains(c));
    match method {
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => text.trim_matches(goes),
    }
}

fn split(text: &str, method: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [separator, most] = args.bind(method, &["sep", "maxsplit"])?;
    let most = int_of(method, most)?.filter(|&most| most >= 0);
    let most = most.map_or(usize::MAX, size);
    let is_from_right = method == "rsplit";
    let parts: Vec<&str> = match separator {
        None | Some(Value::None) => words(text, most, is_from_right),
        Some(separator) => {
            let separator = text_of(method, &separator)?;
            if separator.is_empty() {
                return fail("empty separator");
            }
            let pieces = most.saturating_add(1);
            match is_from_right {
                false => text.splitn(pieces, &*separator).collect(),
                true => {
                    let mut parts: Vec<&str> = text.rsplitn(pieces, &*separator).collect();
                    parts.reverse();
                    parts
                }
            }
        }
    };
    budget.items(parts.len())?;
    Value::list(parts.into_iter().map(Value::str).collect())
}

/// Words between white space; of more than `most + 1`, the others stay together.
fn words(text: &str, most: usize, is_from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(text::is_space);
    if is_from_right {
        rest = text.trim_end_matches(text::is_space);
        while !rest.is_empty() {
            let place = rest.rfind(text::is_space).filter(|_| parts.len() < most);
            let Some(at) = place else {
                parts.push(rest);
                break;
            };
            let width = rest[at..].chars().next().map_or(0, char::len_utf8);
            parts.push(&rest[at + width..]);
            rest = rest[..at].trim_end_matches(text::is_space);
        }
        parts.reverse();
        return parts;
    }
    rest = match most {
        usize::MAX => rest,
        _ => text.trim_start_matches(text::is_space),
    };
    while !rest.is_empty() {
        let place = rest.find(text::is_space).filter(|_| parts.len() < most);
        let Some(at) = place else {
            parts.push(rest);
            break;
        };
        parts.push(&rest[..at]);
        rest = rest[at..].trim_start_matches(text::is_space);
    }
    parts
}

fn partition(text: &Rc<str>, method: &str, args: &Args) -> Outcome<Value> {
    let [separator] = args.bind(method, &["sep"])?;
    let separator = text_of(method, &required(method, "sep", separator)?)?;
    if separator.is_empty() {
        return fail("empty separator");
    }
    let parts = match method {
        "partition" => text.split_once(&*separator),
        _ => text.rsplit_once(&*separator),
    };
    let parts = match (parts, method) {
        (Some((before, after)), _) => [before, &*separator, after],
        (None, "partition") => [&**text, "", ""],
        (None, _) => ["", "", &**text],
    };
    Value::tuple(parts.map(Value::str).to_vec())
}

/// The part between two places of characters, which may count from the end.
fn part<'a>(
    text: &'a str,
    method: &str,
    start: Option<Value>,
    end: Option<Value>,
) -> Outcome<Option<(usize, &'a str)>> {
    let (start, end) = (int_of(method, start)?, int_of(method, end)?);
    if start.is_none() && end.is_none() {
        return Ok(Some((0, text)));
    }
    let length = text.chars().count() as i128;
    let place = |bound: i128| size(if bound < 0 { bound + length } else { bound });
    let start = place(start.unwrap_or(0));
    let end = place(end.unwrap_or(length)).min(size(length));
    if start > end {
        return Ok(None);
    }
    let byte = |at: usize| {
        text.char_indices()
            .nth(at)
            .map_or(text.len(), |(byte, _)| byte)
    };
    Ok(Some((start, &text[byte(start)..byte(end)])))
}

fn affix(text: &str, method: &str, args: &Args) -> Outcome<Value> {
    let [affix, start, end] = args.bind(method, &["prefix", "start", "end"])?;
    let affix = required(method, "prefix", affix)?;
    let affixes = match &affix {
        Value::Tuple(items) => items.values.clone(),
        _ => vec![affix],
    };
    let Some((_, text)) = part(text, method, start, end)? else {
        return Ok(Value::Bool(false));
    };
    for affix in &affixes {
        let Value::Str(affix) = affix else {
            let found = affix.type_name();
            return fail(format!(
                "{method} first arg must be str or a tuple of str, not {found}"
            ));
        };
        let fits = match method {
            "startswith" => text.starts_with(&**affix),
            _ => text.ends_with(&**affix),
        };
        if fits {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn find(text: &str, method: &str, args: &Args) -> Outcome<Value> {
    let [wanted, start, end] = args.bind(method, &["sub", "start", "end"])?;
    let wanted = text_of(method, &required(method, "sub", wanted)?)?;
    let found = part(text, method, start, end)?;
    if method == "count" {
        let count = found.map_or(0, |(_, text)| text.matches(&*wanted).count());
        return Ok(Value::Int(count as i128));
    }
    let place = found.and_then(|(start, text)| {
        let byte = match method {
            "find" | "index" => text.find(&*wanted),
            _ => text.rfind(&*wanted),
        };
        byte.map(|byte| start + text[..byte].chars().count())
    });
    match place {
        Some(at) => Ok(Value::Int(at as i128)),
        None if method.ends_with("find") => Ok(Value::Int(-1)),
        None => fail("substring not found"),
    }
}

/// `text.replace(old, new, count)`, all of them if `count` is negative.
pub(crate) fn replaced(
    text: &str,
    old: &str,
    new: &str,
    count: i128,
    budget: &Budget,
) -> Outcome<String> {
    let most = if count < 0 { usize::MAX } else { size(count) };
    let found = text.matches(old).take(most).count();
    budget.text(found.saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(text.replacen(old, new, found))
}

/// Parts with a text between them.
pub(crate) fn joined(separator: &str, parts: &[Rc<str>], budget: &Budget) -> Outcome<Value> {
    let between = separator.len().saturating_mul(parts.len());
    budget.text(
        parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .saturating_add(between),
    )?;
    Ok(Value::str(parts.join(separator)))
}

fn justified(text: &str, method: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [width, fill] = args.bind(method, &["width", "fillchar"])?;
    let width = size(int_of(method, Some(required(method, "width", width)?))?.unwrap_or(0));
    let fill = match fill {
        None => ' ',
        Some(fill) => {
            let fill = text_of(method, &fill)?;
            let mut letters = fill.chars();
            match (letters.next(), letters.next()) {
                (Some(fill), None) => fill,
                _ => return fail("The fill character must be exactly one character long"),
            }
        }
    };
    budget.text(width.saturating_mul(fill.len_utf8()))?;
    Ok(Value::str(match method {
        "center" => centered(text, width, fill),
        "ljust" => padded(text, width, fill, '<'),
        "rjust" => padded(text, width, fill, '>'),
        _ => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let sign = &text[..text.len() - digits.len()];
            let rest = width.saturating_sub(sign.len());
            format!("{sign}{}", padded(digits, rest, '0', '>'))
        }
    }))
}

/// `text.center(width, fill)`, which puts an odd space on the left if the width is odd.
pub(crate) fn centered(text: &str, width: usize, fill: char) -> String {
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    let left = missing / 2 + (missing & width & 1);
    let text = padded(text, length + left, fill, '>');
    padded(&text, width, fill, '<')
}

fn expanded(text: &str, width: usize, budget: &Budget) -> Outcome<Value> {
    budget.text(text.matches('\t').count().saturating_mul(width))?;
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if width == 0 {
                    0
                } else {
                    width - column % width
                };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
            }
        }
    }
    Ok(Value::str(out))
}

/// Characters replaced by a table from their codes.
fn translated(text: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    let [table] = args.bind("translate", &["table"])?;
    let table = required("translate", "table", table)?;
    let mut out = String::new();
    for c in text.chars() {
        match crate::ops::item(&table, &Value::Int(u32::from(c).into()), budget)? {
            None => out.push(c),
            Some(Value::None) => {}
            Some(Value::Str(new)) => {
                budget.text(new.len())?;
                out.push_str(&new);
            }
            Some(code) => match code
                .as_int()
                .and_then(|code| char::from_u32(code.try_into().ok()?))
            {
                Some(c) => out.push(c),
                None => return fail("character mapping must return integer, None or str"),
            },
        }
    }
    Ok(Value::str(out))
}

/// `str.maketrans`: a table of codes.
fn table(args: &Args, budget: &Budget) -> Outcome<Value> {
    let [from, to, without] = args.bind("maketrans", &["x", "y", "z"])?;
    let from = required("maketrans", "x", from)?;
    let code = |c: char| Value::Int(u32::from(c).into());
    let mut entries = Vec::new();
    match (&from, to) {
        (Value::Dict(dict), None) => {
            for (key, value) in &dict.entries {
                let key = match key {
                    Value::Str(key) if key.chars().count() == 1 => key.chars().next().map(code),
                    Value::Str(_) => None,
                    other => Some(other.clone()),
                };
                let Some(key) = key else {
                    return fail("string keys in translate table must be of length 1");
                };
                entries.push((key, value.clone()));
            }
        }
        (from, Some(to)) => {
            let (from, to) = (text_of("maketrans", from)?, text_of("maketrans", &to)?);
            if from.chars().count() != to.chars().count() {
                return fail("the first two maketrans arguments must have equal length");
            }
            entries.extend(
                from.chars()
                    .zip(to.chars())
                    .map(|(from, to)| (code(from), code(to))),
            );
        }
        _ => return fail("if you give only one argument to maketrans it must be a dict"),
    }
    if let Some(without) = without {
        let without = text_of("maketrans", &without)?;
        entries.extend(without.chars().map(|c| (code(c), Value::None)));
    }
    let dict = crate::value::Dict::of(entries, budget)?;
    Ok(Value::Dict(Rc::new(dict)))
}
