//! How much of a file is comments.

use crate::corpus::code::Comments as Marks;
use crate::corpus::{CodeLanguage, CommentsConfig, SourceFile, Step, Verdict};

/// Drops files with hardly any comments, or with little else.
#[derive(Debug, Clone, Copy)]
pub struct Comments(pub CommentsConfig);

impl Step<SourceFile> for Comments {
    fn name(&self) -> &'static str {
        "comments"
    }

    fn apply(&self, file: &mut SourceFile) -> Verdict {
        let share = comment_share(&file.text, file.language);
        if share < self.0.least {
            return Verdict::Drop("hardly any comments".into());
        }
        match share > self.0.most {
            true => Verdict::Drop("little but comments".into()),
            false => Verdict::Keep,
        }
    }
}

/// Share of the characters, without white space, that are in comments; 0 if there are none.
///
/// Comments are found by their marks, and not within texts. In languages where a text of several lines that
/// is a statement by itself is documentation, such as Python, that is a comment, too.
pub fn comment_share(text: &str, language: CodeLanguage) -> f64 {
    let marks = language.comments();
    let (mut comments, mut all) = (0_usize, 0_usize);
    let mut rest = text;
    let mut is_at_start = true;
    while let Some(first) = rest.chars().next() {
        let (length, is_comment) = token(rest, marks, is_at_start);
        let (taken, left) = rest.split_at(length);
        let visible = taken.chars().filter(|c| !c.is_whitespace()).count();
        all += visible;
        comments += if is_comment { visible } else { 0 };
        is_at_start = first == '\n' || is_at_start && first.is_whitespace();
        rest = left;
    }
    match all {
        0 => 0.0,
        all => comments as f64 / all as f64,
    }
}

/// Bytes of the comment, the text or the character that comes first, and whether it is a comment.
fn token(rest: &str, marks: &Marks, is_at_start: bool) -> (usize, bool) {
    for (begin, end) in marks.block {
        if let Some(inner) = rest.strip_prefix(begin) {
            return (begin.len() + up_to(inner, end), true);
        }
    }
    if marks.line.iter().any(|begin| rest.starts_with(begin)) {
        return (rest.find('\n').unwrap_or(rest.len()), true);
    }
    for mark in marks.long_texts {
        if let Some(inner) = rest.strip_prefix(mark) {
            let is_statement = is_at_start && mark.len() == 3;
            return (mark.len() + up_to(inner, mark), is_statement);
        }
    }
    let first = rest.chars().next().unwrap_or_default();
    match marks.texts.contains(&first) {
        true => (text_on_a_line(rest, first), false),
        false => (first.len_utf8(), false),
    }
}

/// Bytes up to and with `end`, or of all.
fn up_to(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

/// Bytes of a text between two of these marks, or up to the end of the line.
fn text_on_a_line(rest: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == mark => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_by_their_marks_and_not_in_texts() {
        for (language, text, comment) in [
            ("python", "x = 1  # one\n", "#one"),
            ("python", "s = '# no'\n", ""),
            (
                "python",
                "def f():\n    \"\"\"It's it.\"\"\"\n    x = \"\"\"no\"\"\"\n",
                "\"\"\"It'sit.\"\"\"",
            ),
            (
                "rust",
                "let x: &'a str; // a\n/* b\n */ let c = \"//\";",
                "//a/*b*/",
            ),
            ("javascript", "a = `// no`; // yes", "//yes"),
            ("ruby", "x\n=begin\nabc\n=end\ny", "=beginabc=end"),
            ("php", "<?php # a\n$x = 'a\\'#'; // b", "#a//b"),
            ("c", "char *s = \"not closed\nint x; // ok", "//ok"),
            ("c", "/* never closed", "/*neverclosed"),
        ] {
            let language: CodeLanguage = language.parse().unwrap();
            let visible = text.chars().filter(|c| !c.is_whitespace()).count();
            let expected = comment.chars().count() as f64 / visible as f64;
            let share = comment_share(text, language);
            assert!(
                (share - expected).abs() < 1e-12,
                "{text:?}: {share} instead of {expected}"
            );
        }
        assert_eq!(comment_share("", "go".parse().unwrap()), 0.0);
    }
}
