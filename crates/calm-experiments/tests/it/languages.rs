//! Tables of tasks with languages: groups, wins, parts, and what was to be reached.

use std::fs;
use std::path::Path;

use calm_eval::tasks::TaskMetric;
use calm_experiments::report;
use calm_experiments::table::{Bar, Breakdown, Expectation, Frame, Table};

use crate::files::{error, valid};
use crate::runs::Place;
use crate::tables::{answers, build, contrast, evaluated, frame};

const LANGUAGES: &[(&str, usize)] = &[("de", 40), ("ne", 40), ("sw", 40), ("yo", 40)];

/// `both` is right in nine tenths of the low-resource languages, `m_b` in one, and in German they are
/// alike.
fn translations(frame: Frame) -> Table {
    let of = |system, low: fn(usize) -> bool| {
        let right = move |language: &str, index: usize| {
            let is_wrong = match language {
                "de" => index.is_multiple_of(5),
                _ => low(index),
            };
            answers(move |_| is_wrong)(language, index)
        };
        evaluated(
            (system, "flores", None),
            TaskMetric::Chrf1,
            LANGUAGES,
            right,
        )
    };
    let all = vec![
        of("m_b", |index| index % 10 > 0),
        of("both", |index| index % 10 == 0),
        of("lora", |index| index % 10 > 1),
    ];
    build(frame, all).unwrap()
}

fn of_languages() -> Frame {
    let mut frame = frame(&["m_b", "both", "lora"], &[("flores", TaskMetric::Chrf1)]);
    let task = &mut frame.tasks[0];
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    task.languages = names(&["yo", "ne", "sw", "de"]);
    task.language_groups = [
        ("low".to_owned(), names(&["*"])),
        ("high".to_owned(), names(&["de"])),
        ("every".to_owned(), names(&["de", "ne", "sw", "yo"])),
    ]
    .into();
    frame
}

#[test]
fn groups_are_compared_by_themselves() {
    // A name that is in a group of all is no other language.
    let mut frame = of_languages();
    frame.tasks[0].language_groups.remove("every");
    let table = translations(frame);
    let found = contrast(&table, "both", "m_b");
    let groups: Vec<_> = found
        .groups
        .iter()
        .map(|group| {
            (
                &*group.group,
                group.languages,
                group.wins,
                group.significant_wins,
            )
        })
        .collect();
    assert_eq!(
        groups,
        [("high", 1, [0, 0], [0, 0]), ("low", 3, [3, 0], [3, 0])]
    );
    let low = &found.groups[1];
    let of_low = found.languages.iter().filter(|(name, _)| name != "de");
    let mean = of_low.map(|(_, one)| one.points).sum::<f64>() / 3.0;
    assert!((low.difference.points - mean).abs() < 1e-9 && low.difference.n == 120);
    assert!(low.difference.points > found.difference.points);
    assert!(
        low.verdict
            .starts_with("On low, BOTH is better than M_B by"),
        "{}",
        low.verdict
    );
    let high = &found.groups[0];
    assert!(
        high.verdict.starts_with("On high, no difference"),
        "{}",
        high.verdict
    );
    // Tasks and groups are one family: three pairs, of three comparisons each.
    let least = 1.0 / 10_001.0;
    assert_eq!(
        (low.difference.p, low.difference.p_corrected),
        (least, 9.0 * least)
    );
}

#[test]
fn a_group_of_all_languages_is_the_task() {
    let mut frame = of_languages();
    frame.tasks[0]
        .language_groups
        .retain(|name, _| name == "every");
    let table = translations(frame);
    assert!(contrast(&table, "both", "m_b").groups.is_empty());
    assert_eq!(table.cells[0].groups[0].1, table.cells[0].score);
}

#[test]
fn parts_know_the_groups_of_a_language_and_may_leave_examples_out() {
    let mut frame = of_languages();
    frame.tasks[0].language_groups.remove("every");
    frame.tasks[0].parts = vec![(
        "kind, low".to_owned(),
        "kind if 'low' in groups and index < 30 else ''".replace("index", "operands"),
    )];
    let table = translations(frame);
    let Breakdown { parts, .. } = &table.breakdowns[0];
    let counts: Vec<_> = parts
        .iter()
        .map(|(value, scores)| (&**value, scores[0].unwrap().n))
        .collect();
    assert_eq!(counts, [("a", 60), ("b", 60)]);
}

fn expectation(id: &str, system: &str, over: Option<&str>) -> Expectation {
    Expectation {
        id: id.to_owned(),
        title: id.to_owned(),
        task: "flores".to_owned(),
        group: None,
        system: system.to_owned(),
        over: over.map(str::to_owned),
        at_least: None,
        at_most: None,
        wins: None,
        intervals_apart: false,
        significant: false,
    }
}

