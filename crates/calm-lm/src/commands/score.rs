//! `calm score`: scores texts against references.

use std::path::{Path, PathBuf};

use calm_lm::data::DataError;
use calm_lm::data::benchmarks::code_text;
use calm_lm::data::corpus::{check_counts, text_lines};
use calm_lm::eval::significance::{bootstrap, paired_bootstrap, paired_randomisation};
use calm_lm::eval::{
    AnswerMatch, Bleu, BleuTokenizer, Chrf, Metric, ScoreError, Smoothing, Statistics,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::eval::tasks::{self, SandboxArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The score of translations, one sentence per line:
    calm score --metric chrf1 --hyp out.txt --ref ref.txt

  Several systems and metrics, held against the first system:
    calm score --metric chrf1 bleu --hyp base.txt new.txt --ref ref.txt --paired-bootstrap

  Another order and weight of recall, with a confidence interval:
    calm score --metric chrf --char-order 4 --beta 3 --hyp out.txt --ref ref.txt --confidence

  The files of CodeXGLUE's evaluator, whose lines begin with an index:
    calm score --metric chrf1 --indexed --hyp predictions.txt --ref reference.txt

  The score of every sentence besides that of the whole:
    calm score --metric bleu --effective-order --sentence-level --hyp out.txt --ref ref.txt

  The answers of a run, without generating them again:
    calm score --samples runs/gsm8k/samples.jsonl

Scores are from 0 to 100; those of chrF and BLEU are sacreBLEU's. Several --ref are
several references of each line. Lines end at LF alone.";

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Metrics to compute
    #[arg(long = "metric", value_name = "NAME", required_unless_present = "samples", num_args = 1..)]
    metrics: Vec<MetricName>,
    /// Texts to be scored, a file for each system; the first is the baseline
    #[arg(long, value_name = "FILE", required_unless_present = "samples", num_args = 1..)]
    hyp: Vec<PathBuf>,
    /// References, several files for several references of each line
    #[arg(long = "ref", value_name = "FILE", required_unless_present = "samples", num_args = 1..)]
    references: Vec<PathBuf>,
    /// Score the samples of a run of `calm eval --task` again, as its tasks say
    #[arg(long, value_name = "FILE", conflicts_with_all = ["metrics", "hyp", "references"])]
    samples: Option<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Lines are an index, a tab and a text; those of the same index belong together
    #[arg(long)]
    indexed: bool,
    /// Print the score of every sentence, too
    #[arg(long)]
    sentence_level: bool,
    /// Compare texts in lower case
    #[arg(long)]
    lowercase: bool,
    /// With the metric chrf: longest n-grams of characters [default: 6]
    #[arg(long, value_name = "N")]
    char_order: Option<usize>,
    /// With the metric chrf: longest n-grams of words [default: 0]
    #[arg(long, value_name = "N")]
    word_order: Option<usize>,
    /// With the metric chrf: weight of recall relative to precision [default: 2]
    #[arg(long, value_name = "BETA")]
    beta: Option<f64>,
    /// With the metric bleu: 13a, intl, char or none [default: 13a]
    #[arg(long, value_name = "NAME")]
    tokenize: Option<BleuTokenizer>,
    /// With the metric bleu: exp, floor, add-k or none [default: exp]
    #[arg(long, value_name = "NAME")]
    smooth: Option<String>,
    /// With --smooth floor or add-k: its value [default: 0.1 or 1]
    #[arg(long, value_name = "VALUE")]
    smooth_value: Option<f64>,
    /// With the metric bleu: leave out orders that a text is too short for
    ///
    /// For scores of single sentences.
    #[arg(long)]
    effective_order: bool,
    /// Print the 95 % interval of a bootstrap
    #[arg(long)]
    confidence: bool,
    /// Test whether systems differ from the first, by paired bootstrap
    #[arg(long, conflicts_with = "paired_randomisation")]
    paired_bootstrap: bool,
    /// Test whether systems differ from the first, by paired approximate randomisation
    #[arg(long)]
    paired_randomisation: bool,
    /// Resamples of a bootstrap
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: usize,
    /// Trials of the randomisation
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    trials: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MetricName {
    /// Precision and recall with equal weight, as in the CALM paper
    Chrf1,
    /// Recall counts twice; much software calls it chrF
    Chrf2,
    /// chrF2 with pairs of words
    #[value(name = "chrf++")]
    ChrfPlusPlus,
    /// With --char-order, --word-order and --beta
    Chrf,
    /// With --tokenize and --smooth
    Bleu,
    /// Share of texts that are their reference, apart from spaces at their ends
    Exact,
    /// Share of texts whose last number is their reference's
    Number,
    /// Share of texts whose number behind #### is their reference's
    NumberStrict,
}

impl ScoreArgs {
    fn check_flags(&self) -> Result<(), Failure> {
        let chrf = [
            ("--char-order", self.char_order.is_some()),
            ("--word-order", self.word_order.is_some()),
            ("--beta", self.beta.is_some()),
        ];
        let bleu = [
            ("--tokenize", self.tokenize.is_some()),
            ("--smooth", self.smooth.is_some()),
            ("--smooth-value", self.smooth_value.is_some()),
            ("--effective-order", self.effective_order),
        ];
        for (metric, name, flags) in [
            (MetricName::Chrf, "chrf", &chrf[..]),
            (MetricName::Bleu, "bleu", &bleu),
        ] {
            let given = flags.iter().find(|(_, is_given)| *is_given);
            if let Some((flag, _)) = given
                && !self.metrics.contains(&metric)
            {
                return Err(Failure::flag(flag, format!("is of --metric {name} alone")));
            }
        }
        if (self.paired_bootstrap || self.paired_randomisation) && self.hyp.len() < 2 {
            let reason = "a paired test compares systems; give several files";
            return Err(Failure::flag("--hyp", reason));
        }
        Ok(())
    }

    /// The interval of a score, and the test against the baseline, if they are asked for.
    fn confidence(
        &self,
        seed: u64,
        system: &Statistics<'_>,
        baseline: Option<&Statistics<'_>>,
    ) -> Result<Option<ScoreConfidence>, ScoreError> {
        let resamples = self.resamples;
        let tested = match baseline {
            Some(baseline) if self.paired_bootstrap => {
                Some(paired_bootstrap(baseline, system, resamples, seed)?)
            }
            Some(baseline) if self.paired_randomisation => Some(paired_randomisation(
                baseline,
                system,
                self.trials,
                resamples,
                seed,
            )?),
            _ => None,
        };
        let is_asked = self.confidence || self.paired_bootstrap || self.paired_randomisation;
        let confidence = match &tested {
            Some(tested) => tested.confidence,
            None if is_asked => bootstrap(system, resamples, seed)?,
            None => return Ok(None),
        };
        Ok(Some(ScoreConfidence {
            p_value: tested.map(|tested| tested.p_value),
            mean: confidence.mean,
            half_width_95: confidence.half_width,
            interval_95: confidence.interval_95,
            resamples,
            seed,
        }))
    }

    fn metric(&self, name: MetricName) -> Result<Box<dyn Metric>, ScoreError> {
        let chrf = match name {
            MetricName::Chrf1 => Chrf::chrf1(),
            MetricName::Chrf2 => Chrf::chrf2(),
            MetricName::ChrfPlusPlus => Chrf::chrf_plus_plus(),
            MetricName::Chrf => Chrf::new(
                self.char_order.unwrap_or(6),
                self.word_order.unwrap_or(0),
                self.beta.unwrap_or(2.0),
            )?,
            MetricName::Exact => {
                let lowercase = self.lowercase;
                return Ok(Box::new(AnswerMatch::Exact { lowercase }));
            }
            MetricName::Number => return Ok(Box::new(AnswerMatch::Number)),
            MetricName::NumberStrict => return Ok(Box::new(AnswerMatch::NumberStrict)),
            MetricName::Bleu => {
                let smooth = self.smooth.as_deref().unwrap_or("exp");
                return Ok(Box::new(Bleu {
                    tokenizer: self.tokenize.unwrap_or_default(),
                    smoothing: Smoothing::named(smooth, self.smooth_value)?,
                    lowercase: self.lowercase,
                    effective_order: self.effective_order,
                }));
            }
        };
        Ok(Box::new(chrf.with_lowercase(self.lowercase)))
    }
}

pub(super) fn run(args: &ScoreArgs, common: &Common) -> Result<Report, Failure> {
    if let Some(samples) = &args.samples {
        return tasks::again(samples, &args.sandbox, common);
    }
    args.check_flags()?;
    let metrics = args.metrics.iter().map(|&name| args.metric(name));
    let metrics: Vec<Box<dyn Metric>> = metrics.collect::<Result<_, _>>()?;
    let (systems, references) = match args.indexed {
        true => read_indexed(args)?,
        false => read_lines(args)?,
    };
    warn_of_empty(&args.references, &references);
    let mut scores = Vec::new();
    for metric in &metrics {
        let counted = systems
            .iter()
            .map(|texts| Statistics::of(&**metric, texts, &references));
        let counted: Vec<Statistics<'_>> = counted.collect::<Result<_, _>>()?;
        for (index, system) in counted.iter().enumerate() {
            let baseline = (index > 0).then_some(&counted[0]);
            let hyp = &args.hyp[index];
            scores.push(SystemScore::new(args, common.seed, hyp, system, baseline)?);
        }
    }
    let lines = scores.iter().map(SystemScore::line);
    let text: String = lines.chain(sentence_lines(&scores)).collect();
    let result = Scores {
        only: (scores.len() == 1).then(|| &scores[0]),
        references: &args.references,
        n: systems[0].len(),
        scores: &scores,
    };
    Ok(Report::new(text, result))
}

#[derive(Serialize)]
struct Scores<'a> {
    /// A single score is written at the top level, too.
    #[serde(flatten)]
    only: Option<&'a SystemScore<'a>>,
    references: &'a [PathBuf],
    n: usize,
    scores: &'a [SystemScore<'a>],
}

