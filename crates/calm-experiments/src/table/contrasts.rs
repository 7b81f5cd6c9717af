//! Differences between systems on the same examples.

use calm_eval::significance::{Trials, holm};
use calm_eval::{ScoreError, Statistics};
use rayon::prelude::*;

use super::evaluated::TableOptions;
use super::measured::{Measured, MeasuredSystem};
use super::scores::{Uncertainty, seed_of};
use super::verdict::{LEVEL, verdict};
use super::{Contrast, Difference, Frame, GroupContrast, TableError};

/// Least trials for each comparison of a family: the least p-value, after correction, is a hundredth.
const TRIALS_EACH: usize = 100;

/// The main system against every other, and every other against the reference, on every tested task.
pub(super) fn contrasts(
    frame: &Frame,
    measured: &[Measured<'_>],
    options: &TableOptions,
) -> Result<Vec<Contrast>, TableError> {
    let pairs = pairs(frame);
    let options = &enough(options, &pairs, measured);
    let mut contrasts = Vec::new();
    for task in measured.iter().filter(|task| task.frame.tested) {
        let tested = Tested::new(task, options)?;
        for &[system, against] in &pairs {
            contrasts.extend(tested.contrast(frame, [system, against])?);
        }
    }
    correct(frame, &mut contrasts);
    Ok(contrasts)
}

/// Corrects the p-values of all comparisons together, and says what follows from them.
fn correct(frame: &Frame, contrasts: &mut [Contrast]) {
    let differences = contrasts.iter().flat_map(|contrast| {
        let groups = contrast.groups.iter().map(|group| group.difference.p);
        std::iter::once(contrast.difference.p).chain(groups)
    });
    let p_values: Vec<f64> = differences.collect();
    let family = p_values.len();
    let mut corrected = holm(&p_values).into_iter();
    let title = |id: &str| {
        let system = frame.systems.iter().find(|system| system.id == id);
        system.map_or_else(|| id.to_owned(), |system| system.title.clone())
    };
    for contrast in contrasts {
        let titles = [&contrast.system, &contrast.against].map(|id| title(id));
        let mut judge = |difference: &mut Difference, place: &str| {
            difference.p_corrected = corrected.next().unwrap_or(1.0);
            verdict(&titles, difference, (place, family))
        };
        contrast.verdict = judge(&mut contrast.difference, "");
        for group in &mut contrast.groups {
            group.verdict = judge(&mut group.difference, &group.group);
        }
    }
}

/// Numbers of the systems that are compared, each pair once.
fn pairs(frame: &Frame) -> Vec<[usize; 2]> {
    let number = |id: &str| frame.systems.iter().position(|system| system.id == id);
    let (Some(main), Some(reference)) = (number(&frame.main), number(&frame.reference)) else {
        return Vec::new();
    };
    let others = || (0..frame.systems.len()).filter(move |other| *other != main);
    let of_main = others().map(|other| [main, other]);
    let of_others = others().filter(|other| *other != reference && main != reference);
    let mut pairs: Vec<[usize; 2]> = of_main
        .chain(of_others.map(|other| [other, reference]))
        .collect();
    let expected = frame.expected.iter().filter_map(|expectation| {
        let over = expectation.over.as_deref()?;
        Some([number(&expectation.system)?, number(over)?])
    });
    for [system, over] in expected {
        if system != over && !pairs.contains(&[system, over]) && !pairs.contains(&[over, system]) {
            pairs.push([system, over]);
        }
    }
    pairs
}

/// With so many trials that the largest family of comparisons can have significant ones.
fn enough(options: &TableOptions, pairs: &[[usize; 2]], measured: &[Measured<'_>]) -> TableOptions {
    let tested = || measured.iter().filter(|task| task.frame.tested);
    let comparisons = tested().map(|task| {
        let is_there =
            |pair: &&[usize; 2]| pair.iter().all(|&system| task.systems[system].is_some());
        pairs.iter().filter(is_there).count() * (1 + tested_groups(task).len())
    });
    let languages = tested().map(|task| task.languages.len()).max();
    let family = comparisons.sum::<usize>().max(languages.unwrap_or(0));
    TableOptions {
        trials: options.trials.max(TRIALS_EACH * family),
        ..*options
    }
}

/// Groups that are compared by themselves: those of some of the languages. A group of all is the task.
fn tested_groups<'a>(task: &Measured<'a>) -> Vec<(&'a str, Vec<usize>)> {
    let mut groups = task.groups();
    groups.retain(|(_, numbers)| numbers.len() < task.languages.len());
    groups
}

/// A task whose systems are compared.
struct Tested<'m, 'a> {
    task: &'m Measured<'a>,
    /// By system and language.
    systems: Vec<Option<Vec<Pooled<'a>>>>,
    options: &'m TableOptions,
}

/// Outputs of all seeds for the examples of a language.
struct Pooled<'a> {
    /// As if every system had been run with the same number of seeds.
    statistics: Statistics<'a>,
    score: f64,
    resamples: Trials,
}

/// A difference in a language, with its random trials.
struct Tried {
    points: f64,
    randomised: Trials,
    resamples: Trials,
    n: usize,
}

impl<'m, 'a> Tested<'m, 'a> {
    fn new(task: &'m Measured<'a>, options: &'m TableOptions) -> Result<Self, TableError> {
        let counts = task
            .systems
            .iter()
            .flatten()
            .map(|system| system.seeds.len() as u64);
        let common = counts.fold(1, least_common_multiple);
        let systems = task.systems.par_iter().map(|system| {
            let Some(system) = system else {
                return Ok(None);
            };
            let factor = common / system.seeds.len() as u64;
            let languages = (0..system.scores.len()).into_par_iter();
            let pooled = languages.map(|language| Pooled::new(system, language, factor, options));
            pooled.collect::<Result<Vec<_>, _>>().map(Some)
        });
        let systems: Result<_, ScoreError> = systems.collect();
        Ok(Self {
            task,
            systems: systems.map_err(|source| error(task, source))?,
            options,
        })
    }

