//! Sentences of many languages with their English translations.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::data::Fields;
use calm_lm::data::builders::ntl::ENGLISH;
use calm_lm::data::corpus::{json, json_lines, whole_lines};
use miette::{IntoDiagnostic, Result, miette};

/// A sentence, and what stands before it in a prompt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text {
    pub(super) before: String,
    pub(super) sentence: String,
}

/// Sentences of a language and their translations: numbers of texts.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    group: String,
    pairs: Vec<[usize; 2]>,
}

/// All sentences, each once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) all: Vec<Text>,
    /// Test sentences of each language.
    pub(super) tests: Vec<Pairs>,
    /// Sentences of words that D_C never shows, of each language that has some.
    pub(super) unseen: Vec<Pairs>,
    /// What maps are fitted on.
    pub(super) fit: Pairs,
    /// Groups from low to high resource, or languages.
    groups: Vec<String>,
    places: BTreeMap<Text, usize>,
}

impl Pairs {
    /// Numbers of the sentences (0), or of the translations (1).
    pub(super) fn side(&self, side: usize) -> Vec<usize> {
        self.pairs.iter().map(|pair| pair[side]).collect()
    }

    /// Share of the pairs that are found by chance, in percent.
    pub(super) fn chance(&self) -> f64 {
        100.0 / self.pairs.len().max(1) as f64
    }
}

impl Texts {
    /// Reads the sentences below a directory, at most so many of each language, and so many pairs to
    /// fit maps on. With languages, each of them is a group.
    pub(super) fn read(data: &Path, only: &[String], [most, fit]: [usize; 2]) -> Result<Self> {
        let flores = [data.join("flores"), data.to_owned()];
        let flores = flores.iter().find(|path| path.join("devtest").is_dir());
        let flores = flores.ok_or_else(|| {
            miette!(
                "{}: has no devtest; give a directory of `calm data ntl` or of FLORES-200",
                data.display()
            )
        })?;
        let groups = groups(data, flores, only)?;
        let mut texts = Self::default();
        for (tag, group) in &groups {
            let test = |tag: &str| flores.join(format!("devtest/{tag}.devtest"));
            let pairs = texts.lines(tag, &[test(tag), test(ENGLISH)], most)?;
            texts.tests.push(Pairs {
                group: group.clone(),
                pairs,
            });
            let side = |side: &str| data.join(format!("unseen/{tag}.{side}"));
            if side("source").is_file() {
                let pairs = texts.lines(tag, &[side("source"), side("target")], most)?;
                texts.unseen.push(Pairs {
                    group: group.clone(),
                    pairs,
                });
            }
            if !texts.groups.contains(group) {
                texts.groups.push(group.clone());
            }
        }
        let d_c = data.join("d_c.jsonl");
        let all = match d_c.is_file() {
            true => texts.rows(&d_c)?,
            false => {
                let dev = |tag: &str| flores.join(format!("dev/{tag}.dev"));
                let of = |(tag, _): &(String, String)| {
                    texts.lines(tag, &[dev(tag), dev(ENGLISH)], usize::MAX)
                };
                groups.iter().map(of).collect::<Result<Vec<_>>>()?.concat()
            }
        };
        // Evenly over all languages.
        let count = fit.min(all.len());
        texts.fit.pairs = (0..count)
            .map(|place| all[place * all.len() / count])
            .collect();
        match count {
            0 => Err(miette!("{}: has no pairs to fit a map on", data.display())),
            _ => Ok(texts),
        }
    }

    /// Names of the groups that these sets are of, from low to high resource.
    pub(super) fn groups_of(&self, sets: &[Pairs]) -> Vec<&str> {
        let has = |group: &&String| sets.iter().any(|set| set.group == **group);
        self.groups.iter().filter(has).map(String::as_str).collect()
    }

