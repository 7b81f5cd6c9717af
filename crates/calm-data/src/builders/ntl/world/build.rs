//! Writes the files of a world.

use std::io;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::config::WorldSizes;
use super::dataset::{ANSWER, Pair, QUESTION, World};
use super::language::Resource;
use super::mixture::{Mixture, ntl};
use super::texts::{CompositionRow, Row};
use super::tokenizer;
use crate::DataError;
use crate::builders::ntl::ENGLISH;
use crate::builders::staging::Staging;

/// Version of the builder. It changes when the same settings would give other bytes.
pub const BUILDER_VERSION: u32 = 1;

/// Rows of the anchor's that the tokenizer is trained on.
const ANCHOR_ROWS: usize = 50_000;

/// Sentences that worked examples are taken from.
const SHOTS: usize = 10;

/// Places among the low-resource languages of those of table 2, of every family some. Settings are
/// chosen on the others.
const TABLE_2: [usize; 10] = [1, 3, 5, 7, 9, 12, 15, 18, 20, 23];

/// Files of tasks, to which the order and the groups of languages are added.
const TASKS: [(&str, &str); 3] = [
    ("translation.toml", include_str!("tasks/translation.toml")),
    ("unseen.toml", include_str!("tasks/unseen.toml")),
    ("problems.toml", include_str!("tasks/problems.toml")),
];

/// File with the settings, by which a finished directory is known.
const DESCRIPTION: &str = "ntl.json";

/// Writes a world to a directory, which appears when it is whole, and returns the number of rows of
/// D_C. The bytes depend on the settings alone.
///
/// | file | holds |
/// | --- | --- |
/// | `ntl.json` | settings, languages, sizes of their corpora |
/// | `tokenizer.json` | the tokenizer of all models, if texts are written |
/// | `pretrain/{small,augmenting,anchor}.jsonl` | texts to train the frozen models on; `augmenting` is D_NTL |
/// | `d_c.jsonl` | D_C |
/// | `flores/{dev,devtest}/` | sentences in all languages, with `LANG.words` and `LANG.unseen`, the numbers of their content words and of those that D_C never shows |
/// | `unseen/` | sentences of words that D_C never shows, of each language its own |
/// | `mgsm/` | word problems |
/// | `translation.toml`, `unseen.toml`, `problems.toml` | tasks over these |
///
/// # Errors
///
/// [`DataError::Io`] naming the file that could not be written, [`DataError::File`] if the directory is a
/// file.
pub fn build(world: &World, sizes: WorldSizes, directory: &Path) -> Result<usize, DataError> {
    let staging = Staging::beside(directory)?;
    let d_c = write(world, sizes, staging.path())?;
    staging.publish(DESCRIPTION)?;
    Ok(d_c)
}

fn write(world: &World, sizes: WorldSizes, directory: &Path) -> Result<usize, DataError> {
    write_tests(world, sizes, directory)?;
    let d_c = d_c(world);
    let count = d_c.len();
    rows(&directory.join("d_c.jsonl"), d_c)?;
    write_texts(world, sizes, &directory.join("pretrain"))?;
    if sizes.tokenizer {
        let path = directory.join("tokenizer.json");
        let trained = tokenizer::train(&tokenizer_texts(world));
        let json = trained.map_err(|error| DataError::io(&path)(io::Error::other(error)))?;
        calm_files::write(path, json)?;
    }
    calm_files::write_with(directory.join(DESCRIPTION), |file| {
        let description = description(world, sizes);
        Ok(serde_json::to_writer_pretty(file, &description)?)
    })?;
    Ok(count)
}

fn write_texts(world: &World, sizes: WorldSizes, directory: &Path) -> Result<(), DataError> {
    let path = |name: &str| directory.join(format!("{name}.jsonl"));
    for (name, count, mixture) in [
        ("small", sizes.small, Mixture::small(world)),
        ("anchor", sizes.anchor, Mixture::anchor(world)),
    ] {
        if count > 0 {
            rows(&path(name), mixture.rows(world, count))?;
        }
    }
    if sizes.ntl {
        rows(&path("augmenting"), ntl(world))?;
    }
    Ok(())
}

/// The corpora of all languages, and rows of the anchor's: what the tokens are to be made of.
fn tokenizer_texts(world: &World) -> Vec<String> {
    let corpus = |language: usize| {
        let pairs = 0..world.corpus_pairs(language);
        pairs.map(move |index| world.corpus_pair(language, index).source)
    };
    let languages = (0..world.languages().len()).into_par_iter();
    let mut texts: Vec<String> = languages.flat_map_iter(corpus).collect();
    let anchor = Mixture::anchor(world).rows(world, ANCHOR_ROWS);
    texts.extend(anchor.iter().map(Row::text));
    texts
}

