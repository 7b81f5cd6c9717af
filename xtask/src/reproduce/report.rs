//! The table, beside the paper's.

use std::fmt::Write as _;

use calm_lm::data::kv::{DataMixture, KvTask};
use calm_lm::eval::{Proportion, Spread};
use serde::Serialize;

use super::settings::Settings;
use super::systems::{Measured, System};

/// Table 1 of the paper, %: m_A, m_B, m_A⊕B for each of [`KvTask::TABLE`].
const PAPER: [[f64; 3]; 3] = [[98.1, 0.0, 92.9], [4.2, 73.7, 72.0], [0.7, 0.0, 84.3]];

/// Cost and circumstances of a run.
#[derive(Serialize)]
pub(super) struct Cost {
    pub(super) commit: String,
    pub(super) device: String,
    pub(super) wall_seconds: f64,
    /// Jobs that an earlier process had finished, whose time is not in `wall_seconds`.
    pub(super) jobs_done_before: usize,
    /// Largest resident memory of the process, if the system tells.
    pub(super) peak_mib: Option<u64>,
}

/// Markdown of all that was measured.
pub(super) fn report(settings: &Settings, measured: &[Measured], cost: &Cost) -> String {
    let mut text = String::from("# Table 1: key-value arithmetic\n\n");
    let (keys, held_in) = (settings.data.pairs, settings.data.held_in());
    let [fewest, most] = settings.data.operands;
    let _ = writeln!(
        text,
        "Exact match in %, greedy free-running decoding, {fewest} to {most} operands over {} \
         held-out keys, {} expressions a task. {held_in} of {keys} keys are held in.\n",
        keys - held_in,
        settings.evaluated,
    );
    for mixture in DataMixture::ALL {
        let of_mixture: Vec<&Measured> = measured
            .iter()
            .filter(|m| !m.job.system.is_trained() || m.job.mixture == mixture)
            .collect();
        if of_mixture.iter().any(|m| m.job.system.is_trained()) {
            let _ = writeln!(text, "## D_C: {}\n", mixture.name());
            text.push_str(&table(&of_mixture));
            text.push_str(&seeds(&of_mixture));
        }
    }
    let _ = writeln!(text, "{}", footer(settings, cost));
    text
}

fn table(measured: &[&Measured]) -> String {
    let systems = [
        System::Augmenting,
        System::Anchor,
        System::Composed,
        System::Lora,
        System::UntrainedAugmenting,
    ];
    let present: Vec<(System, Vec<&Measured>)> = systems
        .into_iter()
        .map(|system| {
            let of_system = measured.iter().copied().filter(|m| m.job.system == system);
            (system, of_system.collect::<Vec<_>>())
        })
        .filter(|(_, of_system)| !of_system.is_empty())
        .collect();

    let mut text = String::from("| |");
    for (system, _) in &present {
        let _ = write!(text, " {} |", system.title());
    }
    text.push_str(" paper: m_A | m_B | m_A⊕B |\n| --- |");
    text.push_str(&" ---: |".repeat(present.len() + 3));
    text.push('\n');
    for (row, task) in KvTask::TABLE.iter().enumerate() {
        let _ = write!(text, "| {} |", title(*task));
        for (_, of_system) in &present {
            let _ = write!(text, " {} |", cell(of_system, row));
        }
        for figure in PAPER[row] {
            let _ = write!(text, " {figure:.1} |");
        }
        text.push('\n');
    }
    text.push_str("| added parameters |");
    for (_, of_system) in &present {
        let _ = write!(text, " {} |", of_system[0].added_parameters);
    }
    text.push_str(" | | |\n| training, s |");
    for (_, of_system) in &present {
        let seconds: Vec<f64> = of_system.iter().map(|m| m.train_seconds).collect();
        let mean = Spread::of(&seconds).map_or(0.0, |spread| spread.mean);
        let _ = write!(text, " {mean:.0} |");
    }
    text.push_str(" | | |\n\n");
    text
}

/// `mean ± deviation [95 % interval]` over seeds.
fn cell(measured: &[&Measured], row: usize) -> String {
    let figures: Vec<f64> = measured.iter().map(|m| m.accuracy[row].percent()).collect();
    let Some(spread) = Spread::of(&figures) else {
        return String::new();
    };
    let pooled: Proportion = measured.iter().map(|m| m.accuracy[row]).sum();
    let [low, high] = pooled.interval();
    let deviation = if spread.seeds > 1 {
        format!(" ± {:.1}", spread.deviation)
    } else {
        String::new()
    };
    format!("{:.1}{deviation} [{low:.1}, {high:.1}]", spread.mean)
}

/// Every seed by itself, with the same tasks over held-in keys.
fn seeds(measured: &[&Measured]) -> String {
    let mut text = String::from(
        "| run | held-out: subst. | numeric | KV-arith. | held-in: subst. | numeric | KV-arith. |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for measured in measured.iter().filter(|m| m.job.system.is_trained()) {
        let _ = write!(
            text,
            "| {}, seed {} |",
            measured.job.system.title(),
            measured.job.seed
        );
        for proportion in measured.accuracy.iter().chain(&measured.held_in) {
            let _ = write!(text, " {:.1} |", proportion.percent());
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn title(task: KvTask) -> &'static str {
    match task {
        KvTask::KvSubstitution => "KV-Substitution",
        KvTask::NumericArithmetic => "Numeric-Arithmetic",
        KvTask::KvArithmetic => "KV-Arithmetic",
        KvTask::NumericCopy => "Numeric-Copy",
    }
}

fn footer(settings: &Settings, cost: &Cost) -> String {
    let memory = cost
        .peak_mib
        .map_or("unknown".to_owned(), |mib| format!("{mib} MiB"));
    let before = match cost.jobs_done_before {
        0 => String::new(),
        jobs => format!(" without {jobs} jobs done before"),
    };
    let [fewest, most] = settings.training_operands;
    format!(
        "± is the standard deviation over seeds; [ ] is Wilson's 95 % interval over all their \
         expressions together. D_C: {} expressions of {fewest} to {most} operands over held-in \
         keys; {} steps of {} rows. Connections {:?}, noise {}.\n\nWall time {:.0} s{before}, peak memory {memory}, \
         device {}, version {}, commit {}.",
        settings.training_expressions,
        settings.train.steps,
        settings.rows * settings.train.accumulation,
        settings.connections,
        settings.noise,
        cost.wall_seconds,
        cost.device,
        env!("CARGO_PKG_VERSION"),
        cost.commit,
    )
}
