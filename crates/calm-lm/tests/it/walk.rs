//! The way through all verbs that the README describes, at the smallest scale.

use std::fs;
use std::sync::LazyLock;

use crate::common::{Contents, Run, Workshop, fixtures};
use serde_json::{Value, json};

const DATASET: &str = "data kv --pairs 12 --largest-value 20 --key-length 2 3 --operands 1..2 \
                       --operators +- --held-in-share 0.5 --all 40 --held-in 30 --held-out 20";

const TINY: &str = "--tokenizer kv/tokenizer.json --blocks 2 --d-model 16 --heads 2 --context 24 \
                    --steps 4 --rows 8 --quiet";

/// A dataset, two small models and their composition, made once for all tests.
static WALKED: LazyLock<Contents> = LazyLock::new(|| {
    let workshop = Workshop::new();
    workshop.calm(&format!("{DATASET} --out kv")).done();
    for (task, out) in [("kv-substitution", "knows"), ("numeric-arithmetic", "adds")] {
        let line = format!("pretrain --train kv/{task}.all.jsonl --out {out} {TINY} --seed 1");
        workshop.calm(&line).done();
    }
    let compose = "compose --anchor adds --augmenting knows --train kv/kv-arithmetic.held-in.jsonl \
                   --connections every:1 --steps 6 --rows 8 --out composition --quiet";
    workshop.calm(compose).done();
    workshop.contents()
});

#[test]
fn from_a_dataset_to_a_composition_that_is_evaluated() {
    let workshop = Workshop::with(&WALKED);
    let evaluate =
        "eval composition --data kv/kv-arithmetic.held-out.jsonl --samples samples.jsonl";
    let result = workshop.calm(&format!("{evaluate} --json --quiet")).json();
    assert_eq!(result["n"], 20);
    assert_eq!(result["schema"], 1);
    let samples = workshop.text("samples.jsonl");
    let samples: Vec<Value> = samples
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let correct = samples.iter().filter(|sample| sample["correct"] == true);
    assert_eq!(
        (samples.len(), json!(correct.count())),
        (20, result["hits"].clone())
    );

    let text = workshop.calm(evaluate).done();
    assert!(text.contains("of 20), 95 % interval"), "{text}");
    let of_anchor = workshop.calm("eval adds --data kv/numeric-arithmetic.held-out.jsonl");
    assert!(of_anchor.done().contains("of 20)"));
}

