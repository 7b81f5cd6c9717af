//! Names of other programs that we have no flag or verb for, and the nearest that we have.

/// Flags of other programs, the verbs at which this is said (all if there are none), and the hint.
type Hint = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const DECODES: &[&str] = &["generate", "chat"];

const FLAGS: &[Hint] = &[
    // What is loaded, and how.
    (
        &["model", "model-name-or-path", "m"],
        &["compose"],
        "--anchor names the model that learns to read, --augmenting each model that it reads",
    ),
    (
        &["model", "m"],
        &[],
        "the model needs no flag: it stands behind the verb",
    ),
    (
        &["model-args", "a"],
        &[],
        "the model stands behind the verb, and its type is --dtype",
    ),
    (
        &[
            "n-gpu-layers",
            "gpu-layers",
            "ngl",
            "main-gpu",
            "tensor-split",
            "split-mode",
            "gpu",
        ],
        &[],
        "a model is on one device as a whole: --device cuda:0, or what `calm doctor` names",
    ),
    (
        &[
            "load-in-8bit",
            "load-in-4bit",
            "quantization",
            "quantize",
            "bnb-4bit-quant-type",
            "bits",
        ],
        &[],
        "models compute in f32, f16 or bf16 (--dtype); quantised GGUF files are read, and widened",
    ),
    (
        &["fp16", "bf16", "half", "float16", "bfloat16", "tf32"],
        &[],
        "the type is a value: --dtype bf16, or --dtype f16",
    ),
    (
        &[
            "flash-attn",
            "fa",
            "attn-implementation",
            "use-flash-attention-2",
            "sdpa",
        ],
        &[],
        "attention is always computed by fused kernels, so that there is nothing to choose",
    ),
    (
        &["mlock", "no-mmap", "mmap", "low-cpu-mem-usage", "numa"],
        &[],
        "files are always mapped, and read once",
    ),
    (
        &["trust-remote-code"],
        &[],
        "code of a repository is never run; docs/models.md lists the families that are known",
    ),
    (
        &["revision", "hf-revision", "branch"],
        &[],
        "the revision stands behind the name: hf:owner/name@revision",
    ),
    (
        &["hf-repo", "hf-file", "hf", "hub-model-id"],
        &[],
        "a model of the Hub is named hf:owner/name where a directory could stand",
    ),
    (
        &["token", "hf-token", "use-auth-token"],
        &[],
        "the token is read from HF_TOKEN, or from where `hf auth login` keeps it",
    ),
    (
        &["cache-dir"],
        &[],
        "the cache of the Hub is where HF_HOME says",
    ),
    (
        &["ctx-size", "ctx", "context-length", "c", "num-ctx"],
        DECODES,
        "the context is the model's own, and takes memory as it fills; --max-length bounds prompt \
         and answer together",
    ),
    // Decoding.
    (
        &[
            "num-beams",
            "beam-size",
            "num-beam-groups",
            "penalty-alpha",
            "assistant-model",
            "model-draft",
        ],
        &[],
        "one token is chosen after the other, the likeliest or drawn (--temperature); there is no \
         search",
    ),
    (
        &["num-return-sequences", "n-parallel", "np", "parallel"],
        &[],
        "give the command several times with another --seed each",
    ),
    (
        &[
            "frequency-penalty",
            "presence-penalty",
            "no-repeat-ngram-size",
            "repeat-last-n",
            "dry-multiplier",
        ],
        &[],
        "repetition is held off by --repetition-penalty alone",
    ),
    (
        &[
            "typical",
            "typical-p",
            "mirostat",
            "mirostat-ent",
            "xtc-probability",
            "tfs",
            "epsilon-cutoff",
            "eta-cutoff",
            "dynatemp-range",
            "samplers",
        ],
        &[],
        "sampling has --temperature, --top-k, --top-p and --min-p",
    ),
    (
        &[
            "grammar",
            "grammar-file",
            "json-schema",
            "logit-bias",
            "constraints",
            "guided-json",
        ],
        &[],
        "tokens are not constrained; --stop ends a text",
    ),
    (
        &["ignore-eos", "min-new-tokens", "min-length"],
        &[],
        "a text ends where the model ends it",
    ),
    (
        &["greedy"],
        &[],
        "decoding is greedy unless --temperature is above 0",
    ),
    (&["no-stream"], &[], "leave out --stream"),
    (
        &["file", "f", "prompt-file", "input-file"],
        &["generate"],
        "prompts of a file, one per line, come from standard input: calm generate MODEL < FILE",
    ),
    (
        &[
            "interactive",
            "i",
            "interactive-first",
            "multiline-input",
            "single-turn",
        ],
        &["generate"],
        "`calm chat MODEL` holds a conversation",
    ),
    (
        &["chat-template", "chat-template-file"],
        &[],
        "a model's own chat template is used; put another one beside it as chat_template.jinja",
    ),
    (
        &["prompt", "p", "text"],
        &["chat"],
        "`calm chat` reads messages from standard input: echo 'Hello' | calm chat MODEL",
    ),
    (
        &["prompt", "p", "text"],
        &["inspect"],
        "`calm generate MODEL --prompt TEXT` continues a text",
    ),
    (
        &["port", "host", "api-key"],
        &[],
        "there is no server; `calm chat` talks in the terminal",
    ),
    // Training.
    (
        &["warmup-ratio", "warmup-share"],
        &[],
        "--warmup-steps counts the steps themselves",
    ),
    (
        &["validation-split-percentage"],
        &[],
        "--validation-share takes a share, as 0.1 for a tenth",
    ),
    (
        &["resume-from-checkpoint"],
        &[],
        "--resume goes on from the last checkpoint in --out, and takes no value",
    ),
    (
        &["overwrite-output-dir", "overwrite", "force"],
        &[],
        "nothing is overwritten unasked; delete the directory, or choose another one",
    ),
    (
        &[
            "lora-alpha",
            "lora-dropout",
            "target-modules",
            "use-peft",
            "peft",
            "use-rslora",
            "use-dora",
            "modules-to-save",
        ],
        &["compose"],
        "adapters are the baseline `--baseline lora`, with as many parameters as the bridges",
    ),
    (
        &[
            "lora-alpha",
            "lora-dropout",
            "target-modules",
            "use-peft",
            "peft",
            "use-rslora",
            "use-dora",
            "modules-to-save",
        ],
        &[],
        "adapters have a rank, --lora RANK, on the matrices of all blocks, and no other setting",
    ),
    (
        &["adam-epsilon", "adam-eps", "eps"],
        &[],
        "AdamW has --beta1, --beta2 and --weight-decay",
    ),
    (
        &[
            "max-length",
            "max-seq-length",
            "max-seq-len",
            "cutoff-len",
            "seq-len",
            "block-size",
            "truncation",
        ],
        &["compose"],
        "an example may be as long as both models can read; --too-long truncate cuts longer ones",
    ),
    (
        &["layers", "layer-map", "connect", "connection", "alignment"],
        &[],
        "--connections says which blocks are connected, as every:4 or [[4,7]]",
    ),
    (
        &["do-train", "do-eval", "do-predict"],
        &[],
        "each is a verb: `calm compose`, `calm eval`, `calm generate`",
    ),
    (
        &[
            "eval-strategy",
            "evaluation-strategy",
            "save-strategy",
            "logging-strategy",
            "load-best-model-at-end",
        ],
        &[],
        "with --validation the best checkpoint is kept; --validation-steps says how often to look",
    ),
    (
        &[
            "logging-steps",
            "logging-dir",
            "report-to",
            "log-interval",
            "run-name",
            "wandb",
            "disable-tqdm",
            "tensorboard",
        ],
        &[],
        "every step is logged in DIR/run; `calm runs` shows it, also while it is running",
    ),
    (
        &[
            "deepspeed",
            "fsdp",
            "local-rank",
            "nproc-per-node",
            "nnodes",
            "ddp-backend",
        ],
        &[],
        "--devices and --workers share the work; see docs/scaling.md",
    ),
    (
        &[
            "dataloader-num-workers",
            "preprocessing-num-workers",
            "num-workers",
        ],
        &[],
        "--threads says how many threads there are for everything",
    ),
    (
        &["push-to-hub"],
        &[],
        "nothing is uploaded; `hf upload` does that",
    ),
    // Evaluation.
    (
        &["log-samples"],
        &[],
        "runs of --task always keep their samples in --out; with --data alone, --samples FILE writes \
         them",
    ),
    (
        &["gen-kwargs"],
        &[],
        "decoding is greedy, of --max-new-tokens at most; a task's own settings are in its file, see \
         `calm eval --show`",
    ),
    (
        &["use-cache", "cache-requests"],
        &[],
        "the same command goes on with a run that was interrupted",
    ),
    // Of everything.
    (
        &["output-format", "format"],
        &[],
        "--json prints one JSON object instead of text",
    ),
    (
        &["verbose", "v", "verbosity", "debug"],
        &[],
        "there is nothing more to say; --json has all numbers",
    ),
];

