//! The output of `calm inspect` for a checkpoint, to the letter.

use crate::common::{Workshop, fixtures};

/// A Gemma 2 of 3 blocks, two of them with a window, its head tied.
const GEMMA2: &str = include_str!("golden/inspect-gemma2.txt");

fn gemma2() -> Workshop {
    let workshop = Workshop::new();
    workshop.copy(&fixtures("calm-models").join("gemma2"), "gemma2");
    workshop
}

#[test]
fn all_of_a_checkpoint() {
    let workshop = gemma2();
    let text = workshop.calm("inspect gemma2 --tensors").done();
    assert_eq!(text, GEMMA2);
    let short = workshop.calm("inspect gemma2").done();
    assert_eq!(
        short,
        GEMMA2.split_once("\n\n").unwrap().0.to_owned() + "\n"
    );
}

#[test]
fn json_has_the_same() {
    let workshop = gemma2();
    let short = workshop.calm("inspect gemma2 --json").json();
    assert!(short["tensors"].is_null());
    assert_eq!(short["parameters_by_part"]["head"], 0);
    assert_eq!(short["windows"][0]["blocks"], 2);
    assert_eq!(short["tokenizer"]["kind"], "BPE");
    assert!(short["chat_template"].is_null());
    let all = workshop.calm("inspect gemma2 --json --tensors").json();
    let tensors = all["tensors"].as_array().unwrap();
    assert_eq!(all["files"][0]["tensors"], tensors.len());
    let numbers = tensors.iter().map(|tensor| {
        let shape = tensor["shape"].as_array().unwrap().iter();
        shape.map(|dim| dim.as_u64().unwrap()).product::<u64>()
    });
    assert_eq!(all["parameters"], numbers.sum::<u64>());
}

#[test]
fn templates_and_missing_tokenizers() {
    let workshop = gemma2();
    workshop.write("gemma2/chat_template.jinja", "{{ messages[0].content }}");
    std::fs::remove_file(workshop.path("gemma2/tokenizer.json")).unwrap();
    let text = workshop.calm("inspect gemma2").done();
    assert!(
        text.contains("chat template       chat_template.jinja\n"),
        "{text}"
    );
    assert!(text.contains("tokenizer           none\n"), "{text}");
    workshop.write("gemma2/chat_template.jinja", "{% for");
    let refused = workshop.calm("inspect gemma2");
    refused.refused(&["gemma2/chat_template.jinja: "]);
}
