//! Tables of hand-made evaluations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use calm_eval::Proportion;
use calm_eval::run::{Description, Results, RunTask, Sample};
use calm_eval::tasks::{Item, Subset, Task, TaskMetric};
use calm_experiments::table::{
    Circumstances, Contrast, Evaluated, Frame, SystemFrame, SystemKind, Table, TableError,
    TableOptions, TaskFrame,
};
use serde_json::json;

/// Examples of a language: its name and their number.
type Languages<'a> = &'a [(&'a str, usize)];

/// An evaluation of made-up answers: `answer` of language and index.
fn evaluated(
    (system, task, seed): (&str, &str, Option<u64>),
    metric: TaskMetric,
    languages: Languages<'_>,
    answer: impl Fn(&str, usize) -> String,
) -> Evaluated {
    let mut benchmark = Task::named("flores-v1").unwrap();
    benchmark.score.metric = metric;
    let record = |index: usize| {
        let kind = ["a", "b"][index % 2];
        let record = json!({"operands": 1 + index % 12, "kind": kind});
        record.as_object().unwrap().clone()
    };
    let subsets = languages.iter().map(|(language, count)| Subset {
        language: (*language).to_owned(),
        items: (0..*count)
            .map(|index| Item {
                index,
                prompt: format!("prompt {language} {index}"),
                reference: reference(index),
                record: record(index),
            })
            .collect(),
    });
    let subsets: Vec<Subset> = subsets.collect();
    let samples = subsets.iter().flat_map(|subset| {
        subset.items.iter().map(|item| {
            let output = answer(&subset.language, item.index);
            Sample {
                task: benchmark.name.clone(),
                language: subset.language.clone(),
                index: item.index,
                prompt: item.prompt.clone(),
                cut_tokens: 0,
                stopped: true,
                answer: output.clone(),
                score: 100.0 * f64::from(u8::from(output == item.reference)),
                output,
                reference: item.reference.clone(),
                verdict: None,
                record: item.record.clone(),
            }
        })
    });
    let samples: Vec<Sample> = samples.collect();
    let run = RunTask::new(benchmark, &subsets);
    let description = Description::new(vec![run], json!({"name": system}), None, Vec::new());
    Evaluated {
        system: system.to_owned(),
        task: task.to_owned(),
        seed,
        results: Results::of(&description, &samples, 0).unwrap(),
        samples,
        directory: PathBuf::from(format!("{system}-{task}-{seed:?}")),
        seconds: 1.0,
    }
}

fn reference(index: usize) -> String {
    format!("sentence {index} has a number and some words")
}

/// Right answers but for those of which `is_wrong` holds, which miss a half.
fn answers(is_wrong: impl Fn(usize) -> bool) -> impl Fn(&str, usize) -> String {
    move |_, index| match is_wrong(index) {
        true => format!("sentence {index} has"),
        false => reference(index),
    }
}

/// A frame of systems, of which the first is the reference and the second the main one.
fn frame(systems: &[&str], tasks: &[(&str, TaskMetric)]) -> Frame {
    let systems: Vec<SystemFrame> = systems
        .iter()
        .map(|id| SystemFrame {
            id: (*id).to_owned(),
            title: id.to_uppercase(),
            kind: SystemKind::Frozen,
            models: Vec::new(),
        })
        .collect();
    let tasks = tasks.iter().map(|(id, metric)| TaskFrame {
        id: (*id).to_owned(),
        title: (*id).to_owned(),
        group: None,
        metric: *metric,
        tested: true,
        languages: Vec::new(),
        language_groups: BTreeMap::new(),
        paper: BTreeMap::new(),
        parts: Vec::new(),
    });
    Frame {
        name: "test".to_owned(),
        reference: systems[0].id.clone(),
        main: systems[1].id.clone(),
        tasks: tasks.collect(),
        systems,
        ..Frame::default()
    }
}

fn build(frame: Frame, evaluated: Vec<Evaluated>) -> Result<Table, TableError> {
    let circumstances = Circumstances::default();
    let options = &TableOptions::default();
    Table::build(
        frame,
        evaluated,
        Vec::new(),
        Vec::new(),
        circumstances,
        options,
    )
}

fn contrast<'t>(table: &'t Table, system: &str, against: &str) -> &'t Contrast {
    let mut contrasts = table.contrasts.iter();
    let found = contrasts.find(|found| (&*found.system, &*found.against) == (system, against));
    found.unwrap()
}

