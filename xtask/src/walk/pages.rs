//! Pages with commands: Markdown files, and the examples of every verb's `--help`.
//!
//! A scene is what somebody types in one directory, one command after another: all of README, a
//! block of another page, or an example of a help text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use miette::{IntoDiagnostic, Result, WrapErr};

/// A page and the commands of its scenes, in their order.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) scenes: Vec<Vec<String>>,
}

/// The page whose blocks build on one another.
const STORY: &str = "README.md";

/// README, documentation, and the help of all verbs.
pub(super) fn all(root: &Path, calm: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for file in markdown_files(root)? {
        let text = fs::read_to_string(root.join(&file)).into_diagnostic()?;
        let name = file.display().to_string();
        let mut scenes = of_markdown(&text);
        if name == STORY {
            scenes = vec![scenes.concat()];
        }
        pages.push(Page { name, scenes });
    }
    let help = help(calm)?.into_iter();
    pages.extend(help.map(|(name, text)| Page {
        name,
        scenes: of_help(&text),
    }));
    Ok(pages)
}

/// Paths from the root of the workspace.
pub(super) fn markdown_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![
        PathBuf::from("README.md"),
        PathBuf::from("datasets/README.md"),
    ];
    let docs = fs::read_dir(root.join("docs")).into_diagnostic()?;
    for entry in docs {
        let name = PathBuf::from(entry.into_diagnostic()?.file_name());
        if name.extension().is_some_and(|extension| extension == "md") {
            files.push(Path::new("docs").join(name));
        }
    }
    files[2..].sort();
    Ok(files)
}

/// The help of `calm` and of all its verbs, each behind its name.
pub(super) fn help(calm: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    add_help(calm, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn add_help(calm: &Path, verb: &mut Vec<String>, to: &mut Vec<(String, String)>) -> Result<()> {
    let output = Command::new(calm).args(&*verb).arg("--help").output();
    let output = output.into_diagnostic().wrap_err("calm --help")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let below = verbs(&text);
    let words = std::iter::once("calm").chain(verb.iter().map(String::as_str));
    let name = words.chain(["--help"]).collect::<Vec<_>>().join(" ");
    to.push((name, text));
    for name in below {
        verb.push(name);
        add_help(calm, verb, to)?;
        verb.pop();
    }
    Ok(())
}

/// Verbs that a help text lists below `Commands:`.
fn verbs(help: &str) -> Vec<String> {
    let mut lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = lines.by_ref().take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Scenes of examples: lines that are indented by four, up to an empty one. Lists are indented as
/// well, and their lines begin with a flag.
fn of_help(help: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "EXAMPLES")
        .collect();
    let groups = lines.split(|line| line.is_empty());
    let scenes = groups.map(|group| {
        let commands = joined(group.iter().filter_map(|line| line.strip_prefix("    ")));
        let commands = commands
            .into_iter()
            .filter(|command| !command.starts_with('-'));
        commands.collect::<Vec<_>>()
    });
    scenes.filter(|scene| !scene.is_empty()).collect()
}

/// Scenes of blocks marked `sh`, and of the prompts of blocks marked `console`.
fn of_markdown(text: &str) -> Vec<Vec<String>> {
    let mut scenes = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
        match line {
            "```sh" => scenes.push(joined(block)),
            "```console" => scenes.push(typed(block)),
            _ => block.for_each(drop),
        }
    }
    scenes.retain(|scene| !scene.is_empty());
    scenes
}

/// Lines behind `$ `, with those that they go on in.
fn typed<'a>(block: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut goes_on = false;
    let lines = block.filter_map(|line| {
        let typed = line.strip_prefix("$ ").or(goes_on.then_some(line));
        goes_on = typed.is_some_and(|typed| typed.ends_with('\\'));
        typed
    });
    joined(lines)
}

/// Commands, each in one line: behind a backslash it goes on, and a loop is one command.
fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut commands = Vec::new();
    let mut open = String::new();
    for line in lines {
        let line = without_comment(line).trim();
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, " "),
            None if line.ends_with("do") => (line, " "),
            None => (line, "; "),
        };
        open += part;
        if goes_on == " " || is_in_a_loop(&open) {
            open += goes_on;
            continue;
        }
        let command = open.split_whitespace().collect::<Vec<_>>().join(" ");
        commands.extend((!command.is_empty()).then_some(command));
        open.clear();
    }
    commands
}

fn is_in_a_loop(command: &str) -> bool {
    let words = command.split([' ', ';']);
    let (begun, ended) = words.fold((0, 0), |(begun, ended), word| match word {
        "do" => (begun + 1, ended),
        "done" => (begun, ended + 1),
        _ => (begun, ended),
    });
    begun > ended
}

/// A line up to ` #`, unless that stands in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '#' && before == ' ' => return &line[..at],
            _ => {}
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_a_page_are_whole() {
        let page = "\
Text with `calm inline`.

```sh
calm a --b 'c # d'  # a comment
calm e \\
    --f

for x in 1 2; do
  calm g --seed $x
done
```
```text
calm not-a-command
```
```console
$ calm h \\
      --i
what it prints
$ calm j
```
";
        let typed = [
            "calm a --b 'c # d'",
            "calm e --f",
            "for x in 1 2; do calm g --seed $x; done",
        ];
        let at_a_prompt = ["calm h --i", "calm j"];
        assert_eq!(of_markdown(page), [typed.to_vec(), at_a_prompt.to_vec()]);
    }

    #[test]
    fn help_names_verbs_and_examples() {
        let help = "\
Usage: calm [OPTIONS] <COMMAND>

Commands:
  data  Build a dataset
          and more
  help  Print this

Options:
  -h  Help

EXAMPLES
  Two lines:
    calm data kv \\
        --out kv
    calm inspect kv

  Another:
    calm doctor
";
        assert_eq!(verbs(help), ["data"]);
        let two = vec![
            "calm data kv --out kv".to_owned(),
            "calm inspect kv".to_owned(),
        ];
        assert_eq!(of_help(help), [two, vec!["calm doctor".to_owned()]]);
    }
}
