//! Checkpoints that go on being trained.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calm_data::{Batch, TokenizedExample};
use calm_models::{Decoder, DecoderConfig, FrozenModel, LoadOptions, ModelSource};
use calm_train::runs::{
    Baseline, ComposeConfig, ComposeOutcome, ComposeRun, FinetuneConfig, FinetuneRun, ModelOutcome,
    PretrainConfig, PretrainRun, RunContext, RunEvent, TunedWeights, TuningRecord,
};
use calm_train::{HeldOut, LanguageModelling, RunDir, TrainError, Validator};
use tempfile::TempDir;

/// Texts of several lengths, one much longer than a row.
const TEXTS: [&str; 4] = ["ABCABCABC", "KLMKLM", "QWERTYQWERTYQWERTYQWERTY", "gfdgfd"];

fn fixture() -> PathBuf {
    calm_testing::fixtures("calm-compose").join("checkpoints/llama")
}

/// A directory with data, and settings for runs in it.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Self {
        let workshop = Self(tempfile::tempdir().unwrap());
        let lines = TEXTS.map(|text| serde_json::json!({ "text": text }).to_string());
        workshop.write("texts.jsonl", &lines.join("\n"));
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn config(&self, out: &str) -> PretrainConfig {
        let mut config = PretrainConfig {
            out: self.path(out),
            from: Some(ModelSource::Path(fixture())),
            context: Some(8),
            ..PretrainConfig::default()
        };
        config.training.train = self.path("texts.jsonl");
        config.training.steps = Some(12);
        config.training.rows = Some(2);
        config.training.checkpoint_steps = 5;
        config.training.optimizer.learning_rate = Some(5e-3);
        config
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }
}

