//! Programming languages: how their files are called, and what is a comment in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::nearest;

/// A programming language, such as `python`.
///
/// ```
/// use calm_data::corpus::CodeLanguage;
///
/// let python: CodeLanguage = "python".parse()?;
/// assert_eq!(CodeLanguage::of_path("lib/setup.PY"), Some(python));
/// assert_eq!(CodeLanguage::of_path("Rakefile").unwrap().name(), "ruby");
/// assert_eq!(CodeLanguage::of_path("README"), None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct CodeLanguage(u8);

/// What is known of a language.
struct Known {
    name: &'static str,
    /// Other names, as The Stack and GitHub write them, in lower case.
    aliases: &'static [&'static str],
    /// Endings of its files, in lower case.
    extensions: &'static [&'static str],
    /// Whole names of files.
    files: &'static [&'static str],
    comments: &'static Comments,
}

/// How comments and texts are written.
#[derive(Debug)]
pub(crate) struct Comments {
    /// What begins a comment that ends with its line.
    pub(crate) line: &'static [&'static str],
    /// What begins and ends a comment of any length.
    pub(crate) block: &'static [(&'static str, &'static str)],
    /// What begins and ends a text that may have line ends in it, the longest first.
    pub(crate) long_texts: &'static [&'static str],
    /// Marks around a text that ends with its line at the latest.
    pub(crate) texts: &'static [char],
}

const C: Comments = Comments {
    line: &["//"],
    block: &[("/*", "*/")],
    long_texts: &[],
    texts: &['"', '\''],
};
/// A single quotation mark also begins a lifetime.
const RUST: Comments = Comments { texts: &['"'], ..C };
const JAVASCRIPT: Comments = Comments {
    long_texts: &["`"],
    ..C
};
const JAVA: Comments = Comments {
    long_texts: &["\"\"\""],
    ..C
};
const PHP: Comments = Comments {
    line: &["//", "#"],
    ..C
};
const HASH: Comments = Comments {
    line: &["#"],
    block: &[],
    long_texts: &[],
    texts: &['"', '\''],
};
/// A text that stands alone documents what it stands in; `comments.rs` counts it.
const PYTHON: Comments = Comments {
    long_texts: &["\"\"\"", "'''"],
    ..HASH
};
const RUBY: Comments = Comments {
    block: &[("\n=begin", "\n=end")],
    ..HASH
};
const LUA: Comments = Comments {
    line: &["--"],
    block: &[("--[[", "]]")],
    long_texts: &[],
    texts: &['"', '\''],
};
const HASKELL: Comments = Comments {
    line: &["--"],
    block: &[("{-", "-}")],
    long_texts: &[],
    texts: &['"'],
};
const SQL: Comments = Comments {
    line: &["--"],
    block: &[("/*", "*/")],
    long_texts: &[],
    texts: &['\''],
};

const fn known(
    name: &'static str,
    aliases: &'static [&'static str],
    extensions: &'static [&'static str],
    comments: &'static Comments,
) -> Known {
    Known {
        name,
        aliases,
        extensions,
        files: &[],
        comments,
    }
}

