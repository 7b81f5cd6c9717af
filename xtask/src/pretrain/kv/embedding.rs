//! Where the embeddings of the small models start.

use burn::tensor::{Device, Tensor, TensorData};
use calm_lm::backend::SeededInit;
use calm_lm::models::Tokenizer;

/// Standard deviations: of the code of one digit at one place, and of operators and marks.
const DIGIT: f64 = 0.06;
const WORD: f64 = 0.1;

/// Initial embeddings, `[vocab, d_model]`.
///
/// A number starts as the sum of codes of its digits, as a token added to a vocabulary is usually
/// started from the tokens that used to spell it. From random embeddings the same models learn
/// digits too, but at a fraction of the speed, and most of each embedding stays noise that no
/// bridge can see through.
///
/// A key means nothing yet, so all keys start as the mean of all numbers, as tokens without a
/// history usually do. The anchor, which is never shown a key, keeps them alike; had each a random
/// start of its own, the first norm would blow that up to full size, and a composition would learn
/// to make up for it key by key.
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
    let words: Vec<String> = (0..tokenizer.vocab_size() as u32)
        .map(|id| tokenizer.token(id).unwrap_or_default())
        .collect();
    let largest = words.iter().filter_map(|word| word.parse::<usize>().ok());
    let places = largest.max().map_or(0, |largest| largest.ilog10() + 1);
    let digits = draw(10 * places as usize, DIGIT);
    let numbers: Vec<Vec<f32>> = words
        .iter()
        .filter_map(|word| Some(of_number(word.parse().ok()?, places, &digits, d_model)))
        .collect();
    let mean = mean(&numbers, d_model);
    let mut numbers = numbers.into_iter();
    let weights: Vec<f32> = words
        .iter()
        .flat_map(|word| {
            if word.starts_with(|c: char| c.is_ascii_lowercase()) {
                mean.clone()
            } else if word.parse::<usize>().is_ok() {
                numbers.next().expect("one was made for every number")
            } else {
                draw(1, WORD)
            }
        })
        .collect();
    let shape = [tokenizer.vocab_size(), d_model];
    Tensor::from_data(TensorData::new(weights, shape), device)
}

fn mean(rows: &[Vec<f32>], d_model: usize) -> Vec<f32> {
    let column = |i: usize| rows.iter().map(|row| row[i]).sum::<f32>() / rows.len() as f32;
    (0..d_model).map(column).collect()
}

/// The sum of the codes of a number's digits, leading zeros included.
fn of_number(number: usize, places: u32, digits: &[f32], d_model: usize) -> Vec<f32> {
    let mut sum = vec![0.0; d_model];
    for place in 0..places {
        let digit = number / 10usize.pow(place) % 10;
        let code = &digits[(10 * place as usize + digit) * d_model..][..d_model];
        sum.iter_mut()
            .zip(code)
            .for_each(|(sum, code)| *sum += code);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use calm_lm::data::kv::{KvConfig, KvDataset};

    use super::*;

    #[test]
    fn keys_start_alike_and_numbers_are_sums_of_digits() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let json = dataset.tokenizer_json();
        let tokenizer = Tokenizer::from_json(json, Path::new("tokenizer.json")).unwrap();
        let weights = embeddings(&tokenizer, 8, 3, &Device::default());
        let row = |word: &str| -> Vec<f32> {
            let id = tokenizer.token_id(word).unwrap() as usize;
            let row = weights.clone().narrow(0, id, 1);
            row.into_data().try_to_vec().unwrap()
        };
        let keys: Vec<&str> = dataset.pairs().map(|(key, _)| key).collect();
        assert_eq!(row(keys[0]), row(keys[999]));
        assert_ne!(row("+"), row("-"));
        let sum = |a: &str, b: &str| -> Vec<f32> {
            row(a).iter().zip(row(b)).map(|(a, b)| a + b).collect()
        };
        let apart = sum("12", "340").into_iter().zip(sum("342", "10"));
        assert!(apart.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