/// Runs, and breaks off after a step if one is given.
fn run(config: PretrainConfig, until: Option<usize>) -> Result<ModelOutcome, TrainError> {
    let context = RunContext::new(Device::default(), 5);
    PretrainRun::new(config, context)?.run(&mut |event: RunEvent<'_>| match event {
        RunEvent::Step(metrics) if Some(metrics.step) == until => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}

fn error(config: PretrainConfig) -> String {
    run(config, None).unwrap_err().to_string()
}

#[test]
fn a_checkpoint_learns_and_says_where_it_comes_from() {
    let workshop = Workshop::new();
    let outcome = run(workshop.config("out"), None).unwrap();
    let base = FrozenModel::load(&fixture(), &LoadOptions::default()).unwrap();
    let from = outcome.from.unwrap();
    assert_eq!(from.weights_sha256, base.weights_sha256().unwrap());
    assert_eq!(outcome.rank, None);
    assert_eq!(outcome.trained_parameters, base.decoder.num_params());
    let metrics = RunDir::read_metrics(&workshop.path("out/run")).unwrap();
    let [first, last] = [metrics[0].loss, metrics[11].loss];
    assert!(last < 0.8 * first, "{first} {last}");
    assert_eq!(outcome.training.data.packed.unwrap().context, 8);
    // The record beside the weights tells the cost: three times the forward pass, at least.
    let record = TuningRecord::read(&workshop.path("out")).unwrap();
    assert_eq!(
        (record.trained_parameters, record.rank),
        (outcome.trained_parameters, None)
    );
    let run = record.run;
    assert_eq!(run.flops, outcome.training.flops);
    let tokens: usize = metrics.iter().map(|step| step.tokens).sum();
    assert_eq!(run.tokens_read, tokens as u64);
    let blocks = base.config().blocks.iter();
    let forward: u64 = blocks
        .map(|block| block.flops_per_token(base.config().d_model, 0))
        .sum();
    let flops = run.flops.unwrap();
    assert!(flops > 3.0 * (forward * run.tokens_read) as f64, "{flops}");
    assert!(run.peak_bytes.is_none_or(|bytes| bytes > 1 << 20));
    let made = FrozenModel::load(&workshop.path("out"), &LoadOptions::default()).unwrap();
    assert_eq!(made.config(), base.config());
    assert_eq!(made.tokenizer.json(), base.tokenizer.json());
    let run = fs::read_to_string(workshop.path("out/run/run.json")).unwrap();
    assert!(run.contains(&from.weights_sha256), "{run}");
}

/// A checkpoint whose matrices stay in their file, which a resumed run holds in memory.
fn large(workshop: &Workshop) -> ModelSource {
    let tokenizer = FrozenModel::load(&fixture(), &LoadOptions::default())
        .unwrap()
        .tokenizer;
    let mut config = DecoderConfig::llama(48, 512, 1, 4);
    config.special.eos = vec![2];
    let decoder = calm_testing::decoder(&config, 0);
    let path = workshop.path("large");
    FrozenModel::new(decoder, tokenizer)
        .save(&path, calm_backend::FloatType::F32)
        .unwrap();
    ModelSource::Path(path)
}

#[test]
fn a_run_that_was_interrupted_ends_with_the_same_bytes() {
    let workshop = Workshop::new();
    let sources = [
        ("small", ModelSource::Path(fixture())),
        ("large", large(&workshop)),
    ];
    for (name, source) in sources {
        for lora in [None, Some(2)] {
            let of = |out: &str| {
                let mut config = workshop.config(&format!("{name}-{lora:?}-{out}"));
                config.from = Some(source.clone());
                config.lora = lora;
                config.training.resume = true;
                config
            };
            run(of("straight"), None).unwrap();
            let interrupted = run(of("resumed"), Some(7)).unwrap_err();
            assert!(matches!(
                interrupted,
                TrainError::Interrupted { step: 7, .. }
            ));
            run(of("resumed"), None).unwrap();
            let [straight, resumed] = ["straight", "resumed"]
                .map(|out| workshop.weights(&format!("{name}-{lora:?}-{out}")));
            assert!(straight == resumed, "{name}, {lora:?}");
        }
    }
}

#[test]
fn another_base_or_rank_is_another_run() {
    let workshop = Workshop::new();
    run(workshop.config("out"), Some(3)).unwrap_err();
    let resumed = |change: fn(&mut PretrainConfig)| {
        let mut config = workshop.config("out");
        config.training.resume = true;
        change(&mut config);
        error(config)
    };
    let of_rank = resumed(|config| config.lora = Some(2));
    assert!(
        of_rank.contains("specialised.rank: null there, 2 here"),
        "{of_rank}"
    );
    let of_context = resumed(|config| config.context = Some(9));
    assert!(
        of_context.contains("packed: 8 there, 9 here"),
        "{of_context}"
    );
    let other = resumed(|config| {
        let path = fixture().with_file_name("llama3-scaled-tied");
        config.from = Some(ModelSource::Path(path));
    });
    assert!(other.contains("sha256"), "{other}");
}

#[test]
fn adapters_change_the_matrices_of_blocks_and_nothing_else() {
    let workshop = Workshop::new();
    let mut config = workshop.config("out");
    config.lora = Some(2);
    config.training.validation.validation = Some(workshop.path("texts.jsonl"));
    let outcome = run(config, None).unwrap();
    assert_eq!(outcome.rank, Some(2));
    let load = |path: &Path| FrozenModel::load(path, &LoadOptions::default()).unwrap();
    let [base, made] = [load(&fixture()), load(&workshop.path("out"))];
    let names = |decoder: &Decoder| super::common::bits(decoder);
    let pairs = names(&base.decoder).into_iter().zip(names(&made.decoder));
    let changed = pairs.filter(|(old, new)| old != new).count();
    assert_eq!(
        changed,
        7 * base.decoder.block_count(),
        "matrices of blocks"
    );
    let parts = |decoder: &Decoder| {
        let head = decoder
            .head
            .as_ref()
            .map(|head| head.weight.val().into_data());
        (decoder.embedding.weight.val().into_data(), head)
    };
    assert!(parts(&base.decoder) == parts(&made.decoder));

    // The best checkpoint was validated with its adapters beside the weights; here they are merged.
    let best = outcome.training.best.unwrap();
    let batches: Vec<Batch> = TEXTS.iter().map(|text| whole(&made, text)).collect();
    let objective = LanguageModelling::default();
    let merged = HeldOut::new(&objective, batches)
        .validate(&made.decoder)
        .unwrap();
    assert!(
        (merged.loss / best.loss - 1.0).abs() < 1e-5,
        "{merged:?} {best:?}"
    );
}

fn finetuned(config: FinetuneConfig) -> Result<ModelOutcome, TrainError> {
    let run = FinetuneRun::new(config, RunContext::new(Device::default(), 5))?;
    run.run(&mut |_: RunEvent<'_>| ControlFlow::Continue(()))
}

#[test]
fn adapters_of_a_number_of_parameters_are_those_of_the_nearest_rank() {
    let workshop = Workshop::new();
    let of_rank = PretrainConfig {
        lora: Some(3),
        ..workshop.config("by-rank")
    };
    let config = |out, tuned| FinetuneConfig {
        from: of_rank.from.clone(),
        out: workshop.path(out),
        tuned,
        context: of_rank.context,
        training: of_rank.training.clone(),
        ..FinetuneConfig::default()
    };
    let by_rank = run(of_rank.clone(), None).unwrap();
    // Rank 3 has fewer parameters, rank 4 is further away.
    let wanted = by_rank.trained_parameters + by_rank.trained_parameters / 7;
    let tuned = TunedWeights::LoraParameters(wanted);
    let by_count = finetuned(config("by-count", tuned)).unwrap();
    assert_eq!(by_count.rank, Some(3));
    assert_eq!(by_count.trained_parameters, by_rank.trained_parameters);
    assert_eq!(by_count.from, by_rank.from);
    assert!(workshop.weights("by-count") == workshop.weights("by-rank"));

    let refused = |tuned| finetuned(config("none", tuned)).unwrap_err().to_string();
    let none = refused(TunedWeights::LoraParameters(1));
    assert!(none.contains("rank 1"), "{none}");
    assert!(refused(TunedWeights::LoraRank(0)).contains("at least 1"));
    assert!(!workshop.path("none").exists());
}

#[test]
fn a_baseline_of_a_composition_is_the_run_of_its_anchor_alone() {
    let workshop = Workshop::new();
    workshop.write(
        "pairs.jsonl",
        "{\"prompt\": \"ABC\", \"target\": \"DE\"}\n{\"prompt\": \"A\", \"target\": \"BCD\"}\n",
    );
    let mut training = workshop.config("").training;
    training.train = workshop.path("pairs.jsonl");
    for (baseline, name) in [(Baseline::Lora, "lora"), (Baseline::Finetune, "finetune")] {
        let composed = ComposeConfig {
            anchor: Some(ModelSource::Path(fixture())),
            augmenting: vec![ModelSource::Path(fixture())],
            connections: vec!["every:1".parse().unwrap()],
            out: workshop.path(name),
            baseline: Some(baseline),
            training: training.clone(),
            ..ComposeConfig::default()
        };
        let run = ComposeRun::new(composed, RunContext::new(Device::default(), 5)).unwrap();
        let outcome = run.run(&mut |_: RunEvent<'_>| ControlFlow::Continue(()));
        let ComposeOutcome::Baseline(outcome) = outcome.unwrap() else {
            panic!("a baseline");
        };
        let alone = finetuned(FinetuneConfig {
            from: Some(ModelSource::Path(fixture())),
            out: workshop.path(&format!("{name}-alone")),
            tuned: match baseline {
                Baseline::Lora => TunedWeights::LoraParameters(outcome.bridge_parameters),
                Baseline::Finetune => TunedWeights::All,
            },
            pack: false,
            training: training.clone(),
            ..FinetuneConfig::default()
        });
        assert_eq!(alone.unwrap().rank, outcome.rank);
        let run = fs::read_to_string(workshop.path(name).join("run/run.json")).unwrap();
        assert!(run.contains(&format!("\"{name}\"")), "{run}");
        assert!(workshop.weights(name) == workshop.weights(&format!("{name}-alone")));
    }
}

/// A text in the pieces that rows of 8 tokens hold.
fn whole(model: &FrozenModel, text: &str) -> Batch {
    let mut ids = model.tokenizer.encode(text, true).unwrap().ids;
    ids.extend(model.special.eos.first());
    let starts = (0..ids.len() - 1).step_by(8);
    let pieces: Vec<_> = starts
        .map(|start| TokenizedExample::new(ids[start..ids.len().min(start + 9)].to_vec(), 1))
        .collect();
    Batch::collate(pieces.iter().enumerate(), 0)
}

#[test]
fn of_texts_all_tokens_are_learnt_however_long_they_are() {
    let workshop = Workshop::new();
    let run = PretrainRun::new(
        workshop.config("out"),
        RunContext::new(Device::default(), 0),
    );
    let mut ignore = |_: RunEvent<'_>| ControlFlow::Continue(());
    let (estimate, _) = run.unwrap().estimate(&mut ignore).unwrap();
    let model = FrozenModel::load(&fixture(), &LoadOptions::default()).unwrap();
    // The first token is predicted by nothing, but there is one more, the end.
    let tokens = TEXTS.map(|text| model.tokenizer.encode(text, true).unwrap().ids.len());
    assert_eq!(estimate.data.target_tokens, tokens.iter().sum::<usize>());
    let all = estimate.data.target_tokens + TEXTS.len();
    assert!(
        estimate.data.tokens >= all as u64,
        "the first of each text, too"
    );
    assert!(estimate.memory_bytes.length <= 8);
}

#[test]
fn of_pairs_the_targets_are_learnt() {
    let workshop = Workshop::new();
    workshop.write(
        "pairs.jsonl",
        "{\"prompt\": \"ABC\", \"target\": \"DE\"}\n{\"prompt\": \"A\", \"target\": \"BCD\"}\n",
    );
    let mut config = workshop.config("out");
    config.training.train = workshop.path("pairs.jsonl");
    let run = PretrainRun::new(config, RunContext::new(Device::default(), 0)).unwrap();
    let mut ignore = |_: RunEvent<'_>| ControlFlow::Continue(());
    let (estimate, resolved) = run.estimate(&mut ignore).unwrap();
    // Two and three letters, and the end of each text.
    assert_eq!(estimate.data.target_tokens, 7);
    assert_eq!(resolved.context, Some(8));
    assert!(resolved.pack && !workshop.path("out").exists());
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let workshop = Workshop::new();
    let refused = |change: fn(&mut PretrainConfig)| {
        let mut config = workshop.config("new");
        change(&mut config);
        let error = error(config);
        assert!(!workshop.path("new").exists(), "{error}");
        error
    };
    for (found, expected) in [
        (
            refused(|config| config.blocks = Some(2)),
            "--blocks: is that of the model",
        ),
        (
            refused(|config| config.tokenizer = "x.json".into()),
            "--tokenizer: ",
        ),
        (
            refused(|config| config.eos = Some("x".to_owned())),
            "--eos: ",
        ),
        (
            refused(|config| config.lora = Some(0)),
            "--lora: must be at least 1",
        ),
        (
            refused(|config| config.lora = Some(1 << 40)),
            "--lora: has rank ",
        ),
        (
            refused(|config| config.context = Some(129)),
            "reads 1 to 128 tokens",
        ),
        (
            refused(|config| config.context = Some(0)),
            "--context: is 0",
        ),
        (refused(|config| config.from = None), "missing: --tokenizer"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    workshop.write("texts.jsonl", "{\"text\": \"A\"}\n{\"text\": \"\"}\n");
    let empty = error(workshop.config("new"));
    assert!(
        empty.contains("texts.jsonl: example 1: the text has no token"),
        "{empty}"
    );
}
