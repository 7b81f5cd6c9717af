//! Holds golden compositions against this crate and prints how far it is from them:
//!
//! ```text
//! cargo run --release -p calm-compose --example verify -- CHECKPOINTS COMPOSITION…
//! ```
#![expect(clippy::print_stdout, reason = "it is what this example does")]

use std::path::Path;

use burn::tensor::Device;
use calm_compose::verify;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let checkpoints = arguments.next().ok_or("which checkpoints?")?;
    for composition in arguments {
        let verification = verify(
            Path::new(&composition),
            Path::new(&checkpoints),
            &Device::default(),
        )?;
        println!("{}", Path::new(&composition).display());
        for deviation in verification.deviations {
            println!(
                "  {:<28}{:9.2e} {} nan",
                deviation.name, deviation.relative, deviation.nan
            );
        }
    }
    Ok(())
}