#[test]
fn what_was_composed_is_described() {
    let workshop = Workshop::with(&WALKED);
    let anchor = workshop.calm("inspect adds --json").json();
    assert_eq!(anchor["blocks"], 2);
    assert_eq!(anchor["stored_as"], json!(["F32"]));
    let (keys_and_values, blocks, width, bytes) = (2, 2, 16, 4);
    let of_a_model = keys_and_values * blocks * width * bytes;
    assert_eq!(anchor["cache_bytes_per_token"], of_a_model);

    let composition = workshop.calm("inspect composition --json").json();
    let (n, d) = (2, 16);
    let paper = n * (d * d + 3 * d * d);
    // W_O, the bias of f_proj and the weights of two norms.
    let stored = paper + n * (d * d + 3 * d);
    let added = json!({ "stored": stored, "paper": paper });
    assert_eq!(composition["added_parameters"], added);
    assert_eq!(composition["connections"], json!([[[1, 1], [2, 2]]]));
    assert_eq!(composition["cache_bytes_per_token"], 3 * of_a_model);
    assert_eq!(
        composition["anchor"]["weights_sha256"],
        anchor["weights_sha256"]
    );
    let share = f64::from(stored) / anchor["parameters"].as_f64().unwrap();
    assert_eq!(composition["share_of_anchor"], share);

    let training = &composition["training"];
    assert_eq!(training["added_parameters"], added);
    assert_eq!(training["settings"]["steps"], 6);
    assert_eq!(training["data"]["examples"], 30);
    assert_eq!(training["data"]["sha256"].as_str().unwrap().len(), 64);
    assert!(training["final_loss"].as_f64().unwrap() > 0.0);

    let text = workshop.calm("inspect composition").done();
    for part in [
        "anchor            adds\n",
        "augmenting        knows\n",
        "2 blocks of width 16, 7408 parameters\n",
        "connections       block 1 of m_A → block 1\n",
        "block 2 of m_A → block 2",
        "30 examples",
        "nats per token",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn prompts_come_from_flags_or_line_by_line() {
    let workshop = Workshop::with(&WALKED);
    let lines = "1 + 2 =\n3 - 4 =\n5 =\n";
    let answers = workshop.calm_reading("generate composition --max-new-tokens 3", lines);
    assert_eq!(answers.done().lines().count(), 3);
    workshop
        .calm_reading("generate composition", "1 + 2 =\n1 + zebra =\n")
        .refused(&["standard input: example 1", "\"zebra\"", "vocabulary"]);

    let json = "generate anchor --prompt ABC --prompt -A --json --max-new-tokens 5";
    let json = workshop.calm(json).json();
    assert_eq!(json["continuations"][1]["prompt"], "-A");
    let again = workshop.calm("generate anchor --prompt ABC --max-new-tokens 5");
    let output = json["continuations"][0]["output"].as_str().unwrap();
    assert_eq!(again.done(), format!("{output}\n"));
}

#[test]
fn what_is_drawn_depends_on_the_seed_alone() {
    let workshop = Workshop::with(&WALKED);
    let generate = |more: &str| {
        let line = format!("generate anchor --temperature 2 --top-k 40 --max-new-tokens 20 {more}");
        workshop.calm(&line).done()
    };
    let both = generate("--prompt ABC --prompt QWERTY --seed 3");
    let alone = generate("--prompt ABC --seed 3") + &generate("--prompt QWERTY --seed 3");
    assert_eq!(both, alone);
    assert_ne!(both, generate("--prompt ABC --prompt QWERTY --seed 4"));
    assert_eq!(
        generate("--prompt ABC --seed 3 --stream"),
        generate("--prompt ABC --seed 3")
    );
}

#[test]
fn stop_texts_cut_a_continuation() {
    let workshop = Workshop::new();
    let generate = "generate anchor --prompt ABC --temperature 2 --top-k 40 --max-new-tokens 20";
    let whole = workshop.calm(generate).done();
    let stop = whole.trim_end().chars().last().unwrap();
    let cut = workshop.calm(&format!("{generate} --json --stop={stop} --stop=never"));
    let cut = &cut.json()["continuations"][0];
    assert_eq!(cut["output"], whole[..whole.find(stop).unwrap()]);
    assert_eq!(cut["ended"], true);
}

#[test]
fn questions_are_written_by_the_chat_template() {
    let workshop = Workshop::new();
    let template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{{ eos_token }}{% endfor %}\
                    {{ 'a' if add_generation_prompt }}";
    workshop.write("anchor/chat_template.jinja", template);
    let tokens = r#"{"eos_token": {"content": "Y"}}"#;
    workshop.write("anchor/tokenizer_config.json", tokens);
    let asked = workshop.calm("generate anchor --chat --system Be --prompt ABC");
    let written = workshop.calm("generate anchor --prompt sBeYuABCYa");
    assert_eq!(asked.done(), written.done());
}

#[test]
fn the_seed_fixes_the_bytes_of_a_dataset() {
    let workshop = Workshop::new();
    let build = |out: &str, seed: u64| {
        let line = format!("{DATASET} --out {out} --seed {seed} --json");
        assert_eq!(workshop.calm(&line).json()["held_in_keys"], 6);
        workshop.bytes(&format!("{out}/kv-arithmetic.held-out.jsonl"))
    };
    let (one, again, other) = (build("one", 3), build("again", 3), build("other", 4));
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[test]
fn a_composition_finds_its_models_where_they_were_or_are_said_to_be() {
    let workshop = Workshop::with(&WALKED);
    let generate = "generate ../composition --prompt 1";
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    let from_elsewhere = |line: &str| {
        let mut command = workshop.command(line);
        let output = command.current_dir(workshop.path("elsewhere")).output();
        Run::new(line, output.unwrap())
    };
    from_elsewhere(generate).done();

    fs::create_dir(workshop.path("moved")).unwrap();
    for model in ["adds", "knows"] {
        fs::rename(workshop.path(model), workshop.path("moved").join(model)).unwrap();
    }
    from_elsewhere(generate).refused(&["../composition: ", "anchor model adds", "--anchor MODEL"]);
    from_elsewhere(&format!(
        "{generate} --anchor ../moved/adds --augmenting ../moved/knows"
    ))
    .done();

    for model in ["adds", "knows"] {
        let inside = workshop.path("composition").join(model);
        fs::rename(workshop.path("moved").join(model), inside).unwrap();
    }
    from_elsewhere(generate).done();
}

#[test]
fn several_specialists_are_read_each_in_its_own_way() {
    let workshop = Workshop::new();
    let compose = "compose --anchor anchor --augmenting specialist --augmenting anchor \
                   --train data.jsonl --steps 2 --out both";
    workshop
        .calm(&format!(
            "{compose} --augmenting anchor --connections last:1 --connections last:1"
        ))
        .refused(&["--connections", "2 times for 3 augmenting models"]);
    let connections = "--connections [[4,3],[2,1]] --connections [[1,1]]";
    let result = workshop
        .calm(&format!("{compose} {connections} --json"))
        .json();
    assert_eq!(result["connections"], json!([[[2, 1], [4, 3]], [[1, 1]]]));
    workshop.calm("generate both --prompt ABC").done();
    workshop.calm("inspect both").done();
}

#[test]
fn weights_can_be_stored_in_half_precision() {
    let workshop = Workshop::new();
    let pretrain = "pretrain --train data.jsonl --tokenizer anchor/tokenizer.json --blocks 1 \
                    --d-model 8 --heads 2 --steps 2 --dtype f16 --out half --quiet";
    let run = workshop.calm(pretrain);
    assert_eq!(run.stderr, "");
    run.done();
    assert_eq!(
        workshop.calm("inspect half --json").json()["stored_as"],
        json!(["F16"])
    );
    workshop.calm("generate half --prompt ABC").done();
}

/// `bytes`, a checkpoint that reads bytes and pieces of words, made once for all tests.
static WITH_BYTES: LazyLock<Contents> = LazyLock::new(|| {
    let workshop = Workshop::new();
    let tokenizer = fixtures("calm-models").join("text/byte-level.json");
    fs::copy(tokenizer, workshop.path("bytes.json")).unwrap();
    let pretrain = "pretrain --train data.jsonl --tokenizer bytes.json --blocks 3 --d-model 12 \
                    --heads 2 --context 64 --steps 2 --out bytes --quiet";
    workshop.calm(pretrain).done();
    workshop.contents()
});

#[test]
fn models_with_other_tokenizers_are_read_along() {
    let workshop = Workshop::with(&WITH_BYTES);
    for (anchor, augmenting) in [("anchor", "bytes"), ("bytes", "specialist")] {
        let out = format!("{anchor}-{augmenting}");
        let compose = format!(
            "compose --anchor {anchor} --augmenting {augmenting} --connections every:2 --train data.jsonl \
             --steps 3 --rows 4 --noise 0.1 --out {out} --quiet"
        );
        workshop.calm(&compose).done();
        let whole = workshop.calm(&format!("generate {out} --prompt ABC --max-new-tokens 5"));
        let whole = whole.done();
        let line = format!("generate {out} --prompt ABC --prompt QWERTY --max-new-tokens 5");
        assert!(workshop.calm(&line).done().starts_with(&whole));
        let off = format!("generate {out} --scale 0 --prompt ABC --max-new-tokens 5");
        let alone = format!("generate {anchor} --prompt ABC --max-new-tokens 5");
        assert_eq!(workshop.calm(&off).done(), workshop.calm(&alone).done());
        let result = workshop.calm(&format!("eval {out} --data data.jsonl --json --quiet"));
        assert_eq!(result.json()["n"], 24);
        let inspected = workshop.calm(&format!("inspect {out} --json")).json();
        assert_eq!(inspected["kind"], "composition");
    }
    let line = "generate anchor-bytes --scale 1 --scale 0 --prompt ABC";
    workshop
        .calm(line)
        .refused(&["--scale", "2 times for 1 augmenting models"]);
    let line = "generate anchor --scale 1 --prompt ABC";
    workshop
        .calm(line)
        .refused(&["--scale", "1 times for 0 augmenting models"]);
}

#[test]
fn compositions_are_extended_and_merged() {
    let workshop = Workshop::with(&WITH_BYTES);
    let train = "--train data.jsonl --steps 3 --rows 4 --quiet --json";
    let compose = format!(
        "compose --anchor anchor --augmenting bytes --connections every:1 {train} --out one"
    );
    workshop.calm(&compose).done();
    let extend = "compose --extend one --augmenting specialist --connections every:2";
    let extended = workshop.calm(&format!("{extend} {train} --out two")).json();
    assert_eq!(extended["connections"].as_array().unwrap().len(), 2);
    assert_eq!(extended["training"]["extended"]["data"]["examples"], 24);
    workshop
        .calm(&format!(
            "compose --extend anchor --augmenting bytes {train} --out three"
        ))
        .refused(&["anchor: is no composition"]);
    workshop
        .calm(&format!("compose --augmenting bytes {train} --out three"))
        .refused(&["--anchor"]);

    // With the new model switched off, nothing has changed.
    let line = |rest: &str| format!("generate {rest} --prompt ABC --max-new-tokens 8");
    let generated = |rest: &str| workshop.calm(&line(rest)).done();
    assert_eq!(generated("two --scale 1 --scale 0"), generated("one"));

    let merged = workshop.calm("merge one two --out both --json").json();
    assert_eq!(merged["augmenting"].as_array().unwrap().len(), 3);
    assert_eq!(
        generated("both --scale 1 --scale 0 --scale 0"),
        generated("one")
    );
    assert_eq!(
        generated("both --scale 0 --scale 1 --scale 1"),
        generated("two")
    );
    workshop.calm("inspect both").done();
    workshop
        .calm("merge one two --out both")
        .refused(&["both", "holds a composition already"]);
    workshop
        .calm("compose --anchor bytes --augmenting specialist --train data.jsonl --steps 1 --out on-bytes")
        .done();
    workshop
        .calm("merge one on-bytes --out none")
        .refused(&["cannot be merged", "anchors"]);
}

#[test]
fn every_model_reads_a_question_in_its_own_template() {
    let workshop = Workshop::with(&WITH_BYTES);
    let compose = "compose --anchor bytes --augmenting specialist --train data.jsonl --steps 3 \
                   --rows 4 --learning-rate 0.1 --out composition --quiet";
    workshop.calm(compose).done();
    let chat = "generate composition --chat --prompt ABC --max-new-tokens 8";
    let template = |name: &str, text: &str| {
        workshop.write(&format!("{name}/chat_template.jinja"), text);
    };
    template(
        "bytes",
        "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}",
    );
    let shared = workshop.calm(chat).done();
    let alone = workshop.calm("generate composition --prompt ABC</s> --max-new-tokens 8");
    assert_eq!(
        shared,
        alone.done(),
        "without a template the anchor's text is read"
    );
    template(
        "specialist",
        "{% for m in messages %}X{{ m.content | trim }}Y{% endfor %}Z",
    );
    workshop.calm(chat).done();
    workshop.calm(&format!("{chat} --stream")).done();
    template(
        "specialist",
        "{% for m in messages %}{{ m.content | lower }}{% endfor %}",
    );
    let refused = workshop.calm(chat);
    refused.refused(&[
        "specialist/chat_template.jinja",
        "changes the content of message 0",
    ]);
}

#[test]
fn the_controls_of_the_paper_are_flags() {
    let workshop = Workshop::new();
    let compose = |flags: &str, out: &str| {
        workshop.calm(&format!(
            "compose --anchor anchor --augmenting specialist --train data.jsonl --rows 4 \
             --connections [[2,1],[4,3]] --steps 4 --quiet {flags} --out {out}"
        ))
    };
    compose("", "iterative").done();
    compose("--mode encoder", "encoder").done();
    compose("--random-augmenting 3", "random").done();
    let prompts = "--prompt ABC --prompt gfdab --max-new-tokens 6";
    let generate = |model: &str| workshop.calm(&format!("generate {model} {prompts}"));
    for model in ["iterative", "encoder", "random"] {
        generate(model).done();
    }

    let encoder = workshop.calm("inspect encoder --json").json();
    assert_eq!(encoder["mode"], "encoder");
    let random = workshop.calm("inspect random").done();
    assert!(random.contains("untrained weights of seed 3"), "{random}");
    // The seed that is stored makes the same weights again, which are compared with their hash.
    let path = "random/composition.json";
    let description = workshop.text(path);
    let seed = "\"untrained_seed\": 3";
    assert!(description.contains(seed), "{description}");
    workshop.write(path, &description.replace(seed, "\"untrained_seed\": 4"));
    for command in [
        format!("generate random {prompts}"),
        "inspect random".to_owned(),
    ] {
        workshop
            .calm(&command)
            .refused(&["made for augmenting model 0 weights"]);
    }
    workshop.write(path, &description);
    let extend = "compose --extend random --augmenting anchor --connections [[1,1]] --steps 2 \
                  --train data.jsonl --out two --quiet";
    workshop.calm(extend).done();
    generate("two").done();
    workshop
        .calm("merge encoder iterative --out neither")
        .refused(&["reads whole texts", "prompts only"]);

    let lora = compose("--baseline lora --json", "lora").json();
    let trained = lora["trainable_parameters"].as_i64().unwrap();
    let wanted = lora["bridge_parameters"].as_i64().unwrap();
    let one = trained / lora["rank"].as_i64().unwrap();
    assert!((trained - wanted).abs() <= one / 2, "{lora}");
    let finetuned = compose("--baseline finetune", "finetuned").done();
    assert!(finetuned.contains("trained parameters"), "{finetuned}");
    let texts = ["anchor", "lora", "finetuned"].map(|model| generate(model).done());
    assert_ne!(texts[0], texts[2]);
    let shape = |model: &str| workshop.calm(&format!("inspect {model} --json")).json();
    assert_eq!(shape("lora")["parameters"], shape("anchor")["parameters"]);
    compose("--baseline lora --noise 0.1", "noisy").refused(&["--noise: "]);
    workshop
        .calm("compose --extend random --augmenting anchor --baseline lora --train data.jsonl --out x")
        .refused(&["--extend", "--baseline"]);
}

#[test]
fn what_is_read_is_shown() {
    let workshop = Workshop::new();
    let compose = "compose --anchor anchor --augmenting specialist --train data.jsonl --rows 4 \
                   --connections [[2,1],[4,3]] --steps 4 --quiet --out composition";
    workshop.calm(compose).done();
    let trace = "trace composition --text ABCD";
    let shown = workshop
        .calm(&format!("{trace} --out trace.json --picture trace.svg"))
        .done();
    let connection = "block 4 of specialist → block 3 of anchor";
    assert!(shown.contains(&format!("{connection}  ")), "{shown}");
    let stored: Value = serde_json::from_str(&workshop.text("trace.json")).unwrap();
    let printed = workshop.calm(&format!("{trace} --json")).json();
    assert_eq!(printed, stored);
    assert_eq!(stored["schema"], 1);
    let positions = stored["anchor_tokens"].as_array().unwrap().len();
    let model = &stored["augmenting"][0];
    assert_eq!(
        model["sees"][positions - 1].as_array().unwrap().len(),
        positions
    );
    for bridge in model["bridges"].as_array().unwrap() {
        for head in bridge["heads"].as_array().unwrap() {
            let last = head[positions - 1].as_array().unwrap().iter();
            let sum: f64 = last.map(|weight| weight.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
    let picture = workshop.text("trace.svg");
    for text in [
        connection,
        "mean of 4 heads",
        "head 4",
        "tokens of specialist",
    ] {
        assert!(picture.contains(text), "{text} is not in {picture}");
    }
    workshop
        .calm("trace anchor --text A")
        .refused(&["anchor: is no composition"]);
    workshop
        .calm("trace composition --text A --picture nowhere/trace.svg")
        .refused(&["nowhere/trace.svg: "]);
}

#[test]
fn what_composing_costs_is_told_and_measured() {
    let workshop = Workshop::new();
    let compose = "compose --anchor anchor --augmenting specialist --train data.jsonl --rows 4 \
                   --connections [[2,1],[4,3]] --steps 2 --quiet --out composition";
    workshop.calm(compose).done();
    let inspect = "inspect composition --context 100";
    let told = workshop.calm(&format!("{inspect} --json")).json();
    let overhead = &told["overhead"];
    let of = |place: &str| overhead.pointer(place).unwrap().as_u64().unwrap();
    let bytes = of("/anchor/cache_bytes_per_token")
        + of("/augmenting/0/cache_bytes_per_token_read")
        + of("/augmenting/0/bridges/cache_bytes_per_token_read");
    assert_eq!(told["cache_bytes_per_token"], bytes);
    assert!(told["measured"].is_null());
    let twice = workshop
        .calm("inspect composition --context 200 --json")
        .json();
    assert!(
        twice["overhead"]["anchor"]["flops_per_token"].as_u64()
            > Some(of("/anchor/flops_per_token"))
    );

    workshop.write("text.txt", &"ABCdef".repeat(12));
    let measured = workshop
        .calm(&format!("{inspect} --measure text.txt --json"))
        .json();
    let measured = &measured["measured"];
    assert!(measured["composed_ms_per_token"].as_f64() > Some(0.0));
    assert_eq!(measured["tokens_read_per_anchor_token"], json!([1.0]));
    assert_eq!(
        measured["cache_bytes_per_anchor_token"],
        json!(bytes as f64)
    );
    let text = workshop
        .calm(&format!("{inspect} --measure text.txt"))
        .done();
    for line in ["FLOPs per token", "time per token", "tokens read"] {
        assert!(text.contains(line), "{text}");
    }
    workshop.write("text.txt", "AB");
    let short = workshop.calm("inspect composition --measure text.txt");
    short.refused(&["text.txt: has 2 tokens"]);
    let checkpoint = workshop.calm("inspect anchor --measure text.txt");
    checkpoint.refused(&["--measure: is for compositions"]);
}