    /// Means over the languages of every group, of a number for each set.
    pub(super) fn means(&self, sets: &[Pairs], shares: &[f64]) -> Vec<f64> {
        let groups = self.groups_of(sets).into_iter();
        let mean = |group: &str| {
            let own = sets
                .iter()
                .zip(shares)
                .filter(|(set, _)| set.group == group);
            let own: Vec<f64> = own.map(|(_, share)| *share).collect();
            own.iter().sum::<f64>() / own.len() as f64
        };
        groups.map(mean).collect()
    }

    /// What is measured, in a sentence.
    pub(super) fn about(&self) -> String {
        format!(
            "Share of sentences whose nearest English sentence (cosine of the mean states of its tokens, less \
             their mean) is the translation: as states are; behind a ridge map that {} pairs fit; and \
             the same for sentences whose words these pairs never show. Means over languages.",
            self.fit.pairs.len()
        )
    }

    /// Pairs of lines of two files.
    fn lines(&mut self, tag: &str, paths: &[PathBuf; 2], most: usize) -> Result<Vec<[usize; 2]>> {
        let [sources, targets] = [&paths[0], &paths[1]].map(|path| whole_lines(path));
        let (sources, targets) = (sources.into_diagnostic()?, targets.into_diagnostic()?);
        if sources.len() != targets.len() {
            let (path, found, expected) = (paths[0].display(), sources.len(), targets.len());
            return Err(miette!(
                "{path}: has {found} lines, and its translation {expected}"
            ));
        }
        let pairs = sources.into_iter().zip(targets).take(most);
        Ok(pairs
            .map(|(source, target)| self.pair(tag, source, target))
            .collect())
    }

    /// Pairs of the rows of D_C: the last line of the prompt that is a sentence, and the target.
    fn rows(&mut self, path: &Path) -> Result<Vec<[usize; 2]>> {
        let rows: Vec<Fields> = json_lines(path).into_diagnostic()?;
        let end = format!("\n{ENGLISH}:");
        let pair = |row: Fields| {
            let text = |name: &str| row.get(name).and_then(|value| value.as_str());
            let prompt = text("prompt")?.strip_suffix(&end)?;
            let (tag, sentence) = prompt.lines().last()?.split_once(": ")?;
            let target = text("target")?.trim().to_owned();
            Some(self.pair(tag, sentence.to_owned(), target))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }

    fn pair(&mut self, tag: &str, source: String, target: String) -> [usize; 2] {
        [(tag, source), (ENGLISH, target)].map(|(tag, sentence)| {
            let before = format!("{tag}: ");
            let text = Text { before, sentence };
            let next = self.all.len();
            let place = *self.places.entry(text.clone()).or_insert(next);
            if place == next {
                self.all.push(text);
            }
            place
        })
    }
}

/// Languages with their groups, from low to high resource.
fn groups(data: &Path, flores: &Path, only: &[String]) -> Result<Vec<(String, String)>> {
    if !only.is_empty() {
        return Ok(only.iter().map(|tag| (tag.clone(), tag.clone())).collect());
    }
    let world = data.join("ntl.json");
    if world.is_file() {
        let world: serde_json::Value = json(&world).into_diagnostic()?;
        let languages = world["languages"].as_array().into_iter().flatten();
        let language = |language: &serde_json::Value| {
            let text = |name: &str| language[name].as_str().unwrap_or_default().to_owned();
            (language["pairs"].as_u64(), text("tag"), text("resource"))
        };
        let mut languages: Vec<_> = languages.map(language).collect();
        languages.sort();
        return Ok(languages
            .into_iter()
            .map(|(_, tag, group)| (tag, group))
            .collect());
    }
    let files = fs::read_dir(flores.join("devtest"))
        .into_diagnostic()?
        .flatten();
    let tags = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        name.strip_suffix(".devtest").map(str::to_owned)
    });
    let mut tags: Vec<String> = tags.filter(|tag| tag != ENGLISH).collect();
    tags.sort();
    Ok(tags
        .into_iter()
        .map(|tag| (tag, "all".to_owned()))
        .collect())
}