/// Verbs of other programs, and ours for the same thing.
const VERBS: &[(&[&str], &str)] = &[
    (
        &["train", "training", "fit"],
        "`calm compose` trains bridges between two frozen models, `calm pretrain` a model itself",
    ),
    (
        &[
            "finetune",
            "fine-tune",
            "tune",
            "sft",
            "lora",
            "peft",
            "adapt",
            "specialise",
            "specialize",
        ],
        "`calm pretrain --from MODEL` goes on training a checkpoint, with --lora its adapters",
    ),
    (
        &["dpo", "grpo", "ppo", "rlhf", "reward"],
        "models are trained on examples alone, by `calm pretrain --from`",
    ),
    (
        &["run", "infer", "inference", "predict", "complete", "cli"],
        "`calm generate MODEL -p TEXT` continues a text, `calm chat MODEL` holds a conversation",
    ),
    (
        &["serve", "server", "api", "deploy", "web"],
        "there is no server; `calm chat MODEL` talks in the terminal, and crates answer programs",
    ),
    (
        &["talk", "converse", "interactive", "repl"],
        "`calm chat MODEL` holds a conversation",
    ),
    (
        &["bench", "benchmark", "speed", "latency"],
        "`calm inspect MODEL --measure FILE` times a composition, `calm eval --list` lists benchmarks",
    ),
    (
        &["perplexity", "ppl", "test", "accuracy"],
        "`calm eval MODEL --data FILE` scores answers",
    ),
    (
        &["metrics", "bleu", "chrf", "sacrebleu"],
        "`calm score` compares texts with references",
    ),
    (
        &["show", "describe", "stat", "cost", "params"],
        "`calm inspect MODEL` describes a model, `calm runs show DIR` a run",
    ),
    (
        &["attention", "explain", "visualize", "visualise"],
        "`calm trace COMPOSITION --text TEXT` shows what is read",
    ),
    (
        &["download", "pull", "get", "fetch"],
        "models named hf:owner/name are fetched when they are used, benchmarks by `calm data fetch`",
    ),
    (
        &["push", "upload", "publish"],
        "nothing is uploaded; `hf upload` does that",
    ),
    (
        &["convert", "save", "to-gguf", "quantize", "quantise"],
        "GGUF files and checkpoints are read as they are; `calm export` writes bridges for other projects",
    ),
    (
        &["list", "ls", "ps", "status", "logs", "plot"],
        "`calm runs list` finds training runs, `calm eval --list` benchmarks",
    ),
    (
        &["compare", "diff"],
        "`calm runs compare` compares training runs, `calm eval --compare` evaluations",
    ),
    (
        &["check", "validate", "test-model"],
        "`calm verify` compares a model with values computed elsewhere",
    ),
    (
        &[
            "build",
            "prepare",
            "preprocess",
            "tokenize",
            "dataset",
            "datasets",
        ],
        "`calm data` builds datasets; training tokenises them itself",
    ),
    (
        &["env", "info-machine", "devices", "diagnose"],
        "`calm doctor` describes this build and this machine",
    ),
    (&["version"], "`calm --version` tells it"),
    (
        &["extend", "add"],
        "`calm compose --extend COMPOSITION` adds a model to a composition",
    ),
    (
        &["combine", "join", "fuse"],
        "`calm compose` composes models, `calm merge` two compositions over one anchor",
    ),
];

/// The flag that takes the place of another program's at this verb.
pub(super) fn flag(name: &str, verb: &str) -> Option<&'static str> {
    let is_for = |verbs: &[&str]| verbs.is_empty() || verbs.contains(&verb);
    let found = FLAGS
        .iter()
        .find(|(names, verbs, _)| names.contains(&name) && is_for(verbs));
    found.map(|(_, _, hint)| *hint)
}

/// Names of all flags that something is said about.
pub(super) fn flags() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().flat_map(|(names, ..)| names.iter().copied())
}

/// Names of all verbs that something is said about.
pub(super) fn verbs() -> impl Iterator<Item = &'static str> {
    VERBS.iter().flat_map(|(names, _)| names.iter().copied())
}

/// The verb that takes the place of another program's.
pub(super) fn verb(name: &str) -> Option<&'static str> {
    let found = VERBS.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, hint)| *hint)
}
