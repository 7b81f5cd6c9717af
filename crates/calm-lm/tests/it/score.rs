//! `calm score` through the binary.

use crate::common::Workshop;

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("ref", "the cat sat down\nyes it is\n");
    workshop.write("hyp", "the cat sat\nno\n");
    workshop.write("good", "the cat sat down\nyes it was\n");
    workshop
}

#[test]
fn one_score_has_its_signature() {
    let workshop = workshop();
    let found = workshop
        .calm("score --metric chrf1 --hyp hyp --ref ref --json")
        .json();
    assert_eq!(found["metric"], "chrF1");
    assert!(
        found["score"]
            .as_f64()
            .is_some_and(|score| score > 30.0 && score < 90.0)
    );
    let signature = found["signature"].as_str().unwrap();
    assert!(signature.starts_with("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|beta:1|space:no|"));
    let same = "score --metric chrf --beta 1 --hyp hyp --ref ref --json";
    assert_eq!(workshop.calm(same).json()["score"], found["score"]);
    let text = workshop
        .calm("score --metric chrf --hyp hyp --ref ref")
        .done();
    assert!(
        text.contains("chrF2 = ") && text.contains("beta:2"),
        "{text}"
    );
    let bleu = "score --metric bleu --tokenize intl --smooth floor --lowercase --hyp good --ref ref ref --json";
    let bleu = workshop.calm(bleu).json();
    let signature = bleu["signature"].as_str().unwrap();
    assert!(signature.starts_with("nrefs:2|case:lc|eff:no|tok:intl|smooth:floor[0.10]|"));
}

#[test]
fn answers_are_scored_as_shares() {
    let workshop = Workshop::new();
    workshop.write("gold", "2\n1000\n");
    workshop.write("out", "so 2.\n#### 1,000\n");
    for (metric, expected, settings) in [
        ("exact", 0.0, "case:mixed|match:trimmed"),
        ("number", 100.0, "match:number|find:last"),
        ("number-strict", 50.0, "match:number|find:####"),
    ] {
        let line = format!("score --metric {metric} --hyp out --ref gold --json");
        let found = workshop.calm(&line).json();
        assert_eq!(found["metric"], metric);
        assert_eq!(found["score"], expected);
        let signature = found["signature"].as_str().unwrap();
        assert!(signature.starts_with(&format!("nrefs:1|{settings}|version:")));
    }
}

#[test]
fn every_sentence_has_its_score() {
    let workshop = workshop();
    let line =
        "score --metric chrf1 bleu --effective-order --sentence-level --hyp hyp good --ref ref";
    let scores = workshop.calm(&format!("{line} --json")).json();
    let of = |system: usize| {
        scores["scores"][system]["sentence_scores"]
            .as_array()
            .unwrap()
    };
    assert!((0..4).all(|system| of(system).len() == 2));
    assert_eq!(
        (of(0)[1].as_f64(), of(1)[0].as_f64()),
        (Some(0.0), Some(100.0))
    );
    // Three words have no n-gram of four.
    assert!(of(2)[0].as_f64().is_some_and(|score| score > 50.0));
    let plain = workshop.calm(&format!(
        "{} --json",
        line.replace(" --effective-order", "")
    ));
    assert_eq!(plain.json()["scores"][2]["sentence_scores"][0], 0.0);
    let text = workshop.calm(line).done();
    assert_eq!(text.lines().count(), 4 + 2, "{text}");
    let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((last.len(), last[0], last[1]), (5, "2", "0.00"));
}

#[test]
fn texts_are_joined_by_their_indices() {
    let workshop = Workshop::new();
    workshop.write("out", "1\tone\n0\tnothing at all\n2\n");
    workshop.write("gold", "0\tnothing\n1\tone\n2\ttwo\n");
    let line = "score --metric exact --indexed --hyp out --ref gold";
    let found = workshop.calm(&format!("{line} --json")).json();
    assert_eq!(found["n"], 3);
    assert!((found["score"].as_f64().unwrap() - 100.0 / 3.0).abs() < 1e-9);
    workshop.write("gold", "0\tnothing\n1\tone\n");
    workshop
        .calm(line)
        .refused(&["out: has index 2, which gold lacks"]);
    workshop.write("gold", "0 nothing\n");
    workshop
        .calm(line)
        .refused(&["gold, line 1: begins with \"0 nothing\""]);
}

