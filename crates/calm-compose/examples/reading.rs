//! The cost of reading along in tokens of one's own.
//!
//! ```text
//! cargo run --release --workspace --example reading -- ANCHOR AUGMENTING TEXT [TOKENS]
//! ```
//!
//! with two `tokenizer.json` and a text: tokens to compute per token of the anchor, the time to work
//! them out, and the share that they have in decoding with two small models.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_compose::{Bridges, ComposedModel, FrozenParts};
use calm_models::{
    CausalLm, Decoder, DecoderConfig, FrozenModel, GrowingText, PaddingMask, TextStream, Tokenizer,
};

fn model(tokenizer: Tokenizer, d_model: usize, blocks: usize) -> FrozenModel {
    let config = DecoderConfig::llama(tokenizer.vocab_size(), d_model, blocks, 8);
    let decoder = Decoder::untrained(&config, 1, &Device::default());
    FrozenModel::new(decoder, tokenizer)
}

fn ids(ids: &[u32]) -> Tensor<2, Int> {
    let data: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    Tensor::from_data(TensorData::new(data, [1, ids.len()]), &Device::default())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [anchor, augmenting, text, rest @ ..] = &*arguments else {
        return Err("expected ANCHOR AUGMENTING TEXT [TOKENS]".into());
    };
    let [anchor, augmenting] = [anchor, augmenting].map(|path| Tokenizer::load(Path::new(path)));
    let (anchor, augmenting) = (anchor?, augmenting?);
    let tokens = rest.first().map_or(Ok(2048), |tokens| tokens.parse())?;
    let mut text = anchor.encode(&std::fs::read_to_string(text)?, true)?.ids;
    text.truncate(tokens);

    let (anchor, augmenting) = (model(anchor, 512, 8), model(augmenting, 256, 8));
    let connections = vec![[4, 4].into(), [8, 7].into()];
    let parts = FrozenParts::join(&anchor, [(&augmenting, connections)])?;
    let started = Instant::now();
    let rows = parts.read_rows(&[(&text, text.len())])?;
    let seconds = started.elapsed().as_secs_f64();
    let Some(nodes) = rows[0].node_counts()[0] else {
        return Err("both have the same ids".into());
    };
    let whole = anchor.tokenizer.decode(&text, true)?;
    let last = augmenting.tokenizer.encode(&whole, true)?.ids.len();
    let count = text.len();
    println!("{count} tokens of the anchor, {last} of the augmenting model for the same text");
    println!(
        "tree: {nodes} tokens, {:.2} per token of the anchor, {:.2} per token of its own",
        nodes as f64 / count as f64,
        nodes as f64 / last as f64
    );
    println!(
        "working it out: {:.1} ms, {:.1} µs per token",
        seconds * 1e3,
        seconds / count as f64 * 1e6
    );

    let bridges = Bridges::init(&parts.bridge_sets(8), 0, &Device::default())?;
    let model = ComposedModel { parts, bridges };
    let mut cache = model.new_cache(1);
    let started = Instant::now();
    model.hidden_states(ids(&text), &PaddingMask::none(1, count), Some(&mut cache))?;
    println!("prefill: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    println!("cache: {:?}", cache.bytes_by_part());

    let steps = 64.min(count);
    let decode = |model: &ComposedModel| -> Result<f64, Box<dyn Error>> {
        let mut cache = model.new_cache(1);
        model.hidden_states(ids(&text), &PaddingMask::none(1, count), Some(&mut cache))?;
        let started = Instant::now();
        for id in &text[..steps] {
            let hidden =
                model.hidden_states(ids(&[*id]), &PaddingMask::none(1, 1), Some(&mut cache))?;
            model.head().finish(hidden).into_data();
        }
        Ok(started.elapsed().as_secs_f64() / steps as f64)
    };
    let composed = decode(&model)?;
    let mut alone = model.clone();
    alone.parts.augmenting[0].scale = 0.0;
    let alone = decode(&alone)?;
    println!(
        "decoding after {count} tokens: {:.2} ms per token, the anchor alone {:.2} ms",
        composed * 1e3,
        alone * 1e3
    );

    // Reading along alone: text, tokens, tree.
    let mut stream = TextStream::new(&anchor.tokenizer);
    let mut own = GrowingText::new(&augmenting.tokenizer, true);
    let mut whole = String::new();
    for id in &text {
        whole += &stream.push(*id)?;
    }
    own.encode(&whole)?;
    let started = Instant::now();
    for id in &text[..steps] {
        whole += &stream.push(*id)?;
        own.encode(&whole)?;
    }
    let growing = started.elapsed().as_secs_f64() / steps as f64;
    let started = Instant::now();
    for _ in 0..8 {
        augmenting.tokenizer.encode_unfinished(&whole)?;
    }
    let again = started.elapsed().as_secs_f64() / 8.0;
    println!(
        "of it the augmenting model's tokens: {:.3} ms ({:.2} %); all of the text anew: {:.3} ms",
        growing * 1e3,
        100.0 * growing / composed,
        again * 1e3
    );
    Ok(())
}
