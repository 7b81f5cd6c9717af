//! Identification of languages with a model of fastText.

mod check;
mod classifier;

use std::collections::BTreeMap;
use std::sync::Mutex;

use check::check;
use classifier::Classifier;
use fasttext::FastText;

use crate::DataError;
use crate::corpus::{CorpusRecord, IdentifyConfig, LanguageTag, Step, Verdict};

/// What each label of a model begins with.
const PREFIX: &str = "__label__";

/// Drops records of which a text is, by a model that the user names, in another language than its
/// corpus says. Models are those of fastText for languages, `.bin` or `.ftz`: lid.176, NLLB's, GlotLID.
pub struct Identify {
    classifier: Classifier,
    config: IdentifyConfig,
    all: Vec<String>,
    /// Labels of each language that was met.
    labels: Mutex<BTreeMap<LanguageTag, Vec<String>>>,
}

impl std::fmt::Debug for Identify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identify")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Identify {
    /// Reads the model.
    ///
    /// # Errors
    ///
    /// [`DataError::File`] if it is none or is cut short; if it has no label for one of these
    /// languages, unless the settings say which it is, or that there is none.
    pub fn new(
        config: &IdentifyConfig,
        languages: impl IntoIterator<Item = LanguageTag>,
    ) -> Result<Self, DataError> {
        let path = &config.model;
        let wrong =
            |reason: String| DataError::file(path, format!("{reason}; name a model of fastText"));
        check(path)?;
        let load = || {
            let model = FastText::load_model(path).map_err(|error| error.to_string())?;
            let classifier = Classifier::new(model)?;
            // What does not fit together shows at once.
            classifier.best("a b");
            Ok(classifier)
        };
        let classifier = calm_files::guard(load)
            .and_then(|loaded| loaded)
            .map_err(&wrong)?;
        let identify = Self {
            all: classifier.labels(),
            classifier,
            config: config.clone(),
            labels: Mutex::default(),
        };
        for language in languages {
            if identify.find_labels(language).is_empty() && !config.labels.contains_key(&language) {
                return Err(identify.unknown(language));
            }
        }
        Ok(identify)
    }

    fn unknown(&self, language: LanguageTag) -> DataError {
        let some: Vec<&str> = self.all.iter().take(3).map(|label| plain(label)).collect();
        let reason = format!(
            "has no label for {language}, only such as {}; write which it is, or that there is none: \
             labels = {{ {language} = [] }}",
            some.join(", ")
        );
        DataError::file(&self.config.model, reason)
    }

    /// Labels that say that a text is in a language: its tag, its three or two letters, or those of the
    /// settings.
    fn find_labels(&self, language: LanguageTag) -> Vec<String> {
        let short: Vec<&str> = language.short().collect();
        let is = |label: &str| match self.config.labels.get(&language) {
            Some(labels) => labels.iter().any(|known| known == label),
            None => {
                let known = [language.as_str(), language.language()];
                known.contains(&label) || short.contains(&label)
            }
        };
        self.all
            .iter()
            .filter(|label| is(plain(label)))
            .cloned()
            .collect()
    }

    /// Whether a text is in a language, as far as the model knows the language.
    fn is_in(&self, text: &str, language: LanguageTag) -> Result<(), String> {
        let labels = {
            let mut known = self
                .labels
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            known
                .entry(language)
                .or_insert_with(|| self.find_labels(language))
                .clone()
        };
        if labels.is_empty() {
            return Ok(());
        }
        let text = text.replace('\n', " ");
        match self.classifier.best(&text) {
            Some((label, _)) if !labels.contains(&label) => {
                Err(format!("{} is {}", language, plain(&label)))
            }
            Some((_, probability)) if probability < self.config.probability => {
                Err(format!("{language} is not certain"))
            }
            _ => Ok(()),
        }
    }
}

fn plain(label: &str) -> &str {
    label.strip_prefix(PREFIX).unwrap_or(label)
}

