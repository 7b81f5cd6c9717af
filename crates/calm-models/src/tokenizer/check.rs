//! Checks of a `tokenizer.json` before the library, which checks little, reads it.

use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

/// Largest ratio of the length of the tokens to that of a text; real ones come to a few hundred. Steps
/// that each lengthen a text a little would together fill any memory.
const MAX_GROWTH: u64 = 1 << 20;

/// Largest sum of the squares of the bytes of added tokens, or of pieces to be merged: the time to get
/// ready to find them in texts grows like that. Real tokenizers come to some million.
const MAX_SQUARES: u64 = 1 << 28;

/// Why a file is refused.
pub(super) enum Refusal {
    /// No JSON, or nested too deeply.
    Json(Error),
    /// A part that would panic or take all memory when it is used.
    Part(String),
}

/// The parts that the library reads in ways of its own. As values they are checked for numbers and
/// depths that it would panic at.
#[derive(Deserialize, Serialize)]
pub(super) struct Sketch {
    #[serde(default)]
    added_tokens: Vec<Value>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

/// Finds what the library would panic at, or take all memory for.
pub(super) fn check(json: &str) -> Result<(), Refusal> {
    let sketch: Sketch = serde_json::from_str(json).map_err(Refusal::Json)?;
    let added = sketch.added_tokens.iter();
    check_lengths(added.filter_map(|token| token["content"].as_str())).map_err(Refusal::Part)?;
    for (name, part) in [
        ("normalizer", &sketch.normalizer),
        ("pre_tokenizer", &sketch.pre_tokenizer),
        ("decoder", &sketch.decoder),
    ] {
        check_tables(part).map_err(|reason| Refusal::Part(format!("its {name}: {reason}")))?;
        if growth(part) > MAX_GROWTH {
            let reason = format!(
                "its {name} may make a text more than {MAX_GROWTH} times as long, which nothing \
                 would have room for"
            );
            return Err(Refusal::Part(reason));
        }
    }
    Ok(())
}

/// Checks that tokens can be looked for in reasonable time.
pub(super) fn check_lengths<'a>(tokens: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let (mut sum, mut longest) = (0_u64, 0);
    for token in tokens {
        let length = token.len() as u64;
        longest = longest.max(length);
        sum = sum.saturating_add(length.saturating_mul(length));
    }
    if sum <= MAX_SQUARES {
        return Ok(());
    }
    Err(format!(
        "its tokens are too long to be looked for in texts; the longest has {longest} bytes"
    ))
}

/// The parts that a part is a sequence of.
fn steps(part: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["normalizers", "pretokenizers", "decoders"];
    let lists = lists.into_iter().filter_map(|list| part[list].as_array());
    lists.flatten()
}

/// Largest ratio of the length of a part's output to that of its input.
fn growth(part: &Value) -> u64 {
    let length = |key: &str| part[key].as_str().map_or(0, |text| text.len() as u64);
    let own = match part["type"].as_str() {
        // What is replaced may be a character, or nothing at all.
        Some("Replace") => length("content") + 1,
        Some("Prepend") => length("prepend") + 1,
        Some("Precompiled") => 256,
        // A byte becomes a character of two bytes.
        Some("ByteLevel") => 2,
        _ => 1,
    };
    steps(part).map(growth).fold(own, u64::saturating_mul)
}

fn check_tables(part: &Value) -> Result<(), String> {
    if let Some(table) = part["precompiled_charsmap"].as_str() {
        let table = base64::decode(table).map_err(|error| error.to_string())?;
        check_table(&table)?;
    }
    steps(part).try_for_each(check_tables)
}

/// Checks that any text can be looked up in a table of replacements.
///
/// These are `SentencePiece`'s: the size of a trie, the trie as a double array, and the
/// replacements, each ended by a zero byte. A unit of the array holds the byte that leads to it,
/// where its children are, and whether the first of them says where a replacement begins.
fn check_table(table: &[u8]) -> Result<(), String> {
    let damaged = || "its table of replacements is cut off".to_owned();
    let (bytes, rest) = table.split_first_chunk::<4>().ok_or_else(damaged)?;
    let bytes = u32::from_le_bytes(*bytes) as usize / 4 * 4;
    let (units, texts) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
    let units = units.as_chunks::<4>().0.iter();
    let units: Vec<usize> = units
        .map(|unit| u32::from_le_bytes(*unit) as usize)
        .collect();
    let texts = std::str::from_utf8(texts).map_err(|error| error.to_string())?;
    let unit = |place: usize| {
        let found = units.get(place).copied();
        found.ok_or_else(|| {
            let units = units.len();
            format!("its table of replacements leads to place {place} of {units}")
        })
    };

    let mut seen = vec![false; units.len()];
    let mut open = vec![children(unit(0)?, 0)];
    while let Some(base) = open.pop() {
        for byte in 1..=255 {
            let place = base ^ byte;
            let node = unit(place)?;
            if node & (1 << 31 | 0xff) != byte {
                continue;
            }
            let base = children(node, place);
            let first = unit(base)?;
            let text = first & ((1 << 31) - 1);
            if node >> 8 & 1 == 1 && !texts.is_char_boundary(text) {
                return Err(format!(
                    "its table of replacements has one at byte {text} of {}",
                    texts.len()
                ));
            }
            if !std::mem::replace(&mut seen[base], true) {
                open.push(base);
            }
        }
    }
    Ok(())
}

/// Base of the children of the unit at a place; each is at its byte's distance from it.
fn children(unit: usize, place: usize) -> usize {
    place ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: u32 = 1 << 8;

    /// A table that replaces `a` by `bc`, changed.
    fn table(change: impl FnOnce(&mut Vec<u32>)) -> Result<(), String> {
        let mut units = vec![0; 512];
        units[usize::from(b'a')] = 256 << 10 | LEAF | u32::from(b'a');
        change(&mut units);
        let mut table = (units.len() as u32 * 4).to_le_bytes().to_vec();
        table.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        table.extend(b"\0bc\0");
        check_table(&table)
    }

    #[test]
    fn tables_that_any_text_can_be_looked_up_in() {
        let leaf = 256 ^ usize::from(b'a');
        assert_eq!(table(|units| units[leaf] = 1 << 31 | 1), Ok(()));
        assert_eq!(table(|units| units[leaf] = 1 << 31 | 4), Ok(()));
        let error = table(|units| units[leaf] = 1 << 31 | 5).unwrap_err();
        assert!(error.contains("byte 5 of 4"), "{error}");
        let error = table(|units| units[0] = 600 << 10).unwrap_err();
        assert!(error.contains("of 512"), "{error}");
        let error = table(|units| units[usize::from(b'a')] |= 1 << 9).unwrap_err();
        assert!(error.contains("leads to place"), "{error}");
        assert!(check_table(&[0, 0]).is_err());
        assert!(check_table(&u32::MAX.to_le_bytes()).is_err());
        assert!(check_table(&[0; 4]).is_err());
    }
}