/// One score of one system.
#[derive(Serialize)]
struct SystemScore<'a> {
    hyp: &'a Path,
    metric: String,
    score: f64,
    signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence_scores: Option<Vec<f64>>,
    #[serde(flatten)]
    confidence: Option<ScoreConfidence>,
}

#[derive(Serialize)]
struct ScoreConfidence {
    #[serde(skip_serializing_if = "Option::is_none")]
    p_value: Option<f64>,
    mean: f64,
    half_width_95: f64,
    interval_95: [f64; 2],
    resamples: usize,
    seed: u64,
}

impl<'a> SystemScore<'a> {
    fn new(
        args: &ScoreArgs,
        seed: u64,
        hyp: &'a Path,
        system: &Statistics<'_>,
        baseline: Option<&Statistics<'_>>,
    ) -> Result<Self, ScoreError> {
        let metric = system.metric();
        let sentences = (0..system.len()).map(|index| system.sentence(index));
        Ok(Self {
            hyp,
            metric: metric.name(),
            score: system.corpus(),
            signature: metric.signature(args.references.len()),
            sentence_scores: args.sentence_level.then(|| sentences.collect()),
            confidence: args.confidence(seed, system, baseline)?,
        })
    }

    /// A line of the table.
    fn line(&self) -> String {
        let (hyp, metric, score) = (self.hyp.display(), &self.metric, self.score);
        let mut line = format!("{hyp}  {metric} = {score:.2}");
        if let Some(confidence) = &self.confidence {
            let [low, high] = confidence.interval_95;
            line += &format!(" (95 % interval {low:.2} to {high:.2})");
            if let Some(p_value) = confidence.p_value {
                line += &format!(" (p = {p_value:.4})");
            }
        }
        format!("{line}  {}\n", self.signature)
    }
}

