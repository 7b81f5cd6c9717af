use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A task with every required field.
const TASK: &str = r#"
layout = 1
name = "capitals"
version = 1
about = "Where governments sit"
prompt = "{{ country }}:"

[data]
format = "tsv"
file = "{language}/test.tsv"
columns = ["country", "capital"]

[shots]
count = 2
template = "{{ country }}: {{ capital }}\n"
data = { format = "tsv", file = "{language}/train.tsv", columns = ["country", "capital"] }

[generation]
max_new_tokens = 8
stop_texts = ["\n"]

[score]
metric = "exact_match"
answer = "{{ output | first_line }}"
reference = "{{ capital }}"
"#;

fn parse(text: &str) -> Result<Task, TaskError> {
    Task::parse(Path::new("capitals.toml"), text)
}

fn message(text: &str) -> String {
    let message = parse(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn data(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn capitals() -> TempDir {
    let train = "Spain\tMadrid\nPeru\tLima\nMali\tBamako\n";
    data(&[
        ("en/test.tsv", "Chad\tN'Djamena\nTogo\tLomé\n"),
        ("en/train.tsv", train),
        ("de/test.tsv", "Tschad\tN'Djamena\n"),
        ("de/train.tsv", train),
    ])
}

#[test]
fn every_task_of_the_program_is_one() {
    for (name, task) in BUILTIN
        .files
        .iter()
        .map(|(name, _)| *name)
        .zip(Task::builtin())
    {
        assert_eq!(task.name, name);
        assert!(!task.paper.is_empty(), "{name}");
    }
}

#[test]
fn a_prompt_is_its_worked_examples_and_its_own() {
    let directory = capitals();
    let subsets = parse(TASK)
        .unwrap()
        .read(directory.path(), &[], None)
        .unwrap();
    let languages: Vec<&str> = subsets.iter().map(|subset| &*subset.language).collect();
    assert_eq!(languages, ["de", "en"]);
    let item = &subsets[1].items[1];
    assert_eq!(item.prompt, "Spain: Madrid\nPeru: Lima\nTogo:");
    assert_eq!(item.reference, "Lomé");
}

#[test]
fn examples_can_be_limited_and_languages_chosen() {
    let directory = capitals();
    let task = parse(TASK).unwrap().with_shots(0).unwrap();
    let subsets = task
        .read(directory.path(), &["en".to_owned()], Some(1))
        .unwrap();
    assert_eq!((subsets.len(), subsets[0].items.len()), (1, 1));
    assert_eq!(subsets[0].items[0].prompt, "Chad:");
}

#[test]
fn the_hash_is_of_what_a_task_says() {
    let hash = |text: &str| parse(text).unwrap().sha256();
    assert_eq!(
        hash(TASK),
        hash(&TASK.replace("[shots]", "# two are enough\n[shots]"))
    );
    assert_ne!(hash(TASK), hash(&TASK.replace("count = 2", "count = 3")));
    assert_ne!(
        parse(TASK).unwrap().with_shots(0).unwrap().sha256(),
        hash(TASK)
    );
}

#[test]
fn a_mistyped_key_is_named_with_its_line() {
    let found = message(&TASK.replace("stop_texts", "stop_text"));
    let expected =
        "capitals.toml, line 20: unknown key or value 'stop_text'; did you mean 'stop_texts'?";
    assert_eq!(found, expected);
    let found = message(&TASK.replace("\"exact_match\"", "\"exact-match\""));
    assert!(found.contains("did you mean 'exact_match'?"), "{found}");
}

#[test]
fn what_makes_no_task_is_an_error() {
    for (from, to, part) in [
        ("layout = 1", "layout = 2", "reads layout 1"),
        ("layout = 1\n", "", "missing field `layout`"),
        ("count = 2", "count = \"two\"", "line 14: invalid type"),
        ("count = 2", "count = 2 2", "line 14: "),
        ("reference = \"{{ capital }}\"\n", "", "score.reference"),
        ("\"exact_match\"", "\"pass@1\"", "[score.program]"),
        ("[\"\\n\"]", "[\"\"]", "empty text"),
        ("\"{language}/test.tsv\"", "\"../test.tsv\"", "leads out"),
        ("\"tsv\"\nfile", "\"lines\"\nfile", "`fields`"),
        ("\"tsv\"\nfile", "\"json\"\nfile", "`columns`"),
    ] {
        assert!(TASK.contains(from), "{from}");
        let message = message(&TASK.replacen(from, to, 1));
        assert!(message.contains(part), "{message}");
    }
    let message = Task::named("gsm8").unwrap_err().to_string();
    assert!(message.contains("did you mean 'gsm8k'?"), "{message}");
}

#[test]
fn a_template_that_names_no_field_is_an_error() {
    let directory = capitals();
    let read = |from: &str, to: &str| {
        let task = parse(&TASK.replace(from, to)).unwrap();
        task.read(directory.path(), &[], None)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        read("\"{{ country }}:\"", "\"{{ cuntry }}:\""),
        "task 'capitals', prompt: there is no field 'cuntry'; did you mean 'country'? There are: \
         country, capital, language, shots"
    );
    let message = read("{{ country }}: {{ capital", "{{ country }}: {{ town");
    assert!(
        message.contains("shots.template: there is no field 'town'"),
        "{message}"
    );
    let message = read("\"{{ capital }}\"", "\"{{ capital \"");
    assert!(
        message.contains("score.reference: syntax error"),
        "{message}"
    );
    let message = read("\"{{ capital }}\"", "\"{{ capital | lost }}\"");
    assert!(
        message.contains("score.reference: unknown filter"),
        "{message}"
    );
}

#[test]
fn data_that_is_not_there_is_named() {
    let task = parse(TASK).unwrap();
    let message = |files: &[(&str, &str)], languages: &[String]| {
        let directory = data(files);
        let error = task.read(directory.path(), languages, None).unwrap_err();
        let message = error.to_string();
        message.replace(&*directory.path().to_string_lossy(), "DATA")
    };
    let (test, train) = (
        ("en/test.tsv", "Chad\tN'Djamena\n"),
        ("en/train.tsv", "Peru\tLima\n"),
    );
    let found = message(&[], &[]);
    assert!(
        found.starts_with("DATA/{language}/test.tsv: the task 'capitals' reads"),
        "{found}"
    );
    let found = message(&[test], &[]);
    assert!(
        found.starts_with(
            "DATA/en/train.tsv: the task 'capitals' takes 2 worked examples from this file"
        ),
        "{found}"
    );
    assert!(found.contains("there are 0"), "{found}");
    let found = message(&[test, train], &[]);
    assert!(
        found.contains("there are 1; ") && found.ends_with("--shots 1"),
        "{found}"
    );
    let found = message(&[test], &["fr".to_owned()]);
    assert_eq!(
        found,
        "the task 'capitals' has no language 'fr'; there are: en"
    );
    let found = message(&[("en/test.tsv", "Chad\tN'Djamena\nTogo\n"), train], &[]);
    assert!(found.contains("line 2: has 1 column"), "{found}");
}

#[test]
fn files_side_by_side_have_equally_many_lines() {
    let task = Task::named("flores-v1").unwrap().with_shots(0).unwrap();
    let directory = data(&[
        ("wikipedia.devtest.ne-en.ne", "क\nख \n"),
        ("wikipedia.devtest.ne-en.en", "a\nb\n"),
    ]);
    let subsets = task.read(directory.path(), &[], None).unwrap();
    assert_eq!(subsets[0].language, "ne");
    assert_eq!(subsets[0].items[1].prompt, "ne: ख \nen:");
    fs::write(
        directory.path().join("wikipedia.devtest.ne-en.en"),
        "a\nb\nc\n",
    )
    .unwrap();
    let message = task
        .read(directory.path(), &[], None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("3 lines") && message.contains("2"),
        "{message}"
    );
}

#[test]
fn an_answer_is_what_the_filter_leaves() {
    let directory = capitals();
    let task = parse(TASK).unwrap();
    let subsets = task.read(directory.path(), &[], None).unwrap();
    let item = &subsets[0].items[0];
    assert_eq!(
        task.answer(item, " N'Djamena \nSpain").unwrap(),
        "N'Djamena"
    );
    assert_eq!(task.program(item, "x").unwrap(), None);
}

#[test]
fn a_program_and_its_tests_come_from_the_record() {
    let line = r#"{"task_id": "T/0", "prompt": "def one():\n    \"One.\"\n", "entry_point": "one", "canonical_solution": "    return 1\n", "test": "def check(f):\n    assert f() == 1\n"}"#;
    let directory = data(&[("problems.jsonl", line)]);
    let text =
        include_str!("builtin/humaneval.toml").replace("HumanEval.jsonl.gz", "problems.jsonl");
    let task = parse(&text).unwrap();
    let item = &task.read(directory.path(), &[], None).unwrap()[0].items[0];
    let program = task.program(item, "    return 1").unwrap().unwrap();
    assert_eq!(program.code, "def one():\n    \"One.\"\n    return 1\n");
    assert!(program.tests.ends_with("check(one)\n"));
    assert_eq!(program.names, ["one"]);
}

#[test]
fn worked_examples_are_read_as_published_or_converted() {
    let (mut python, mut json) = (String::new(), String::new());
    for number in 1..=8 {
        python += &format!("'{number}': {{'q': 'Q: ' 'what?', 'a': 'A: {number}.'}},\n");
        json += &format!(r#","{number}": {{"q": "Q: what?", "a": "A: {number}."}}"#);
    }
    let python = format!("MGSM_EXEMPLARS = {{'en': {{{python}}}}}\n");
    let json = format!(r#"{{"exemplars": {{"en": {{{}}}}}}}"#, &json[1..]);
    let problems = ("mgsm_en.tsv", "How many?\t3\n");
    let published = ("exemplars.py", &*python);
    let converted = ("exemplars.json", &*json);
    let task = Task::named("mgsm").unwrap();
    let read = |files: &[(&str, &str)]| task.read(data(files).path(), &[], None);
    let found = read(&[problems, published]).unwrap();
    let prompt = &found[0].items[0].prompt;
    assert!(prompt.starts_with("Q: what?\nA: 1.\n\n"), "{prompt}");
    assert!(prompt.ends_with("A: 8.\n\nQ: How many?\nA:"), "{prompt}");
    assert_eq!(read(&[problems, converted]).unwrap(), found);
    // The published file comes first, and is the one that is missed.
    assert_eq!(
        read(&[problems, published, ("exemplars.json", "{")]).unwrap(),
        found
    );
    let missing = read(&[problems]).unwrap_err().to_string();
    assert!(
        missing.contains("exemplars.py: the task 'mgsm' takes 8"),
        "{missing}"
    );
}

/// Reads the published files, if their directory is known.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn published_files_are_read() {
    let Some(directory) = std::env::var_os("CALM_BENCHMARKS").map(PathBuf::from) else {
        eprintln!("skipped: CALM_BENCHMARKS names no directory of published files");
        return;
    };
    let read = |name: &str, below: &str, text: &str| {
        let text = text.replace("sanitized-mbpp.json", "sanitized-mbpp_first40.json");
        let task = Task::parse(Path::new(name), &text).unwrap();
        task.read(&directory.join(below), &[], None).unwrap()
    };
    let subsets = read("mgsm", "mgsm", include_str!("builtin/mgsm.toml"));
    let languages: Vec<&str> = subsets.iter().map(|subset| &*subset.language).collect();
    assert_eq!(languages, ["de", "en", "sw", "te"]);
    assert!(subsets.iter().all(|subset| subset.items.len() == 250));
    assert!(
        subsets[1].items[0]
            .prompt
            .ends_with("farmers' market?\nStep-by-Step Answer:")
    );
    let subsets = read(
        "flores",
        "flores_v1",
        include_str!("builtin/flores-v1.toml"),
    );
    assert_eq!(subsets[0].items.len(), 2835);
    let subsets = read(
        "humaneval",
        "humaneval",
        include_str!("builtin/humaneval.toml"),
    );
    assert_eq!(subsets[0].items.len(), 164);
    let subsets = read("mbpp", "mbpp", include_str!("builtin/mbpp-sanitized.toml"));
    assert_eq!(subsets[0].items.len(), 33);
    assert_eq!(subsets[0].items[0].prompt.matches("# done").count(), 3);
}

#[test]
fn metrics_have_the_names_of_files() {
    for metric in [
        TaskMetric::ExactMatch,
        TaskMetric::Chrf1,
        TaskMetric::Chrf2,
        TaskMetric::ChrfPlusPlus,
        TaskMetric::Bleu,
        TaskMetric::PassAt1,
    ] {
        assert_eq!(serde_json::json!(metric), metric.name());
    }
}
