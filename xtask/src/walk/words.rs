//! Words of the documentation that name something of this repository: flags, files, links.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use miette::{IntoDiagnostic, Result};
use regex::Regex;

use super::pages;

/// Names that are not ours although they look like it, by `walk.toml`.
pub(super) struct Foreign<'a> {
    pub(super) flags: &'a [String],
    pub(super) files: &'a [String],
}

/// Flags that no program here has, source files that are nowhere, and links to nothing, each with
/// page and line.
pub(super) fn stale(root: &Path, calm: &Path, foreign: &Foreign<'_>) -> Result<Vec<String>> {
    let words = Words {
        flag: Regex::new(r"(?:^|[^\w-])(--[a-z][a-z0-9-]*)").into_diagnostic()?,
        file: Regex::new(r"`([\w/.-]+\.(?:rs|py|tsv))`").into_diagnostic()?,
        link: Regex::new(r"\]\(([^)#:]+)(?:#[^)]*)?\)").into_diagnostic()?,
        flags: flags(root, calm)?,
        files: tracked(root)?,
        foreign,
    };
    let mut stale = Vec::new();
    let pages = pages::markdown_files(root)?.into_iter();
    for page in pages.filter(|page| page != Path::new(ALIASES)) {
        let path = root.join(&page);
        let text = fs::read_to_string(&path).into_diagnostic()?;
        let directory = path.parent().unwrap_or(root);
        for (n, line) in text.lines().enumerate() {
            let found = words.stale_in(line, directory);
            stale.extend(found.map(|what| format!("{}:{}: {what}", page.display(), n + 1)));
        }
    }
    Ok(stale)
}

struct Words<'a> {
    flag: Regex,
    file: Regex,
    link: Regex,
    flags: BTreeSet<String>,
    files: Vec<String>,
    foreign: &'a Foreign<'a>,
}

impl Words<'_> {
    fn stale_in<'l>(
        &'l self,
        line: &'l str,
        directory: &'l Path,
    ) -> impl Iterator<Item = String> + 'l {
        let flags = captures(&self.flag, line).filter(|flag| !self.knows_flag(flag));
        let files = captures(&self.file, line).filter(|file| !self.knows_file(file));
        let links = captures(&self.link, line).filter(|link| !directory.join(link).exists());
        flags
            .map(|flag| format!("{flag}: no program here has this flag"))
            .chain(files.map(|file| format!("{file}: there is no such file")))
            .chain(links.map(|link| format!("{link}: this link leads nowhere")))
    }

    fn knows_flag(&self, flag: &str) -> bool {
        self.flags.contains(flag) || self.foreign.flags.iter().any(|known| known == flag)
    }

    /// Files may be named by the end of their path, and with NAME for any name.
    fn knows_file(&self, file: &str) -> bool {
        let end = format!("/{}", file.trim_start_matches("crates/"));
        let is_foreign = self
            .foreign
            .files
            .iter()
            .any(|known| file.contains(known.as_str()));
        is_foreign || file.contains("NAME") || self.files.iter().any(|path| path.ends_with(&end))
    }
}

fn captures<'l>(pattern: &Regex, line: &'l str) -> impl Iterator<Item = &'l str> {
    let found: Vec<_> = pattern.captures_iter(line).collect();
    found
        .into_iter()
        .filter_map(|found| found.get(1).map(|word| word.as_str()))
}

/// Names of other programs that `calm` takes as well; a test of calm-lm holds the page to the code.
const ALIASES: &str = "docs/names.md";

/// All flags of `calm` and of `cargo xtask`.
fn flags(root: &Path, calm: &Path) -> Result<BTreeSet<String>> {
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?(--[a-z][a-z0-9-]*)").into_diagnostic()?;
    let help = pages::help(calm)?;
    let mut flags: BTreeSet<String> = help
        .iter()
        .flat_map(|(_, text)| captures(&flag, text).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let aliases = fs::read_to_string(root.join(ALIASES)).into_diagnostic()?;
    let alias = Regex::new(r"`(--[a-z][a-z0-9-]*)`").into_diagnostic()?;
    flags.extend(captures(&alias, &aliases).map(str::to_owned));
    add_flags(&crate::Cli::command(), &mut flags);
    flags.extend(["--help", "--version"].map(str::to_owned));
    Ok(flags)
}

fn add_flags(command: &clap::Command, flags: &mut BTreeSet<String>) {
    let longs = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    flags.extend(longs.map(|long| format!("--{long}")));
    command
        .get_subcommands()
        .for_each(|below| add_flags(below, flags));
}

/// Paths of all files in the repository, each with a slash before it.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    let output = git
        .arg("ls-files")
        .current_dir(root)
        .output()
        .into_diagnostic()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|path| format!("/{path}")).collect())
}
