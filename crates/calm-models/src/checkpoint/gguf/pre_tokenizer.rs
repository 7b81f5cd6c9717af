//! Pre-tokenizers of byte-level vocabularies: how a text is cut into words, by the name in the file.
//!
//! The steps are those of the `tokenizer.json` that the models were published with.

use serde_json::{Value as Json, json};

/// A way to cut texts, and the names of those who use it.
struct Named {
    names: &'static [&'static str],
    steps: &'static [Step],
    /// Whether a word that is a token stays whole, and texts begin with the first token: so it is with
    /// vocabularies that were made for tiktoken.
    tiktoken: bool,
}

enum Step {
    /// Cuts out what a regular expression finds.
    Split(&'static str),
    /// Cuts out punctuation, as long as it goes.
    Punctuation,
    /// Cuts out digits one by one.
    Digits,
    /// Cuts out numbers.
    Numbers,
    /// Cuts as GPT-2 does.
    Gpt2,
}

const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const GPT_4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const DEEPSEEK_V3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Letters with upper and lower case, as far as the vocabulary of DeepSeek LLM takes them for such.
const DEEPSEEK_LLM: &str = concat!(
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙ",
    r"ὛὝὟ-\x{1f7d}ᾀ-ᾴᾶ-ᾼ\x{1fbe}ῂ-ῄῆ-ῌῐ-\x{1fd3}ῖ-\x{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ",
    r"ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
);

/// Chinese, Japanese and Korean characters as DeepSeek takes them together.
const DEEPSEEK_CJK: &str = "[一-龥ࠀ-一가-\u{d7ff}]+";

const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";

const ALL: &[Named] = &[
    Named {
        names: &[
            "gpt-2",
            "gpt2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "exaone4",
            "granite-docling",
            "default",
        ],
        steps: &[Step::Gpt2],
        tiktoken: false,
    },
    Named {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        steps: &[Step::Split(LLAMA3)],
        tiktoken: true,
    },
    Named {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        steps: &[Step::Split(LLAMA3)],
        tiktoken: false,
    },
    Named {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "stablelm2",
            "kormo",
            "f2llmv2",
            "megrez",
            "hunyuan",
            "solar-open",
        ],
        steps: &[Step::Split(QWEN2)],
        tiktoken: false,
    },
    Named {
        names: &["qwen35"],
        steps: &[Step::Split(QWEN35)],
        tiktoken: false,
    },
    Named {
        // Digits alone as well, by the vocabulary's own rule. transformers leaves that out, and a file
        // must read texts as the directory does that transformers makes of it.
        names: &["smollm"],
        steps: &[Step::Gpt2],
        tiktoken: false,
    },
    Named {
        names: &["tekken"],
        steps: &[Step::Split(TEKKEN)],
        tiktoken: true,
    },
    Named {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        steps: &[Step::Split(GPT_4O)],
        tiktoken: false,
    },
    Named {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
        ],
        steps: &[Step::Digits, Step::Gpt2],
        tiktoken: false,
    },
    Named {
        names: &["falcon"],
        steps: &[
            Step::Punctuation,
            Step::Gpt2,
            Step::Numbers,
            Step::Split("[0-9][0-9][0-9]"),
        ],
        tiktoken: false,
    },
    Named {
        names: &["deepseek-llm"],
        steps: &[
            Step::Split(r"[\r\n]"),
            Step::Split(DEEPSEEK_LLM),
            Step::Split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            Step::Split(r"\s+$"),
            Step::Split(DEEPSEEK_CJK),
            Step::Digits,
        ],
        tiktoken: false,
    },
    Named {
        names: &["deepseek-coder"],
        steps: &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(DEEPSEEK_CJK),
            Step::Digits,
        ],
        tiktoken: false,
    },
    Named {
        names: &["deepseek-v3", "hunyuan-dense"],
        steps: &[
            Step::Split(r"\p{N}{1,3}"),
            Step::Split("[一-龥\u{3040}-ゟ゠-ヿ]+"),
            Step::Split(DEEPSEEK_V3),
        ],
        tiktoken: false,
    },
    Named {
        names: &["bloom", "poro-chat", "gpt3-finnish"],
        steps: &[Step::Split(BLOOM)],
        tiktoken: false,
    },
    Named {
        names: &["viking"],
        steps: &[Step::Split(BLOOM), Step::Digits],
        tiktoken: false,
    },
];

/// A way to cut texts.
pub(super) struct PreTokenizer {
    /// A step of `tokenizer.json`.
    pub(super) json: Json,
    /// Whether a word that is a token stays whole, whatever merges say.
    pub(super) keeps_words: bool,
    /// Whether texts begin with the first token where the file does not say.
    pub(super) adds_bos: bool,
}

impl PreTokenizer {
    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|named| named.names.contains(&name))?;
        let mut steps: Vec<Json> = found.steps.iter().map(Step::json).collect();
        let splits_like_gpt2 = found.steps.iter().any(|step| matches!(step, Step::Gpt2));
        if !splits_like_gpt2 {
            steps.push(byte_level(false));
        }
        Some(Self {
            json: json!({ "type": "Sequence", "pretokenizers": steps }),
            keeps_words: found.tiktoken,
            adds_bos: found.tiktoken,
        })
    }
}

impl Step {
    fn json(&self) -> Json {
        match self {
            Self::Split(pattern) => json!({
                "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
                "invert": false,
            }),
            Self::Punctuation => json!({ "type": "Punctuation", "behavior": "Contiguous" }),
            Self::Digits => json!({ "type": "Digits", "individual_digits": true }),
            Self::Numbers => json!({ "type": "Digits", "individual_digits": false }),
            Self::Gpt2 => byte_level(true),
        }
    }
}

/// Writes bytes as characters, and perhaps cuts.
fn byte_level(use_regex: bool) -> Json {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": use_regex,
    })
}