fn rows<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<(), DataError> {
    make_parent(path)?;
    calm_files::write_with(path, |file| {
        rows.into_iter().try_for_each(|row| -> io::Result<()> {
            serde_json::to_writer(&mut *file, &row)?;
            file.write_all(b"\n")
        })
    })?;
    Ok(())
}

fn lines(path: &Path, lines: impl IntoIterator<Item = String>) -> Result<(), DataError> {
    make_parent(path)?;
    calm_files::write_with(path, |file| {
        lines
            .into_iter()
            .try_for_each(|line| writeln!(file, "{line}"))
    })?;
    Ok(())
}

fn make_parent(path: &Path) -> Result<(), DataError> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(DataError::io(parent))
}

fn d_c(world: &World) -> Vec<CompositionRow> {
    let languages = (0..world.languages().len()).into_par_iter();
    let pairs = languages.flat_map_iter(|language| world.d_c(language));
    let solvers = world.with(Resource::High).into_iter().map(Some);
    let solvers: Vec<_> = solvers.chain([None]).collect();
    let problems = solvers.into_par_iter();
    pairs
        .chain(problems.flat_map_iter(|language| world.d_c_problems(language)))
        .collect()
}

fn write_tests(world: &World, sizes: WorldSizes, directory: &Path) -> Result<(), DataError> {
    write_sentences(world, sizes, &directory.join("flores"))?;
    write_unseen(world, sizes, &directory.join("unseen"))?;
    write_problems(world, sizes, &directory.join("mgsm"))?;
    for (name, task) in TASKS {
        let english = name == "problems.toml";
        let (order, groups) = (low_to_high(world, english), groups(world, english));
        let text = format!("low_to_high = {order:?}\n{task}\n[groups]\n{groups}");
        calm_files::write(directory.join(name), text)?;
    }
    Ok(())
}

fn write_sentences(world: &World, sizes: WorldSizes, directory: &Path) -> Result<(), DataError> {
    for (set, test, count) in [("dev", false, SHOTS), ("devtest", true, sizes.sentences)] {
        let path = |tag: &str, kind: &str| directory.join(format!("{set}/{tag}.{kind}"));
        let english = (0..count).map(|index| world.test_pair(0, test, index).target);
        lines(&path(ENGLISH, set), english)?;
        for (language, named) in world.languages().iter().enumerate() {
            let pairs = (0..count).map(|index| world.test_pair(language, test, index));
            let pairs: Vec<Pair> = pairs.collect();
            let write = |kind: &str, of: &dyn Fn(&Pair) -> String| {
                lines(&path(&named.tag, kind), pairs.iter().map(of))
            };
            write(set, &|pair| pair.source.clone())?;
            if test {
                let shown = world.shown(language);
                let unseen = |pair: &Pair| {
                    let content = pair.content.iter();
                    content.filter(|meaning| !shown[**meaning]).count()
                };
                write("unseen", &|pair| unseen(pair).to_string())?;
                write("words", &|pair| pair.content.len().to_string())?;
            }
        }
    }
    Ok(())
}

fn write_unseen(world: &World, sizes: WorldSizes, directory: &Path) -> Result<(), DataError> {
    for language in world.with(Resource::Low) {
        let tag = &world.languages()[language].tag;
        let pairs = world.unseen_pairs(language, sizes.unseen);
        let (sources, targets): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .map(|pair| (pair.source, pair.target))
            .unzip();
        lines(&directory.join(format!("{tag}.source")), sources)?;
        lines(&directory.join(format!("{tag}.target")), targets)?;
    }
    Ok(())
}

/// Languages by the sizes of their corpora.
fn low_to_high(world: &World, english: bool) -> Vec<&str> {
    let mut languages: Vec<usize> = (0..world.languages().len()).collect();
    languages.sort_by_key(|language| {
        let resource = world.languages()[*language].resource;
        (resource == Resource::High, world.corpus_pairs(*language))
    });
    let tags = languages
        .into_iter()
        .map(|language| &*world.languages()[language].tag);
    tags.chain(english.then_some(ENGLISH)).collect()
}

/// Groups of a task's languages; word problems are in English, too.
fn groups(world: &World, english: bool) -> String {
    let tags = |languages: &[usize]| -> Vec<&str> {
        languages
            .iter()
            .map(|language| &*world.languages()[*language].tag)
            .collect()
    };
    let low = world.with(Resource::Low);
    let (table_2, chosen_on): (Vec<_>, Vec<_>) =
        (0..low.len()).partition(|place| TABLE_2.contains(place));
    let of = |places: Vec<usize>| {
        places
            .into_iter()
            .map(|place| low[place])
            .collect::<Vec<_>>()
    };
    let mut high = tags(&world.with(Resource::High));
    high.extend(english.then_some(ENGLISH));
    format!(
        "high_resource = {high:?}\nlow_resource = {:?}\ntable_2 = {:?}\nothers = {:?}\n",
        tags(&low),
        tags(&of(table_2)),
        tags(&of(chosen_on)),
    )
}

