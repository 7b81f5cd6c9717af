//! Names that people know from other programs: what is typed out of habit works, or is answered
//! with what to type instead.

mod aliases;
mod foreign;
mod nearest;
mod unknown;

use std::collections::HashSet;

use clap::{Arg, Command};

use self::aliases::{FLAGS, Flag, VERBS};
pub(crate) use self::nearest::nearest;
pub(crate) use self::unknown::{Unknown, unknown};

/// The command with the names that other programs have for its verbs and flags. Help shows ours.
pub(crate) fn with_aliases(command: Command) -> Command {
    let command = VERBS.iter().fold(command, |command, (verb, others)| {
        match command.find_subcommand(verb) {
            Some(_) => command.mut_subcommand(verb, |verb| verb.aliases(*others)),
            None => command,
        }
    });
    let path = [command.get_name().to_owned()];
    named(command, &path, &HashSet::new())
}

/// `path` leads to the command, `above` are names of flags of every verb.
fn named(command: Command, path: &[String], above: &HashSet<String>) -> Command {
    // Of `calm data kv`, `data`.
    let verb = path.get(1).map_or("", String::as_str);
    let mut taken = above.clone();
    let own = command.get_arguments();
    taken.extend(own.flat_map(|arg| names(arg).chain(arg.get_short().map(String::from))));
    let command = command.mut_args(|arg| with_names(arg, verb, &mut taken));
    let everywhere = command.get_arguments().filter(|arg| arg.is_global_set());
    let everywhere: HashSet<String> = everywhere
        .flat_map(|arg| {
            names(arg).chain(
                arg.get_short_and_visible_aliases()
                    .into_iter()
                    .flatten()
                    .map(String::from),
            )
        })
        .chain(above.iter().cloned())
        .collect();
    let command = pointing_to_examples(command, path);
    let below: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    below.iter().fold(command, |command, name| {
        let path = [path, std::slice::from_ref(name)].concat();
        command.mut_subcommand(name, |command| named(command, &path, &everywhere))
    })
}

/// `-h` is short, and says where the examples are.
fn pointing_to_examples(command: Command, path: &[String]) -> Command {
    match command.get_after_long_help() {
        Some(_) => command.after_help(format!("Examples: {} --help", path.join(" "))),
        None => command,
    }
}

/// The flag with all of its names that are free.
fn with_names(arg: Arg, verb: &str, taken: &mut HashSet<String>) -> Arg {
    let Some(long) = arg.get_long().map(str::to_owned) else {
        return arg;
    };
    let is_meant =
        |flag: &&Flag| flag.name == long && (flag.verbs.is_empty() || flag.verbs.contains(&verb));
    let mut arg = arg;
    let mut others = vec![long.replace('-', "_")];
    for flag in FLAGS.iter().filter(is_meant) {
        if let Some(short) = flag.short.filter(|_| arg.get_short().is_none())
            && taken.insert(short.to_string())
        {
            arg = arg.short(short);
        }
        let spelled = flag.others.iter();
        others.extend(spelled.flat_map(|other| [(*other).to_owned(), other.replace('-', "_")]));
    }
    others.retain(|other| taken.insert(other.clone()));
    arg.aliases(others)
}

/// All names of a flag that have more than one letter.
fn names(arg: &Arg) -> impl Iterator<Item = String> {
    let others = arg.get_all_aliases().unwrap_or_default();
    let names = arg.get_long().into_iter().chain(others);
    names.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Our own name of the flag that a verb knows by this one.
pub(crate) fn canonical<'a>(verb: &'a Command, name: &str) -> Option<&'a str> {
    let mut flags = verb.get_arguments();
    let flag = flags.find(|flag| names(flag).any(|known| known == name));
    flag.and_then(Arg::get_long)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_name_means_one_thing_and_stands_in_the_docs() {
        let page = include_str!("../../../../docs/names.md");
        for flag in FLAGS {
            let short = flag.short.map(|short| format!("`-{short}`"));
            let others = flag.others.iter().map(|other| format!("`--{other}`"));
            let also: Vec<String> = short.into_iter().chain(others).collect();
            let of = flag.verbs.first();
            let of = of.map_or(String::new(), |verb| format!(" of `{verb}`"));
            let row = format!("| `--{}`{of} | {} |\n", flag.name, also.join(", "));
            assert!(page.contains(&row), "docs/names.md lacks: {row}");
        }
        let mut program = with_aliases(crate::Cli::command());
        program.build();
        for verb in program.get_subcommands() {
            let mut seen = HashSet::new();
            let shorts = verb.get_arguments().filter_map(Arg::get_short);
            let all = verb.get_arguments().flat_map(names);
            for name in all.chain(shorts.map(String::from)) {
                assert!(seen.insert(name.clone()), "{}: {name}", verb.get_name());
            }
        }
    }
}
