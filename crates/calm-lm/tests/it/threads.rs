//! The number of threads, which a user may choose.

use std::fs;
use std::path::Path;

use calm_lm::backend::FloatType;
use calm_lm::models::{Decoder, Family, FrozenModel, Strictness, Tokenizer};
use serde_json::{Value, json};

use crate::common::{Workshop, fixtures};

/// Models that are large enough for their products to be shared among threads.
#[test]
fn any_number_of_threads_trains_the_same_bridges() {
    let workshop = Workshop::new();
    workshop.calm("data kv --laptop --out kv").done();
    let checkpoints = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/checkpoints");
    let train = |threads: usize| {
        let (out, models) = (format!("threads-{threads}"), checkpoints.display());
        let run = workshop.calm(&format!(
            "compose --anchor {models}/kv-anchor --augmenting {models}/kv-augmenting --out {out} \
             --connections every:1 --train kv/kv-arithmetic.held-in.jsonl --rows 64 --steps 3 \
             --threads {threads}"
        ));
        run.done();
        let settings = workshop.text(&format!("{out}/run/run.json"));
        assert!(
            settings.contains(&format!("\"threads\": {threads}")),
            "{settings}"
        );
        workshop.bridges(&out)
    };
    let one = train(1);
    assert_eq!(one, train(2));
    assert_eq!(one, train(5));
}

/// A model with experts like the golden one, but large enough for products to be shared among threads.
fn save_experts(to: &Path) {
    let golden = fixtures("calm-models").join("qwen2_moe");
    let path = golden.join("config.json");
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in [
        ("hidden_size", 256),
        ("intermediate_size", 512),
        ("moe_intermediate_size", 192),
        ("shared_expert_intermediate_size", 256),
    ] {
        settings[key] = json!(value);
    }
    let config = Family::read(&settings.to_string(), &path, Strictness::Strict).unwrap();
    let decoder = Decoder::untrained(&config, 4, &Default::default());
    let tokenizer = Tokenizer::load(&golden.join("tokenizer.json")).unwrap();
    let model = FrozenModel::new(decoder, tokenizer);
    model.save(to, FloatType::F32).unwrap();
}

#[test]
fn any_number_of_threads_trains_the_same_experts() {
    let workshop = Workshop::new();
    save_experts(&workshop.path("experts"));
    let text = "the quick brown fox jumps over the lazy dog, 42 times a day. ";
    let line = json!({ "text": text.repeat(4) });
    workshop.write("texts.jsonl", &format!("{line}\n").repeat(4));
    let train = |threads: usize| {
        let out = format!("threads-{threads}");
        let run = workshop.calm(&format!(
            "pretrain --from experts --train texts.jsonl --context 128 --rows 4 --steps 2 \
             --out {out} --threads {threads}"
        ));
        run.done();
        workshop.bytes(&format!("{out}/model.safetensors"))
    };
    let one = train(1);
    assert_ne!(one, workshop.bytes("experts/model.safetensors"));
    assert_eq!(one, train(2));
    assert_eq!(one, train(5));
}

#[test]
fn no_thread_is_refused() {
    Workshop::new()
        .calm("doctor --threads 0")
        .refused(&["--threads", "0"]);
}
