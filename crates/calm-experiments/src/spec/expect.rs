//! What an experiment is to reach: checks that need neither models nor data.

use super::{ExpectSpec, Experiment};
use crate::ExperimentError;
use crate::table::Bar;

impl Experiment {
    /// Checks all expectations, but for the groups that they name.
    pub(super) fn check_expectations(&self) -> Result<(), ExperimentError> {
        let (systems, tasks) = (self.file.systems.ids(), self.file.tasks.ids());
        for (id, spec) in self.file.expect.iter() {
            let keys = ["expect", id];
            self.known(&keys, "task", &spec.task, &tasks)?;
            for system in spec.system.iter().chain(&spec.over) {
                self.known(&keys, "system", system, &systems)?;
            }
            if let Some(reason) = self.contradiction(id, spec) {
                return Err(self.wrong(&keys, format!("expectation '{id}': {reason}")));
            }
        }
        Ok(())
    }

    fn contradiction(&self, id: &str, spec: &ExpectSpec) -> Option<String> {
        let comparing = [
            ("wins", spec.wins.is_some()),
            ("intervals-apart", spec.intervals_apart),
            ("significant", spec.significant),
        ];
        let compares = comparing.iter().find(|(_, is_given)| *is_given);
        if let (Some((key, _)), []) = (compares, &spec.over[..]) {
            return Some(format!(
                "'{key}' is of a comparison; name the other system in `over`"
            ));
        }
        if compares.is_none() && spec.at_least.is_none() && spec.at_most.is_none() {
            return Some(
                "says nothing to reach; give at-least, at-most, wins, intervals-apart or \
                 significant"
                    .to_owned(),
            );
        }
        if spec.wins.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Some("'wins' is a share of the languages, from 0 to 1".to_owned());
        }
        let is_tested = |task: &str| {
            let task = self.file.tasks.get(task);
            task.is_none_or(|task| task.tested.unwrap_or(true))
        };
        if !spec.over.is_empty() && !is_tested(&spec.task) {
            let task = &spec.task;
            return Some(format!(
                "the task '{task}' is not tested, so nothing is compared on it"
            ));
        }
        let Some(Bar::Share { of, .. }) = &spec.at_least else {
            return None;
        };
        let other = self.file.expect.get(of).filter(|_| of != id);
        match other.map(|other| other.over.len()) {
            Some(0 | 1) => None,
            Some(_) => Some(format!(
                "'{of}' is of several comparisons; name one of a single one"
            )),
            None => Some(format!(
                "there is no other expectation '{of}' to take a share of"
            )),
        }
    }
}
