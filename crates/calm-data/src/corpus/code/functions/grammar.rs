//! What functions and comments are called in the grammars of six languages.

use tree_sitter::Language;

use crate::corpus::CodeLanguage;

/// A language whose functions are found.
pub(super) struct Grammar {
    name: &'static str,
    language: fn() -> Language,
    /// Nodes that are functions with a name.
    pub(super) functions: &'static [&'static str],
    /// Nodes around a function that its comment stands before.
    pub(super) wrappers: &'static [&'static str],
    /// Bodies of classes: what stands before one belongs to its first function.
    pub(super) bodies: &'static [&'static str],
    /// Nodes that are one token, whatever they have in them.
    pub(super) texts: &'static [&'static str],
    pub(super) documentation: Documentation,
}

/// Where the documentation of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Documentation {
    /// The text that its body begins with.
    Docstring,
    /// Comments of whole lines right before it.
    Lines,
    /// A comment that begins with `/**` right before it.
    Block,
}

const GRAMMARS: [Grammar; 6] = [
    Grammar {
        name: "python",
        language: || tree_sitter_python::LANGUAGE.into(),
        functions: &["function_definition"],
        wrappers: &["decorated_definition"],
        bodies: &[],
        texts: &["string"],
        documentation: Documentation::Docstring,
    },
    Grammar {
        name: "go",
        language: || tree_sitter_go::LANGUAGE.into(),
        functions: &["function_declaration", "method_declaration"],
        wrappers: &[],
        bodies: &[],
        texts: &[
            "interpreted_string_literal",
            "raw_string_literal",
            "rune_literal",
        ],
        documentation: Documentation::Lines,
    },
    Grammar {
        name: "java",
        language: || tree_sitter_java::LANGUAGE.into(),
        functions: &["method_declaration"],
        wrappers: &[],
        bodies: &[],
        texts: &["string_literal", "character_literal"],
        documentation: Documentation::Block,
    },
    Grammar {
        name: "javascript",
        language: || tree_sitter_javascript::LANGUAGE.into(),
        functions: &[
            "function_declaration",
            "generator_function_declaration",
            "method_definition",
        ],
        wrappers: &["export_statement"],
        bodies: &[],
        texts: &["string", "template_string", "regex"],
        documentation: Documentation::Block,
    },
    Grammar {
        name: "php",
        language: || tree_sitter_php::LANGUAGE_PHP.into(),
        functions: &["function_definition", "method_declaration"],
        wrappers: &[],
        bodies: &[],
        texts: &["string", "encapsed_string", "heredoc", "nowdoc"],
        documentation: Documentation::Block,
    },
    Grammar {
        name: "ruby",
        language: || tree_sitter_ruby::LANGUAGE.into(),
        functions: &["method", "singleton_method"],
        wrappers: &[],
        bodies: &["body_statement"],
        texts: &["string", "heredoc_body", "regex"],
        documentation: Documentation::Lines,
    },
];

impl Grammar {
    /// That of a language, if its functions are found.
    pub(super) fn of(language: CodeLanguage) -> Option<&'static Self> {
        GRAMMARS
            .iter()
            .find(|grammar| grammar.name == language.name())
    }

    /// The grammar itself.
    pub(super) fn language(&self) -> Language {
        (self.language)()
    }
}
