//! Words of prompts that the anchor of a composition is not shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use calm_data::{
    Batch, Batches, DataFile, ExampleForm, Examples, Masking, MaskingShares, Placeholders,
    Tokenizing, TooLong,
};
use tempfile::TempDir;

use crate::word_tokenizer::WordTokenizer;

/// A data file and its tokenizer.
struct Workshop {
    directory: TempDir,
    tokenizer: WordTokenizer,
}

impl Workshop {
    fn new(rows: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("data.jsonl"), rows.join("\n")).unwrap();
        Self {
            directory,
            tokenizer: WordTokenizer::laptop(),
        }
    }

    fn file(&self, context: usize) -> DataFile<'_> {
        DataFile {
            path: self.directory.path().join("data.jsonl"),
            form: ExampleForm {
                mask_field: Some("mask".to_owned()),
                ..ExampleForm::default()
            },
            tokenizing: Tokenizing {
                finds_words: true,
                ..self.tokenizer.with(context, TooLong::Truncate)
            },
        }
    }

    fn read(&self) -> Examples {
        self.file(64).read(|_| {}).unwrap().examples
    }

    fn refused(&self) -> String {
        self.file(64).read(|_| {}).unwrap_err().to_string()
    }

    fn id(&self, word: &str) -> u32 {
        self.tokenizer.library.token_to_id(word).unwrap()
    }

    fn text(&self, ids: &[u32]) -> String {
        self.tokenizer.library.decode(ids, false).unwrap()
    }

    fn masking(&self, words: &[&str]) -> Masking {
        let words = words.iter().map(|word| vec![self.id(word)]);
        Masking::new(Placeholders::new(words).unwrap(), 7)
    }
}

/// This share of the words hidden from the anchor.
fn from_anchor(share: f64) -> MaskingShares {
    MaskingShares {
        anchor: share,
        augmenting: 0.0,
    }
}

/// What the anchor reads of each example in some epochs.
fn shown(
    examples: Examples,
    rows: usize,
    masking: &Masking,
    share: f64,
) -> BTreeMap<(usize, usize), Vec<u32>> {
    let batches = Batches::new(examples, rows, 0, 3);
    let mut shown = BTreeMap::new();
    for number in 0..2 * batches.per_epoch() {
        let batch = batches.masked(number, masking, from_anchor(share)).unwrap();
        let epoch = number / batches.per_epoch();
        for (example, text) in batch.examples.iter().zip(batch.anchor_texts()) {
            shown.insert((epoch, *example), text.to_vec());
        }
    }
    shown
}

#[test]
fn only_what_a_row_names_is_hidden() {
    let workshop = Workshop::new(&[
        r#"{"prompt": "1 + 22 =", "target": "3 2 0 0", "mask": [[0, 1], [4, 6]]}"#,
        r#"{"prompt": "1 + 22 =", "target": "3 2 0 0", "mask": []}"#,
        r#"{"prompt": "1 + 22 =", "target": "3 2 0 0"}"#,
        r#"{"text": "1 + 22 = 3"}"#,
        r#"{"prompt": "1 + 22 =", "target": "3 2 0 0", "mask": null}"#,
        r#"{"prompt": "1 + 22 =", "target": "3 2 0 0", "mask": "[[5, 6]]"}"#,
    ]);
    let masking = workshop.masking(&["9"]);
    let shown = shown(workshop.read(), 4, &masking, 1.0);
    let texts: Vec<String> = (0..6).map(|n| workshop.text(&shown[&(0, n)])).collect();
    let whole = "<s> 1 + 22 = 3 2 0 0";
    let all = "<s> 9 9 9 9 3 2 0 0";
    assert_eq!(
        texts,
        [
            "<s> 9 + 9 = 3 2 0 0",
            whole,
            all,
            "<s> 1 + 22 = 3",
            all,
            whole
        ],
        "half of a token is not hidden"
    );
}

