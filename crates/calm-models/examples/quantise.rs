//! Cost and gain of quantised weights: `quantise f32|q8|q4|q8-block|q4-block [STEPS]`.
//!
//! Quantises the projections of a random Llama of 110 M parameters, with one scale for a matrix or
//! for 32 inputs, and prints memory, the relative error of logits, and speed over five repetitions.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use burn::module::{Module, ParamGroup, Quantizer};
use burn::tensor::quantization::{Calibration, QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_models::{CausalLm, Decoder, DecoderConfig, PaddingMask};

const PROJECTIONS: &str = r"^blocks\..*(query|key|value|output|gate|up|down)\.weight$";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, steps) = match arguments.as_slice() {
        [kind] => (kind, 16),
        [kind, steps] => (kind, steps.parse()?),
        _ => return Err("usage: quantise f32|q8|q4|q8-block|q4-block [STEPS]".into()),
    };
    let config = DecoderConfig::llama(32_000, 768, 12, 12);
    let decoder = Decoder::untrained(&config, 1, &Device::default());
    let (before, reference) = (resident(), logits(&decoder));
    let decoder = match scheme(kind)? {
        None => decoder,
        Some(scheme) => {
            let mut quantizer = Quantizer::new(Calibration::MinMax, scheme);
            let projections =
                ParamGroup::from_regex(PROJECTIONS).map_err(|error| format!("{error:?}"))?;
            decoder.quantize_weights_group(&mut quantizer, projections)
        }
    };
    let after = resident();
    let difference = logits(&decoder) - reference.clone();
    let norm = |x: Tensor<3>| x.powi_scalar(2).sum().sqrt().into_scalar::<f32>();
    let error = norm(difference) / norm(reference);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut cache = decoder.new_cache(1);
        prefill.push(seconds(|| run(&decoder, 512, &mut cache))?);
        let tokens = || (0..steps).try_for_each(|_| run(&decoder, 1, &mut cache));
        decode.push(seconds(tokens)? / f64::from(steps));
    }
    let ([fastest, usual], [best, median]) = (of_sorted(prefill), of_sorted(decode));
    let line = format!(
        "{kind}: {before} -> {after} MB, logits off by {error:.1e}, prefill {:.0} tokens/s (median \
         {:.0}), decode {:.1} ms/token (median {:.1})\n",
        512.0 / fastest,
        512.0 / usual,
        1e3 * best,
        1e3 * median
    );
    std::io::stdout().write_all(line.as_bytes())?;
    Ok(())
}

fn scheme(kind: &str) -> Result<Option<QuantScheme>, String> {
    let (bits, is_block) = match kind.strip_suffix("-block") {
        Some(bits) => (bits, true),
        None => (kind, false),
    };
    let value = match bits {
        "f32" => return Ok(None),
        "q8" => QuantValue::Q8S,
        "q4" => QuantValue::Q4S,
        other => return Err(format!("{other}: expected f32, q8 or q4")),
    };
    let scheme = QuantScheme::default();
    let scheme = scheme.with_store(QuantStore::Native).with_value(value);
    Ok(Some(if is_block {
        scheme.per_block([32, 1], ScaleDtype::F32)
    } else {
        scheme
    }))
}

fn ids(count: usize) -> Tensor<2, Int> {
    let ids: Vec<i64> = (0..count as i64)
        .map(|i| (i * i * 7 + i * 31) % 32_000)
        .collect();
    Tensor::from_data(TensorData::new(ids, [1, count]), &Device::default())
}

fn logits(decoder: &Decoder) -> Tensor<3> {
    decoder.forward(ids(128), &PaddingMask::none(1, 128))
}

/// The logits of the last of `count` tokens, read back.
fn run(
    decoder: &Decoder,
    count: usize,
    cache: &mut <Decoder as CausalLm>::Cache,
) -> Result<(), Box<dyn Error>> {
    let hidden = decoder.hidden_states(ids(count), &PaddingMask::none(1, count), Some(cache))?;
    let logits = decoder.finish(hidden.narrow(1, count - 1, 1));
    logits.try_into_vec_as::<f32>()?;
    Ok(())
}

fn seconds(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The least and the median.
fn of_sorted(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2]]
}

/// Memory in use, in megabytes, where the system tells (Linux).
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or(0_usize) / 1000
}
