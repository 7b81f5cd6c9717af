//! What `calm inspect` says of a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use calm_lm::backend::FloatType;
use calm_lm::models::{ChatTemplate, CheckpointInfo, DecoderConfig, ModelFiles, Part, Tokenizer};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::report::{Report, table};

/// So many rows of a list are shown, of files and of special tokens.
const ROWS: usize = 8;

/// A checkpoint with what lies beside its weights.
pub(super) struct Checkpoint {
    files: ModelFiles,
    info: CheckpointInfo,
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
}

impl Checkpoint {
    pub(super) fn read(files: ModelFiles) -> Result<Self, Failure> {
        let directory = &files.directory;
        let tokenizer = directory.join("tokenizer.json");
        let tokenizer = tokenizer
            .exists()
            .then(|| Tokenizer::load(&tokenizer))
            .transpose()?;
        Ok(Self {
            info: CheckpointInfo::read(directory)?,
            tokenizer,
            template: ChatTemplate::find(directory)?,
            files,
        })
    }

    pub(super) fn report(&self, all_tensors: bool) -> Report {
        let mut text = table(&self.rows());
        let mut json = self.json();
        if all_tensors {
            text.push_str(&self.tensor_lines());
            json["tensors"] = self.tensors_json();
        }
        Report::new(text, json)
    }

    fn rows(&self) -> Vec<(String, String)> {
        let info = &self.info;
        let config = &info.config;
        let mut rows = vec![
            ("checkpoint", self.files.source.to_string()),
            ("family", config.family.to_string()),
            (
                "blocks",
                format!("{} of width {}", config.block_count(), config.d_model),
            ),
            (
                "heads",
                format!(
                    "{} of width {}, {} for keys and values",
                    config.heads, config.d_head, config.kv_heads
                ),
            ),
            ("feed-forward width", config.d_ff.to_string()),
            ("vocabulary", tokens(config.vocab_size)),
            ("context", tokens(config.context_length)),
        ];
        for (window, blocks) in windows(config) {
            let all = config.block_count();
            rows.push((
                "window",
                format!("{}, in {blocks} of {all} blocks", tokens(window)),
            ));
        }
        rows.push(("parameters", info.parameters().to_string()));
        for part in Part::ALL {
            rows.push((part_row(part), self.part(part)));
        }
        let files = info.files.len();
        rows.push((
            "weights",
            format!(
                "{} bytes, {}, in {files} file{}",
                info.weight_bytes(),
                info.stored_as(None).join(" and "),
                if files == 1 { "" } else { "s" }
            ),
        ));
        for index in 0..files.min(ROWS) {
            rows.push(("  file", self.file(index)));
        }
        if files > ROWS {
            rows.push((
                "  file",
                format!("and {} more, see --tensors", files - ROWS),
            ));
        }
        rows.extend(cache_rows(config));
        rows.extend(self.text_rows());
        rows.push(("sha256", info.weights_sha256.clone()));
        let rows = rows.into_iter();
        rows.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn part(&self, part: Part) -> String {
        match part {
            Part::Head if self.info.config.tied_head => "the embedding".to_owned(),
            part => self.info.parameters_of(part).to_string(),
        }
    }

    /// A weight file in a line.
    fn file(&self, index: usize) -> String {
        let info = &self.info;
        let file = &info.files[index];
        let tensors = info.tensors.iter().filter(|tensor| tensor.file == index);
        format!(
            "{}, {} bytes, {} tensors in {}",
            file.name,
            file.bytes,
            tensors.count(),
            info.stored_as(Some(index)).join(" and ")
        )
    }

    /// What lies beside the weights.
    fn text_rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        match &self.tokenizer {
            None => rows.push(("tokenizer", "none".to_owned())),
            Some(tokenizer) => {
                let size = tokens(tokenizer.vocab_size());
                rows.push(("tokenizer", format!("{}, {size}", tokenizer.kind())));
                let special = tokenizer.special_tokens();
                let mut named: Vec<String> = special
                    .iter()
                    .take(ROWS)
                    .map(|(id, token)| format!("{} {id}", token.escape_debug()))
                    .collect();
                if special.len() > ROWS {
                    named.push(format!("and {} more", special.len() - ROWS));
                }
                rows.push(("special tokens", or_none(named.join(", "))));
            }
        }
        let special = &self.info.special;
        rows.extend([
            ("beginning of text", or_none(ids(special.bos.as_slice()))),
            ("end of text", or_none(ids(&special.eos))),
            ("padding", or_none(ids(special.pad.as_slice()))),
            ("chat template", or_none(self.template_file())),
        ]);
        rows
    }

