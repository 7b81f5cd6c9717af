//! Hidden states of a model, block by block, and the token that it would go on with:
//!
//! ```sh
//! cargo run --release --example hidden_states -- datasets/checkpoints/kv-anchor '2 + 3 ='
//! ```
//!
//! The model may be a directory in the Hugging Face layout, a GGUF file, or `hf:owner/name`.

use calm_lm::Error;
use calm_lm::burn::tensor::{Int, Tensor};
use calm_lm::compose::LoadedModel;
use calm_lm::models::{Context, FrozenModel, LoadOptions, PaddingMask};

/// The embeddings of a text, then the output of every block, each `[1, seq, d_model]`.
pub(crate) fn hidden_states(model: &FrozenModel, text: &str) -> Result<Vec<Tensor<3>>, Error> {
    let decoder = &model.decoder;
    let ids = model.tokenizer.encode(text, true)?.ids;
    let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
    // What each position may see: here all before it, since there is one text and no padding.
    let context = Context::new(decoder, &PaddingMask::none(1, ids.len()), None);
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &decoder.device());
    let mut states = vec![decoder.embed(ids.unsqueeze(), &context)];
    for block in 0..decoder.block_count() {
        let hidden = decoder.run(block..block + 1, states[block].clone(), &context, None);
        states.push(hidden);
    }
    Ok(states)
}

/// The likeliest next token, as text.
pub(crate) fn next_token(model: &FrozenModel, last: &Tensor<3>) -> Result<String, Error> {
    let logits = model.decoder.finish(last.clone());
    let [_, seq, _] = logits.dims();
    let likeliest = logits.narrow(1, seq - 1, 1).argmax(2);
    let id = likeliest.try_into_vec_as::<u32>()?[0];
    Ok(model.tokenizer.decode(&[id], false)?)
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next();
    let source = source.unwrap_or("datasets/checkpoints/kv-anchor".to_owned());
    let text = arguments.next().unwrap_or("2 + 3 =".to_owned());

    let device = calm_lm::backend::device("auto")?;
    let options = LoadOptions {
        device,
        ..LoadOptions::default()
    };
    let model = LoadedModel::load(&source.parse()?, &options)?.model;
    let states = hidden_states(&model, &text)?;
    for (block, hidden) in states.iter().enumerate() {
        let size = hidden.clone().square().mean().sqrt();
        let size = size.try_into_vec_as::<f32>()?[0];
        println!(
            "block {block}: {:?}, root mean square {size:.3}",
            hidden.dims()
        );
    }
    println!(
        "goes on with {:?}",
        next_token(&model, &states[states.len() - 1])?
    );
    Ok(())
}
