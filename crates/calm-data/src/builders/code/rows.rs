//! Files and functions as rows.

use std::borrow::Cow;

use serde::Serialize;

use crate::builders::shared::Chance;
use crate::corpus::{CodeLanguage, CodeManifest, Function, SourceFile};

/// Where a row is from.
#[derive(Debug, Clone, Copy, Serialize)]
struct From<'a> {
    language: CodeLanguage,
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tree: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<&'a str>,
    /// Of the file as it was read.
    sha256: &'a str,
}

impl<'a> From<'a> {
    fn new(manifest: &'a CodeManifest, file: &'a SourceFile) -> Self {
        Self {
            language: file.language,
            source: &manifest.sources[file.origin.corpus as usize].name,
            tree: &file.tree,
            path: &file.path,
            licence: file.licence.as_deref(),
            sha256: &file.sha256,
        }
    }
}

/// A file of code.
#[derive(Debug, Serialize)]
pub(super) struct FileRow<'a> {
    text: Cow<'a, str>,
    #[serde(flatten)]
    from: From<'a>,
}

impl<'a> FileRow<'a> {
    pub(super) fn new(manifest: &'a CodeManifest, file: &'a SourceFile) -> Self {
        Self {
            text: in_parts(manifest, file).map_or(Cow::Borrowed(&*file.text), Cow::Owned),
            from: From::new(manifest, file),
        }
    }
}

/// The text with its middle at the end, if chance has it so.
fn in_parts(manifest: &CodeManifest, file: &SourceFile) -> Option<String> {
    let fim = manifest.output.fill_in_the_middle.as_ref()?;
    let chance = Chance {
        seed: manifest.seed,
    };
    if chance.unit("fill-in-the-middle", file) >= fim.share {
        return None;
    }
    let text = &file.text;
    let mut cuts = ["first cut", "second cut"].map(|purpose| {
        let at = chance.up_to(text.len(), purpose, file);
        text.floor_char_boundary(at)
    });
    cuts.sort_unstable();
    let [first, second] = cuts;
    let (before, middle, after) = (&text[..first], &text[first..second], &text[second..]);
    let (prefix, suffix) = (&fim.prefix, &fim.suffix);
    Some(format!(
        "{prefix}{before}{suffix}{after}{}{middle}",
        fim.middle
    ))
}

/// A function one way: from its description, or to it.
#[derive(Debug, Serialize)]
pub(super) struct FunctionRow<'a> {
    prompt: String,
    target: String,
    task: &'static str,
    function: &'a str,
    line: usize,
    #[serde(flatten)]
    from: From<'a>,
}

/// A function both ways, in the forms of the benchmarks `codexglue` and `mbpp`.
pub(super) fn function_rows<'a>(
    manifest: &'a CodeManifest,
    file: &'a SourceFile,
    function: &'a Function,
) -> [FunctionRow<'a>; 2] {
    let row = |task, prompt, target| FunctionRow {
        prompt,
        target,
        task,
        function: &function.name,
        line: function.line,
        from: From::new(manifest, file),
    };
    let Function {
        code,
        tokens,
        summary,
        ..
    } = function;
    let described = format!("{tokens}\nDescription:");
    [
        row("code-to-text", described, format!(" {summary}")),
        row("text-to-code", format!("# {summary}\n"), code.clone()),
    ]
}
