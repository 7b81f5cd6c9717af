//! `cargo xtask probe`: what hidden states of a model hold of the meaning of sentences, block by block,
//! before any bridge is trained. Where a sentence lies near its English translation, the model has
//! understood it; and where a linear map finds sentences of words that it was not fitted on, a bridge
//! could.

mod matrix;
mod ridge;
mod states;
mod texts;

use std::fmt::Write as _;
use std::path::PathBuf;

use calm_lm::backend::device;
use calm_lm::compose::LoadedModel;
use calm_lm::models::{FrozenModel, LoadOptions, ModelSource};
use clap::Args;
use miette::{IntoDiagnostic, Result};

use self::matrix::{Matrix, found};
use self::ridge::Ridge;
use self::states::States;
use self::texts::{Pairs, Texts};

/// Models to probe, and their texts.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Checkpoints: directories, .gguf files or hf:owner/name
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<ModelSource>,
    /// Directory that `calm data ntl` wrote, or of FLORES-200
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Anchor, into whose blocks states of the models are mapped as well
    #[arg(long, value_name = "MODEL")]
    into: Option<ModelSource>,
    /// Only these languages [default: all, by groups]
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    language: Vec<String>,
    /// Most test sentences of each language
    #[arg(long, default_value_t = 100)]
    sentences: usize,
    /// Most pairs that linear maps are fitted on: of D_C, or else of the development set
    #[arg(long, default_value_t = 3000)]
    fit: usize,
    /// Device to compute on
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Prints a table for each model.
pub(crate) fn run(args: &ProbeArgs) -> Result<()> {
    let texts = Texts::read(&args.data, &args.language, [args.sentences, args.fit])?;
    let options = LoadOptions {
        device: device(&args.device).into_diagnostic()?,
        ..LoadOptions::default()
    };
    let load = |source: &ModelSource| -> Result<FrozenModel> {
        Ok(LoadedModel::load(source, &options).into_diagnostic()?.model)
    };
    println!("{}\n", texts.about());
    let anchor = match &args.into {
        None => None,
        Some(source) => Some((source, States::of(&load(source)?, &texts)?)),
    };
    for source in &args.models {
        let states = States::of(&load(source)?, &texts)?;
        println!("{source}\n\n{}", alone(&states, &texts));
        if let Some((into, anchor)) = &anchor {
            let title = format!("{source}, mapped into {into}");
            println!("{title}\n\n{}", mapped(&states, anchor, &texts));
        }
    }
    Ok(())
}

/// The sides of pairs at a block.
fn sides(states: [&States; 2], blocks: [usize; 2], pairs: &Pairs) -> [Matrix; 2] {
    [0, 1].map(|side| states[side].rows(blocks[side], &pairs.side(side)))
}

/// In what share of the pairs of each language the nearest English sentence is the right one.
fn shares(sets: &[Pairs], sides: impl Fn(&Pairs) -> [Matrix; 2]) -> Vec<f64> {
    let share = |pairs: &Pairs| {
        let [source, english] = sides(pairs);
        found(&source.centred().0, &english.centred().0)
    };
    sets.iter().map(share).collect()
}

/// The same of states behind a map, whose centre is that of what it was fitted on.
fn mapped_shares(sets: &[Pairs], ridge: &Ridge, sides: impl Fn(&Pairs) -> [Matrix; 2]) -> Vec<f64> {
    let share = |pairs: &Pairs| {
        let [source, english] = sides(pairs);
        found(&ridge.apply(&source), &ridge.centre(&english))
    };
    sets.iter().map(share).collect()
}

/// Every block by itself: states as they are, and behind a map to those of English in the same block.
fn alone(states: &States, texts: &Texts) -> String {
    let mut text = heading(texts);
    for block in 0..states.blocks() {
        let of = |pairs: &Pairs| sides([states, states], [block, block], pairs);
        let [source, english] = of(&texts.fit);
        let ridge = Ridge::fit(&source, &english);
        let columns = [
            texts.means(&texts.tests, &shares(&texts.tests, of)),
            texts.means(&texts.tests, &mapped_shares(&texts.tests, &ridge, of)),
            texts.means(&texts.unseen, &mapped_shares(&texts.unseen, &ridge, of)),
        ];
        text += &line(&name(block), &columns.concat());
    }
    let chances = [&texts.tests, &texts.tests, &texts.unseen];
    let chances = chances.map(|sets| {
        let chances: Vec<f64> = sets.iter().map(Pairs::chance).collect();
        texts.means(sets, &chances)
    });
    text + &line("chance", &chances.concat())
}

/// Columns of [`alone`].
fn heading(texts: &Texts) -> String {
    let of = |kind: &str, sets: &[Pairs]| -> Vec<String> {
        let names = texts.groups_of(sets).into_iter();
        names.map(|name| format!("{kind} {name}")).collect()
    };
    let columns = [
        of("as is", &texts.tests),
        of("mapped", &texts.tests),
        of("unseen", &texts.unseen),
    ];
    let mut text = format!("{:12}", "found, %");
    for column in columns.concat() {
        let _ = write!(text, "  {column:>16}");
    }
    text + "\n"
}

fn line(name: &str, shares: &[f64]) -> String {
    let mut text = format!("{name:12}");
    for share in shares {
        let _ = write!(text, "  {share:>16.1}");
    }
    text + "\n"
}

fn name(block: usize) -> String {
    match block {
        0 => "embedding".to_owned(),
        block => format!("block {block}"),
    }
}

/// From every block into every block of the anchor, a grid for each group: test sentences, and those
/// of unseen words behind a stroke.
fn mapped(states: &States, anchor: &States, texts: &Texts) -> String {
    let groups = texts.groups_of(&texts.tests);
    let unseen_groups = texts.groups_of(&texts.unseen);
    let mut grids: Vec<String> = groups
        .iter()
        .map(|group| format!("{:12}", format!("{group}:")))
        .collect();
    for grid in &mut grids {
        for block in 0..anchor.blocks() {
            let _ = write!(grid, "  {:>13}", format!("→ {}", name(block)));
        }
        grid.push('\n');
    }
    for block in 0..states.blocks() {
        grids
            .iter_mut()
            .for_each(|grid| *grid += &format!("{:12}", name(block)));
        for into in 0..anchor.blocks() {
            let of = |pairs: &Pairs| sides([states, anchor], [block, into], pairs);
            let [source, english] = of(&texts.fit);
            let ridge = Ridge::fit(&source, &english);
            let tests = texts.means(&texts.tests, &mapped_shares(&texts.tests, &ridge, of));
            let unseen = texts.means(&texts.unseen, &mapped_shares(&texts.unseen, &ridge, of));
            for ((grid, group), share) in grids.iter_mut().zip(&groups).zip(&tests) {
                let place = unseen_groups.iter().position(|one| one == group);
                let cell = match place.map(|place| unseen[place]) {
                    Some(unseen) => format!("{share:.1} / {unseen:.1}"),
                    None => format!("{share:.1}"),
                };
                let _ = write!(grid, "  {cell:>13}");
            }
        }
        grids.iter_mut().for_each(|grid| grid.push('\n'));
    }
    grids.join("\n")
}
