//! Description of a checkpoint, without loading its weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use calm_lm::backend::FloatType;
use calm_lm::models::{
    ChatTemplate, CheckpointInfo, DecoderConfig, LoadOptions, ModelFiles, Part, Tokenizer,
};
use serde::Serialize;

use crate::failure::Failure;
use crate::report::{Fields, Report, bytes, count, table};

/// Most rows of a list in the text: of files, and of special tokens.
const ROWS: usize = 8;

/// Types that keys and values may be cached in.
const CACHE_TYPES: [FloatType; 3] = [FloatType::F32, FloatType::F16, FloatType::BF16];

pub(super) fn report(
    files: &ModelFiles,
    all_tensors: bool,
    options: &LoadOptions,
) -> Result<Report, Failure> {
    let directory = &files.path;
    let tokenizer = Tokenizer::find(directory)?;
    let info = CheckpointInfo::read(directory, options.strictness)?;
    let template = ChatTemplate::find(directory)?;
    let computes_in = ComputesIn {
        dtype: options.resolve(info.stored_type)?,
        device: calm_lm::backend::device_name(&options.device),
    };
    let mut checkpoint = Checkpoint::new(files, &info, computes_in, tokenizer.as_ref(), template);
    checkpoint.tensors = all_tensors.then(|| tensors(&info));
    let mut text = table(&checkpoint.rows());
    if let Some(tensors) = &checkpoint.tensors {
        text.push_str(&tensor_lines(tensors));
    }
    Ok(Report::new(text, checkpoint))
}

#[derive(Serialize)]
struct Checkpoint<'a> {
    kind: &'static str,
    source: String,
    directory: &'a Path,
    family: &'static str,
    blocks: usize,
    d_model: usize,
    heads: usize,
    kv_heads: usize,
    d_head: usize,
    d_ff: usize,
    /// Of the first block that has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    experts: Option<Experts>,
    vocab_size: usize,
    context_length: usize,
    windows: Vec<Window>,
    parameters: usize,
    /// Those that a token is computed with.
    active_parameters: usize,
    parameters_by_part: Fields<usize>,
    tied_head: bool,
    stored_as: Vec<&'a str>,
    weight_bytes: u64,
    computes_in: ComputesIn,
    files: Vec<WeightFile<'a>>,
    cache_bytes_per_token: usize,
    cache: Fields<Cache>,
    tokenizer: Option<TokenizerKind>,
    bos: Option<u32>,
    eos: &'a [u32],
    pad: Option<u32>,
    chat_template: Option<PathBuf>,
    weights_sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<Tensor<'a>>>,
}

/// The type that the model computes in, by the flags of the verb.
#[derive(Serialize)]
struct ComputesIn {
    dtype: FloatType,
    device: String,
}

/// Blocks whose attention sees the last tokens only.
#[derive(Serialize)]
struct Window {
    tokens: usize,
    blocks: usize,
}

/// Feed-forward layers of which a token uses some.
#[derive(Serialize)]
struct Experts {
    blocks: usize,
    experts: usize,
    per_token: usize,
    d_ff: usize,
    shared_d_ff: Option<usize>,
}

#[derive(Serialize)]
struct WeightFile<'a> {
    name: &'a str,
    bytes: u64,
    tensors: usize,
    stored_as: Vec<&'a str>,
}

#[derive(Serialize)]
struct TokenizerKind {
    kind: &'static str,
    vocab_size: usize,
    special_tokens: Vec<(u32, String)>,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    file: &'a str,
    dtype: &'a str,
    shape: &'a [usize],
    part: Option<&'static str>,
}