/// In order of their names. An extension is of one language alone.
const LANGUAGES: &[Known] = &[
    known("c", &[], &["c", "h"], &C),
    known("c-sharp", &["c#", "csharp"], &["cs"], &C),
    known(
        "cpp",
        &["c++"],
        &["cc", "cpp", "cxx", "hh", "hpp", "hxx"],
        &C,
    ),
    known("dart", &[], &["dart"], &JAVA),
    known("go", &["golang"], &["go"], &JAVASCRIPT),
    known("haskell", &[], &["hs"], &HASKELL),
    known("java", &[], &["java"], &JAVA),
    known(
        "javascript",
        &["js"],
        &["js", "mjs", "cjs", "jsx"],
        &JAVASCRIPT,
    ),
    known("julia", &[], &["jl"], &PYTHON),
    known("kotlin", &[], &["kt", "kts"], &JAVA),
    known("lua", &[], &["lua"], &LUA),
    known("perl", &[], &["pl", "pm"], &HASH),
    known("php", &[], &["php", "phtml"], &PHP),
    known("python", &["py", "python3"], &["py", "pyi"], &PYTHON),
    known("r", &[], &["r"], &HASH),
    Known {
        files: &["Gemfile", "Guardfile", "Rakefile", "Vagrantfile"],
        ..known("ruby", &["rb"], &["rb", "gemspec", "rake"], &RUBY)
    },
    known("rust", &["rs"], &["rs"], &RUST),
    known("scala", &[], &["scala"], &JAVA),
    known("shell", &["bash", "sh"], &["sh", "bash", "zsh"], &HASH),
    known("sql", &[], &["sql"], &SQL),
    known("swift", &[], &["swift"], &JAVA),
    known(
        "typescript",
        &["ts", "tsx"],
        &["ts", "tsx", "mts", "cts"],
        &JAVASCRIPT,
    ),
];

impl CodeLanguage {
    /// All languages, in order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LANGUAGES.len()).map(|index| Self(index as u8))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.known().name
    }

    /// The language of a file, by its name or the ending of it.
    pub fn of_path(path: &str) -> Option<Self> {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let extension = file.rsplit_once('.').map(|(_, last)| last.to_lowercase());
        let is_of = |known: &Known| {
            let by_extension = extension
                .as_deref()
                .is_some_and(|of| known.extensions.contains(&of));
            by_extension || known.files.contains(&file)
        };
        Self::all().find(|language| is_of(language.known()))
    }

    /// How comments and texts are written in it.
    pub(crate) fn comments(self) -> &'static Comments {
        self.known().comments
    }

    fn known(self) -> &'static Known {
        &LANGUAGES[usize::from(self.0)]
    }
}

impl FromStr for CodeLanguage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_lowercase();
        let is_it = |known: &Known| known.name == name || known.aliases.contains(&&*name);
        Self::all().find(|language| is_it(language.known())).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            let nearest = nearest(&name, &names);
            format!("'{text}' is no programming language that is known here; did you mean '{nearest}'?")
        })
    }
}

impl TryFrom<String> for CodeLanguage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CodeLanguage> for &'static str {
    fn from(language: CodeLanguage) -> Self {
        language.name()
    }
}

impl fmt::Display for CodeLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for CodeLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_and_extension_is_of_one_language() {
        let names = LANGUAGES
            .iter()
            .flat_map(|known| known.aliases.iter().chain([&known.name]));
        let names: Vec<_> = names.collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        let extensions: Vec<_> = LANGUAGES
            .iter()
            .flat_map(|known| known.extensions)
            .collect();
        assert_eq!(
            extensions.iter().collect::<HashSet<_>>().len(),
            extensions.len()
        );
        assert!(LANGUAGES.is_sorted_by_key(|known| known.name));
    }

    #[test]
    fn languages_are_found_by_the_names_that_corpora_use() {
        for (name, expected) in [
            ("Python", "python"),
            ("C++", "cpp"),
            ("C#", "c-sharp"),
            ("PHP", "php"),
        ] {
            assert_eq!(name.parse::<CodeLanguage>().unwrap().name(), expected);
        }
        let error = "pyton".parse::<CodeLanguage>().unwrap_err();
        assert!(error.ends_with("did you mean 'python'?"), "{error}");
        for (path, expected) in [
            ("a/b.rs", Some("rust")),
            ("a.tar/Gemfile", Some("ruby")),
            ("x.d.ts", Some("typescript")),
            ("Makefile", None),
            (".py/x", None),
        ] {
            assert_eq!(
                CodeLanguage::of_path(path).map(CodeLanguage::name),
                expected,
                "{path}"
            );
        }
    }
}
