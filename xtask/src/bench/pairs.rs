//! Pairs of random checkpoints, shaped like Llama.

use std::path::Path;

use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::data::kv::{KvConfig, KvDataset};
use calm_lm::models::{Decoder, DecoderConfig, FrozenModel, Tokenizer};
use miette::{IntoDiagnostic, Result, miette};

/// Blocks, width and heads.
type Sizes = [usize; 3];

/// Name, augmenting model, anchor, vocabulary. Those with an anchor alone are there to be trained
/// whole; `large` is for a GPU: 10 GB in half precision.
const PAIRS: [(&str, Option<Sizes>, Sizes, usize); 12] = [
    ("tiny", Some([4, 128, 4]), [6, 256, 8], 1024),
    ("small", Some([8, 256, 4]), [12, 512, 8], 8192),
    ("base", Some([12, 768, 12]), [16, 1536, 12], 32000),
    ("large", Some([16, 2048, 16]), [28, 3072, 24], 128_256),
    ("4x128", None, [4, 128, 4], 256),
    ("6x256", None, [6, 256, 4], 256),
    ("8x512", None, [8, 512, 8], 4096),
    ("8x1024", None, [8, 1024, 16], 32768),
    ("width-128", Some([4, 64, 4]), [6, 128, 8], 1024),
    ("width-256", Some([4, 128, 4]), [6, 256, 8], 1024),
    ("width-512", Some([4, 256, 4]), [6, 512, 8], 1024),
    ("width-1024", Some([4, 512, 4]), [6, 1024, 8], 1024),
];

/// Writes `DIRECTORY/PAIR/{augment,anchor}`, unless they are there.
pub(super) fn make(directory: &Path, pair: &str) -> Result<()> {
    let directory = directory.join(pair);
    if directory.join("anchor/config.json").exists() {
        return Ok(());
    }
    let known = PAIRS.iter().find(|(name, ..)| *name == pair);
    let (_, augmenting, anchor, vocab) = known.ok_or_else(|| miette!("{pair}: no such pair"))?;
    let dtype = match pair {
        "large" => FloatType::BF16,
        _ => FloatType::F32,
    };
    for (role, sizes) in [("augment", *augmenting), ("anchor", Some(*anchor))] {
        if let Some(sizes) = sizes {
            let model = random(sizes, *vocab)?;
            model.save(&directory.join(role), dtype).into_diagnostic()?;
        }
    }
    Ok(())
}

fn random([blocks, width, heads]: Sizes, vocab: usize) -> Result<FrozenModel> {
    let mut config = DecoderConfig::llama(vocab, width, blocks, heads);
    for block in &mut config.blocks {
        block.feed_forward.d_ff = (width * 8).div_ceil(3).next_multiple_of(64);
    }
    config.head.tied = false;
    config.context_length = 4352;
    // No tokenizer is read again; a checkpoint just has one.
    let dataset = KvDataset::new(KvConfig::laptop()).into_diagnostic()?;
    let tokenizer = Tokenizer::from_json(dataset.tokenizer_json(), Path::new("tokenizer.json"));
    let decoder = Decoder::untrained(&config, 0, &Device::default());
    Ok(FrozenModel::new(decoder, tokenizer.into_diagnostic()?))
}
