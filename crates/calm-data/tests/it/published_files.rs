//! Readers on small files of our own, and on published ones, which are not part of the repository.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use calm_data::DataError;
use calm_data::benchmarks::flores::{Split, flores_200, flores_plus, flores_v1};
use calm_data::benchmarks::math::{gsm8k, mgsm, mgsm_exemplars};
use calm_data::benchmarks::{code, code_text};
use calm_data::corpus::text_lines;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// Path of the published files, if it is known; otherwise prints a line.
fn published(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("CALM_BENCHMARKS");
    if directory.is_none() {
        eprintln!("skipped: CALM_BENCHMARKS does not say where the published files are");
    }
    Some(PathBuf::from(directory?).join(name))
}

/// A directory with these files.
fn files(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

/// Message of a reader that refuses a file of these bytes.
fn refused<T: std::fmt::Debug>(
    read: impl Fn(&Path) -> Result<T, DataError>,
    bytes: &[u8],
) -> String {
    let directory = files(&[("file", bytes)]);
    let message = read(&directory.path().join("file"))
        .unwrap_err()
        .to_string();
    assert!(
        !message.contains('\n') && message.contains("file"),
        "{message}"
    );
    message
}

#[test]
fn published_flores_v1() {
    let Some(directory) = published("flores_v1") else {
        return;
    };
    let dev = flores_v1(&directory, Split::Dev, "ne-en").unwrap();
    let devtest = flores_v1(&directory, Split::DevTest, "ne-en").unwrap();
    assert_eq!((dev.len(), devtest.len()), (2559, 2835));
    for pairs in [&dev, &devtest] {
        // Spaces at the ends are part of the sentences.
        assert!(
            pairs
                .iter()
                .any(|pair| pair.target.ends_with(' ') || pair.source.ends_with(' '))
        );
        // Some lines of the Nepali files are not in Nepali.
        let nepali = pairs.iter().filter(|pair| !pair.source.is_ascii());
        assert!(nepali.count() > pairs.len() * 9 / 10);
        assert!(pairs.iter().all(|pair| !pair.article.is_empty()));
    }
    let lines = |name: &str| text_lines(&directory.join(name)).unwrap();
    let (en, ne) = (
        lines("wikipedia.dev.ne-en.en"),
        lines("wikipedia.dev.ne-en.ne"),
    );
    assert_eq!((&dev[0].target, &dev[0].source), (&en[0], &ne[0]));
    assert_eq!(
        (&dev[2558].target, &dev[2558].source),
        (&en[2558], &ne[2558])
    );
}

#[test]
fn published_math() {
    let Some(directory) = published("") else {
        return;
    };
    let problems = gsm8k(&directory.join("gsm8k/test_first200.jsonl")).unwrap();
    assert_eq!(problems.len(), 200);
    assert!(
        problems[0].question.starts_with("Janet"),
        "{:?}",
        problems[0]
    );
    assert_eq!(problems[0].gold, "18".parse().unwrap());
    let last = &problems[199];
    assert!(last.question.starts_with("Mark is a copy-editor."));
    assert!(last.answer.ends_with("\n#### 7500"));
    assert_eq!(last.gold, "7500".parse().unwrap());
    assert!(
        problems
            .iter()
            .all(|problem| problem.answer.contains("#### "))
    );
    let of = |language: &str| mgsm(&directory.join(format!("mgsm/mgsm_{language}.tsv"))).unwrap();
    let english = of("en");
    for language in ["en", "sw", "te", "de"] {
        let translated = of(language);
        assert_eq!(translated.len(), 250);
        for (a, b) in translated.iter().zip(&english) {
            assert_eq!(a.gold, b.gold, "{language}: {a:?}");
        }
    }
    for (a, b) in english.iter().zip(&problems) {
        assert_eq!(a.gold, b.gold, "{a:?}");
    }
    assert!(english[0].question.starts_with("Janet"));
    assert!(english[249].question.starts_with("On Monday, Sue"));
    assert_eq!(
        (&*english[0].answer, &*english[249].answer),
        ("18", "5,600")
    );
    let swahili = of("sw");
    assert!(swahili[0].question.starts_with("Bata wa Janet"));
    assert!(swahili[249].question.starts_with("Jumatatu, Sue"));
    for grouped in ["2,125", "114,200", "276,000", "5,600"] {
        let problem = english
            .iter()
            .find(|problem| problem.answer == grouped)
            .unwrap();
        assert_eq!(problem.gold, grouped.replace(',', "").parse().unwrap());
    }
    let exemplars = mgsm_exemplars(&directory.join("mgsm/exemplars.json")).unwrap();
    assert_eq!(
        (
            exemplars.number_answers.len(),
            exemplars.equation_solutions.len()
        ),
        (8, 8)
    );
    let languages: Vec<_> = exemplars.exemplars.keys().collect();
    assert_eq!(languages, ["de", "en", "sw", "te"]);
    assert!(exemplars.exemplars.values().all(|of| of.len() == 8));
}

#[test]
fn published_code() {
    let Some(directory) = published("") else {
        return;
    };
    let problems = code::human_eval(&directory.join("humaneval/HumanEval.jsonl.gz")).unwrap();
    assert_eq!(problems.len(), 164);
    assert_eq!(problems[0].task_id, "HumanEval/0");
    assert_eq!(problems[0].entry_point, "has_close_elements");
    assert_eq!(problems[163].task_id, "HumanEval/163");
    assert!(
        problems
            .iter()
            .all(|problem| problem.test.contains("def check("))
    );
    let problems =
        code::mbpp_sanitised(&directory.join("mbpp/sanitized-mbpp_first40.json")).unwrap();
    assert_eq!(problems.len(), 40);
    assert_eq!((problems[0].task_id, problems[39].task_id), (2, 85));
    assert!(
        problems
            .iter()
            .all(|problem| problem.tests[0].starts_with("assert"))
    );
    let of = |name: &str| directory.join("codexglue").join(name);
    let pairs = code_text::predictions(&of("predictions.txt"), &of("reference.txt")).unwrap();
    assert_eq!(pairs.len(), 5);
    let pair = |index: usize| (pairs[index].0.as_str(), pairs[index].1.as_str());
    let first = (
        "Prints a summary message",
        "Outputs the deferred summary information saved via",
    );
    assert_eq!(pair(0), first);
    let last = (
        "Creates a new project .",
        "Create the bff file using + mkinstallp + .",
    );
    assert_eq!(pair(4), last);
}

#[test]
fn flores() {
    let directory = files(&[
        ("dev/eng_Latn.dev", b"One . \n\"Two\n"),
        ("devtest/eng_Latn.devtest", b"Three\x1e\xc2\x85!\n"),
        ("wikipedia.dev.ne-en.ne", "एक\nदुई\n".as_bytes()),
        ("wikipedia.dev.ne-en.en", b"one\ntwo\n"),
        ("wikipedia.dev.ne-en.doc_id", b"A\nB\n"),
        ("wikipedia.devtest.ne-en.ne", "एक\n".as_bytes()),
        ("wikipedia.devtest.ne-en.en", b"one\ntwo\n"),
        ("wikipedia.devtest.ne-en.doc_id", b"A\n"),
        ("plus", b"{\"id\": 2, \"iso_639_3\": \"eng\", \"iso_15924\": \"Latn\", \"text\": \"b\", \"url\": \"u\"}\n{\"id\": 1, \"iso_639_3\": \"eng\", \"iso_15924\": \"Latn\", \"text\": \"a\"}\n"),
    ]);
    let path = directory.path();
    assert_eq!(
        flores_200(path, Split::Dev, "eng_Latn").unwrap(),
        ["One . ", "\"Two"]
    );
    // No other separator of lines ends a sentence.
    let sentences = flores_200(path, Split::DevTest, "eng_Latn").unwrap();
    assert_eq!(sentences, ["Three\u{1e}\u{85}!"]);
    let missing = flores_200(path, Split::Dev, "xxx_Xxxx").unwrap_err();
    assert!(missing.to_string().contains("xxx_Xxxx.dev: "), "{missing}");
    let pairs = flores_v1(path, Split::Dev, "ne-en").unwrap();
    assert_eq!(
        (&*pairs[1].source, &*pairs[1].target, &*pairs[1].article),
        ("दुई", "two", "B")
    );
    let differ = flores_v1(path, Split::DevTest, "ne-en")
        .unwrap_err()
        .to_string();
    assert!(
        differ.contains("devtest.ne-en.en has 2 lines and") && differ.contains(".ne has 1;"),
        "{differ}"
    );
    let plus = flores_plus(&path.join("plus")).unwrap();
    assert_eq!((plus[0].id, &*plus[0].text, &*plus[1].text), (1, "a", "b"));
}

#[test]
fn bad_lines_of_texts() {
    let dev = |bytes: &[u8]| {
        let directory = files(&[("dev/x.dev", bytes)]);
        flores_200(directory.path(), Split::Dev, "x")
            .unwrap_err()
            .to_string()
    };
    assert!(dev(b"one\ntwo").contains("x.dev, line 2: the file ends within this line"));
    assert!(dev(b"one\n \nthree\n").contains("x.dev, line 2: the sentence is empty"));
    assert!(dev(b"one\ntw\xff\n").contains("x.dev, line 2: is not UTF-8 at byte 3"));
    assert!(dev(b"").contains("line 1: the file ends"));
    assert!(refused(text_lines, b"").contains("holds no line"));
}

#[test]
fn math() {
    let directory = files(&[
        (
            "gsm8k",
            b"{\"question\": \"q\", \"answer\": \"<<1+1=2>>2\\n#### 1,002\"}\n",
        ),
        ("mgsm", b"A \"quoted question\t1,002\nb\t-3\n"),
    ]);
    let problem = &gsm8k(&directory.path().join("gsm8k")).unwrap()[0];
    assert_eq!(problem.gold.to_string(), "1002");
    let problems = mgsm(&directory.path().join("mgsm")).unwrap();
    assert_eq!(problems[0].question, "A \"quoted question");
    assert_eq!(problems[0].gold, problem.gold);
    let good = "{\"question\": \"q\", \"answer\": \"#### 1\"}\n";
    for (bad, part) in [
        (
            "{\"question\": \"q\", \"answer\": \"1\"}",
            "line 2: its `answer` does not end in `#### N`",
        ),
        ("{\"question\": \"q\"}", "line 2: missing field `answer`"),
        (
            "{\"question\": \"q\", \"ans",
            "line 2: EOF while parsing a string at column 22; the file is cut short",
        ),
    ] {
        let message = refused(gsm8k, format!("{good}{bad}").as_bytes());
        assert!(message.contains(part), "{message}");
    }
    for (bad, part) in [
        (&b"a\t1\nb\t2"[..], "line 2: the file ends within this line"),
        (b"a\t1\nb\tx\n", "line 2: its answer \"x\" is no number"),
        (b"a\t1\nb\n", "line 2: has 1 columns"),
        (b"a\t1\tc\n", "line 1: has 3 columns"),
    ] {
        let message = refused(mgsm, bad);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn programs() {
    let record = r#"{"task_id": "X/0", "prompt": "def f():\n", "entry_point": "f", "canonical_solution": "  return 1\n", "test": "def check(candidate):\n  assert candidate() == 1\n"}"#;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(record.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let full = br#"{"text": "Do it.", "code": "c", "task_id": 1, "test_setup_code": "s", "test_list": ["assert 1"], "challenge_test_list": ["assert 2"]}"#;
    let sanitised = br#"[{"source_file": "x", "task_id": 2, "prompt": "Do it.", "code": "c", "test_imports": ["import a", "import b"], "test_list": ["assert 1", "assert 3"]}]"#;
    let directory = files(&[
        ("packed", &packed),
        ("plain", record.as_bytes()),
        ("full", full),
        ("sanitised", sanitised),
    ]);
    let path = |name: &str| directory.path().join(name);
    let problems = code::human_eval(&path("packed")).unwrap();
    assert_eq!(problems, code::human_eval(&path("plain")).unwrap());
    let program = problems[0].program(&problems[0].canonical_solution);
    assert!(
        program.starts_with("def f():\n  return 1\n\ndef check") && program.ends_with("\ncheck(f)")
    );
    let problem = &code::mbpp(&path("full")).unwrap()[0];
    assert_eq!(problem.program("p"), "p\ns\nassert 1\n");
    assert_eq!(problem.challenge_tests, ["assert 2"]);
    let problem = &code::mbpp_sanitised(&path("sanitised")).unwrap()[0];
    assert_eq!(
        problem.program("p"),
        "p\nimport a\nimport b\nassert 1\nassert 3\n"
    );

    let message = refused(code::human_eval, &packed[..packed.len() - 9]);
    assert!(message.contains("is cut short or damaged"), "{message}");
    let message = refused(code::mbpp_sanitised, &sanitised[..sanitised.len() - 1]);
    assert!(
        message.contains("line 1: EOF") && message.contains("cut short"),
        "{message}"
    );
    let message = refused(code::mbpp, sanitised);
    assert!(message.contains("line 1: "), "{message}");
}

#[test]
fn summaries() {
    let record = |language: &str, summary: &str| {
        format!(
            r#"{{"repo": "r", "path": "p", "language": "{language}", "code": "c", "code_tokens": ["def", "f", "a\n b"], "docstring": "d", "docstring_tokens": [{summary}]}}"#
        )
    };
    for language in code_text::LANGUAGES {
        let directory = files(&[("x", record(language, r#""Says", "so", ".""#).as_bytes())]);
        let found = &code_text::code_text(&directory.path().join("x")).unwrap()[0];
        assert_eq!(
            (&*found.source(), &*found.target()),
            ("def f a b", "Says so .")
        );
    }
    let message = refused(code_text::code_text, record("rust", "\"a\"").as_bytes());
    assert!(
        message.contains("line 1: its language \"rust\" is none of go, java"),
        "{message}"
    );
    let message = refused(code_text::code_text, record("go", "").as_bytes());
    assert!(
        message.contains("line 1: its `docstring_tokens` are empty"),
        "{message}"
    );

    let joined = |predicted: &str, references: &str| {
        let directory = files(&[("p", predicted.as_bytes()), ("r", references.as_bytes())]);
        let path = |name: &str| directory.path().join(name);
        code_text::predictions(&path("p"), &path("r")).map_err(|error| error.to_string())
    };
    // Joined by index, in any order; a prediction may be empty.
    let pairs = joined("1\tb\n0\n", "0\ta\n1\tb c\n").unwrap();
    assert_eq!(
        pairs,
        [
            (String::new(), "a".to_owned()),
            ("b".to_owned(), "b c".to_owned())
        ]
    );
    for (predicted, references, part) in [
        ("0\ta\n", "0\ta\n1\tb\n", "no prediction for index 1"),
        ("0\ta\n1\tb\n", "0\ta\n", "has index 1, which"),
        (
            "0\ta\n0\tb\n",
            "0\ta\n",
            "line 2: has the index 0 of an earlier line",
        ),
        ("x\ta\n", "0\ta\n", "line 1: begins with \"x\""),
    ] {
        let message = joined(predicted, references).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}