#[test]
fn empty_references_count_as_in_sacrebleu() {
    let workshop = Workshop::new();
    workshop.write(
        "hyp",
        "\u{feff}a green lamp hung low .\nwell , well .\r\nit cost 3.20 .",
    );
    workshop.write("one", "a green lamp hung low .\n \nit cost 3.20 .\n");
    workshop.write("two", "\nwell .\n\n");
    workshop.write("none", "\n\n\n");
    // sacrebleu 2.6.0: BLEU(), CHRF(beta=1), CHRF(), CHRF(word_order=2).
    for (references, expected) in [
        ("one", [74.718841, 100.0, 100.0, 100.0]),
        ("one two", [80.540361, 93.138979, 97.137764, 96.925454]),
        ("none", [0.0; 4]),
    ] {
        let line = "score --metric bleu chrf1 chrf2 chrf++ --sentence-level --hyp hyp";
        let run = workshop.calm(&format!("{line} --ref {references} --json"));
        assert!(
            run.stderr.contains("references are empty"),
            "{}",
            run.stderr
        );
        for (score, expected) in run.json()["scores"]
            .as_array()
            .unwrap()
            .iter()
            .zip(expected)
        {
            let found = score["score"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-6, "{references}: {score}");
        }
    }
}

#[test]
fn several_systems_and_metrics_give_one_table() {
    let workshop = workshop();
    for test in [
        "--confidence",
        "--paired-bootstrap",
        "--paired-randomisation --trials 50",
    ] {
        let line =
            format!("score --metric chrf1 bleu --hyp hyp good --ref ref --resamples 50 {test}");
        let text = workshop.calm(&line).done();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert_eq!(text.matches("(95 % interval").count(), 4, "{text}");
        let paired = if test == "--confidence" { 0 } else { 2 };
        assert_eq!(text.matches("p = ").count(), paired, "{text}");
        assert_eq!(workshop.calm(&line).done(), text);
    }
}

#[test]
fn bad_input_is_told_in_one_line() {
    let workshop = workshop();
    workshop.write("short", "one\n");
    workshop.write("none", "");
    std::fs::write(workshop.path("bytes"), b"one\n\xff\n").unwrap();
    for (line, words) in [
        (
            "--metric bleu --hyp short --ref ref",
            &["short has 1 lines and ref has 2"][..],
        ),
        (
            "--metric bleu --hyp bytes --ref ref",
            &["bytes, line 2: is not UTF-8 at byte 1"],
        ),
        (
            "--metric bleu --hyp none --ref ref",
            &["none: holds no line"],
        ),
        ("--metric bleu --hyp nowhere --ref ref", &["nowhere: "]),
        ("--metric chrf --beta 0 --hyp hyp --ref ref", &["beta is 0"]),
        (
            "--metric chrf1 --beta 2 --hyp hyp --ref ref",
            &["--beta: is of --metric chrf"],
        ),
        (
            "--metric chrf1 --effective-order --hyp hyp --ref ref",
            &["--effective-order: is of --metric bleu"],
        ),
        (
            "--metric bleu --tokenize zh --hyp hyp --ref ref",
            &["13a, intl, char or none"],
        ),
        (
            "--metric bleu --smooth x --hyp hyp --ref ref",
            &["exp, floor, add-k or none"],
        ),
        (
            "--metric bleu --paired-bootstrap --hyp hyp --ref ref",
            &["several files"],
        ),
        (
            "--metric bleu --confidence --resamples 0 --hyp hyp --ref ref",
            &["is 0"],
        ),
    ] {
        workshop.calm(&format!("score {line}")).refused(words);
    }
    // An empty hypothesis is one that says nothing.
    workshop.write("empty", "\n\n");
    let found = workshop
        .calm("score --metric chrf2 --hyp empty --ref ref --json")
        .json();
    assert_eq!(found["score"], 0.0);
}