impl Step for Identify {
    fn name(&self) -> &'static str {
        "identify"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let judged = record
            .sides()
            .map(|side| self.is_in(&side.text, side.language));
        match judged.collect::<Result<(), String>>() {
            Ok(()) => Verdict::Keep,
            Err(reason) => Verdict::Drop(reason.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use fasttext::args::{Args, LossName, ModelName};

    use super::*;
    use crate::corpus::{Origin, Segment};

    /// Trains a model of two languages.
    fn write_model(directory: &Path, is_small: bool) -> std::path::PathBuf {
        let rows = "__label__npi_Deva यो एउटा वाक्य हो र यो नेपाली हो\n\
                    __label__en this is a sentence and it is english\n";
        let input = directory.join("rows.txt");
        fs::write(&input, rows.repeat(40)).unwrap();
        let args = Args {
            input,
            model: ModelName::Supervised,
            loss: LossName::Softmax,
            dim: 8,
            epoch: 20,
            lr: 0.5,
            min_count: 1,
            minn: 2,
            maxn: 3,
            bucket: 500,
            thread: 1,
            verbose: 0,
            ..Args::default()
        };
        let mut model = FastText::train(args.clone()).unwrap();
        if is_small {
            model.quantize(&args).unwrap();
        }
        let path = directory.join("model.bin");
        model.save_model(&path).unwrap();
        path
    }

    fn config(model: &Path) -> IdentifyConfig {
        IdentifyConfig {
            model: model.to_owned(),
            probability: 0.5,
            labels: BTreeMap::new(),
        }
    }

    fn tags(tags: &[&str]) -> Vec<LanguageTag> {
        tags.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn texts_in_other_languages_go() {
        for is_small in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let model = write_model(directory.path(), is_small);
            let identify = Identify::new(&config(&model), tags(&["npi_Deva", "eng_Latn"])).unwrap();
            let judge = |source: &str, target: &str| {
                let segment = |language: &str, text: &str| Segment {
                    language: language.parse().unwrap(),
                    text: text.to_owned(),
                };
                identify.apply(&mut CorpusRecord {
                    source: segment("npi_Deva", source),
                    target: Some(segment("eng_Latn", target)),
                    origin: Origin {
                        corpus: 0,
                        file: 0,
                        place: 1,
                    },
                })
            };
            assert_eq!(judge("यो वाक्य हो", "this is it"), Verdict::Keep);
            let reason = "eng_Latn is npi_Deva".to_owned();
            assert_eq!(
                judge("यो वाक्य हो", "यो नेपाली हो"),
                Verdict::Drop(reason.into())
            );
        }
    }

    #[test]
    fn languages_that_the_model_lacks_are_named_before_anything_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&write_model(directory.path(), false));
        let error = Identify::new(&config, tags(&["taq_Latn"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has no label for taq_Latn, only such as"),
            "{error}"
        );
        config
            .labels
            .insert("taq_Latn".parse().unwrap(), Vec::new());
        assert!(Identify::new(&config, tags(&["taq_Latn"])).is_ok());
    }

    #[test]
    fn a_damaged_model_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for is_small in [false, true] {
            let path = write_model(directory.path(), is_small);
            let whole = fs::read(&path).unwrap();
            let error = |bytes: &[u8]| {
                fs::write(&path, bytes).unwrap();
                Identify::new(&config(&path), tags(&["eng_Latn"]))
                    .unwrap_err()
                    .to_string()
            };
            for length in [0, 3, 7, 40, 70, 100, whole.len() / 2, whole.len() - 1] {
                let message = error(&whole[..length]);
                assert!(message.contains("model.bin: "), "{message}");
                assert_eq!(message.lines().count(), 1);
            }
            // Sizes far beyond those of the file.
            for place in (8..100).step_by(4) {
                let mut bytes = whole.clone();
                bytes[place..place + 4].copy_from_slice(&i32::MAX.to_le_bytes());
                fs::write(&path, bytes).unwrap();
                let _ = Identify::new(&config(&path), tags(&["eng_Latn"]));
            }
            assert!(
                error(b"something else, which is no model").contains("is no model of fastText")
            );
        }
    }
}