    /// The difference between two systems, if both were evaluated. Overall p-values are not
    /// corrected yet.
    fn contrast(&self, frame: &Frame, numbers: [usize; 2]) -> Result<Option<Contrast>, TableError> {
        let [Some(system), Some(against)] = numbers.map(|number| self.systems[number].as_ref())
        else {
            return Ok(None);
        };
        let pairs = against.par_iter().zip(system).enumerate();
        let tried = pairs.map(|(language, (baseline, system))| {
            Tried::new(
                baseline,
                system,
                seed_of(language, self.options),
                self.options.trials,
            )
        });
        let tried: Result<Vec<Tried>, ScoreError> = tried.collect();
        let tried = tried.map_err(|source| error(self.task, source))?;
        let Some(overall) = Tried::mean(tried.iter()) else {
            return Ok(None);
        };
        let languages = self.languages(&tried);
        let groups = tested_groups(self.task).into_iter();
        let groups = groups.filter_map(|(group, numbers)| {
            let own = numbers.iter().filter_map(|number| languages.get(*number));
            let own: Vec<&(String, Difference)> = own.collect();
            Some(GroupContrast {
                group: group.to_owned(),
                languages: numbers.len(),
                difference: Tried::mean(numbers.iter().map(|number| &tried[*number]))?.difference(),
                wins: wins(&own, f64::INFINITY),
                significant_wins: wins(&own, LEVEL),
                verdict: String::new(),
            })
        });
        let groups = groups.collect();
        let all: Vec<&(String, Difference)> = languages.iter().collect();
        let [system, against] = numbers.map(|number| frame.systems[number].id.clone());
        Ok(Some(Contrast {
            task: self.task.frame.id.clone(),
            system,
            against,
            difference: overall.difference(),
            wins: wins(&all, f64::INFINITY),
            significant_wins: wins(&all, LEVEL),
            languages,
            verdict: String::new(),
            groups,
        }))
    }

    /// Every language by itself, corrected for their number; empty if the task has none.
    fn languages(&self, tried: &[Tried]) -> Vec<(String, Difference)> {
        let differences: Vec<Difference> = tried.iter().map(Tried::difference).collect();
        let p_values: Vec<f64> = differences.iter().map(|difference| difference.p).collect();
        let corrected = holm(&p_values).into_iter();
        let names = self.task.names().into_iter();
        let languages = names.zip(differences).zip(corrected);
        let languages = languages.map(|((name, difference), p_corrected)| {
            (
                name,
                Difference {
                    p_corrected,
                    ..difference
                },
            )
        });
        languages.collect()
    }
}

impl<'a> Pooled<'a> {
    fn new(
        system: &MeasuredSystem<'a>,
        language: usize,
        factor: u64,
        options: &TableOptions,
    ) -> Result<Self, ScoreError> {
        let statistics = system.pooled(language).times(factor);
        let resamples = match &system.scores[language].uncertainty {
            Uncertainty::Texts(trials) if factor == 1 => trials.clone(),
            _ => {
                let seed = seed_of(language, options);
                Trials::bootstrap(&statistics, options.resamples, seed)?
            }
        };
        Ok(Self {
            score: statistics.corpus(),
            statistics,
            resamples,
        })
    }
}

impl Tried {
    fn new(
        baseline: &Pooled<'_>,
        system: &Pooled<'_>,
        seed: u64,
        trials: usize,
    ) -> Result<Self, ScoreError> {
        let statistics = [&baseline.statistics, &system.statistics];
        Ok(Self {
            points: system.score - baseline.score,
            randomised: Trials::randomised(statistics[0], statistics[1], trials, seed)?,
            resamples: system.resamples.minus(&baseline.resamples),
            n: system.statistics.len(),
        })
    }

    /// The mean over languages, in which everything is drawn by itself.
    fn mean<'t>(languages: impl ExactSizeIterator<Item = &'t Self> + Clone) -> Option<Self> {
        let points = languages.clone().map(|language| language.points);
        Some(Self {
            points: points.sum::<f64>() / languages.len() as f64,
            randomised: Trials::mean(languages.clone().map(|language| &language.randomised))?,
            resamples: Trials::mean(languages.clone().map(|language| &language.resamples))?,
            n: languages.map(|language| language.n).sum(),
        })
    }

    fn difference(&self) -> Difference {
        let p = self.randomised.p_value(self.points);
        Difference {
            points: self.points,
            interval_95: self.resamples.interval_95(),
            p,
            p_corrected: p,
            n: self.n,
        }
    }
}

/// How many differences are above zero, and below, with a corrected p below `level`.
fn wins(languages: &[&(String, Difference)], level: f64) -> [usize; 2] {
    [1.0, -1.0].map(|sign| {
        let of_sign = languages.iter().filter(|(_, difference)| {
            sign * difference.points > 0.0 && difference.p_corrected < level
        });
        of_sign.count()
    })
}

fn error(task: &Measured<'_>, source: ScoreError) -> TableError {
    let first = task.systems.iter().flatten().next();
    TableError::Score {
        directory: first.map_or_else(Default::default, |system| {
            system.seeds[0].evaluated.directory.clone()
        }),
        task: task.frame.id.clone(),
        source,
    }
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_seeds_have_a_common_multiple() {
        assert_eq!([1, 5, 3].into_iter().fold(1, least_common_multiple), 15);
        assert_eq!([4, 6].into_iter().fold(1, least_common_multiple), 12);
    }
}