const EXACT: &[(&str, TaskMetric)] = &[("sums", TaskMetric::ExactMatch)];

/// `m_b` is right in a tenth, `both` with two seeds in eight and nine tenths, `lora` as `m_b` with
/// others.
fn table1() -> (Frame, Vec<Evaluated>) {
    let of = |system, seed, is_wrong: fn(usize) -> bool| {
        let languages = &[("", 200)];
        evaluated(
            (system, "sums", seed),
            TaskMetric::ExactMatch,
            languages,
            answers(is_wrong),
        )
    };
    let evaluated = vec![
        of("both", Some(1), |index| index % 10 < 2),
        of("m_b", None, |index| index % 10 < 9),
        of("both", Some(0), |index| index % 10 < 1),
        of("lora", Some(0), |index| index % 10 > 0),
    ];
    (frame(&["m_b", "both", "lora"], EXACT), evaluated)
}

#[test]
fn scores_are_means_over_seeds_with_the_interval_of_all_their_examples() {
    let (frame, evaluated) = table1();
    let table = build(frame, evaluated).unwrap();
    let order: Vec<&str> = table.cells.iter().map(|cell| &*cell.system).collect();
    assert_eq!(order, ["m_b", "both", "lora"]);
    let cell = &table.cells[1];
    let spread = cell.score.spread;
    assert_eq!(
        (spread.mean, spread.min, spread.max, spread.seeds),
        (85.0, 80.0, 90.0, 2)
    );
    assert!((spread.deviation - 50f64.sqrt()).abs() < 1e-12);
    // As `cargo xtask reproduce` computed it: one proportion of all seeds' expressions.
    let pooled: Proportion = [160, 180]
        .map(|hits| Proportion { hits, n: 200 })
        .into_iter()
        .sum();
    assert_eq!(cell.score.interval_95, Some(pooled.interval()));
    assert_eq!((cell.score.n, cell.languages.len()), (200, 1));
    assert_eq!(cell.languages[0], (String::new(), cell.score));
    let seeds: Vec<_> = cell
        .seeds
        .iter()
        .map(|seed| (seed.seed, seed.score))
        .collect();
    assert_eq!(seeds, [(Some(0), 90.0), (Some(1), 80.0)]);
}

#[test]
fn every_pair_is_compared_once_and_said_in_a_sentence() {
    let (frame, evaluated) = table1();
    let table = build(frame, evaluated).unwrap();
    let pairs: Vec<_> = table
        .contrasts
        .iter()
        .map(|c| (&*c.system, &*c.against))
        .collect();
    assert_eq!(pairs, [("both", "m_b"), ("both", "lora"), ("lora", "m_b")]);
    let found = contrast(&table, "both", "m_b");
    // Three tests, and no trial of 10 000 differs as much.
    let least = 1.0 / 10_001.0;
    assert_eq!((found.difference.points, found.difference.n), (75.0, 200));
    assert_eq!(found.difference.p, least);
    assert!((found.difference.p_corrected - 3.0 * least).abs() < 1e-12);
    let [low, high] = found.difference.interval_95;
    assert!(
        (66.0..75.0).contains(&low) && (75.0..84.0).contains(&high),
        "{found:?}"
    );
    assert!(
        found
            .verdict
            .starts_with("BOTH is better than M_B by 75.0 points (95 % ")
    );
    assert!(
        found
            .verdict
            .ends_with(", p = 0.0003 after Holm's correction)."),
        "{}",
        found.verdict
    );
    // One tenth against another.
    let found = contrast(&table, "lora", "m_b");
    assert_eq!((found.difference.points, found.difference.p), (0.0, 1.0));
    assert!(
        found
            .verdict
            .starts_with("No difference between LORA and M_B is shown (0.0 points")
    );
    assert!(found.languages.is_empty());
}

#[test]
fn all_examples_stand_beside_each_other() {
    let (frame, evaluated) = table1();
    let table = build(frame, evaluated).unwrap();
    assert_eq!(table.samples.len(), 200);
    let row = &table.samples[11];
    assert_eq!(
        (row.index, &*row.prompt, &*row.language),
        (11, "prompt  11", "")
    );
    let texts: Vec<&str> = row
        .outputs
        .iter()
        .flatten()
        .map(|output| &*output.text)
        .collect();
    // Of the first seed, which is wrong in the first of ten.
    assert_eq!(
        texts,
        ["sentence 11 has", &reference(11), "sentence 11 has"]
    );
}
