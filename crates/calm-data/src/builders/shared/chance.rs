//! Chance that a seed and what a record holds decide.

use super::Counted;
use crate::cleaning::key;

/// Draws for records. They depend on the seed and the record's texts alone, not on the records around
/// it, their order or the threads.
#[derive(Debug, Clone, Copy)]
pub(in crate::builders) struct Chance {
    pub(in crate::builders) seed: u64,
}

impl Chance {
    /// A number above 0 and below 1. Each `purpose` has one of its own.
    pub(in crate::builders) fn unit(self, purpose: &str, record: &impl Counted) -> f64 {
        let scope = format!("{} {purpose}", self.seed);
        let bits = key(&scope, record.identity()) >> 75;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A whole number from 0 to `most`.
    pub(in crate::builders) fn up_to(
        self,
        most: usize,
        purpose: &str,
        record: &impl Counted,
    ) -> usize {
        (self.unit(purpose, record) * (most + 1) as f64) as usize
    }

    /// How often a record of a weight is used: twice if it is 2, and with a chance of one half if it
    /// is 0.5.
    pub(in crate::builders) fn copies(self, weight: f64, record: &impl Counted) -> usize {
        let is_once_more = self.unit("weight", record) < weight.fract();
        weight.trunc() as usize + usize::from(is_once_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{CorpusRecord, Origin, Segment};

    #[test]
    fn draws_are_even() {
        let chance = Chance { seed: 3 };
        let record = |number: usize| CorpusRecord {
            source: Segment {
                language: "npi_Deva".parse().unwrap(),
                text: number.to_string(),
            },
            target: None,
            origin: Origin {
                corpus: 0,
                file: 0,
                place: 0,
            },
        };
        let records: Vec<_> = (0..4_000).map(record).collect();
        let mean = |draw: &dyn Fn(&CorpusRecord) -> f64| {
            records.iter().map(draw).sum::<f64>() / records.len() as f64
        };
        assert!((mean(&|record| chance.unit("a", record)) - 0.5).abs() < 0.025);
        assert!((mean(&|record| chance.up_to(5, "b", record) as f64) - 2.5).abs() < 0.15);
        assert!((mean(&|record| chance.copies(2.25, record) as f64) - 2.25).abs() < 0.04);
        assert!(records.iter().all(|record| chance.copies(1.0, record) == 1));
        assert_ne!(chance.unit("a", &records[0]), chance.unit("b", &records[0]));
        assert_ne!(
            chance.unit("a", &records[0]),
            Chance { seed: 4 }.unit("a", &records[0])
        );
    }
}
