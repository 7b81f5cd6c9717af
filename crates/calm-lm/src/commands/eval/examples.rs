//! `calm eval --data`: scores of examples with prompts and targets.

use std::path::Path;

use calm_lm::data::{DataError, ExampleReader, Record, RenderChat, Tokenizing, TooLong, jsonl};
use calm_lm::eval::examples::{Perplexity, SHOT_END, TargetLoss, with_shots};
use calm_lm::eval::{Estimate, GreedySample, Proportion, Statistics, accuracy};
use calm_lm::models::{Answer, AnswerOptions, Question, answer};
use calm_lm::terminal::Progress;
use calm_lm::train::runs::locate_examples;
use calm_lm::train::{
    AskedExample, ChatTokenizer, DataTokenizer, Questions, TrainError, example_losses,
};
use serde::Serialize;

use super::args::EvalArgs;
use super::metric::{EvalMetric, Scoring};
use crate::cli::Common;
use crate::commands::model::{Model, ModelArgs, show_fetching};
use crate::failure::Failure;
use crate::report::Report;

/// Prompts that are decoded together.
const ROWS: usize = 256;

/// Most tokens of an answer that is not compared token for token.
const MAX_NEW_TOKENS: usize = 256;

/// Scores a file of examples.
pub(super) fn run(
    args: &EvalArgs,
    model: &ModelArgs,
    data: &Path,
    common: &Common,
) -> Result<Report, Failure> {
    common.device()?;
    check_writable(args.samples.as_deref())?;
    let quiet = common.quiet;
    let data = &show_fetching(quiet, |show| locate_examples(data, show))?;
    let (records, asked) = read(args, &data.path)?;
    let is_text = |record: &Record| matches!(record, Record::Text(_));
    let metric = args.metric.unwrap_or(match is_text(&records[0]) {
        true => EvalMetric::Perplexity,
        false => EvalMetric::Exact,
    });
    if metric == EvalMetric::Perplexity && args.amounts.max_new_tokens.is_some() {
        let reason = "has no meaning with --metric perplexity, for which nothing is generated";
        return Err(Failure::flag("--max-new-tokens", reason));
    }
    let model = Model::load(model, &args.load, &args.scales, common)?;
    model.warn_of_learnt(&data.name.to_string_lossy(), &asked);
    let examples = Examples {
        args,
        data: &data.name,
        records,
        chat: ChatTokenizer::new(&model.composition, model.end_of_text()?),
        model,
        common,
    };
    match metric.scoring() {
        None => examples.perplexity(),
        Some(scoring) => examples.answers(metric, &scoring),
    }
}

/// The examples that are evaluated, with worked examples before them and without.
fn read(args: &EvalArgs, data: &Path) -> Result<(Vec<Record>, Vec<Record>), Failure> {
    let (form, amounts) = (args.form.form(), &args.amounts);
    let count = amounts.shots.unwrap_or(0);
    if count == 0 && amounts.shots_file.is_some() {
        return Err(Failure::flag(
            "--shots-file",
            "needs --shots, the number of its examples",
        ));
    }
    let all = |path: &Path| {
        ExampleReader::read(path, &form, None).map_err(|error| of_benchmark(path, error))
    };
    let mut records = all(data)?;
    let shots = match &amounts.shots_file {
        Some(path) => all(path)?.into_iter().take(count).collect(),
        None => records
            .drain(..count.min(records.len()))
            .collect::<Vec<_>>(),
    };
    if shots.len() < count || records.is_empty() {
        let path = amounts.shots_file.as_deref().unwrap_or(data);
        let reason = format!(
            "holds too few rows for --shots {count}; ask for fewer, or give others with --shots-file"
        );
        return Err(Failure::path(path, reason));
    }
    records.truncate(amounts.limit.map_or(usize::MAX, |limit| limit.get()));
    let with_shots = records.iter().enumerate().map(|(number, record)| {
        with_shots(record, &shots).map_err(|reason| {
            let reason = format!("example {number} {reason}; give others with --shots-file");
            Failure::path(data, reason)
        })
    });
    Ok((with_shots.collect::<Result<_, Failure>>()?, records.clone()))
}

/// An error of a file of examples. In a directory there may be a benchmark's files.
fn of_benchmark(path: &Path, error: DataError) -> Failure {
    match path.is_dir() {
        false => error.into(),
        true => {
            let reason =
                format!("{error}; if the directory holds a benchmark's files, name it with --task");
            Failure::path(path, reason)
        }
    }
}

/// Checked first, so that a long evaluation is not lost to a wrong path.
fn check_writable(samples: Option<&Path>) -> Result<(), Failure> {
    let parent = samples.and_then(Path::parent);
    match parent {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            let reason = "there is no such directory to write samples to; make it first";
            Err(Failure::path(parent, reason))
        }
        _ => Ok(()),
    }
}

