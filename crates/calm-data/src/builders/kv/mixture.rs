//! Training data of a composition: D_C.

use serde::{Deserialize, Serialize};

use super::{Example, ExampleKind, KeyPool, KvDataset, KvTask};
use crate::Mixture;

/// Stream of training expressions: other ones than those of evaluation, also over the same keys.
const STREAM: u64 = 1;

/// Tasks of D_C, the composition's training data. The paper can be read in three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataMixture {
    /// KV-Arithmetic, KV-Substitution and some numeric arithmetic.
    Mixed,
    /// KV-Arithmetic alone (section 3.2 and figure 1).
    Arithmetic,
    /// KV-Substitution alone (section 4.1).
    Substitution,
}

impl DataMixture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mixed, Self::Arithmetic, Self::Substitution];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Arithmetic => "arithmetic",
            Self::Substitution => "substitution",
        }
    }

    /// Its file in the directory of a dataset.
    pub fn file_name(self) -> String {
        format!("{}.jsonl", self.name())
    }

    /// Shares of the tasks.
    fn tasks(self) -> Mixture<KvTask> {
        Mixture::new(match self {
            Self::Mixed => vec![
                (KvTask::KvArithmetic, 60),
                (KvTask::KvSubstitution, 10),
                (KvTask::NumericArithmetic, 30),
            ],
            Self::Arithmetic => vec![(KvTask::KvArithmetic, 100)],
            Self::Substitution => vec![(KvTask::KvSubstitution, 100)],
        })
    }
}

impl KvDataset {
    /// The first `count` examples of D_C. Expressions over keys have from `operands[0]` to
    /// `operands[1]` of them, all held in. Numeric arithmetic has the dataset's own operands, of all
    /// numbers: these are no secret, and short sums of them need no rehearsing.
    pub fn training_examples(
        &self,
        mixture: DataMixture,
        operands: [usize; 2],
        count: usize,
    ) -> impl Iterator<Item = Example> {
        let tasks = mixture.tasks();
        (0..count).map(move |index| {
            let task = *tasks.part(index);
            let (pool, operands) = match task {
                KvTask::NumericArithmetic => (KeyPool::All, self.config().operands),
                _ => (KeyPool::HeldIn, operands),
            };
            let kind = ExampleKind {
                task,
                pool,
                operands,
                operators: self.config().operators.clone(),
                round: false,
            };
            self.draw(&kind, STREAM, index as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvConfig;

    #[test]
    fn every_mixture_has_its_tasks_over_held_in_keys() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        for (mixture, expected) in [
            (DataMixture::Mixed, [10, 30, 60]),
            (DataMixture::Arithmetic, [0, 0, 100]),
            (DataMixture::Substitution, [100, 0, 0]),
        ] {
            let examples: Vec<Example> = dataset.training_examples(mixture, [1, 2], 1000).collect();
            let of = |task| examples.iter().filter(move |example| example.task == task);
            assert_eq!(KvTask::TABLE.map(|task| of(task).count() / 10), expected);
            let is_held_in = |example: &Example| example.pool == KeyPool::HeldIn;
            assert!(of(KvTask::KvArithmetic).all(is_held_in));
            assert!(of(KvTask::KvSubstitution).all(|example| example.keys.len() <= 2));
        }
    }
}