impl<'a> Checkpoint<'a> {
    fn new(
        files: &'a ModelFiles,
        info: &'a CheckpointInfo,
        computes_in: ComputesIn,
        tokenizer: Option<&Tokenizer>,
        template: Option<ChatTemplate>,
    ) -> Self {
        let config = &info.config;
        let block = config.first_block();
        let parts = Part::ALL.map(|part| (part.name().to_owned(), info.parameters_of(part)));
        let caches = CACHE_TYPES.map(|dtype| (dtype.to_string(), Cache::of(config, dtype)));
        Self {
            kind: "checkpoint",
            source: files.source.to_string(),
            directory: &files.path,
            family: config.family.name(),
            blocks: config.block_count(),
            d_model: config.d_model,
            heads: block.attention.heads,
            kv_heads: block.attention.kv_heads,
            d_head: block.attention.d_head,
            d_ff: block.feed_forward.d_ff,
            experts: Experts::of(config),
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            windows: windows(config),
            parameters: info.parameters(),
            active_parameters: config.active_parameter_count(),
            parameters_by_part: Fields(parts.to_vec()),
            tied_head: config.head.tied,
            stored_as: info.stored_as(None),
            weight_bytes: info.weight_bytes(),
            files: WeightFile::all(info),
            cache_bytes_per_token: config.cache_bytes_per_token(computes_in.dtype),
            computes_in,
            cache: Fields(caches.to_vec()),
            tokenizer: tokenizer.map(TokenizerKind::of),
            bos: info.special.bos,
            eos: &info.special.eos,
            pad: info.special.pad,
            chat_template: template.map(|template| template.path().to_owned()),
            weights_sha256: &info.weights_sha256,
            tensors: None,
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let (heads, d_head, kv_heads) = (self.heads, self.d_head, self.kv_heads);
        let mut rows = vec![
            ("checkpoint", self.source.clone()),
            ("family", self.family.to_owned()),
            (
                "blocks",
                format!("{} of width {}", self.blocks, self.d_model),
            ),
            (
                "heads",
                format!("{heads} of width {d_head}, {kv_heads} for keys and values"),
            ),
            ("feed-forward width", self.d_ff.to_string()),
        ];
        let experts = self.experts.as_ref();
        rows.extend(experts.map(|experts| ("experts", experts.text(self.blocks))));
        rows.extend([
            ("vocabulary", tokens(self.vocab_size)),
            ("context", tokens(self.context_length)),
        ]);
        let windows = self.windows.iter().map(|window| {
            let (size, blocks) = (tokens(window.tokens), window.blocks);
            let text = format!("{size}, in {blocks} of {} blocks", self.blocks);
            ("window", text)
        });
        rows.extend(windows);
        let rows = rows
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        rows.chain(self.weight_rows())
            .chain(self.cache_rows())
            .chain(self.text_rows())
            .chain([("sha256".to_owned(), self.weights_sha256.to_owned())])
            .collect()
    }

    fn weight_rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![("parameters".to_owned(), count(self.parameters))];
        if self.experts.is_some() {
            rows.push(("  of a token".to_owned(), count(self.active_parameters)));
        }
        for (part, parameters) in &self.parameters_by_part.0 {
            let parameters = match self.tied_head && *part == Part::Head.name() {
                true => "the embedding".to_owned(),
                false => count(*parameters),
            };
            rows.push((format!("  {part}"), parameters));
        }
        let (files, ending) = (
            self.files.len(),
            ["s", ""][usize::from(self.files.len() == 1)],
        );
        let stored = self.stored_as.join(" and ");
        let size = bytes(self.weight_bytes);
        let weights = format!("{size}, {stored}, in {files} file{ending}");
        rows.push(("weights".to_owned(), weights));
        let shown = self.files.iter().take(ROWS).map(WeightFile::text);
        rows.extend(shown.map(|text| ("  file".to_owned(), text)));
        if files > ROWS {
            let more = format!("and {} more, see --tensors", files - ROWS);
            rows.push(("  file".to_owned(), more));
        }
        let ComputesIn { dtype, device } = &self.computes_in;
        rows.push(("computes in".to_owned(), format!("{dtype} on {device}")));
        rows
    }

    fn cache_rows(&self) -> impl Iterator<Item = (String, String)> {
        // The halves take the same room.
        let names = ["f32", "f16 and bf16"].into_iter().zip(&self.cache.0);
        names.map(|(name, (_, cache))| ("cache".to_owned(), cache.text(name)))
    }

    /// Tokenizer, special tokens and chat template.
    fn text_rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        match &self.tokenizer {
            None => rows.push(("tokenizer", "none".to_owned())),
            Some(tokenizer) => {
                let size = tokens(tokenizer.vocab_size);
                rows.push(("tokenizer", format!("{}, {size}", tokenizer.kind)));
                rows.push(("special tokens", tokenizer.special_text()));
            }
        }
        let template = self.chat_template.as_deref().and_then(Path::file_name);
        let template = template.map(|name| name.to_string_lossy().into_owned());
        rows.extend([
            ("beginning of text", ids(self.bos.as_slice())),
            ("end of text", ids(self.eos)),
            ("padding", ids(self.pad.as_slice())),
            ("chat template", listed(template.as_slice())),
        ]);
        let rows = rows.into_iter();
        rows.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Experts {
    fn of(config: &DecoderConfig) -> Option<Self> {
        let layers = config.blocks.iter().map(|block| &block.feed_forward);
        let mut with_experts = layers.filter_map(|layer| Some((layer.d_ff, layer.experts()?)));
        let (d_ff, experts) = with_experts.next()?;
        Some(Self {
            blocks: 1 + with_experts.count(),
            experts: experts.count,
            per_token: experts.used,
            d_ff,
            shared_d_ff: experts.shared,
        })
    }

    fn text(&self, of_blocks: usize) -> String {
        let Self {
            blocks,
            experts,
            per_token,
            d_ff,
            ..
        } = self;
        let shared = self.shared_d_ff;
        let shared = shared.map_or(String::new(), |d_ff| format!(" and one of {d_ff}"));
        format!(
            "{per_token} of {experts} per token, of width {d_ff}{shared}, in {blocks} of {of_blocks} blocks"
        )
    }
}

impl<'a> WeightFile<'a> {
    fn all(info: &'a CheckpointInfo) -> Vec<Self> {
        let files = 0..info.files.len();
        files.map(|index| Self::new(info, index)).collect()
    }

