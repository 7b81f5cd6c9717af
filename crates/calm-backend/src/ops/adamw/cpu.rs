//! A step of AdamW on the processor. Each tensor is overwritten in place unless it is shared.

use std::iter::zip;

use burn::backend::Flex;

use super::{AdamWStep, Kernels};
use crate::ops::cpu::{FlexTensor, TASK_ELEMENTS, contiguous, run};

impl Kernels for Flex {
    fn adamw_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamWStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [mut parameter, gradient] = [parameter, gradient].map(contiguous);
        let [mut first, mut second] = [first, second].map(contiguous);
        let gradient: &[f32] = gradient.storage();
        let values: &mut [f32] = parameter.storage_mut();
        let (first_moments, second_moments): (&mut [f32], &mut [f32]) =
            (first.storage_mut(), second.storage_mut());
        let tasks = zip(
            zip(
                values.chunks_mut(TASK_ELEMENTS),
                gradient.chunks(TASK_ELEMENTS),
            ),
            zip(
                first_moments.chunks_mut(TASK_ELEMENTS),
                second_moments.chunks_mut(TASK_ELEMENTS),
            ),
        );
        let ([beta_1, beta_2], decay) = (step.betas, step.decay());
        let [correction_1, correction_2] = step.corrections();
        let rate = step.learning_rate as f32;
        run(
            gradient.len(),
            tasks,
            #[inline(always)]
            |((parameter, gradient), (first, second))| {
                let moments = zip(first, second);
                for ((parameter, gradient), (first, second)) in
                    zip(zip(parameter, gradient), moments)
                {
                    *first = *first * beta_1 + gradient * (1.0 - beta_1);
                    *second = *second * beta_2 + gradient * gradient * (1.0 - beta_2);
                    let root = (*second / correction_2).sqrt() + step.epsilon;
                    *parameter = *parameter * decay - *first / correction_1 / root * rate;
                }
            },
        );
        (parameter, first, second)
    }
}
