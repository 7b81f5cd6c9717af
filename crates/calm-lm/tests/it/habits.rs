//! Command lines of people who know other programs.

use crate::common::{Run, Workshop};

/// A command prints the same with other names of its flags as with ours.
fn same(workshop: &Workshop, ours: &str, others: &[&str]) {
    let expected = workshop.calm(ours).done();
    for other in others {
        assert_eq!(workshop.calm(other).done(), expected, "{other}");
    }
}

#[test]
fn names_of_transformers_and_llama_cpp_generate() {
    let workshop = Workshop::new();
    same(
        &workshop,
        "generate anchor --prompt ABC --max-new-tokens 5",
        &[
            "generate anchor -p ABC -n 5",
            "generate -m anchor -p ABC -n 5",
            "generate --model anchor --prompt ABC --max_new_tokens 5",
            "generate --model_name_or_path=anchor --prompt ABC --max_tokens 5",
            "gen anchor --text ABC --n-predict 5 --temp 0",
            "generate anchor -p ABC --max-tokens=5 --temperature 0 --top-p 0.5 --top-k 3",
            "generate anchor -p ABC -n 5 --do-sample=false --temperature 2",
            "generate anchor -p ABC -n 5 --torch_dtype float32 -t 1 -s 9 -q",
            // The prompt has three tokens.
            "generate anchor -p ABC --max-length 8",
            "generate anchor -p ABC --max_length 4 -n 5",
        ],
    );
    same(
        &workshop,
        "generate anchor -p ABC -n 20 --temperature 1 --top-k 40 --repetition-penalty 1.1",
        &[
            "generate anchor -p ABC -n 20 --topk 40 --repeat-penalty 1.1",
            "generate anchor -p ABC -n 20 --do-sample --top_k 40 --repeat_penalty 1.1",
        ],
    );
    same(
        &workshop,
        "generate anchor -p ABC -n 20 --temperature 2",
        &[
            "generate anchor -p ABC -n 20 --temp 2 --top-k 0 --top-p 1 --min-p 0",
            "generate anchor -p ABC -n 20 --temp 2 --top-k -1",
        ],
    );
}

#[test]
fn a_continuation_without_a_limit_fills_the_context() {
    let workshop = Workshop::new();
    let context = workshop.calm("info anchor --json").json()["context_length"].clone();
    let json = workshop.calm("generate anchor -p ABC -n -1 --json").json();
    let one = &json["continuations"][0];
    if one["ended"] == false {
        let tokens = one["tokens"].as_u64().unwrap();
        assert_eq!(tokens + 3, context.as_u64().unwrap());
    }
}

#[test]
fn names_of_trainers_train() {
    let workshop = Workshop::new();
    let ours = "compose --anchor anchor --augmenting specialist --train data.jsonl --steps 2 \
                --learning-rate 0.01 --rows 4 --accumulation 2 --clip-norm 0.5 --out ours";
    let theirs = "compose --base_model anchor --specialist specialist --train_file data.jsonl \
                  --max_steps 2 --lr 1e-2 --per_device_train_batch_size 4 \
                  --gradient_accumulation_steps 2 --max_grad_norm 0.5 --optim adamw_torch \
                  --lr_scheduler_type linear --output_dir theirs";
    workshop.calm(ours).done();
    workshop.calm(theirs).done();
    assert_eq!(workshop.bridges("ours"), workshop.bridges("theirs"));
    workshop.write(
        "run.toml",
        "anchor = 'anchor'\naugmenting = 'specialist'\ntrain_file = 'data.jsonl'\nlr = 0.01\n\
         max-steps = 2\nbatch_size = 4\naccumulation = 2\nclip-norm = 0.5\noutput_dir = 'file'\n",
    );
    workshop.calm("compose --config run.toml").done();
    assert_eq!(workshop.bridges("ours"), workshop.bridges("file"));
}

#[test]
fn names_of_the_evaluation_harness_evaluate() {
    let workshop = Workshop::new();
    let percent = |line: &str| workshop.calm(line).json()["percent"].clone();
    let ours = percent("eval anchor --data data.jsonl --json");
    assert_eq!(
        percent("evaluate --model anchor --data_path data.jsonl --json"),
        ours
    );
    workshop
        .calm("eval --model anchor --tasks gsm8k --data . --num_fewshot 0 --batch_size 4")
        .refused(&["gsm8k"]);
    let listed = workshop.calm("eval --list").done();
    assert!(listed.contains("gsm8k"), "{listed}");
    workshop.calm("eval").refused(&["MODEL"]);
}

#[test]
fn slips_are_answered_with_what_was_meant() {
    let workshop = Workshop::new();
    let refused = |line: &str, words: &[&str]| workshop.calm(line).refused(words);
    for (line, meant) in [
        ("generate anchor --promt A", "did you mean --prompt?"),
        (
            "generate anchor --max-new-token 3",
            "did you mean --max-new-tokens?",
        ),
        (
            "generate anchor --temprature 1",
            "did you mean --temperature?",
        ),
        (
            "generate anchor --max_new 3",
            "did you mean --max-new-tokens?",
        ),
        ("generate anchor --sytem S", "did you mean --system?"),
        ("compose --ancor anchor", "did you mean --anchor?"),
        ("compose --augment anchor", "did you mean --augmenting?"),
        ("compose --learnign-rate 1", "did you mean --learning-rate?"),
        ("compose --batchsize 1", "did you mean --rows?"),
        ("compose --steps-warmup 1", "did you mean --warmup-steps?"),
        ("eval anchor --dat x", "did you mean --data?"),
        ("eval anchor --num-fewshots 1", "did you mean --shots?"),
        ("trace anchor --pictur x", "did you mean --picture?"),
        ("generate anchor -temp 0.8", "did you mean --temperature?"),
        ("generate anchor -sys S", "did you mean --system?"),
        ("doctor --sed 3", "did you mean --seed?"),
        ("genrate anchor", "did you mean 'generate'?"),
        ("compse", "did you mean 'compose'?"),
        ("inspct anchor", "did you mean 'inspect'?"),
        ("run list", "`calm generate MODEL"),
        ("runs lst", "did you mean 'list'?"),
        ("evaluat anchor", "did you mean 'eval'?"),
        ("trian --anchor anchor", "`calm compose`"),
        ("generate anchor --num-beam 3", "no search"),
        ("kv --out x", "it is `calm data kv`"),
    ] {
        refused(line, &[meant]);
    }
}