#[test]
fn augmenting_models_targets_and_places_stay_as_they_are() {
    let rows: Vec<String> = (1..40)
        .map(|n| format!(r#"{{"prompt": "{n} + {n} =", "target": "{n}"}}"#))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let workshop = Workshop::new(&rows);
    let (masking, examples) = (workshop.masking(&["99", "98"]), workshop.read());
    let batches = Batches::new(examples, 8, 0, 1);
    for number in 0..5 {
        let plain = batches.batch(number).unwrap();
        assert_eq!(plain.anchor_ids, None);
        let masked = batches.masked(number, &masking, from_anchor(0.5)).unwrap();
        let anchor_ids = masked.anchor_ids.clone().unwrap();
        assert_eq!(anchor_ids.len(), plain.ids.len());
        assert_eq!(
            Batch {
                anchor_ids: None,
                ..masked
            },
            plain
        );
        // Without a word to hide there is nothing of its own to read.
        let masked = batches.masked(number, &masking, from_anchor(0.0));
        assert_eq!(masked.unwrap(), plain);
    }
}

#[test]
fn a_word_is_hidden_from_one_side_at_most() {
    let rows: Vec<String> = (1..60)
        .map(|n| format!(r#"{{"prompt": "{n} + {n} - {n} =", "target": "{n}"}}"#))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let workshop = Workshop::new(&rows);
    let masking = workshop.masking(&["99", "98"]);
    let batches = Batches::new(workshop.read(), 8, 0, 1);
    let (mut words, mut of_anchor, mut of_augmenting) = (0, 0, 0);
    for number in 0..40 * batches.per_epoch() {
        let plain = batches.batch(number).unwrap();
        let masked = |anchor, augmenting| {
            let shares = MaskingShares { anchor, augmenting };
            batches.masked(number, &masking, shares).unwrap()
        };
        let both = masked(0.5, 0.3);
        let read = both.anchor_texts().zip(both.augmenting_texts());
        for (text, (anchor, augmenting)) in plain.texts().zip(read) {
            for ((id, anchor), augmenting) in text.iter().zip(anchor).zip(augmenting) {
                words += 1;
                of_anchor += usize::from(id != anchor);
                of_augmenting += usize::from(id != augmenting);
                assert!(id == anchor || id == augmenting);
            }
        }
        assert_eq!(both.anchor_ids, masked(0.5, 0.0).anchor_ids);
        assert_eq!((&both.ids, &both.targets), (&plain.ids, &plain.targets));
        assert_eq!(masked(0.0, 0.0), plain);
    }
    // Six of the eight tokens that are read are words of the prompt.
    let share = |hidden: usize| hidden as f64 / (words as f64 * 6.0 / 8.0);
    assert!(
        (share(of_anchor) - 0.5).abs() < 0.02,
        "{}",
        share(of_anchor)
    );
    let share = share(of_augmenting);
    assert!((share - 0.3).abs() < 0.02, "{share}");
}

#[test]
fn as_many_words_are_hidden_as_asked_for_and_fewer_of_the_same_with_a_smaller_share() {
    let row = r#"{"prompt": "1 + 22 - 3 + 4 - 5 + 6 =", "target": "3"}"#;
    let workshop = Workshop::new(&[row; 400]);
    let masking = workshop.masking(&["99"]);
    let placeholder = workshop.id("99");
    let hidden = |share| {
        let shown = shown(workshop.read(), 16, &masking, share);
        let words = shown.into_iter().flat_map(|(of, ids)| {
            let places = ids.into_iter().enumerate();
            let hidden = places.filter(|(_, id)| *id == placeholder);
            hidden
                .map(move |(place, _)| (of, place))
                .collect::<Vec<_>>()
        });
        words.collect::<BTreeSet<_>>()
    };
    let (few, many) = (hidden(0.3), hidden(0.8));
    for (found, share) in [(&few, 0.3), (&many, 0.8)] {
        let found = found.len() as f64 / (2.0 * 400.0 * 12.0);
        assert!((found - share).abs() < 0.02, "{found} {share}");
    }
    assert!(few.is_subset(&many));
    let of_epoch = |epoch| {
        let of = many.iter().filter(move |((of, _), _)| *of == epoch);
        of.map(|((_, example), place)| (*example, *place))
            .collect::<BTreeSet<_>>()
    };
    assert_ne!(of_epoch(0), of_epoch(1), "every epoch hides other words");
}

#[test]
fn what_is_hidden_depends_on_no_batch_and_on_no_cache() {
    let rows: Vec<String> = (1..60)
        .map(|n| format!(r#"{{"prompt": "{n} + {} =", "target": "{n}"}}"#, 2 * n))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let workshop = Workshop::new(&rows);
    let masking = workshop.masking(&["901", "902", "903", "904"]);
    let expected = shown(workshop.read(), 4, &masking, 0.5);
    assert_eq!(shown(workshop.read(), 32, &masking, 0.5), expected);
    let cache = workshop.directory.path().join("cache");
    for _ in 0..2 {
        let read = workshop.file(64).read_through(&cache, |_| {}).unwrap();
        assert_eq!(read.examples.tokens(), workshop.read().tokens());
        assert_eq!(shown(read.examples, 4, &masking, 0.5), expected);
    }
    // A cache that knows no words is another one.
    let without = DataFile {
        form: ExampleForm::default(),
        tokenizing: workshop.tokenizer.with(64, TooLong::Error),
        ..workshop.file(64)
    };
    let read = without.read_through(&cache, |_| {}).unwrap();
    assert!(read.examples.get(0).unwrap().words.is_empty());
    let other = Masking::new(masking.placeholders().clone(), 8);
    assert_ne!(
        shown(workshop.read(), 4, &other, 0.5),
        expected,
        "another seed"
    );
}

#[test]
fn examples_that_are_cut_keep_their_words() {
    let workshop = Workshop::new(&[r#"{"prompt": "1 + 22 =", "target": "3 2", "mask": [[4, 6]]}"#]);
    let masking = workshop.masking(&["9"]);
    for (context, expected) in [(8, "<s> 1 + 9 = 3 2"), (6, "<s> 9 = 3 2"), (5, "<s> = 3 2")] {
        let read = workshop.file(context).read(|_| {}).unwrap();
        let shown = shown(read.examples, 1, &masking, 1.0);
        assert_eq!(workshop.text(&shown[&(0, 0)]), expected);
    }
}

#[test]
fn placeholders_are_words_that_are_never_hidden() {
    let known = r#"{"prompt": "1 + 22 =", "target": "3", "mask": [[0, 1]]}"#;
    let unknown = r#"{"prompt": "7 - 8 :", "target": "3", "mask": []}"#;
    let of = |rows: &[&str]| {
        let workshop = Workshop::new(rows);
        let found = Placeholders::of_examples(&workshop.read())
            .unwrap()
            .unwrap();
        let expected = |words: &[&str]| {
            let words = words.iter().map(|word| vec![workshop.id(word)]);
            Placeholders::new(words).unwrap()
        };
        (
            found,
            expected(&["7", "-", "8", ":"]),
            expected(&["1", "+", "22", "="]),
        )
    };
    let (found, unknown_words, _) = of(&[known, unknown, unknown]);
    assert_eq!(found, unknown_words);
    assert_eq!(found.count(), 4);
    let (found, _, known_words) = of(&[known]);
    assert_eq!(found, known_words, "there are no others");
    assert_ne!(found.sha256(), unknown_words.sha256());
    let workshop = Workshop::new(&[r#"{"text": "1 + 2"}"#]);
    assert_eq!(Placeholders::of_examples(&workshop.read()).unwrap(), None);
}

#[test]
fn placeholders_may_be_the_words_of_a_file() {
    let workshop = Workshop::new(&[]);
    let path = workshop.directory.path().join("words.txt");
    fs::write(&path, "7 8\n\n7\n").unwrap();
    let found = Placeholders::of_file(&path, &workshop.tokenizer).unwrap();
    let expected = [vec![workshop.id("7")], vec![workshop.id("8")]];
    assert_eq!(found, Placeholders::new(expected).unwrap());
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        let found = Placeholders::of_file(&path, &workshop.tokenizer);
        found.unwrap_err().to_string()
    };
    assert!(refused(" \n").contains("has no word to show"));
    assert!(refused("1\nzzzzzzz").contains("words.txt: example 1: \"zzzzzzz\""));
}

#[test]
fn rows_of_which_nothing_can_be_hidden_as_asked_are_refused() {
    for (row, part) in [
        (
            r#"{"prompt": "1 =", "target": "3", "mask": [[0, 4]]}"#,
            "line 1: `mask` has [0,4]; expected [start, end) in characters of the prompt, which has 3",
        ),
        (
            r#"{"prompt": "1 =", "target": "3", "mask": [[2, 1]]}"#,
            "`mask` has [2,1]",
        ),
        (
            r#"{"prompt": "1 =", "target": "3", "mask": [1, 2]}"#,
            "`mask` has 1",
        ),
        (
            r#"{"prompt": "1 =", "target": "3", "mask": [[-1, 2]]}"#,
            "`mask` has [-1,2]",
        ),
        (
            r#"{"prompt": "1 =", "target": "3", "mask": true}"#,
            "expected a list",
        ),
        (r#"{"text": "1 =", "mask": []}"#, "is a plain text"),
        (
            r#"{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "1"}]}"#,
            "is a conversation, of which anchor masking knows no words",
        ),
    ] {
        let error = Workshop::new(&[row]).refused();
        assert!(error.contains(part), "{error}");
    }
    // Where nothing is masked, the field means nothing.
    let workshop = Workshop::new(&[r#"{"prompt": "1 =", "target": "3", "mask": true}"#]);
    let file = DataFile {
        form: ExampleForm::default(),
        ..workshop.file(64)
    };
    assert!(file.read(|_| {}).is_ok());
}