    /// The name of the file that holds the chat template, or nothing.
    fn template_file(&self) -> String {
        let path = self.template.as_ref().map(ChatTemplate::path);
        let name = path.and_then(Path::file_name);
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Every tensor, file by file.
    fn tensor_lines(&self) -> String {
        let mut text = String::new();
        for (index, file) in self.info.files.iter().enumerate() {
            let tensors = self.info.tensors.iter();
            let rows: Vec<(&str, String)> = tensors
                .filter(|tensor| tensor.file == index)
                .map(|tensor| {
                    let part = tensor.part.map_or("not read", Part::name);
                    let place = format!("{:5}{part:13}{:?}", tensor.dtype, tensor.shape);
                    (tensor.name.as_str(), place)
                })
                .collect();
            text.push_str(&format!("\n{}\n{}", file.name, table(&rows)));
        }
        text
    }

    fn tensors_json(&self) -> Value {
        let tensors = self.info.tensors.iter().map(|tensor| {
            json!({
                "name": tensor.name,
                "file": self.info.files[tensor.file].name,
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "part": tensor.part.map(Part::name),
            })
        });
        tensors.collect()
    }

    fn json(&self) -> Value {
        let info = &self.info;
        let config = &info.config;
        let parts = Part::ALL.map(|part| (part.name().to_owned(), json!(info.parameters_of(part))));
        let windows = windows(config).into_iter();
        let windows = windows.map(|(window, blocks)| json!({ "tokens": window, "blocks": blocks }));
        let files = info.files.iter().enumerate().map(|(index, file)| {
            let tensors = info.tensors.iter().filter(|tensor| tensor.file == index);
            json!({
                "name": file.name,
                "bytes": file.bytes,
                "tensors": tensors.count(),
                "stored_as": info.stored_as(Some(index)),
            })
        });
        let caches = DTYPES.map(|dtype| (dtype.to_string(), Cache::of(config, dtype).json()));
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| {
            json!({
                "kind": tokenizer.kind(),
                "vocab_size": tokenizer.vocab_size(),
                "special_tokens": tokenizer.special_tokens(),
            })
        });
        json!({
            "kind": "checkpoint",
            "source": self.files.source.to_string(),
            "directory": self.files.directory,
            "family": config.family.name(),
            "blocks": config.block_count(),
            "d_model": config.d_model,
            "heads": config.heads,
            "kv_heads": config.kv_heads,
            "d_head": config.d_head,
            "d_ff": config.d_ff,
            "vocab_size": config.vocab_size,
            "context_length": config.context_length,
            "windows": windows.collect::<Vec<_>>(),
            "parameters": info.parameters(),
            "parameters_by_part": Map::from_iter(parts),
            "tied_head": config.tied_head,
            "stored_as": info.stored_as(None),
            "weight_bytes": info.weight_bytes(),
            "files": files.collect::<Vec<_>>(),
            "cache_bytes_per_token": config.cache_bytes_per_token(FloatType::F32),
            "cache": Map::from_iter(caches),
            "tokenizer": tokenizer,
            "bos": info.special.bos,
            "eos": info.special.eos,
            "pad": info.special.pad,
            "chat_template": self.template.as_ref().map(ChatTemplate::path),
            "weights_sha256": info.weights_sha256,
        })
    }
}

fn tokens(count: usize) -> String {
    format!("{count} tokens")
}

fn ids(ids: &[u32]) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    ids.join(", ")
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

fn part_row(part: Part) -> &'static str {
    match part {
        Part::Embedding => "  embedding",
        Part::Attention => "  attention",
        Part::FeedForward => "  feed-forward",
        Part::Norms => "  norms",
        Part::Head => "  head",
    }
}

/// The windows that blocks have, and how many blocks have each.
fn windows(config: &DecoderConfig) -> BTreeMap<usize, usize> {
    let mut windows = BTreeMap::new();
    for window in config.blocks.iter().filter_map(|block| block.window) {
        *windows.entry(window).or_default() += 1;
    }
    windows
}

/// Types that keys and values are kept in.
const DTYPES: [FloatType; 3] = [FloatType::F32, FloatType::F16, FloatType::BF16];

/// What keys and values take.
struct Cache {
    /// Of a token, in all blocks.
    per_token: usize,
    /// Of a token, in the blocks that see every one before theirs.
    per_token_unbounded: usize,
    /// Of all that the windows of the other blocks hold.
    windows: usize,
}

impl Cache {
    fn of(config: &DecoderConfig, dtype: FloatType) -> Self {
        let per_token = config.cache_bytes_per_token(dtype);
        let per_block = per_token / config.block_count();
        let windows = config.blocks.iter().filter_map(|block| block.window);
        let (blocks, held) = windows.fold((0, 0), |(n, held), window| (n + 1, held + window));
        Self {
            per_token,
            per_token_unbounded: per_token - blocks * per_block,
            windows: held * per_block,
        }
    }

    fn text(&self, dtype: &str) -> String {
        let mut text = format!("{} bytes per token in {dtype}", self.per_token);
        if self.windows > 0 {
            text.push_str(&format!(
                "; once the windows are full ({} bytes), {}",
                self.windows, self.per_token_unbounded
            ));
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "bytes_per_token": self.per_token,
            "bytes_per_token_without_windows": self.per_token_unbounded,
            "window_bytes": self.windows,
        })
    }
}

fn cache_rows(config: &DecoderConfig) -> [(&'static str, String); 2] {
    [(FloatType::F32, "f32"), (FloatType::BF16, "f16 and bf16")]
        .map(|(dtype, name)| ("cache", Cache::of(config, dtype).text(name)))
}