#[test]
fn what_was_to_be_reached_is_judged() {
    let mut frame = of_languages();
    frame.tasks[0].language_groups.remove("every");
    let low = |expectation: Expectation| Expectation {
        group: Some("low".to_owned()),
        ..expectation
    };
    let over = |id, over| expectation(id, "both", Some(over));
    frame.expected = vec![
        Expectation {
            at_least: Some(Bar::Points(4.4)),
            intervals_apart: true,
            significant: true,
            ..low(over("gain", "m_b"))
        },
        Expectation {
            at_least: Some(Bar::Share {
                share: 2.0,
                of: "gain".to_owned(),
            }),
            ..over("twice", "m_b")
        },
        Expectation {
            wins: Some(0.91),
            ..over("wins", "m_b")
        },
        Expectation {
            at_least: Some(Bar::Points(99.0)),
            ..expectation("score", "both", None)
        },
        // A pair that the table would not compare, the other way round.
        Expectation {
            at_most: Some(0.0),
            ..expectation("reverse", "m_b", Some("both"))
        },
        Expectation {
            at_least: Some(Bar::Points(0.0)),
            ..expectation("absent", "finetuned", Some("m_b"))
        },
    ];
    let table = translations(frame);
    let reached: Vec<_> = table
        .findings
        .iter()
        .map(|finding| (&*finding.title, finding.is_reached))
        .collect();
    let expected = [
        ("gain", Some(true)),
        ("twice", Some(false)),
        ("wins", Some(false)),
        ("score", Some(false)),
        ("reverse", Some(true)),
        ("absent", None),
    ];
    assert_eq!(reached, expected);
    let [gain, _, wins, .., absent] = &table.findings[..] else {
        panic!("{:?}", table.findings);
    };
    assert_eq!(
        gain.expected,
        "at least +4.4; intervals apart; better beyond chance"
    );
    assert!(
        gain.found.contains("better in 3 of 3 languages, 100.0 % ["),
        "{}",
        gain.found
    );
    assert_eq!(wins.expected, "better in 91.0 % of languages");
    assert!(
        wins.found.contains("3 of 4 languages, 75.0 %"),
        "{}",
        wins.found
    );
    assert_eq!(absent.found, "not measured");
    for text in [
        report::markdown(&table),
        report::terminal(&table),
        report::html(&table).unwrap(),
    ] {
        for shown in ["not reached", "better than M", "3 (3)", "On low, "] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
    let markdown = report::markdown(&table);
    let row = markdown.lines().find(|line| line.starts_with("| ne | "));
    assert!(
        row.unwrap().ends_with(" | ████████████████████ |"),
        "{markdown}"
    );
    assert!(markdown.contains("| **mean of low** | "), "{markdown}");
    // Low resource comes first, whatever the names.
    let at = |text: &str| markdown.find(text).unwrap();
    assert!(at("| · low |") < at("| · high |"));
}

#[test]
fn an_expectation_that_cannot_be_judged_is_an_error() {
    for (line, expected) in [
        (
            "x = { task = \"sums\" }",
            "line 20: expectation 'x': says nothing to reach",
        ),
        (
            "x = { task = \"sum\", at-least = 1 }",
            "no task 'sum'; did you mean 'sums'?",
        ),
        (
            "x = { task = \"sums\", system = \"bth\", at-least = 1 }",
            "no system 'bth'; did you mean 'both'?",
        ),
        (
            "x = { task = \"sums\", wins = 0.5 }",
            "'wins' is of a comparison; name the other",
        ),
        (
            "x = { task = \"sums\", over = [\"alone\"], wins = 91 }",
            "'wins' is a share of the languages, from 0 to 1",
        ),
        (
            "x = { task = \"sums\", group = \"low\", at-least = 1 }",
            "there is no group of languages 'low', nor any other",
        ),
        (
            "x = { task = \"sums\", at-least = { share = 0.5, of = \"y\" } }",
            "no other expectation 'y' to take a share of",
        ),
        (
            "x = { task = \"sums\", at-least = { share = 0.5, of = \"x\" } }",
            "no other expectation 'x' to take a share of",
        ),
        (
            "x = { task = \"sums\", at-leats = 1 }",
            "did you mean 'at-least'?",
        ),
    ] {
        let found = error(&format!("{}[expect]\n{line}\n", valid()));
        assert!(found.contains(expected), "{line}: {found}");
    }
    let untested = valid()
        + "tested = false\n[expect]\n\
         x = { task = \"sums\", over = [\"alone\"], at-least = 1 }\n";
    assert!(error(&untested).contains("the task 'sums' is not tested"));
}

/// Sums as if they were sentences of three languages, with counts of unseen words beside them.
fn write_flores(directory: &Path) {
    let write = |path: &str, lines: &[&str]| {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines.join("\n") + "\n").unwrap();
    };
    let sums = ["1 + 2", "3 + 4", "5 + 2", "2 + 6"];
    for part in ["dev", "devtest"] {
        write(&format!("{part}/eng_Latn.{part}"), &["3", "7", "7", "8"]);
        for language in ["zzz_Thai", "aaa_Latn", "mmm_Grek"] {
            write(&format!("{part}/{language}.{part}"), &sums);
            write(&format!("{part}/{language}.unseen"), &["0", "1", "2", "3"]);
            write(&format!("{part}/{language}.words"), &["4"; 4]);
        }
    }
    let fields = |part: &str| {
        format!("source = \"{part}/{{language}}.{part}\", target = \"{part}/eng_Latn.{part}\"")
    };
    let beside = "unseen = \"devtest/{language}.unseen\", words = \"devtest/{language}.words\"";
    let task = format!(
        "layout = 1\nname = \"translation\"\nversion = 1\nabout = \"Sums\"\n\
         prompt = \"{{{{ source }}}} = \"\n\
         low_to_high = [\"zzz_Thai\", \"aaa_Latn\", \"mmm_Grek\"]\n\
         [data]\nformat = \"lines\"\nexcept = [\"eng_Latn\"]\nfields = {{ {}, {beside} }}\n\
         [shots]\ncount = 1\ntemplate = \"{{{{ source }}}} = {{{{ target }}}}\\n\"\n\
         [shots.data]\nformat = \"lines\"\nfields = {{ {} }}\n\
         [generation]\nmax_new_tokens = 4\nstop_texts = [\"\\n\"]\n\
         [score]\nmetric = \"chrf1\"\nreference = \"{{{{ target }}}}\"\n\
         [groups]\nlow_resource = [\"zzz_Thai\", \"aaa_Latn\"]\nhigh_resource = [\"mmm_Grek\"]\n",
        fields("devtest"),
        fields("dev")
    );
    fs::write(directory.join("translation.toml"), task).unwrap();
}

