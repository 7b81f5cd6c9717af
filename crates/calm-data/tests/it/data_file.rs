//! Files of examples, tokenised into memory and into a cache.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use calm_data::{
    Batches, DataError, DataFile, Examples, Fitted, Record, Tokenized, TokenizedExample, TooLong,
};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::word_tokenizer::WordTokenizer;

/// A directory with a data file and a cache, and a tokenizer.
struct Workshop {
    directory: TempDir,
    tokenizer: WordTokenizer,
}

impl Workshop {
    fn new(data: &str) -> Self {
        let workshop = Self {
            directory: tempfile::tempdir().unwrap(),
            tokenizer: WordTokenizer::laptop(),
        };
        workshop.write(data);
        workshop
    }

    fn write(&self, data: &str) {
        fs::write(self.directory.path().join("data.jsonl"), data).unwrap();
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn file(&self, context: usize, too_long: TooLong) -> DataFile<'_> {
        DataFile {
            path: self.directory.path().join("data.jsonl"),
            form: calm_data::ExampleForm::default(),
            tokenizing: self.tokenizer.with(context, too_long),
        }
    }

    /// Reads through the cache. Also returns whether anything was tokenised.
    fn through_cache(&self, file: &DataFile<'_>) -> (Tokenized, bool) {
        let mut tokenized = false;
        let read = file.read_through(&self.cache(), |_| tokenized = true);
        (read.unwrap(), tokenized)
    }

    fn cached(&self) -> Vec<PathBuf> {
        cached(&self.cache())
    }
}

/// Files of a cache, without its lock.
fn cached(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| !path.ends_with("lock")).collect()
}

fn all(examples: &Examples) -> Vec<TokenizedExample> {
    examples.iter().map(Result::unwrap).collect()
}

fn pair(prompt: &str, target: &str) -> String {
    format!("{}\n", json!({"prompt": prompt, "target": target}))
}

fn text(text: &str) -> String {
    format!("{}\n", json!({ "text": text }))
}

/// Three pairs, one of them long, and a text.
fn some() -> String {
    [
        pair("1 + 2 =", "3 0 0 0"),
        pair("1 + 2 + 3 + 4 + 5 + 6 =", "1 2 0 0"),
        text("4 + 5"),
        pair("7 =", "7"),
    ]
    .concat()
}

fn no_matter(_: u64) {}

/// A line of a data file: numbers and signs of the dataset.
fn line() -> impl Strategy<Value = String> {
    let words = |least| {
        let word = prop::sample::select(vec!["1", "20", "365", "+", "-", "="]);
        let words = prop::collection::vec(word, least..12);
        words.prop_map(|words| words.join(" "))
    };
    prop_oneof![
        (words(0), words(1)).prop_map(|(prompt, target)| pair(&prompt, &target)),
        words(1).prop_map(|words| text(&words)),
        Just("\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_comes_from_the_cache_is_what_comes_from_memory(
        lines in prop::collection::vec(line(), 0..40),
        context in 3_usize..20,
        skip in any::<bool>(),
        rows in 1_usize..5,
    ) {
        let workshop = Workshop::new(&lines.concat());
        let too_long = if skip { TooLong::Skip } else { TooLong::Truncate };
        let file = workshop.file(context, too_long);
        let memory = match file.read(no_matter) {
            Ok(memory) => memory,
            Err(error) => {
                let cached = file.read_through(&workshop.cache(), no_matter).unwrap_err();
                prop_assert_eq!(error.to_string(), cached.to_string());
                prop_assert!(workshop.cached().is_empty());
                return Ok(());
            }
        };
        for anew in [true, false] {
            let (cached, tokenized) = workshop.through_cache(&file);
            prop_assert_eq!(tokenized, anew);
            prop_assert_eq!(all(&cached.examples), all(&memory.examples));
            prop_assert_eq!(cached.examples.tokens(), memory.examples.tokens());
            prop_assert_eq!(&cached.sha256, &memory.sha256);
            prop_assert_eq!(
                (cached.truncated, cached.skipped),
                (memory.truncated, memory.skipped)
            );
        }
        let read = lines.iter().filter(|line| !line.trim().is_empty()).count();
        prop_assert_eq!(memory.examples.len() + memory.skipped as usize, read);
        let (cached, _) = workshop.through_cache(&file);
        let from_memory = Batches::new(memory.examples, rows, 0, 5);
        let from_cache = Batches::new(cached.examples, rows, 0, 5);
        prop_assert_eq!(from_memory.padding_share(), from_cache.padding_share());
        for number in 0..2 * from_memory.per_epoch() {
            let [memory, cached] = [&from_memory, &from_cache].map(|of| of.batch(number).unwrap());
            prop_assert_eq!(memory, cached);
        }
    }
}

#[test]
fn examples_that_do_not_fit_are_counted() {
    let workshop = Workshop::new(&some());
    let error = workshop
        .file(12, TooLong::Error)
        .read(no_matter)
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("data.jsonl: example 1: 18 tokens do not fit the context of 12"),
        "{message}"
    );
    let truncated = workshop
        .file(12, TooLong::Truncate)
        .read(no_matter)
        .unwrap();
    assert_eq!((truncated.truncated, truncated.skipped), (1, 0));
    let tokens: Vec<usize> = (0..4).map(|n| truncated.examples.tokens_of(n)).collect();
    assert_eq!(tokens, [10, 12, 5, 5]);
    let skipped = workshop.file(12, TooLong::Skip).read(no_matter).unwrap();
    assert_eq!((skipped.truncated, skipped.skipped), (0, 1));
    let left = all(&truncated.examples);
    let expected = [left[0].clone(), left[2].clone(), left[3].clone()];
    assert_eq!(all(&skipped.examples), expected);
}

