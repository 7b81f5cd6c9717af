//! `calm verify` on golden values of PyTorch, and on values that are wrong.

use std::fs;

use crate::common::{Run, Workshop, fixtures};

/// Changes the last byte of the last number of a safetensors file beyond recognition.
fn damage(workshop: &Workshop, file: &str) {
    let path = workshop.path(file);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x40;
    fs::write(&path, bytes).unwrap();
}

fn assert_fails(run: &Run, words: &[&str]) {
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:#?}");
    for word in words {
        assert!(run.stdout.contains(word), "{word:?} is not in {run:#?}");
    }
}

#[test]
fn checkpoints_hold_until_something_is_changed() {
    let workshop = Workshop::new();
    for name in ["llama", "llama3-scaled-tied"] {
        workshop.copy(&fixtures("calm-models").join(name), name);
        let text = workshop
            .calm(&format!("verify {name} --tolerance 1e-5"))
            .done();
        assert!(
            text.contains("hidden_2") && text.contains("all 12 tokens"),
            "{text}"
        );
        let json = workshop.calm(&format!("verify {name} --json")).json();
        assert_eq!(json["holds"], true);
        assert_eq!(json["greedy"]["tokens"], 12);

        let strict = workshop.calm(&format!("verify {name} --tolerance 1e-12"));
        assert_fails(&strict, &["does not hold", "within 1e-12"]);
        damage(&workshop, &format!("{name}/expected.safetensors"));
        assert_fails(
            &workshop.calm(&format!("verify {name}")),
            &["does not hold"],
        );
    }
}

#[test]
fn compositions_hold_until_something_is_changed() {
    let workshop = Workshop::new();
    let compositions = fixtures("calm-compose").join("compositions");
    let checkpoints = fixtures("calm-compose").join("checkpoints");
    let checkpoints = checkpoints.display();
    for entry in fs::read_dir(compositions).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        workshop.copy(&path, name);
        let line = format!("verify --composition {name} --checkpoints {checkpoints}");
        let text = workshop.calm(&line).done();
        for part in ["logits", "loss", "grad.a0.c0.proj.bias", "holds"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert_fails(
            &workshop.calm(&format!("{line} --tolerance 0")),
            &["does not hold"],
        );
        damage(&workshop, &format!("{name}/expected.safetensors"));
        assert_fails(&workshop.calm(&line), &["does not hold"]);
    }
}

#[test]
fn expected_values_are_written_and_hold_until_something_is_changed() {
    let workshop = Workshop::new();
    let compose = "compose --anchor anchor --augmenting specialist --train data.jsonl --rows 4 \
                   --connections [[2,1],[4,3]] --steps 4 --quiet --out composition";
    workshop.calm(compose).done();
    let subjects = [
        ("anchor", ["hidden_3", "all 12 tokens"]),
        ("composition", ["logits", "grad.a0.c1.proj.bias"]),
    ];
    for (model, parts) in subjects {
        let make = format!("verify {model} --make --text ABCDE --text QWE");
        workshop.calm(&make).done();
        workshop
            .calm(&make)
            .refused(&["expected.safetensors: is there already", "--expected"]);
        let holds = format!("verify {model} --tolerance 1e-5");
        let text = workshop.calm(&holds).done();
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        damage(&workshop, &format!("{model}/expected.safetensors"));
        assert_fails(&workshop.calm(&holds), &["does not hold"]);
        let other = format!("verify {model} --expected other.safetensors");
        workshop.calm(&format!("{other} --make --text AB")).done();
        workshop.calm(&other).done();
        std::fs::remove_file(workshop.path("other.safetensors")).unwrap();
    }
    let one = "verify composition --make --text A --expected one.safetensors";
    workshop.calm(one).refused(&["text 0 has", "--text"]);
}
