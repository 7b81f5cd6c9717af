//! Gradients of the batches of a step, added up alike whoever computed them.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use calm_data::Batch;

use crate::Objective;

/// Loss and gradients, each summed over the target tokens of some batches of a step that follow one
/// another.
#[derive(Debug)]
pub struct GradientSum {
    /// The first of these batches, counted from 0 within the step.
    pub first: usize,
    /// How many they are.
    pub batches: usize,
    /// Cross-entropy in nats.
    pub loss: f64,
    /// By every parameter that the loss depends on.
    pub gradients: GradientsParams,
}

impl GradientSum {
    /// Those of a single batch.
    pub(crate) fn of<O: Objective>(
        objective: &O,
        parameters: &O::Parameters,
        number: usize,
        batch: &Batch,
    ) -> Self {
        let (loss, gradients) = objective.gradients(parameters, batch);
        Self {
            first: number,
            batches: 1,
            loss,
            gradients,
        }
    }

    /// Whether the pairwise sum adds this to that.
    fn pairs_with(&self, next: &Self) -> bool {
        self.batches == next.batches && (self.first / self.batches).is_multiple_of(2)
    }

    fn plus<M: Module>(self, next: Self, parameters: &M) -> Self {
        let mut gradients = GradientsAccumulator::new();
        gradients.accumulate(parameters, self.gradients);
        gradients.accumulate(parameters, next.gradients);
        Self {
            first: self.first,
            batches: self.batches + next.batches,
            loss: self.loss + next.loss,
            gradients: gradients.grads(),
        }
    }
}

/// Adds batches in pairs, 0 with 1 and 2 with 3, then these sums in pairs, and so on.
///
/// Additions of floating-point numbers may not be regrouped without a change in the last bits. Here
/// the groups depend on the batches' numbers alone, so that the sum is the same bits whether one
/// device adds them all, or several send the sums of their parts, as long as each part consists of
/// whole groups; a part that does not is sent as several sums.
#[derive(Debug, Default)]
pub(crate) struct PairwiseSum {
    /// Groups whose neighbour has not come yet, the larger ones first.
    open: Vec<GradientSum>,
}

impl PairwiseSum {
    /// Adds the sum that follows those that there are.
    pub(crate) fn push<M: Module>(&mut self, mut next: GradientSum, parameters: &M) {
        while let Some(last) = self.open.pop_if(|last| last.pairs_with(&next)) {
            next = last.plus(next, parameters);
        }
        self.open.push(next);
    }

    /// The sums so far: few, which another pairwise sum can take up.
    pub(crate) fn into_parts(self) -> Vec<GradientSum> {
        self.open
    }

    /// The sum of all.
    pub(crate) fn total<M: Module>(self, parameters: &M) -> (f64, GradientsParams) {
        let mut parts = self.open.into_iter().rev();
        let Some(last) = parts.next() else {
            return (0.0, GradientsParams::new());
        };
        let total = parts.fold(last, |sum, before| before.plus(sum, parameters));
        (total.loss, total.gradients)
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::{Device, Tensor};

    use super::*;

    /// Gradients that no order of additions but the same one gives the same sum of.
    fn sum(number: usize, linear: &Linear) -> GradientSum {
        let mut gradients = GradientsParams::new();
        let device = linear.weight.device().without_autodiff();
        let value = (0.1 + number as f64).sqrt() * if number.is_multiple_of(3) { 1e5 } else { 1.0 };
        gradients.register(linear.weight.id, Tensor::<2>::full([1, 1], value, &device));
        GradientSum {
            first: number,
            batches: 1,
            loss: value,
            gradients,
        }
    }

    fn total(sums: PairwiseSum, linear: &Linear) -> (u64, u32) {
        let (loss, gradients) = sums.total(linear);
        let gradient = gradients.get::<2>(linear.weight.id).unwrap();
        (loss.to_bits(), gradient.into_scalar::<f32>().to_bits())
    }

    #[test]
    fn however_batches_are_parted_the_sum_is_the_same_bits() {
        let device = Device::default().autodiff();
        let linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
        let mut regrouped = 0;
        for count in 1..=20 {
            let mut alone = PairwiseSum::default();
            let (mut in_order, mut loss) = (0f32, 0f64);
            for number in 0..count {
                let next = sum(number, &linear);
                loss += next.loss;
                in_order += next.loss as f32;
                alone.push(next, &linear);
            }
            let alone = total(alone, &linear);
            regrouped += usize::from(alone != (loss.to_bits(), in_order.to_bits()));
            for workers in 1..=count {
                let mut parted = PairwiseSum::default();
                for worker in 0..workers {
                    let part = worker * count / workers..(worker + 1) * count / workers;
                    let mut of_worker = PairwiseSum::default();
                    for number in part {
                        of_worker.push(sum(number, &linear), &linear);
                    }
                    for group in of_worker.into_parts() {
                        parted.push(group, &linear);
                    }
                }
                assert_eq!(total(parted, &linear), alone, "{count} over {workers}");
            }
        }
        assert!(
            regrouped > 5,
            "the order of additions shows in these numbers"
        );
    }

    #[test]
    fn whole_groups_are_one_sum() {
        let device = Device::default().autodiff();
        let linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
        let parts = |batches: std::ops::Range<usize>| {
            let mut part = PairwiseSum::default();
            batches.for_each(|number| part.push(sum(number, &linear), &linear));
            let parts = part.into_parts().into_iter();
            parts
                .map(|sum| (sum.first, sum.batches))
                .collect::<Vec<_>>()
        };
        assert_eq!(parts(0..8), [(0, 8)]);
        assert_eq!(parts(8..12), [(8, 4)]);
        assert_eq!(parts(3..8), [(3, 1), (4, 4)]);
        assert_eq!(parts(1..7), [(1, 1), (2, 2), (4, 2), (6, 1)]);
    }
}
