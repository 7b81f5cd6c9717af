//! What an experiment is to reach, with its systems and tasks as the table has them.

use crate::table::{Expectation, Frame};
use crate::{ExpectSpec, Experiment, ExperimentError};

/// The expectations of an experiment, one for each comparison.
pub(super) fn expected(
    experiment: &Experiment,
    frame: &Frame,
) -> Result<Vec<Expectation>, ExperimentError> {
    let mut all = Vec::new();
    for (id, spec) in experiment.file.expect.iter() {
        check_group(experiment, frame, id, spec)?;
        match &spec.over[..] {
            [] => all.push(expectation(experiment, frame, (id, spec), None)),
            over => all.extend(
                over.iter()
                    .map(|over| expectation(experiment, frame, (id, spec), Some(over))),
            ),
        }
    }
    Ok(all)
}

fn check_group(
    experiment: &Experiment,
    frame: &Frame,
    id: &str,
    spec: &ExpectSpec,
) -> Result<(), ExperimentError> {
    let task = frame.tasks.iter().find(|task| task.id == spec.task);
    let (Some(group), Some(task)) = (&spec.group, task) else {
        return Ok(());
    };
    let groups: Vec<&str> = task.language_groups.keys().map(String::as_str).collect();
    experiment.known(
        &["expect", id, "group"],
        "group of languages",
        group,
        &groups,
    )
}

fn expectation(
    experiment: &Experiment,
    frame: &Frame,
    (id, spec): (&str, &ExpectSpec),
    over: Option<&String>,
) -> Expectation {
    let file = &experiment.file;
    let title = |system: &str| {
        let spec = file.systems.get(system);
        let title = spec.and_then(|spec| spec.title.clone());
        title.unwrap_or_else(|| system.to_owned())
    };
    let system = spec.system.clone().unwrap_or_else(|| frame.main.clone());
    let is_single = spec.over.len() < 2;
    let heading = match (&spec.title, over) {
        (Some(heading), Some(over)) if !is_single => format!("{heading}: over {}", title(over)),
        (Some(heading), _) => heading.clone(),
        (None, over) => {
            let task = frame.tasks.iter().find(|task| task.id == spec.task);
            let task = task.map_or(&*spec.task, |task| &*task.title);
            let over = over.map(|over| format!(" over {}", title(over)));
            let group = spec.group.as_ref().map(|group| format!(", {group}"));
            let [over, group] = [over, group].map(Option::unwrap_or_default);
            format!("{task}{group}: {}{over}", title(&system))
        }
    };
    Expectation {
        id: match over {
            Some(over) if !is_single => format!("{id}/{over}"),
            _ => id.to_owned(),
        },
        title: heading,
        task: spec.task.clone(),
        group: spec.group.clone(),
        system,
        over: over.cloned(),
        at_least: spec.at_least.clone(),
        at_most: spec.at_most,
        wins: spec.wins,
        intervals_apart: spec.intervals_apart,
        significant: spec.significant,
    }
}