#[test]
fn names_that_we_have_no_use_for_are_answered_with_what_there_is() {
    let workshop = Workshop::new();
    for (line, said) in [
        ("generate anchor -ngl 99", "--device cuda:0"),
        ("generate anchor --n-gpu-layers 99", "--device cuda:0"),
        ("generate anchor --num_beams 4", "no search"),
        ("generate anchor --ctx-size 4096", "--max-length"),
        ("generate anchor -c 4096", "--max-length"),
        ("generate anchor --load-in-4bit", "GGUF"),
        ("generate anchor --trust_remote_code", "never run"),
        ("generate anchor --revision main", "hf:owner/name@revision"),
        ("generate anchor -i", "calm chat"),
        ("generate anchor --file prompts.txt", "< FILE"),
        ("generate anchor Hello", "--prompt 'TEXT'"),
        ("generate anchor --stream true", "without a value"),
        ("generate anchor --picture x", "is a flag of `calm trace`"),
        ("compose --model anchor", "--augmenting"),
        (
            "compose anchor specialist",
            "--anchor MODEL --augmenting MODEL",
        ),
        ("compose --lora-alpha 16", "--baseline lora"),
        ("compose --bf16", "--dtype bf16"),
        ("compose --max-seq-length 512", "--too-long"),
        ("compose --warmup_ratio 0.1", "--warmup-steps"),
        ("compose --logging-steps 5", "calm runs"),
        ("pretrain --target_modules all", "--lora RANK"),
        ("eval anchor --model_args pretrained=x", "behind the verb"),
        ("eval anchor --gen_kwargs temperature=0", "greedy"),
        ("train --anchor anchor", "`calm compose`"),
        ("finetune --model anchor", "--from MODEL"),
        ("serve anchor", "no server"),
        ("run anchor", "`calm chat MODEL`"),
        ("bench anchor", "--measure"),
        ("download x", "hf:owner/name"),
        ("convert x", "GGUF"),
    ] {
        workshop.calm(line).refused(&[said]);
    }
    // What is no name of anything is not guessed at.
    let strange = workshop.calm("generate anchor --zebra 3");
    strange.refused(&["calm generate has no flag --zebra; see calm generate --help"]);
}

#[test]
fn speed_is_told_beside_the_text() {
    let workshop = Workshop::new();
    let line = "generate anchor -p ABC -p QWERTY -n 5";
    let json = workshop.calm(&format!("{line} --json")).json();
    let tokens = json["continuations"].as_array().unwrap().iter();
    let written: u64 = tokens.map(|one| one["tokens"].as_u64().unwrap()).sum();
    let run = workshop.calm(line);
    for part in [
        "loaded in ",
        " s, read 9 tokens in ",
        &format!("wrote {written}, "),
        " per second",
    ] {
        assert!(run.stderr.contains(part), "{part:?} is not in {run:#?}");
    }
    let quiet = workshop.calm("generate anchor -p ABC -n 5 --quiet");
    assert_eq!(quiet.stderr, "");
    let json = workshop
        .calm("generate anchor -p QWERTY -n 5 --json --quiet")
        .json();
    assert!(json["load_seconds"].as_f64().unwrap() > 0.0);
    let speed = &json["speed"];
    assert_eq!(speed["prompt_tokens"], 6);
    assert_eq!(speed["tokens"], 5);
    let rate = speed["tokens_per_second"].as_f64().unwrap();
    let seconds = speed["seconds"].as_f64().unwrap();
    assert!((rate * seconds - 4.0).abs() < 1e-6, "{speed}");
}

#[test]
fn shells_can_complete() {
    let workshop = Workshop::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = workshop.calm(&format!("completions {shell}")).done();
        for word in ["max-new-tokens", "compose", "doctor"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    workshop.calm("completions tcsh").refused(&["tcsh", "bash"]);
}

#[test]
fn help_is_one_line_for_each_flag_and_has_the_examples_of_its_own_verb() {
    let workshop = Workshop::new();
    let help = |line: &str| -> Run { workshop.calm(line) };
    for verb in [
        "compose", "generate", "chat", "inspect", "merge", "data", "runs",
    ] {
        let short = help(&format!("{verb} -h")).done();
        assert!(
            short.ends_with(&format!("Examples: calm {verb} --help\n")),
            "{short}"
        );
        let long = help(&format!("{verb} --help")).done();
        let (_, examples) = long.split_once("EXAMPLES\n").unwrap();
        let commands = examples.lines().map(str::trim);
        let mut commands = commands.filter(|line| line.starts_with("calm ")).peekable();
        assert!(commands.peek().is_some(), "{long}");
        for command in commands {
            assert!(
                command.starts_with(&format!("calm {verb}")),
                "{verb}: {command}"
            );
        }
    }
}
