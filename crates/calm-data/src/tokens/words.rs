//! Words of a prompt in its tokens.

use std::ops::Range;

/// A word of a prompt: all tokens of a run without white space, or of the part of one that lies
/// within a range that a row names. In scripts that are written without spaces, each token is a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Position of its first token in the example.
    pub start: u32,
    /// Position behind its last one.
    pub end: u32,
    /// Whether masking may hide it.
    pub may_be_hidden: bool,
}

impl Word {
    /// Positions of its tokens.
    pub fn tokens(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The word in an example that lost `count` tokens from position `from` on; none if it is gone.
    pub(super) fn without(self, from: usize, count: usize) -> Option<Self> {
        let moved = |position: u32| {
            let position = position as usize;
            (position - count.min(position.saturating_sub(from))) as u32
        };
        let word = Self {
            start: moved(self.start),
            end: moved(self.end),
            ..self
        };
        (word.start < word.end).then_some(word)
    }
}

/// The words of a text of which `tokens` are the bytes that each token stands for.
///
/// `mask` are the parts that may be hidden, in characters; none if it is all. A token that lies only
/// partly within one of them stays.
pub(super) fn words(
    text: &str,
    tokens: impl Iterator<Item = Range<usize>>,
    mask: Option<&[[usize; 2]]>,
) -> Vec<Word> {
    let all = || std::iter::once(0..text.len()).collect();
    let mut parts: Vec<Range<usize>> = mask.map_or_else(all, |mask| in_bytes(text, mask));
    parts.sort_by_key(|part| part.start);
    // Parts that end within a token hold neither it nor any behind it.
    let mut next = 0;
    let mut words: Vec<Word> = Vec::new();
    // The token before, if it is part of a word: the part of the text that it lies in, and its end.
    let mut before: Option<(Option<usize>, usize)> = None;
    for (position, token) in (0..).zip(tokens) {
        let token = trimmed(text, token);
        if token.is_empty() {
            before = None;
            continue;
        }
        next += parts[next..]
            .iter()
            .take_while(|part| part.end < token.end)
            .count();
        let begins_before = parts
            .get(next)
            .is_some_and(|part| part.start <= token.start);
        let part = begins_before.then_some(next);
        let goes_on =
            before.is_some_and(|(of, end)| of == part && is_one_word(text, end, token.start));
        before = Some((part, token.end));
        match words.last_mut().filter(|_| goes_on) {
            Some(word) => word.end = position + 1,
            None => words.push(Word {
                start: position,
                end: position + 1,
                may_be_hidden: part.is_some(),
            }),
        }
    }
    words
}

/// Ranges of characters as ranges of bytes.
fn in_bytes(text: &str, ranges: &[[usize; 2]]) -> Vec<Range<usize>> {
    let starts = text.char_indices().map(|(start, _)| start);
    let starts: Vec<usize> = starts.chain([text.len()]).collect();
    let byte = |character: usize| starts[character.min(starts.len() - 1)];
    let ranges = ranges.iter();
    ranges
        .map(|[start, end]| byte(*start)..byte(*end))
        .collect()
}

/// A range of bytes without the white space at its ends.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let Some(part) = text.get(range.clone()) else {
        return range.start..range.start;
    };
    let start = range.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

/// Whether a token that begins at `start` belongs to the word of the one before it, which ends at
/// `end`. Tokens that are bytes of one character share it.
fn is_one_word(text: &str, end: usize, start: usize) -> bool {
    if start < end {
        return true;
    }
    let (before, between, behind) = (&text[..end], &text[end..start], &text[start..]);
    let is_apart = |character: Option<char>| character.is_some_and(is_written_without_spaces);
    let is_cut = is_apart(before.chars().next_back()) && is_apart(behind.chars().next());
    !is_cut && !between.contains(char::is_whitespace)
}

/// Whether words of the character's script stand side by side without a space: those of Southeast
/// Asia, Tibetan, Kana, Han and Yi.
fn is_written_without_spaces(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{fff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{1950}'..='\u{19ff}'
        | '\u{1a20}'..='\u{1b7f}'
        | '\u{2e80}'..='\u{312f}'
        | '\u{3190}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{a4cf}'
        | '\u{a980}'..='\u{a9ff}'
        | '\u{aa60}'..='\u{aadf}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a text whose tokens are divided by `|`, those that may be hidden in brackets.
    fn found(pieces: &str, mask: Option<&[[usize; 2]]>) -> String {
        let text = pieces.replace('|', "");
        let mut end = 0;
        let tokens = pieces.split('|').map(|piece| {
            let start = end;
            end += piece.len();
            start..end
        });
        let pieces: Vec<&str> = pieces.split('|').collect();
        let words = words(&text, tokens, mask);
        let words = words.iter().map(|word| {
            let text = pieces[word.tokens()].concat();
            let text = text.trim();
            match word.may_be_hidden {
                true => format!("[{text}]"),
                false => text.to_owned(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_word_is_all_tokens_between_white_space() {
        assert_eq!(
            found("un|seen| words|,|\n|here", None),
            "[unseen] [words,] [here]"
        );
        assert_eq!(
            found("un|seen |words | ||here", None),
            "[unseen] [words] [here]"
        );
    }

    #[test]
    fn only_what_a_row_names_may_be_hidden() {
        let mask: &[[usize; 2]] = &[[3, 5], [10, 13]];
        assert_eq!(
            found("a: |xy|,| yes| zw|?", Some(mask)),
            "a: [xy] , yes [zw] ?"
        );
        assert_eq!(found("a: |xy|,| yes", Some(&[])), "a: xy, yes");
        // Two ranges side by side are two words; a token that is partly outside stays.
        assert_eq!(found("ab|cd|ef", Some(&[[0, 2], [2, 5]])), "[ab] [cd] ef");
        // Characters, not bytes.
        assert_eq!(found("éé| é|é| é", Some(&[[3, 5]])), "éé [éé] é");
    }

    #[test]
    fn without_spaces_each_token_is_a_word() {
        assert_eq!(
            found("\u{0e01}\u{0e02}|\u{0e03}|a|b", None),
            "[\u{0e01}\u{0e02}] [\u{0e03}ab]"
        );
        // Bytes of one character share it.
        let words = words("\u{4e00}\u{4e01}", [0..3, 0..3, 3..6].into_iter(), None);
        assert_eq!(
            words.iter().map(Word::tokens).collect::<Vec<_>>(),
            [0..2, 2..3]
        );
    }

    #[test]
    fn words_move_when_tokens_are_cut_away() {
        let word = |start, end| Word {
            start,
            end,
            may_be_hidden: true,
        };
        assert_eq!(word(1, 3).without(1, 2), None);
        assert_eq!(word(2, 5).without(1, 2), Some(word(1, 3)));
        assert_eq!(word(0, 1).without(1, 2), Some(word(0, 1)));
    }
}
