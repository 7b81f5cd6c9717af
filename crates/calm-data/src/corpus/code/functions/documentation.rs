//! Documentation without the marks of its comment.

/// Longest and shortest summaries, in words, as CodeXGLUE has them (arXiv 2102.04664, section 3.2).
const WORDS: std::ops::RangeInclusive<usize> = 3..=256;

/// The text of a docstring: without its quotation marks, and without what all lines but the first are
/// indented by.
pub(super) fn of_docstring(text: &str) -> String {
    let text = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let marks = ["\"\"\"", "'''", "\"", "'"];
    let mark = marks.iter().find(|mark| text.starts_with(**mark));
    let text = mark.map_or(text, |mark| {
        let text = &text[mark.len()..];
        text.strip_suffix(mark).unwrap_or(text)
    });
    let indented = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let indent = indented
        .map(|line| line.len() - line.trim_start().len())
        .min();
    let lines = text.lines().enumerate().map(|(number, line)| match number {
        0 => line.trim(),
        _ => line
            .get(indent.unwrap_or(0)..)
            .unwrap_or_default()
            .trim_end(),
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The text of comments that each take a line.
pub(super) fn of_lines<'a>(comments: impl IntoIterator<Item = &'a str>) -> String {
    let lines = comments.into_iter().map(|line| {
        let line = line.trim_start_matches(['/', '#']);
        line.strip_prefix(' ').unwrap_or(line).trim_end()
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The text of a comment between `/**` and `*/`.
pub(super) fn of_block(comment: &str) -> String {
    let text = comment.trim_start_matches(['/', '*']);
    let text = text.strip_suffix("*/").unwrap_or(text);
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix('*').map_or(line, str::trim_start)
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The first paragraph, up to the first line about a parameter or the like, in one line. None if it is no
/// description: too short, too long, with addresses or tags in it, or not in Latin letters.
pub(super) fn summary(documentation: &str) -> Option<String> {
    let paragraph = documentation
        .lines()
        .take_while(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['@', ':']));
    let words: Vec<&str> = paragraph.flat_map(str::split_whitespace).collect();
    let text = words.join(" ");
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (latin, all) = letters.fold((0, 0), |(latin, all), c| {
        (latin + usize::from(c.is_ascii_alphabetic()), all + 1)
    });
    let is_description = WORDS.contains(&words.len())
        && 10 * latin >= 9 * all
        && latin > 0
        && !["http:", "https:", "<img", "<p", "{@"]
            .iter()
            .any(|mark| text.contains(mark));
    is_description.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_their_text() {
        let docstring =
            "r\"\"\"Adds two numbers.\n\n    Both are whole.\n      Indented.\n    \"\"\"";
        assert_eq!(
            of_docstring(docstring),
            "Adds two numbers.\n\nBoth are whole.\n  Indented."
        );
        assert_eq!(of_docstring("'one line'"), "one line");
        let lines = ["// Add adds.", "//", "//   code"];
        assert_eq!(of_lines(lines), "Add adds.\n\n  code");
        assert_eq!(of_lines(["# Adds.", "#: nothing"]), "Adds.\n: nothing");
        let block = "/**\n * Adds two numbers.\n *\n * @param a one\n */";
        assert_eq!(of_block(block), "Adds two numbers.\n\n@param a one");
        assert_eq!(of_block("/** Adds. */"), "Adds.");
    }

    #[test]
    fn a_summary_is_the_first_paragraph_if_it_describes() {
        for (documentation, expected) in [
            ("Adds two\nnumbers.\n\nMore.", Some("Adds two numbers.")),
            ("Adds two numbers.\n@param a one", Some("Adds two numbers.")),
            (
                "Adds two numbers.\n:param a: one",
                Some("Adds two numbers."),
            ),
            ("Adds.", None),
            ("See https://example.com for more", None),
            ("加算 二つの 数 を する", None),
            ("", None),
        ] {
            assert_eq!(
                summary(documentation).as_deref(),
                expected,
                "{documentation}"
            );
        }
    }
}