#[test]
fn lines_beside_a_sentence_part_the_languages_of_flores() {
    let place = Place::new();
    write_flores(&place.path().join("flores"));
    let parts = "unseen = \"unseen if unseen|int < 2 else '2+'\"\n\
                 half = \"'half' if unseen|int * 2 >= words|int else ''\"\n";
    let text = format!(
        "{}[data.world]\npath = \"flores\"\n[systems.keys]\nmodel = \"keys\"\n\
         [tasks.translation]\ntask = \"world/translation.toml\"\ndata = \"world\"\n\
         groups.low_resource.paper = {{ alone = 41.7 }}\n\
         groups.low_resource.paper-wins = {{ alone = \"9 of 10\" }}\n\
         groups.one.languages = [\"aaa_Latn\"]\n[tasks.translation.parts]\n{parts}",
        valid()
    );
    let (table, _) = place.whole(&text);
    let task = &table.frame.tasks[1];
    assert_eq!(task.languages, ["zzz_Thai", "aaa_Latn", "mmm_Grek"]);
    let groups: Vec<&str> = table.cells[1]
        .groups
        .iter()
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(groups, ["high_resource", "low_resource", "one"]);
    let counts = |breakdown: &Breakdown| -> Vec<(String, usize)> {
        let parts = breakdown.parts.iter();
        let parts = parts.map(|(value, scores)| (value.clone(), scores[0].unwrap().n));
        parts.collect()
    };
    let of = |value: &str, n| (value.to_owned(), n);
    assert_eq!(
        counts(&table.breakdowns[0]),
        [of("0", 3), of("1", 3), of("2+", 6)]
    );
    assert_eq!(counts(&table.breakdowns[1]), [of("half", 6)]);
    // The score of a part is the mean of its languages' corpora.
    let whole = &table.breakdowns[0].parts[2].1[0].unwrap();
    assert_eq!(whole.spread.seeds, 1);
    let markdown = report::markdown(&table);
    let row = markdown
        .lines()
        .find(|line| line.starts_with("| · low\\_resource |"));
    assert!(row.unwrap().ends_with("| 41.7 |"), "{markdown}");
    assert!(markdown.contains("| 9 of 10 |"), "{markdown}");
    let missing = text.replace(
        "groups.one.languages = [\"aaa_Latn\"]",
        "groups.on.paper = { both = 1 }",
    );
    let message = place.plan("small", &missing).unwrap_err().to_string();
    assert!(
        message.contains("there is no group of languages 'on'"),
        "{message}"
    );
}
