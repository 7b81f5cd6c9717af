//! Conversations through a pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::common::{Run, Workshop};

/// Role, content, and the letter that ends a message.
const TEMPLATE: &str = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}Z{% endfor %}\
                        {{ 'a' if add_generation_prompt }}";

/// A workshop whose anchor has a chat template, and a composition over it.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("anchor/chat_template.jinja", TEMPLATE);
    let compose = "compose --anchor anchor --augmenting specialist --connections every:2 \
                   --train data.jsonl --steps 3 --learning-rate 0.01 --out composition --quiet";
    workshop.calm(compose).done();
    workshop
}

fn turns(workshop: &Workshop, line: &str, input: &str) -> Vec<Value> {
    let json = workshop
        .calm_reading(&format!("{line} --json --quiet"), input)
        .json();
    json["turns"].as_array().unwrap().clone()
}

/// The text that `generate` writes behind a prompt.
fn generated(workshop: &Workshop, rest: &str) -> String {
    let json = workshop
        .calm(&format!("generate {rest} -n 4 --json --quiet"))
        .json();
    json["continuations"][0]["output"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn every_answer_follows_the_whole_conversation() {
    let workshop = workshop();
    for model in ["anchor", "composition"] {
        let turns = turns(
            &workshop,
            &format!("chat {model} --system Be -n 4"),
            "ABC\n\nDE\n",
        );
        assert_eq!(turns.len(), 2, "{turns:?}");
        let first = generated(&workshop, &format!("{model} -p sBeZuABCZa"));
        assert_eq!(turns[0]["answer"], first, "{model}");
        let prompt = format!("{model} -p sBeZuABCZa{first}ZuDEZa");
        assert_eq!(turns[1]["answer"], generated(&workshop, &prompt), "{model}");
        assert_eq!(turns[0]["kept_tokens"], 0);
        let number = |of: &Value| of.as_u64().unwrap();
        let speed = [&turns[0]["speed"], &turns[1]["speed"]];
        let read = number(&speed[0]["prompt_tokens"]) + number(&speed[0]["tokens"]);
        // The last token of an answer is read with the next one, if there is one.
        let unread = u64::from(turns[0]["ended"] == false);
        assert_eq!(number(&turns[1]["kept_tokens"]), read - unread, "{turns:?}");
        let computed = number(&speed[1]["prompt_tokens"]);
        assert!((1..=7).contains(&computed), "{turns:?}");
    }
}

#[test]
fn answers_are_the_output_and_the_rest_is_told_beside_it() {
    let workshop = workshop();
    let run = workshop.calm_reading("chat anchor -n 4", "ABC\n/reset\nABC\n/quit\nDE\n");
    assert!(run.stderr.contains("a new conversation\n"), "{run:#?}");
    assert!(run.stderr.contains(" tokens in "), "{run:#?}");
    let answer = generated(&workshop, "anchor -p uABCZa");
    assert_eq!(run.done(), format!("{answer}\n{answer}\n"));
    let quiet = workshop.calm_reading("chat anchor -n 4 --quiet", "ABC\n");
    assert_eq!(quiet.stderr, "");
}

#[test]
fn bridges_are_scaled_and_the_anchor_can_be_left_alone() {
    let workshop = workshop();
    let input = "HIJ\n/reset\n/anchor\nHIJ\n/reset\n/anchor\nHIJ\n/reset\n/scale 0.5\nHIJ\n";
    let turns = turns(&workshop, "chat composition -n 4", input);
    let answers: Vec<&str> = turns
        .iter()
        .map(|turn| turn["answer"].as_str().unwrap())
        .collect();
    let composed = generated(&workshop, "composition -p uHIJZa");
    let alone = generated(&workshop, "anchor -p uHIJZa");
    let half = generated(&workshop, "composition --scale 0.5 -p uHIJZa");
    assert_ne!(composed, alone);
    assert_eq!(answers, [&composed, &alone, &composed, &half]);

    // A conversation that goes on with another scale is computed anew.
    let turns = self::turns(&workshop, "chat composition -n 4", "HIJ\n/anchor on\nDE\n");
    assert_eq!(turns[1]["kept_tokens"], 0);
    let first = turns[0]["answer"].as_str().unwrap();
    let prompt = format!("anchor -p uHIJZa{first}ZuDEZa");
    assert_eq!(turns[1]["answer"], generated(&workshop, &prompt));
}

#[test]
fn a_trace_shows_what_the_last_answer_read() {
    let workshop = workshop();
    let run = workshop.calm_reading("chat composition -n 4 --quiet", "HIJ\n/trace\n");
    let text = run.done();
    let traced: Vec<&str> = text.lines().skip(1).collect();
    assert!(traced[0].contains("mean over its 4 tokens"), "{text}");
    let shares = |line: &str| -> Vec<f64> {
        let words = line.split_whitespace();
        let numbers = words.filter_map(|word| word.parse().ok());
        numbers.filter(|share: &f64| *share <= 100.0).collect()
    };
    for (line, from) in traced[1..].iter().zip([2, 4]) {
        let name = format!("block {from} of m_A → block ");
        assert!(line.starts_with(&name), "{text}");
        let read = shares(line.split_once("  ").unwrap().1);
        assert_eq!(read.len(), 5, "{text}");
        assert!(
            read.is_sorted_by(|a, b| a >= b) && read.iter().sum::<f64>() <= 103.0,
            "{text}"
        );
    }
    assert_eq!(traced.len(), 1 + 2, "{text}");
    for (line, input, said) in [
        ("chat composition", "/trace\n", "no answer yet"),
        (
            "chat composition -n 2",
            "HIJ\n/anchor\n/trace\n",
            "the anchor is alone",
        ),
        ("chat anchor -n 2", "A\n/trace\n", "reads no other model"),
    ] {
        let run = workshop.calm_reading(&format!("{line} --quiet"), input);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains(said), "{run:#?}");
    }
}

#[test]
fn a_model_without_a_template_goes_on_with_every_line() {
    let workshop = Workshop::new();
    let refused = workshop.calm("chat anchor");
    refused.refused(&["anchor: has no chat template", "--plain"]);
    let answers = workshop
        .calm_reading("chat anchor --plain -n 4 -q", "ABC\nDE\nABC\n")
        .done();
    let [abc, de] =
        ["ABC", "DE"].map(|prompt| generated(&workshop, &format!("anchor -p {prompt}")));
    assert_eq!(answers, format!("{abc}\n{de}\n{abc}\n"));
    workshop
        .calm("chat anchor --plain --system S")
        .refused(&["--system", "--plain"]);
}

#[test]
fn lines_that_make_no_sense_end_a_pipe() {
    let workshop = workshop();
    for (input, words) in [
        (
            "/rest\n",
            &["there is no /rest", "did you mean /reset?"][..],
        ),
        ("/scale warm\n", &["'warm' is none"]),
        ("/scale 1\n", &["reads no other model"]),
        ("/anchor\n", &["reads no other model"]),
    ] {
        let run = workshop.calm_reading("chat anchor --quiet", input);
        assert_eq!(run.code, Some(2), "{run:#?}");
        for word in words {
            assert!(run.stderr.contains(word), "{word:?} is not in {run:#?}");
        }
    }
    workshop
        .calm_reading("chat composition --quiet", "/scale 1 2\n")
        .refused(&["one number, or 1, one for each model"]);
}

#[test]
fn a_message_may_have_several_lines() {
    let workshop = workshop();
    workshop.write(
        "anchor/chat_template.jinja",
        "{{ messages[0].content.replace('\\n', 'N') }}",
    );
    let answer = workshop
        .calm_reading("chat anchor -n 4 -q", "AB\\\nC\n")
        .done();
    assert_eq!(answer, generated(&workshop, "anchor -p ABNC") + "\n");
}

#[cfg(unix)]
#[test]
fn control_c_does_not_end_a_conversation() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let workshop = workshop();
    let line = "chat anchor -n 4";
    let mut child = workshop
        .command(line)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut ask = |message: &str| {
        stdin.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        answer
    };
    let answer = ask("ABC\n");
    // The line about the speed is the last before the program waits again.
    let mut said = String::new();
    while !said.contains("wrote") {
        stderr.read_line(&mut said).unwrap();
    }
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    while !said.contains("/quit") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert_eq!(ask("/reset\nABC\n"), answer);
    drop(stdin);
    let run = Run::new(line, child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:#?}");
}
