//! Where the embeddings of the small models start.

use burn::tensor::{Device, Tensor, TensorData};
use calm_lm::backend::SeededInit;
use calm_lm::models::Tokenizer;

/// Standard deviations: of the code of one digit, of ordinary words, and of keys, which mean
/// nothing before they have been learnt.
const DIGIT: f64 = 0.06;
const WORD: f64 = 0.1;
const KEY: f64 = 0.02;

/// Initial embeddings, `[vocab, d_model]`.
///
/// A number starts as the sum of codes of its digits, as a token added to a vocabulary is usually
/// started from the tokens that used to spell it. From random embeddings the same models learn
/// digits too, but at a fraction of the speed, and most of each embedding stays noise that no
/// bridge can see through.
pub(super) fn embeddings(
    tokenizer: &Tokenizer,
    d_model: usize,
    seed: u64,
    device: &Device,
) -> Tensor<2> {
    // Apart from the stream of the other weights.
    let mut init = SeededInit::new(seed ^ 0x656d_6265_6464_696e);
    let host = Device::default();
    let mut draw = |rows: usize, std: f64| -> Vec<f32> {
        let rows = init.normal([rows, d_model], std, &host);
        rows.val()
            .into_data()
            .try_to_vec()
            .expect("seeded weights are f32")
    };
    let digits = draw(40, DIGIT);
    let mut weights = Vec::with_capacity(tokenizer.vocab_size() * d_model);
    for id in 0..tokenizer.vocab_size() as u32 {
        let word = tokenizer.token(id).unwrap_or_default();
        weights.extend(match word.parse::<usize>() {
            Ok(number) => of_number(number, &digits, d_model),
            Err(_) if word.starts_with(|c: char| c.is_ascii_lowercase()) => draw(1, KEY),
            Err(_) => draw(1, WORD),
        });
    }
    let shape = [tokenizer.vocab_size(), d_model];
    Tensor::from_data(TensorData::new(weights, shape), device)
}

/// The sum of the codes of a number's digits, leading zeros included.
fn of_number(number: usize, digits: &[f32], d_model: usize) -> Vec<f32> {
    let mut sum = vec![0.0; d_model];
    for place in 0..4 {
        let digit = number / 10usize.pow(place) % 10;
        let code = &digits[(10 * place as usize + digit) * d_model..][..d_model];
        sum.iter_mut()
            .zip(code)
            .for_each(|(sum, code)| *sum += code);
    }
    sum
}
