//! Functions with their documentation, as CodeXGLUE's code-to-text has them (arXiv 2102.04664, after CodeSearchNet,
//! arXiv 1909.09436).

mod documentation;
mod grammar;

use std::ops::ControlFlow;

use documentation::{of_block, of_docstring, of_lines, summary};
use grammar::{Documentation, Grammar};
use tree_sitter::{Node, ParseOptions, ParseState, Parser, TreeCursor};

use super::CodeLanguage;

/// Steps of the parser after which a file is given up, some hundred of which are a kilobyte. A number and no time, so that
/// what is found does not depend on the machine.
const MOST_STEPS: u64 = 100_000;

/// Fewest lines of a function.
const LEAST_LINES: usize = 3;

/// A function with its documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its text without the documentation.
    pub code: String,
    /// Its tokens with single spaces between them, without comments and documentation.
    pub tokens: String,
    /// The first paragraph of its documentation, in one line.
    pub summary: String,
}

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Functions {
    /// Functions with a documentation that describes them, in their order.
    pub functions: Vec<Function>,
    /// Whether the grammar did not understand all of the file. Functions without errors are found anyway.
    pub has_errors: bool,
    /// Whether the file was given up, since it takes the parser too long.
    pub is_given_up: bool,
}

/// Finds the functions of a file in Python, PHP, Go, Java, JavaScript or Ruby; there are none in other languages.
///
/// As in the benchmark, functions of fewer than three lines, tests, and what most classes have (constructors, `toString`,
/// `__len__`) are none.
pub fn functions(text: &str, language: CodeLanguage) -> Functions {
    let Some(grammar) = Grammar::of(language) else {
        return Functions::default();
    };
    let mut parser = Parser::new();
    let mut steps = 0;
    let mut count = |_: &ParseState| {
        steps += 1;
        match steps > MOST_STEPS {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let options = ParseOptions::new().progress_callback(&mut count);
    let bytes = text.as_bytes();
    let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
    let is_set = parser.set_language(&grammar.language()).is_ok();
    let tree = is_set
        .then(|| parser.parse_with_options(&mut read, None, Some(options)))
        .flatten();
    let Some(tree) = tree else {
        return Functions {
            is_given_up: true,
            ..Functions::default()
        };
    };
    let mut found = Functions {
        has_errors: tree.root_node().has_error(),
        ..Functions::default()
    };
    // Not by recursion: code may be nested as deep as it likes.
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        if grammar.functions.contains(&node.kind()) && !node.has_error() {
            found.functions.extend(function(node, text, grammar));
        }
        if !advance(&mut cursor, true) {
            return found;
        }
    }
}

/// Moves to the next node, which may be below this one; `false` at the end of all.
fn advance(cursor: &mut TreeCursor<'_>, may_go_down: bool) -> bool {
    if may_go_down && cursor.goto_first_child() {
        return true;
    }
    while !cursor.goto_next_sibling() {
        if !cursor.goto_parent() {
            return false;
        }
    }
    true
}

/// A function, if it has documentation that describes it.
fn function(node: Node<'_>, text: &str, grammar: &Grammar) -> Option<Function> {
    let name = of(node.child_by_field_name("name")?, text);
    if !is_of_interest(name) {
        return None;
    }
    let (documentation, taken) = match grammar.documentation {
        Documentation::Docstring => {
            let docstring = docstring(node)?;
            (of_docstring(of(docstring, text)), Some(docstring))
        }
        Documentation::Lines | Documentation::Block => (comment_before(node, text, grammar)?, None),
    };
    let summary = summary(&documentation)?;
    let code = match taken {
        Some(taken) => without(node, taken, text),
        None => of(node, text).to_owned(),
    };
    let code = dedented(&code, node.start_position().column);
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    (lines >= LEAST_LINES).then(|| Function {
        name: name.to_owned(),
        line: node.start_position().row + 1,
        tokens: tokens(node, taken, text, grammar),
        code,
        summary,
    })
}

fn of<'a>(node: Node<'_>, text: &'a str) -> &'a str {
    text.get(node.byte_range()).unwrap_or_default()
}

fn is_of_interest(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_special = name.starts_with("__")
        || ["constructor", "initialize", "tostring", "to_s"].contains(&&*lower);
    !is_special && !lower.contains("test")
}

/// The text that the body of a function begins with.
fn docstring(node: Node<'_>) -> Option<Node<'_>> {
    let first = node.child_by_field_name("body")?.named_child(0)?;
    let inner = match first.kind() {
        "expression_statement" => first.named_child(0)?,
        _ => first,
    };
    (inner.kind() == "string").then_some(first)
}

/// The documentation that stands right before a function.
fn comment_before(node: Node<'_>, text: &str, grammar: &Grammar) -> Option<String> {
    let mut outer = node;
    while let Some(parent) = outer.parent() {
        let is_first = parent.start_byte() == outer.start_byte();
        let is_body = is_first && grammar.bodies.contains(&parent.kind());
        match is_body || grammar.wrappers.contains(&parent.kind()) {
            true => outer = parent,
            false => break,
        }
    }
    let mut comments = Vec::new();
    let (mut next, mut row) = (outer.prev_sibling(), outer.start_position().row);
    while let Some(comment) = next.filter(|node| node.kind().contains("comment")) {
        if comment.end_position().row + 1 < row {
            break;
        }
        comments.push(of(comment, text));
        (next, row) = (comment.prev_sibling(), comment.start_position().row);
        if grammar.documentation == Documentation::Block {
            break;
        }
    }
    comments.reverse();
    match grammar.documentation {
        Documentation::Block => comments
            .first()
            .filter(|text| text.starts_with("/**"))
            .map(|text| of_block(text)),
        _ if comments.is_empty() => None,
        _ => Some(of_lines(comments)),
    }
}

/// A function without a part of it and the line that this leaves empty.
fn without(node: Node<'_>, taken: Node<'_>, text: &str) -> String {
    let before = text
        .get(node.start_byte()..taken.start_byte())
        .unwrap_or_default();
    let after = text
        .get(taken.end_byte()..node.end_byte())
        .unwrap_or_default();
    let is_line = before
        .rsplit('\n')
        .next()
        .is_some_and(|line| line.trim().is_empty());
    match after.split_once('\n') {
        Some((rest, after)) if is_line && rest.trim().is_empty() => {
            let before = before.trim_end_matches([' ', '\t']);
            format!("{before}{after}")
        }
        _ => format!("{before}{after}"),
    }
}

/// A function whose first line stood so many columns from the margin, at the margin.
fn dedented(code: &str, columns: usize) -> String {
    let line = |line: &str| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        line[blank.min(columns)..].to_owned()
    };
    let (first, rest) = code.split_once('\n').unwrap_or((code, ""));
    let rest = rest.split('\n').map(line);
    let lines = std::iter::once(first.to_owned()).chain(rest);
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The tokens of a function, without comments and `taken`.
fn tokens(node: Node<'_>, taken: Option<Node<'_>>, text: &str, grammar: &Grammar) -> String {
    let mut tokens = Vec::new();
    let mut cursor = node.walk();
    loop {
        let inner = cursor.node();
        let is_out = inner.kind().contains("comment") || taken == Some(inner);
        let is_token = inner.child_count() == 0 || grammar.texts.contains(&inner.kind());
        if !is_out && is_token {
            tokens.extend(of(inner, text).split_whitespace());
        }
        if !advance(&mut cursor, !is_out && !is_token) {
            return tokens.join(" ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, language: &str) -> Vec<Function> {
        let found = functions(text, language.parse().unwrap());
        assert!(!found.has_errors && !found.is_given_up, "{text}");
        found.functions
    }

    #[test]
    fn functions_are_found_in_six_languages() {
        for (language, text, tokens) in [
            (
                "python",
                "class A:\n    @staticmethod\n    def add(a, b):\n        \"\"\"Adds two numbers.\n\n        More.\n        \"\"\"\n        # why\n        c = a + 'b c'\n        return c\n",
                "def add ( a , b ) : c = a + 'b c' return c",
            ),
            (
                "go",
                "package a\n\n// add Adds two numbers.\nfunc add(a int, b int) int {\n\t// why\n\treturn a + b\n}\n",
                "func add ( a int , b int ) int { return a + b }",
            ),
            (
                "java",
                "class A {\n  /**\n   * Adds two numbers.\n   * @param a one\n   */\n  int add(int a, int b) {\n    return a + b;\n  }\n}\n",
                "int add ( int a , int b ) { return a + b ; }",
            ),
            (
                "javascript",
                "/** Adds two numbers. */\nexport function add(a, b) {\n  // why\n  return a + `b c`;\n}\n",
                "function add ( a , b ) { return a + `b c` ; }",
            ),
            (
                "php",
                "<?php\n/**\n * Adds two numbers.\n *\n * @param int $a one\n */\nfunction add($a, $b)\n{\n    return $a + $b;\n}\n",
                "function add ( $ a , $ b ) { return $ a + $ b ; }",
            ),
            (
                "ruby",
                "class A\n  # Adds two numbers.\n  def add(a, b)\n    a + b # why\n  end\nend\n",
                "def add ( a , b ) a + b end",
            ),
        ] {
            let functions = found(text, language);
            let [function] = &functions[..] else {
                panic!("{language}: {functions:?}");
            };
            assert_eq!(function.name, "add");
            assert!(
                function.summary.ends_with("Adds two numbers."),
                "{}",
                function.summary
            );
            assert_eq!(function.tokens, tokens, "{language}");
            assert!(!function.code.contains("Adds"), "{}", function.code);
        }
    }

    #[test]
    fn code_without_its_docstring_is_as_it_was_written() {
        let text =
            "def add(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    c = a + b\n    return c\n";
        let expected = "def add(a, b):\n    c = a + b\n    return c";
        assert_eq!(found(text, "python")[0].code, expected);
        let within = text.lines().map(|line| format!("    {line}\n"));
        let within = format!("class A:\n{}", within.collect::<String>());
        assert_eq!(found(&within, "python")[0].code, expected);
    }

    #[test]
    fn what_describes_nothing_is_left_out() {
        for text in [
            "def add(a, b):\n    c = a + b\n    return c\n",
            "def add(a, b):\n    \"\"\"Adds.\"\"\"\n    c = a + b\n    return c\n",
            "def test_add(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    c = a + b\n    return c\n",
            "def __add__(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    c = a + b\n    return c\n",
            "def add(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    return a + b\n",
        ] {
            assert_eq!(found(text, "python"), [], "{text}");
        }
        let far =
            "package a\n\n// Adds two numbers.\n\nfunc add(a int) int {\n\tb := a\n\treturn b\n}\n";
        assert_eq!(found(far, "go"), []);
        assert_eq!(found("fn add() {}", "rust"), []);
    }

    #[test]
    fn broken_and_deeply_nested_code_ends() {
        let python = "python".parse().unwrap();
        let good =
            "def add(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    c = a + b\n    return c\n";
        let broken = functions(&format!("{good}\n)) ((\ndef f(:\n"), python);
        assert!(broken.has_errors);
        for (open, close) in [("(", ")"), ("[", ""), ("{'a': ", "}")] {
            let deep = format!(
                "x = {}1{}\n{good}",
                open.repeat(10_000),
                close.repeat(10_000)
            );
            functions(&deep, python);
        }
        let blocks = (0..1000).map(|depth| format!("{}if x:\n", " ".repeat(depth)));
        functions(&blocks.collect::<String>(), python);
        let php = "php".parse().unwrap();
        functions(&format!("<?php {}", "if (1) { ".repeat(10_000)), php);
    }
}