#[test]
fn files_of_which_nothing_is_left_are_errors() {
    let workshop = Workshop::new("\n \n");
    let file = workshop.file(64, TooLong::Skip);
    assert!(matches!(file.read(no_matter), Err(DataError::Empty { .. })));
    workshop.write(&some());
    let error = workshop.file(4, TooLong::Skip).read(no_matter).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("none of its 4 examples fits the context of 4"),
        "{message}"
    );
}

#[test]
fn a_cache_serves_only_what_it_was_made_for() {
    let workshop = Workshop::new(&some());
    let file = workshop.file(12, TooLong::Skip);
    let anew = |file: &DataFile<'_>| workshop.through_cache(file).1;
    assert!(anew(&file));
    assert!(!anew(&file));
    let elsewhere = DataFile {
        path: workshop.directory.path().join("renamed.jsonl"),
        ..file.clone()
    };
    fs::copy(&file.path, &elsewhere.path).unwrap();
    assert!(!anew(&elsewhere), "what it is called does not matter");

    assert!(anew(&workshop.file(13, TooLong::Skip)), "context");
    assert!(anew(&workshop.file(12, TooLong::Truncate)), "policy");
    let mut other_end = file.clone();
    other_end.tokenizing.end_of_text += 1;
    assert!(anew(&other_end), "end of text");
    let mut tokenizer = WordTokenizer::laptop();
    tokenizer.json = "{}".to_owned();
    let mut other_tokenizer = file.clone();
    other_tokenizer.tokenizing.tokenizer = &tokenizer;
    assert!(anew(&other_tokenizer), "tokenizer");
    workshop.write(&some().replace('7', "8"));
    assert!(anew(&file), "data");
    assert_eq!(workshop.cached().len(), 6);
}

/// Runs `check` with a cached file: its path and its bytes.
fn spoilt(check: impl Fn(&Workshop, &DataFile<'_>, &Path, &[u8])) {
    let workshop = Workshop::new(&some());
    let file = workshop.file(64, TooLong::Error);
    workshop.through_cache(&file);
    let path = workshop.cached().remove(0);
    let whole = fs::read(&path).unwrap();
    check(&workshop, &file, &path, &whole);
}

/// Asserts that a cache with these bytes is refused and built anew.
fn is_built_anew(workshop: &Workshop, file: &DataFile<'_>, whole: &[u8], bytes: &[u8]) {
    let path = workshop.cached().remove(0);
    fs::write(&path, bytes).unwrap();
    let (read, tokenized) = workshop.through_cache(file);
    assert!(tokenized, "{} bytes were believed", bytes.len());
    assert_eq!(read.examples.len(), 4);
    assert!(fs::read(&path).unwrap() == whole);
}

#[test]
fn any_changed_byte_is_found() {
    spoilt(|workshop, file, _, whole| {
        for position in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[position] ^= 1 << (position % 8);
            is_built_anew(workshop, file, whole, &bytes);
        }
    });
}

#[test]
fn any_cut_is_found() {
    spoilt(|workshop, file, _, whole| {
        for length in 0..whole.len() {
            is_built_anew(workshop, file, whole, &whole[..length]);
        }
        is_built_anew(workshop, file, whole, &[whole, b"x"].concat());
    });
}