/// Examples, and the model that is evaluated on them.
struct Examples<'a> {
    args: &'a EvalArgs,
    data: &'a Path,
    records: Vec<Record>,
    model: Model,
    chat: ChatTokenizer,
    common: &'a Common,
}

/// The outcome, as `--json` prints it.
#[derive(Serialize)]
struct Scored<'a> {
    model: &'a str,
    data: &'a Path,
    metric: &'a str,
    #[serde(flatten)]
    estimate: Estimate,
    n: usize,
    shots: usize,
    signature: String,
    #[serde(flatten)]
    share: Option<Share>,
    #[serde(flatten)]
    loss: Option<Loss>,
    samples: Option<&'a Path>,
}

#[derive(Serialize)]
struct Share {
    percent: f64,
    hits: usize,
}

#[derive(Serialize)]
struct Loss {
    nats_per_token: f64,
    tokens: usize,
}

/// A line of the file of samples, where nothing was answered.
#[derive(Serialize)]
struct LossSample {
    prompt: String,
    target: String,
    nats: f64,
    tokens: usize,
}

impl Examples<'_> {
    fn shots(&self) -> usize {
        self.args.amounts.shots.unwrap_or(0)
    }

    fn tokenizing<'t>(&'t self, tokenizer: &'t DataTokenizer<'t>) -> Tokenizing<'t> {
        Tokenizing {
            tokenizer,
            end_of_text: self.chat.stop_ids()[0],
            context: self.model.composition.anchor.model.config().context_length,
            too_long: TooLong::Error,
            cut_texts: true,
            chat: Some(&self.chat as &dyn RenderChat),
            finds_words: false,
        }
    }

    fn named(&self, source: DataError) -> Failure {
        Failure::Text {
            origin: self.data.display().to_string(),
            source,
        }
    }

    /// Prompts, and tokens of the right answers. Refuses words that the model does not know and
    /// targets that do not fit: both would be scored as mistakes of the model.
    fn asked(&self) -> Result<(Vec<AskedExample>, AnswerOptions), Failure> {
        let tokenizer = DataTokenizer(self.model.tokenizer());
        let tokenizing = self.tokenizing(&tokenizer);
        let questions = Questions {
            tokenizing,
            chat: Some(&self.chat),
        };
        let asked = self.records.iter().enumerate().map(|(number, record)| {
            let asked = questions.of(number, record)?;
            let tokens = asked.question.prompt.ids.len() + asked.question.target.len() + 1;
            match tokens <= tokenizing.context {
                true => Ok(asked),
                false => Err(DataError::TooLong {
                    example: number,
                    tokens,
                    context: tokenizing.context,
                }),
            }
        });
        let asked = asked.collect::<Result<_, DataError>>();
        let has_texts = self.shots() > 0 && matches!(self.records[0], Record::PromptTarget(_));
        let options = AnswerOptions {
            stop_ids: questions.stop_ids(&self.records),
            stop_texts: has_texts.then(|| SHOT_END.to_owned()).into_iter().collect(),
            max_new_tokens: self.args.amounts.max_new_tokens.map(|count| count.get()),
        };
        Ok((asked.map_err(|source| self.named(source))?, options))
    }

    /// Lets the model answer, and scores the answers.
    fn answers(&self, metric: EvalMetric, scoring: &Scoring) -> Result<Report, Failure> {
        let (asked, mut options) = self.asked()?;
        if metric != EvalMetric::Exact {
            options.max_new_tokens.get_or_insert(MAX_NEW_TOKENS);
        }
        let is_by_token = metric == EvalMetric::Exact && options.stop_texts.is_empty();
        let is_right = |answer: &Answer, target: &str| match scoring {
            Scoring::Share(_) if is_by_token => answer.is_correct,
            Scoring::Share(metric) => {
                let counted = Statistics::of(&**metric, &[&*answer.output], &[vec![target]]);
                counted.is_ok_and(|counted| counted.sentence(0) > 0.0)
            }
            Scoring::Texts(_) => answer.output.trim() == target.trim(),
        };
        let samples = self.answered(&asked, &options, is_right)?;
        if let Some(path) = &self.args.samples {
            jsonl::write(path, &samples)?;
        }
        let share = accuracy(&samples);
        let (name, estimate, share, signature) = match scoring {
            Scoring::Share(_) if is_by_token => {
                let name = "exact-match".to_owned();
                (name, share.into(), Some(share), "match:tokens".to_owned())
            }
            Scoring::Share(metric) => {
                let signature = metric.signature(1);
                (metric.name(), share.into(), Some(share), signature)
            }
            Scoring::Texts(metric) => {
                let outputs: Vec<&str> = samples.iter().map(|sample| &*sample.output).collect();
                let targets: Vec<&str> = samples.iter().map(|sample| &*sample.target).collect();
                let counted = Statistics::of(&**metric, &outputs, &[targets])?;
                let estimate = Estimate::of_texts(&counted, self.common.seed)?;
                (metric.name(), estimate, None, metric.signature(1))
            }
        };
        Ok(self.report(&name, estimate, signature, share, None))
    }

    fn answered(
        &self,
        asked: &[AskedExample],
        options: &AnswerOptions,
        is_right: impl Fn(&Answer, &str) -> bool,
    ) -> Result<Vec<GreedySample>, Failure> {
        let mut progress = (!self.common.quiet).then(|| Progress::new("eval", asked.len(), 0));
        let mut samples = Vec::with_capacity(asked.len());
        let rows = self.args.amounts.batch.map_or(ROWS, |rows| rows.get());
        for part in asked.chunks(rows) {
            let questions: Vec<Question<_>> = part.iter().map(|one| one.question.clone()).collect();
            let (model, tokenizer) = (&self.model.composition.model, self.model.tokenizer());
            let answers = answer(model, tokenizer, options, &questions)?;
            samples.extend(
                part.iter()
                    .zip(answers)
                    .map(|(asked, answer)| GreedySample {
                        prompt: asked.prompt.clone(),
                        target: asked.target.clone(),
                        correct: is_right(&answer, &asked.target),
                        output: answer.output,
                    }),
            );
            if let Some(progress) = &mut progress {
                let message = format!("{:.1} %", accuracy(&samples).percent());
                progress.advance(samples.len(), &message);
            }
        }
        Ok(samples)
    }

    /// Likelihood of the targets.
    fn perplexity(&self) -> Result<Report, Failure> {
        let tokenizer = DataTokenizer(self.model.tokenizer());
        let mut progress = None;
        let show = |done, rows| match &mut progress {
            Some(progress) => Progress::advance(progress, done, ""),
            None if self.common.quiet => {}
            None => progress = Some(Progress::new("eval", rows, done)),
        };
        let model = &self.model.composition.model;
        let tokenizing = self.tokenizing(&tokenizer);
        let losses = example_losses(model, &tokenizing, &self.chat, &self.records, show);
        let losses = losses.map_err(|error| match error {
            TrainError::Data(source) => self.named(source),
            other => other.into(),
        })?;
        if let Some(path) = &self.args.samples {
            let samples = self.records.iter().zip(&losses).map(|(record, loss)| {
                let [prompt, target] = record.key();
                let (nats, tokens) = (loss.nats, loss.tokens);
                LossSample {
                    prompt,
                    target,
                    nats,
                    tokens,
                }
            });
            jsonl::write(path, samples)?;
        }
        let losses = losses.iter().map(|loss| TargetLoss {
            nats: loss.nats,
            tokens: loss.tokens,
        });
        let losses: Vec<TargetLoss> = losses.collect();
        let estimate = Perplexity::of(&losses, self.common.seed)?;
        let loss = Loss {
            nats_per_token: Perplexity::nats_per_token(&losses),
            tokens: losses.iter().map(|loss| loss.tokens).sum(),
        };
        let signature = calm_lm::eval::Metric::signature(&Perplexity, 1);
        Ok(self.report("perplexity", estimate, signature, None, Some(loss)))
    }

    fn report(
        &self,
        metric: &str,
        estimate: Estimate,
        signature: String,
        share: Option<Proportion>,
        loss: Option<Loss>,
    ) -> Report {
        let n = self.records.len();
        let interval = interval(&estimate, 1);
        let text = match (&share, &loss) {
            (Some(Proportion { hits, n }), _) => {
                let name = metric.replace('-', " ");
                format!(
                    "{:.1} % {name} ({hits} of {n}), {interval} %\n",
                    estimate.score
                )
            }
            (_, Some(loss)) => format!(
                "perplexity {:.3}, {} ({:.4} nats per token, {} tokens of {n} examples)\n",
                estimate.score,
                self::interval(&estimate, 3),
                loss.nats_per_token,
                loss.tokens
            ),
            _ => format!("{metric} {:.1}, {interval} (n = {n})\n", estimate.score),
        };
        let share = share.map(|share| Share {
            percent: share.percent(),
            hits: share.hits,
        });
        let scored = Scored {
            model: &self.model.name,
            data: self.data,
            metric,
            estimate,
            n,
            shots: self.shots(),
            signature,
            share,
            loss,
            samples: self.args.samples.as_deref(),
        };
        Report::new(text, scored)
    }
}

/// The interval of a score in words.
fn interval(estimate: &Estimate, digits: usize) -> String {
    match estimate.interval_95 {
        Some([low, high]) => format!("95 % interval {low:.digits$} to {high:.digits$}"),
        None => "no interval: too few examples, or all alike".to_owned(),
    }
}