    fn new(info: &'a CheckpointInfo, index: usize) -> Self {
        let file = &info.files[index];
        let tensors = info.tensors.iter().filter(|tensor| tensor.file == index);
        Self {
            name: &file.name,
            bytes: file.bytes,
            tensors: tensors.count(),
            stored_as: info.stored_as(Some(index)),
        }
    }

    fn text(&self) -> String {
        let (name, size, tensors) = (self.name, bytes(self.bytes), self.tensors);
        let stored = self.stored_as.join(" and ");
        format!("{name}, {size}, {tensors} tensors in {stored}")
    }
}

impl TokenizerKind {
    fn of(tokenizer: &Tokenizer) -> Self {
        Self {
            kind: tokenizer.kind(),
            vocab_size: tokenizer.vocab_size(),
            special_tokens: tokenizer.special_tokens(),
        }
    }

    fn special_text(&self) -> String {
        let special = &self.special_tokens;
        let named = special.iter().take(ROWS);
        let named = named.map(|(id, token)| format!("{} {id}", token.escape_debug()));
        let more = special.len().checked_sub(ROWS).filter(|more| *more > 0);
        let more = more.map(|more| format!("and {more} more"));
        listed(&named.chain(more).collect::<Vec<_>>())
    }
}

fn tensors(info: &CheckpointInfo) -> Vec<Tensor<'_>> {
    let tensors = info.tensors.iter().map(|tensor| Tensor {
        name: &tensor.name,
        file: &info.files[tensor.file].name,
        dtype: &tensor.dtype,
        shape: &tensor.shape,
        part: tensor.part.map(Part::name),
    });
    tensors.collect()
}

/// All tensors, file by file.
fn tensor_lines(tensors: &[Tensor<'_>]) -> String {
    let files = tensors.chunk_by(|one, other| one.file == other.file);
    let text = files.map(|tensors| {
        let rows = tensors.iter().map(|tensor| {
            let part = tensor.part.unwrap_or("not read");
            let shape = tensor.shape.iter().map(usize::to_string);
            let shape = shape.collect::<Vec<_>>().join(" × ");
            let place = format!("{:5}{part:13}{shape}", tensor.dtype);
            (tensor.name, place)
        });
        format!(
            "\n{}\n{}",
            tensors[0].file,
            table(&rows.collect::<Vec<_>>())
        )
    });
    text.collect()
}

fn tokens(count: usize) -> String {
    format!("{count} tokens")
}

fn ids(ids: &[u32]) -> String {
    listed(&ids.iter().map(u32::to_string).collect::<Vec<_>>())
}

fn listed(texts: &[String]) -> String {
    match texts.is_empty() {
        true => "none".to_owned(),
        false => texts.join(", "),
    }
}

fn windows(config: &DecoderConfig) -> Vec<Window> {
    let mut windows = BTreeMap::new();
    for window in config
        .blocks
        .iter()
        .filter_map(|block| block.attention.window)
    {
        *windows.entry(window).or_default() += 1;
    }
    let windows = windows.into_iter();
    windows
        .map(|(tokens, blocks)| Window { tokens, blocks })
        .collect()
}

/// Size of the cached keys and values.
#[derive(Clone, Serialize)]
struct Cache {
    /// Of a token, in all blocks.
    bytes_per_token: usize,
    /// Of a token, in the blocks without a window.
    bytes_per_token_without_windows: usize,
    /// Of all windows, once they are full.
    window_bytes: usize,
}

impl Cache {
    fn of(config: &DecoderConfig, dtype: FloatType) -> Self {
        let per_token = config.cache_bytes_per_token(dtype);
        let per_block = per_token / config.block_count();
        let windows = config
            .blocks
            .iter()
            .filter_map(|block| block.attention.window);
        let (blocks, held) = windows.fold((0, 0), |(n, held), window| (n + 1, held + window));
        Self {
            bytes_per_token: per_token,
            bytes_per_token_without_windows: per_token - blocks * per_block,
            window_bytes: held * per_block,
        }
    }

    fn text(&self, dtype: &str) -> String {
        let size = |number: usize| bytes(number as u64);
        let text = format!("{} per token in {dtype}", size(self.bytes_per_token));
        match self.window_bytes {
            0 => text,
            full => format!(
                "{text}; once the windows are full ({}), {}",
                size(full),
                size(self.bytes_per_token_without_windows)
            ),
        }
    }
}