/// A line for each sentence, with its score by every line of the table.
fn sentence_lines(scores: &[SystemScore<'_>]) -> impl Iterator<Item = String> {
    let columns = scores
        .iter()
        .filter_map(|score| score.sentence_scores.as_ref());
    let columns: Vec<&Vec<f64>> = columns.collect();
    let count = columns.first().map_or(0, |column| column.len());
    (0..count).map(move |index| {
        let numbers = columns
            .iter()
            .map(|column| format!("  {:6.2}", column[index]));
        format!("{:>6}{}\n", index + 1, numbers.collect::<String>())
    })
}

/// Texts of systems, and of references.
type Texts = (Vec<Vec<String>>, Vec<Vec<String>>);

/// Texts of files, one per line; line n of a system belongs to line n of the references.
fn read_lines(args: &ScoreArgs) -> Result<Texts, DataError> {
    let read = |paths: &[PathBuf]| {
        let texts = paths.iter().map(|path| text_lines(path));
        texts.collect::<Result<Vec<_>, _>>()
    };
    let (references, systems) = (read(&args.references)?, read(&args.hyp)?);
    for (path, texts) in args.hyp.iter().zip(&systems) {
        for (reference, expected) in args.references.iter().zip(&references) {
            check_counts(path, texts.len(), reference, expected.len())?;
        }
    }
    Ok((systems, references))
}

/// Texts of files with indices, in the order of the indices.
fn read_indexed(args: &ScoreArgs) -> Result<Texts, DataError> {
    let joined = |hyp: &Path, reference: &Path| -> Result<(Vec<_>, Vec<_>), DataError> {
        Ok(code_text::predictions(hyp, reference)?.into_iter().unzip())
    };
    let (hyp, reference) = (&args.hyp[0], &args.references[0]);
    let systems = args.hyp.iter().map(|hyp| Ok(joined(hyp, reference)?.0));
    let systems = systems.collect::<Result<_, DataError>>()?;
    let others = args.references.iter();
    let references = others.map(|other| Ok(joined(hyp, other)?.1));
    let references = references.collect::<Result<_, DataError>>()?;
    Ok((systems, references))
}

/// Warns of references without a word. They count, as they do in sacreBLEU, but may be a mistake.
fn warn_of_empty(paths: &[PathBuf], references: &[Vec<String>]) {
    for (path, texts) in paths.iter().zip(references) {
        let is_empty = |text: &&String| text.trim().is_empty();
        let empty = texts.iter().filter(is_empty).count();
        if empty > 0 {
            let (path, all) = (path.display(), texts.len());
            tracing::warn!("{path}: {empty} of {all} references are empty; they count as no words");
        }
    }
}
