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
pub(crate) type Languages<'a> = &'a [(&'a str, usize)];

/// An evaluation of made-up answers: `answer` of language and index.
pub(crate) fn evaluated(
    (system, task, seed): (&str, &str, Option<u64>),
    metric: TaskMetric,
    languages: Languages<'_>,
    answer: impl Fn(&str, usize) -> String,
) -> Evaluated {
    let (description, samples) = described(system, metric, languages, answer);
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

/// The description and the samples of such an evaluation.
pub(crate) fn described(
    model: &str,
    metric: TaskMetric,
    languages: Languages<'_>,
    answer: impl Fn(&str, usize) -> String,
) -> (Description, Vec<Sample>) {
    let mut benchmark = Task::named("flores-v1").unwrap();
    benchmark.score.metric = metric;
    benchmark.groups = [("low".to_owned(), vec!["ne".to_owned()])].into();
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
    let description = Description::new(vec![run], json!({"name": model}), None, Vec::new());
    (description, samples)
}

fn reference(index: usize) -> String {
    format!("sentence {index} has a number and some words")
}

/// Right answers but for those of which `is_wrong` holds, which miss a half.
pub(crate) fn answers(is_wrong: impl Fn(usize) -> bool) -> impl Fn(&str, usize) -> String {
    move |_, index| match is_wrong(index) {
        true => format!("sentence {index} has"),
        false => reference(index),
    }
}

/// A frame of systems, of which the first is the reference and the second the main one.
pub(crate) fn frame(systems: &[&str], tasks: &[(&str, TaskMetric)]) -> Frame {
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
        paper_wins: BTreeMap::new(),
        paper_of_groups: BTreeMap::new(),
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

pub(crate) fn build(frame: Frame, evaluated: Vec<Evaluated>) -> Result<Table, TableError> {
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

pub(crate) fn contrast<'t>(table: &'t Table, system: &str, against: &str) -> &'t Contrast {
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

/// A share of `n` numbers, as if drawn: the same ones for the same `salt`.
fn drawn(salt: usize, share: f64) -> impl Fn(&str, usize) -> String {
    move |language, index| {
        let language: usize = language.bytes().map(usize::from).sum();
        let mut hash = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt * 7919 + language);
        for shift in [30, 27, 31] {
            hash = (hash ^ (hash >> shift)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        }
        match (hash >> 11) as f64 / (1_u64 << 53) as f64 > share {
            true => format!("sentence {index} has"),
            false => reference(index),
        }
    }
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

#[test]
fn a_mean_over_languages_is_tested_within_them() {
    let languages = &[("de", 60), ("ne", 20), ("sw", 40)];
    let of = |system, seed, share| {
        let answer = drawn(7 * system_number(system) + seed as usize, share);
        evaluated(
            (system, "flores", Some(seed)),
            TaskMetric::Chrf1,
            languages,
            answer,
        )
    };
    let mut frame = frame(&["m_b", "both", "lora"], &[("flores", TaskMetric::Chrf1)]);
    frame.tasks[0].languages = ["ne", "xx", "de"].map(str::to_owned).to_vec();
    let group = |members: &[&str]| members.iter().map(|name| (*name).to_owned()).collect();
    frame.tasks[0].language_groups = [
        ("low".to_owned(), group(&["ne", "sw"])),
        ("others".to_owned(), group(&["*"])),
    ]
    .into();
    let all = vec![
        of("m_b", 0, 0.3),
        of("both", 0, 0.8),
        of("both", 1, 0.85),
        of("lora", 0, 0.3),
        of("lora", 1, 0.35),
        of("lora", 2, 0.3),
    ];
    let results = all[1].results.tasks[0].clone();
    let table = build(frame, all).unwrap();
    // The frame's order, without a language that has no examples, and then all others.
    assert_eq!(table.frame.tasks[0].languages, ["ne", "de", "sw"]);
    let cell = &table.cells[1];
    let names: Vec<&str> = cell.languages.iter().map(|(name, _)| &**name).collect();
    assert_eq!((names, cell.score.n), (vec!["ne", "de", "sw"], 120));
    let of_seed = |language: &str| {
        let mut scores = results.languages.iter();
        scores
            .find(|score| score.language == language)
            .unwrap()
            .score
    };
    let low = (of_seed("ne") + of_seed("sw")) / 2.0;
    let groups: Vec<&str> = cell.groups.iter().map(|(name, _)| &**name).collect();
    assert_eq!(groups, ["low", "others"]);
    let spread = cell.groups[0].1.spread;
    assert!(
        [spread.min, spread.max]
            .iter()
            .any(|score| (score - low).abs() < 1e-9)
    );
    assert_eq!(cell.groups[1].1, cell.languages[1].1);
    // Means are known better than single languages.
    let width = |score: calm_experiments::table::Score| {
        let [low, high] = score.interval_95.unwrap();
        assert!(
            low < score.spread.mean && score.spread.mean < high,
            "{score:?}"
        );
        high - low
    };
    let of_languages = cell.languages.iter().map(|(_, score)| width(*score));
    assert!(of_languages.fold(f64::INFINITY, f64::min) > width(cell.score));
    assert_eq!(cell.seeds[0].languages[1], ("de".to_owned(), of_seed("de")));

    let found = contrast(&table, "both", "m_b");
    assert_eq!((found.wins, found.significant_wins), ([3, 0], [3, 0]));
    assert_eq!((found.languages.len(), found.difference.n), (3, 120));
    let mean: f64 = found
        .languages
        .iter()
        .map(|(_, one)| one.points)
        .sum::<f64>()
        / 3.0;
    assert!((found.difference.points - mean).abs() < 1e-9);
    // Seeds differ in number; the anchor's one counts twice, and so do three of an adapter's.
    let means = ["both", "m_b"].map(|id| {
        let cell = table.cells.iter().find(|cell| cell.system == id).unwrap();
        cell.score.spread.mean
    });
    assert!((found.difference.points - (means[0] - means[1])).abs() < 0.5);
    let found = contrast(&table, "lora", "m_b");
    assert!(
        found.difference.p > 0.05 && found.verdict.starts_with("No difference"),
        "{found:?}"
    );
    assert_eq!(found.significant_wins, [0, 0]);
}

fn system_number(system: &str) -> usize {
    system.bytes().map(usize::from).sum()
}

#[test]
fn languages_are_corrected_by_themselves() {
    let languages = &[("a", 12), ("b", 12)];
    // Of 12 coins that all fall on one side, 2 of 4096 draws are as extreme.
    let of = |system, right: fn(&str) -> bool| {
        let answer = move |language: &str, index| match right(language) {
            true => reference(index),
            false => String::new(),
        };
        evaluated(
            (system, "sums", None),
            TaskMetric::ExactMatch,
            languages,
            answer,
        )
    };
    let all = vec![of("m_b", |_| false), of("both", |_| true)];
    let table = build(frame(&["m_b", "both"], EXACT), all).unwrap();
    let found = &table.contrasts[0];
    for (_, language) in &found.languages {
        assert!((language.p - 2.0 / 4096.0).abs() < 0.0005, "{language:?}");
        assert!(language.p_corrected >= 2.0 * found.languages[0].1.p.min(language.p));
    }
    // Of 24.
    assert_eq!(found.difference.p, 1.0 / 10_001.0);
    assert_eq!(
        found.difference.p_corrected, found.difference.p,
        "the only comparison"
    );
    assert!(!found.verdict.contains("Holm"), "{}", found.verdict);
    // Shares that are all alike still have an interval, and so has their mean.
    let cell = &table.cells[1];
    let share = Proportion { hits: 12, n: 12 };
    assert_eq!(cell.languages[0].1.interval_95, Some(share.interval()));
    let [low, high] = cell.score.interval_95.unwrap();
    assert!(share.interval()[0] < low && low < 100.0 && high == 100.0);
}

#[test]
fn any_number_of_comparisons_can_be_significant() {
    let (frame, evaluated) = table1();
    let (circumstances, options) = (
        Circumstances::default(),
        TableOptions {
            trials: 20,
            ..TableOptions::default()
        },
    );
    let table = Table::build(
        frame,
        evaluated,
        Vec::new(),
        Vec::new(),
        circumstances,
        &options,
    );
    let found = table.unwrap();
    // Three comparisons take 300 trials.
    let difference = contrast(&found, "both", "m_b").difference;
    assert_eq!(
        (difference.p, difference.p_corrected),
        (1.0 / 301.0, 3.0 / 301.0)
    );
}

#[test]
fn p_values_between_equal_systems_are_uniform() {
    const TABLES: usize = 200;
    let mut p_values: Vec<f64> = Vec::new();
    for number in 0..TABLES {
        let of = |system, salt| {
            let answer = drawn(2 * number + salt, 0.5);
            evaluated(
                (system, "sums", None),
                TaskMetric::ExactMatch,
                &[("x", 200)],
                answer,
            )
        };
        let options = TableOptions {
            trials: 400,
            resamples: 100,
            seed: number as u64,
        };
        let (frame, circumstances) = (frame(&["a", "b"], EXACT), Circumstances::default());
        let all = vec![of("a", 0), of("b", 1)];
        let table = Table::build(frame, all, Vec::new(), Vec::new(), circumstances, &options);
        p_values.push(table.unwrap().contrasts[0].difference.p);
    }
    // Shares are not finer than a half point, so that p is coarse and rather too large.
    for level in [0.05, 0.2, 0.5] {
        let below = p_values.iter().filter(|p| **p < level).count() as f64 / TABLES as f64;
        let deviation = (level * (1.0 - level) / TABLES as f64).sqrt();
        assert!(below < level + 3.0 * deviation, "{level}: {below}");
        assert!(below > 0.6 * level - 2.0 * deviation, "{level}: {below}");
    }
}

#[test]
fn parts_are_scored_in_their_natural_order() {
    let (mut frame, evaluated) = table1();
    let part = |title: &str, of: &str| (title.to_owned(), of.to_owned());
    frame.tasks[0].parts = vec![part("operands", "operands"), part("kind", "kind | upper")];
    let table = build(frame, evaluated).unwrap();
    let [operands, kind] = &table.breakdowns[..] else {
        panic!("{:?}", table.breakdowns)
    };
    let values: Vec<&str> = operands.parts.iter().map(|(value, _)| &**value).collect();
    assert_eq!(
        values,
        [
            "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"
        ]
    );
    assert_eq!((&*kind.title, &*kind.task), ("kind", "sums"));
    let (value, scores) = &kind.parts[0];
    // Of even examples, the anchor has none right: those that end in 9.
    assert_eq!(value, "A");
    let [Some(anchor), Some(both), Some(_)] = scores[..] else {
        panic!("{scores:?}")
    };
    assert_eq!((anchor.spread.mean, anchor.n), (0.0, 100));
    assert_eq!(
        anchor.interval_95,
        Some(Proportion { hits: 0, n: 100 }.interval())
    );
    assert_eq!(both.spread.mean, 80.0);
    let share = Proportion { hits: 160, n: 200 };
    assert_eq!(both.interval_95, Some(share.interval()));
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let languages = &[("de", 30), ("ne", 50)];
    let table = || {
        let of = |system, seed, share| {
            let answer = drawn(system_number(system) + seed as usize, share);
            evaluated(
                (system, "flores", Some(seed)),
                TaskMetric::Bleu,
                languages,
                answer,
            )
        };
        let frame = frame(&["m_b", "both"], &[("flores", TaskMetric::Bleu)]);
        let all = vec![of("both", 1, 0.8), of("m_b", 0, 0.7), of("both", 0, 0.75)];
        serde_json::to_string(&build(frame, all).unwrap()).unwrap()
    };
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    let (one, three) = (pool(1).install(table), pool(3).install(table));
    assert!(one == three);
    // What was written is read again as it was.
    let read: Table = serde_json::from_str(&one).unwrap();
    assert!(serde_json::to_string(&read).unwrap() == one);
}

/// 40 languages, 6 systems, 5 seeds, 20 400 samples: 1.3 seconds of one core. 600 000 samples, chrF:
/// 6 seconds on two busy cores.
#[test]
fn a_large_table_is_there_at_once() {
    let (begun, all) = large(17);
    let systems = ["m_b", "both", "lora", "full", "random", "m_a"];
    let table = build(frame(&systems, &[("flores", TaskMetric::Chrf1)]), all).unwrap();
    assert_eq!((table.contrasts.len(), table.samples.len()), (9, 40 * 17));
    assert_eq!(table.contrasts[0].languages.len(), 40);
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

fn large(examples: usize) -> (std::time::Instant, Vec<Evaluated>) {
    let names: Vec<String> = (10..50).map(|number| format!("l{number}")).collect();
    let languages: Vec<(&str, usize)> = names.iter().map(|name| (&**name, examples)).collect();
    let systems = ["m_b", "both", "lora", "full", "random", "m_a"];
    let all = systems.iter().enumerate().flat_map(|(number, system)| {
        let languages = languages.clone();
        (0..5).map(move |seed| {
            let answer = drawn(31 * number + seed as usize, 0.2 + 0.1 * number as f64);
            evaluated(
                (system, "flores", Some(seed)),
                TaskMetric::Chrf1,
                &languages,
                answer,
            )
        })
    });
    let all = all.collect();
    (std::time::Instant::now(), all)
}

fn refused(frame: Frame, evaluated: Vec<Evaluated>, expected: &[&str]) {
    let message = build(frame, evaluated).unwrap_err().to_string();
    for expected in expected {
        assert!(message.contains(expected), "{message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn evaluations_that_do_not_belong_together_are_refused() {
    let systems = || frame(&["m_b", "both"], EXACT);
    let of = |system, count| {
        let languages = &[("", count)];
        evaluated(
            (system, "sums", None),
            TaskMetric::ExactMatch,
            languages,
            answers(|_| false),
        )
    };
    let (first, second) = (|| of("m_b", 10), || of("both", 10));
    build(systems(), vec![first(), second()]).unwrap();
    refused(systems(), Vec::new(), &["there are no results"]);
    let both = &[
        "m_b-sums-None and both-sums-None",
        "examples (prompts_sha256)",
    ];
    refused(systems(), vec![first(), of("both", 11)], both);
    refused(
        systems(),
        vec![first(), first()],
        &["m_b-sums-None", "which has no seed", "give one"],
    );
    let mut other = second();
    other.results.tasks[0].task_version += 1;
    refused(
        systems(),
        vec![first(), other],
        &["their versions of the task 'sums' differ"],
    );
    let mut other = second();
    other.results.tasks[0].signature += "+";
    refused(systems(), vec![first(), other], &["settings of the metric"]);
    let mut other = second();
    other.results.tasks[0].metric = TaskMetric::Chrf1;
    refused(
        systems(),
        vec![first(), other],
        &["both-sums-None: the task 'sums' was scored by"],
    );
    let mut other = second();
    other.results.tasks.clear();
    refused(
        systems(),
        vec![first(), other],
        &["has no results of the task 'sums'"],
    );
    let mut other = second();
    other.system = "bothh".to_owned();
    refused(
        systems(),
        vec![first(), other],
        &["the system 'bothh'", "it has: m_b, both"],
    );
    let mut other = second();
    other.samples.pop();
    refused(
        systems(),
        vec![first(), other],
        &["9 samples, of which 10 were scored"],
    );
    let mut other = second();
    other.samples[3].index = 4;
    refused(
        systems(),
        vec![first(), other],
        &["both-sums-None", "example 4 is there twice"],
    );
    let mut other = second();
    other.samples[3].score = 0.0;
    refused(
        systems(),
        vec![first(), other],
        &["score 90.0000, and the results say 100.0000"],
    );
    let mut unknown = systems();
    unknown.main = "lora".to_owned();
    refused(
        unknown,
        vec![first(), second()],
        &["is the system 'lora'", "m_b, both"],
    );
    for (expression, reason) in [
        ("operand", "no field 'operand'; did you mean 'operands'?"),
        ("operands |", "syntax error"),
        ("kind | length | upper | frob", "frob"),
    ] {
        let mut parted = systems();
        parted.tasks[0].parts = vec![("part".to_owned(), expression.to_owned())];
        let expected = &["task 'sums', parts by 'part'", reason];
        refused(parted, vec![first(), second()], expected);
    }
}
