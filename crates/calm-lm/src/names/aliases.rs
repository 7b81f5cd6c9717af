//! Names that other programs have for our flags and verbs.

/// One of our flags, and further names of it.
pub(super) struct Flag {
    /// Verbs whose flag it is; all if there are none.
    pub(super) verbs: &'static [&'static str],
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) others: &'static [&'static str],
}

/// A flag of every verb that has one of this name.
const fn flag(name: &'static str, others: &'static [&'static str]) -> Flag {
    Flag {
        verbs: &[],
        name,
        short: None,
        others,
    }
}

impl Flag {
    /// The same with a name of one letter.
    const fn short(self, short: char) -> Self {
        let short = Some(short);
        Self { short, ..self }
    }

    /// The same, of these verbs only.
    const fn of(self, verbs: &'static [&'static str]) -> Self {
        Self { verbs, ..self }
    }
}

/// Verbs, and other names of them.
pub(super) const VERBS: &[(&str, &[&str])] = &[
    ("generate", &["gen"]),
    ("eval", &["evaluate"]),
    ("inspect", &["info"]),
    ("completions", &["completion"]),
];

/// Flags in the order of `calm --help`. A name that a verb has for another of its flags is left out
/// there. Names are written with hyphens here; with underscores they are known, too.
pub(super) const FLAGS: &[Flag] = &[
    // Of every verb.
    flag("device", &["device-map"]),
    flag("seed", &["random-seed", "rng-seed"]).short('s'),
    flag("threads", &["num-threads", "n-threads", "nthreads"]).short('t'),
    flag("quiet", &["silent", "no-progress"]).short('q'),
    flag("dtype", &["torch-dtype", "data-type", "precision"]),
    flag(
        "out",
        &[
            "output-dir",
            "output",
            "output-path",
            "output-file",
            "out-dir",
            "save-dir",
        ],
    )
    .short('o'),
    // Models.
    flag("model", &["model-name-or-path", "model-path", "pretrained"]),
    flag(
        "from",
        &[
            "model",
            "model-name-or-path",
            "base-model",
            "base",
            "pretrained",
        ],
    )
    .short('m')
    .of(&["pretrain"]),
    flag("anchor", &["anchor-model", "base-model", "m-b", "mb"]),
    flag(
        "augmenting",
        &["augmenting-model", "aug-model", "specialist", "m-a", "ma"],
    ),
    flag("scale", &["scales", "bridge-scale"]),
    // Data of a run.
    flag(
        "train",
        &[
            "train-file",
            "train-data",
            "training-data",
            "data",
            "data-path",
            "dataset",
            "dataset-path",
            "dataset-name",
        ],
    ),
    flag(
        "validation",
        &[
            "validation-file",
            "validation-data",
            "val-file",
            "val-data",
            "eval-file",
            "eval-data",
            "valid",
        ],
    ),
    flag(
        "validation-share",
        &["validation-split", "val-split", "test-size", "val-size"],
    ),
    flag(
        "validation-steps",
        &["eval-steps", "eval-interval", "eval-every", "val-steps"],
    ),
    flag("validation-examples", &["max-eval-samples"]),
    flag("validation-metric", &["metric-for-best-model"]),
    flag("patience", &["early-stopping-patience"]),
    flag("prompt-field", &["prompt-column", "input-column"]),
    flag(
        "target-field",
        &[
            "target-column",
            "completion-field",
            "response-field",
            "label-column",
        ],
    ),
    // Steps.
    flag(
        "steps",
        &[
            "max-steps",
            "num-steps",
            "num-train-steps",
            "train-steps",
            "iters",
            "max-iters",
        ],
    ),
    flag(
        "epochs",
        &["num-train-epochs", "num-epochs", "n-epochs", "max-epochs"],
    ),
    flag(
        "rows",
        &[
            "batch-size",
            "per-device-train-batch-size",
            "per-device-batch-size",
            "per-gpu-train-batch-size",
            "train-batch-size",
            "micro-batch-size",
        ],
    )
    .short('b'),
    flag(
        "accumulation",
        &[
            "gradient-accumulation-steps",
            "gradient-accumulation",
            "grad-accumulation-steps",
            "grad-accum",
        ],
    ),
    flag(
        "checkpoint-steps",
        &["save-steps", "save-every", "save-interval"],
    ),
    flag("keep-checkpoints", &["save-total-limit"]),
    // Optimiser.
    flag("optimizer", &["optim", "optimiser"]),
    flag("learning-rate", &["lr"]),
    flag(
        "warmup-steps",
        &["warmup", "num-warmup-steps", "lr-warmup-steps"],
    ),
    flag(
        "schedule",
        &["lr-scheduler-type", "lr-scheduler", "scheduler"],
    ),
    flag("weight-decay", &["wd"]),
    flag("beta1", &["adam-beta1"]),
    flag("beta2", &["adam-beta2"]),
    flag(
        "clip-norm",
        &[
            "max-grad-norm",
            "grad-clip",
            "gradient-clip",
            "clip-grad-norm",
        ],
    ),
    flag(
        "gradient-checkpointing",
        &["grad-checkpointing", "activation-checkpointing"],
    ),
    // Models that are trained.
    flag(
        "context",
        &[
            "max-length",
            "max-seq-length",
            "max-seq-len",
            "max-position-embeddings",
            "model-max-length",
            "cutoff-len",
            "seq-len",
            "sequence-length",
            "block-size",
            "context-length",
            "ctx-size",
        ],
    )
    .short('c'),
    flag("lora", &["lora-r", "lora-rank", "rank"]),
    flag("pack", &["packing"]),
    flag("tokenizer", &["tokenizer-name", "tokenizer-file"]),
    flag(
        "blocks",
        &[
            "layers",
            "n-layer",
            "n-layers",
            "num-layers",
            "num-hidden-layers",
        ],
    ),
    flag("d-model", &["hidden-size", "n-embd", "width"]),
    flag(
        "heads",
        &["n-head", "n-heads", "num-heads", "num-attention-heads"],
    ),
    flag("eos", &["eos-token"]),
    flag("config", &["config-file"]),
    // Generation.
    flag("prompt", &["prompts", "text", "input"]).short('p'),
    flag("text", &["prompt", "input"]).short('p').of(&["trace"]),
    flag(
        "max-new-tokens",
        &[
            "max-tokens",
            "n-predict",
            "predict",
            "num-predict",
            "max-gen-toks",
            "max-completion-tokens",
            "max-output-tokens",
        ],
    )
    .short('n'),
    flag("max-length", &["max-len", "max-total-tokens"]),
    flag("temperature", &["temp"]),
    flag("top-k", &["topk"]),
    flag("top-p", &["topp", "nucleus"]),
    flag("min-p", &["minp"]),
    flag(
        "repetition-penalty",
        &["repeat-penalty", "rep-penalty", "rep-pen"],
    ),
    flag("do-sample", &["sample"]),
    flag(
        "stop",
        &[
            "stop-strings",
            "stop-sequence",
            "stop-sequences",
            "until",
            "reverse-prompt",
        ],
    )
    .short('r'),
    flag(
        "chat",
        &["apply-chat-template", "conversation", "cnv", "jinja"],
    ),
    flag("system", &["system-prompt", "system-message", "sys"]),
    flag("stream", &["streaming"]),
    // Evaluation.
    flag("task", &["tasks", "benchmark"]),
    flag(
        "data",
        &[
            "data-dir",
            "data-path",
            "dataset",
            "dataset-path",
            "test-data",
        ],
    ),
    flag("limit", &["max-samples", "max-examples", "num-examples"]).short('L'),
    flag(
        "shots",
        &["num-fewshot", "n-shot", "n-shots", "fewshot", "few-shot"],
    )
    .short('f'),
    flag(
        "batch",
        &[
            "batch-size",
            "eval-batch-size",
            "per-device-eval-batch-size",
            "max-batch-size",
        ],
    )
    .short('b'),
    flag("language", &["lang", "languages", "subset"]),
    flag("metric", &["metrics"]),
    flag("unsafe-run-code", &["confirm-run-unsafe-code"]),
    // Scores, as sacreBLEU has them.
    flag("hyp", &["hypothesis", "hypotheses", "predictions"]).short('i'),
    flag("ref", &["reference", "references"]),
    flag("char-order", &["chrf-char-order"]),
    flag("word-order", &["chrf-word-order"]),
    flag("beta", &["chrf-beta"]),
    flag("smooth", &["smooth-method"]),
    flag("paired-bootstrap", &["paired-bs"]),
    flag(
        "paired-randomisation",
        &["paired-randomization", "paired-ar"],
    ),
    flag("resamples", &["paired-bs-n", "confidence-n"]),
    flag("trials", &["paired-ar-n"]),
    // Looking at things.
    flag("picture", &["plot", "image", "svg"]),
    flag("plot", &["picture", "image", "svg"]),
    flag("tensors", &["list-tensors"]),
    flag("tolerance", &["rtol", "tol"]),
    flag("state", &["state-dict"]),
];