fn write_problems(world: &World, sizes: WorldSizes, directory: &Path) -> Result<(), DataError> {
    let languages = (0..world.languages().len()).map(Some);
    let mut exemplars = serde_json::Map::new();
    for language in languages.chain([None]) {
        let tag = language.map_or(ENGLISH, |language| &world.languages()[language].tag);
        let problems = (0..sizes.problems).map(|index| {
            let problem = world.problem(language, true, index);
            format!("{}\t{}", problem.question, problem.answer)
        });
        lines(&directory.join(format!("mgsm_{tag}.tsv")), problems)?;
        let shots: serde_json::Map<_, _> = (0..8)
            .map(|index| {
                let problem = world.problem(language, false, index);
                let shot = json!({
                    "q": format!("{QUESTION}: {}", problem.question),
                    "a": format!("{ANSWER}: {}", problem.worked),
                });
                ((index + 1).to_string(), shot)
            })
            .collect();
        exemplars.insert(tag.to_owned(), shots.into());
    }
    calm_files::write_with(directory.join("exemplars.json"), |file| {
        Ok(serde_json::to_writer_pretty(
            file,
            &json!({ "exemplars": exemplars }),
        )?)
    })?;
    Ok(())
}

fn description(world: &World, sizes: WorldSizes) -> serde_json::Value {
    let languages: Vec<_> = (0..world.languages().len())
        .map(|language| {
            let mut value = json!(world.languages()[language]);
            value["pairs"] = json!(world.corpus_pairs(language));
            let shown = world.shown(language).iter().filter(|shown| **shown).count();
            value["d_c"] = json!({ "pairs": world.chosen(language).len(), "words": shown });
            value
        })
        .collect();
    json!({
        "schema": 1,
        "builder_version": BUILDER_VERSION,
        "config": world.config(),
        "sizes": sizes,
        "meanings": world.meanings(),
        "languages": languages,
    })
}

#[cfg(test)]
mod tests {
    use super::super::WorldConfig;
    use super::*;

    fn build_with(threads: usize) -> (tempfile::TempDir, String) {
        let config = WorldConfig {
            pairs: [20, 60],
            d_c_share: 0.2,
            d_c_high_resource: 4,
            d_c_problems: 2,
            ..WorldConfig::default()
        };
        let sizes = WorldSizes {
            small: 100,
            anchor: 100,
            tokenizer: false,
            sentences: 4,
            unseen: 3,
            problems: 2,
            ..WorldSizes::default()
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(config).unwrap();
        pool.install(|| build(&world, sizes, directory.path()))
            .unwrap();
        let files = [
            "ntl.json",
            "d_c.jsonl",
            "pretrain/small.jsonl",
            "pretrain/anchor.jsonl",
            "pretrain/augmenting.jsonl",
        ];
        let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let bytes = files.map(read).concat();
        (directory, calm_files::sha256(bytes))
    }

    #[test]
    fn threads_do_not_change_a_byte() {
        let (_one, digest) = build_with(1);
        assert_eq!(digest, build_with(3).1);
        // The committed checkpoints know this world: raise BUILDER_VERSION and train them again if
        // it has to change.
        assert_eq!(
            digest,
            "ef1287e4eae351d5b255256ace66b51e7001d2dfa55b4ca424050334a7911069"
        );
    }

    #[test]
    fn masks_hold_the_high_resource_sentences_of_a_prompt_but_for_numbers() {
        let world = World::new(WorldConfig::default()).unwrap();
        let [high, low] = [Resource::High, Resource::Low].map(|resource| world.with(resource)[0]);
        assert!(world.d_c(low).iter().all(|row| row.mask.is_empty()));
        let problems = world.d_c_problems(Some(high));
        assert_eq!(problems.len(), 250);
        for row in world.d_c(high).into_iter().chain(problems) {
            assert!(!row.mask.is_empty());
            let prompt: Vec<char> = row.prompt.chars().collect();
            for [from, to] in row.mask {
                let part: String = prompt[from..to].iter().collect();
                assert!(
                    !part.contains(['\n', ':']) && !part.contains(char::is_numeric),
                    "{part}"
                );
                let behind = prompt[to];
                assert!(behind == '\n' || behind.is_numeric(), "{part}{behind}");
            }
        }
    }

    #[test]
    fn unseen_sentences_have_no_word_that_d_c_shows() {
        let world = World::new(WorldConfig::default()).unwrap();
        for language in world.with(Resource::Low) {
            let shown = world.shown(language);
            let pairs = world.unseen_pairs(language, 20);
            assert_eq!(pairs.len(), 20, "{}", world.languages()[language].tag);
            assert!(
                pairs
                    .iter()
                    .all(|pair| pair.content.iter().all(|meaning| !shown[*meaning]))
            );
        }
    }
}