#[test]
fn a_cache_of_something_else_is_not_taken_for_it() {
    spoilt(|workshop, file, path, whole| {
        fs::remove_file(path).unwrap();
        workshop.through_cache(&workshop.file(63, TooLong::Error));
        let other = fs::read(workshop.cached().remove(0)).unwrap();
        fs::remove_file(workshop.cached().remove(0)).unwrap();
        fs::write(path, b"").unwrap();
        is_built_anew(workshop, file, whole, &other);
    });
}

#[test]
fn what_a_killed_process_has_left_is_cleared() {
    let workshop = Workshop::new(&some());
    fs::create_dir(workshop.cache()).unwrap();
    fs::write(workshop.cache().join("00.tokens.tmp"), "half").unwrap();
    fs::write(workshop.cache().join("diary.tmp"), "mine").unwrap();
    workshop.through_cache(&workshop.file(64, TooLong::Error));
    let mut names = workshop.cached();
    names.retain(|path| path.extension().is_some_and(|ending| ending == "tmp"));
    assert_eq!(names, [workshop.cache().join("diary.tmp")]);
}

#[test]
fn data_that_is_no_good_leaves_no_cache() {
    let workshop = Workshop::new(&(some() + "{\"prompt\": \"1 =\"}\n"));
    let file = workshop.file(64, TooLong::Error);
    let error = file.read_through(&workshop.cache(), no_matter).unwrap_err();
    assert!(
        error.to_string().contains("data.jsonl, line 5: "),
        "{error}"
    );
    assert!(workshop.cached().is_empty());
}

#[test]
fn a_file_that_changes_while_it_is_read_makes_no_cache() {
    // More than one part, so that the file can change between them.
    let workshop = Workshop::new(&some().repeat(1500));
    let file = workshop.file(64, TooLong::Error);
    let mut changed = false;
    let append = |_| {
        if !std::mem::replace(&mut changed, true) {
            let mut data = fs::OpenOptions::new();
            let mut data = data.append(true).open(&file.path).unwrap();
            data.write_all(pair("1 =", "1").as_bytes()).unwrap();
        }
    };
    let error = file.read_through(&workshop.cache(), append).unwrap_err();
    assert!(matches!(error, DataError::Changed { .. }), "{error}");
    assert!(workshop.cached().is_empty());
}

/// Every thread opens the lock anew, as another process would.
#[test]
fn those_who_build_the_same_cache_at_once_do_not_harm_each_other() {
    let workshop = Workshop::new(&some().repeat(3000));
    let file = workshop.file(64, TooLong::Error);
    let expected = all(&file.read(no_matter).unwrap().examples);
    let anew = thread::scope(|scope| {
        let read = || {
            let (read, anew) = workshop.through_cache(&file);
            assert!(all(&read.examples) == expected);
            anew
        };
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(read)).collect();
        let anew = readers.into_iter().map(|reader| reader.join().unwrap());
        anew.filter(|anew| *anew).count()
    });
    assert_eq!(anew, 1, "the others waited for the first");
    assert_eq!(workshop.cached().len(), 1);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let lines = (0..9000).map(|number| {
        let terms = vec!["1"; 1 + number * number % 17];
        pair(
            &format!("{} =", terms.join(" + ")),
            &(number % 10).to_string(),
        )
    });
    let workshop = Workshop::new(&lines.collect::<String>());
    let with = |threads: usize| {
        let directory = workshop.directory.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let file = workshop.file(24, TooLong::Skip);
        let read = pool.build().unwrap().install(|| {
            let read = file.read_through(&directory, no_matter).unwrap();
            let batches = Batches::new(read.examples, 7, 0, 3);
            let numbers = 0..2 * batches.per_epoch();
            let drawn: Vec<_> = numbers.map(|n| batches.batch(n).unwrap()).collect();
            (drawn, read.skipped)
        });
        (read, fs::read(&cached(&directory)[0]).unwrap())
    };
    let (one, four) = (with(1), with(4));
    assert!(one == four);
    assert!(one.0.1 > 0, "some are skipped");
}

#[test]
fn a_record_says_what_carries_loss() {
    let workshop = Workshop::new("");
    let tokenizing = workshop.file(64, TooLong::Error).tokenizing;
    let fitted = tokenizing.example(0, &Record::Text("1 + 2 =".to_owned()));
    let Fitted::Whole(example) = fitted.unwrap() else {
        panic!("it fits");
    };
    let batch = calm_data::Batch::collate([(0, &example)], 0);
    assert_eq!(batch.loss_positions, [0, 1, 2, 3, 4]);
    assert_eq!(batch.targets, example.ids[1..]);
}
