//! A corpus of the manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::corpus::LanguageTag;

/// A corpus: files of one format, with one or two texts in each record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CorpusTable", rename_all = "kebab-case")]
pub struct CorpusSpec {
    /// Its name; by default that of its first file, without endings of formats.
    pub name: String,
    /// The format of its files.
    pub format: CorpusFormat,
    /// Its files, packed by gzip or Zstandard or not. The last part of a path may have `*` in it.
    pub files: Vec<PathBuf>,
    /// The language of the text, or of both sides. None if fields of the rows tell them.
    pub languages: Vec<LanguageTag>,
    /// Columns or fields of a row that hold the texts; dots lead into objects.
    pub fields: Vec<String>,
    /// Columns or fields that hold the language of each side, as [`Self::tags`] has it.
    pub language_fields: Vec<String>,
    /// Languages as the files write them, such as `xml:lang` of TMX. Others are passed over.
    pub tags: BTreeMap<String, LanguageTag>,
    /// Names of the columns of a table whose first line does not name them.
    pub header: Vec<String>,
    /// Whether cells of a table may stand in quotation marks. Otherwise these are a part of the text.
    pub quoting: bool,
    /// Which way translations are learnt.
    pub direction: Direction,
    /// Its licence.
    pub licence: String,
    /// How often each record is used: half of them if 0.5, each of them twice if 2.
    pub weight: f64,
}

/// Formats of corpora.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorpusFormat {
    /// Two files whose lines belong together.
    Moses,
    /// Translation Memory eXchange, an XML format.
    Tmx,
    /// Tables of columns that tabs separate.
    Tsv,
    /// JSON Lines.
    Jsonl,
    /// Parquet.
    Parquet,
    /// A text in each line.
    Text,
}

/// Which way translations are learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From each language to the other.
    #[default]
    Both,
    /// From the first language to the second.
    Forward,
    /// From the second language to the first, as befits text that was translated by a program from
    /// the second.
    Backward,
}

/// A `[[corpora]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CorpusTable {
    name: Option<String>,
    format: CorpusFormat,
    files: Vec<PathBuf>,
    #[serde(default)]
    languages: Vec<LanguageTag>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    language_fields: Vec<String>,
    #[serde(default)]
    tags: BTreeMap<String, LanguageTag>,
    #[serde(default)]
    header: Vec<String>,
    #[serde(default)]
    quoting: bool,
    #[serde(default)]
    direction: Direction,
    licence: String,
    weight: Option<f64>,
}

impl TryFrom<CorpusTable> for CorpusSpec {
    type Error = String;

    fn try_from(table: CorpusTable) -> Result<Self, String> {
        let name = match (table.name, table.files.first()) {
            (Some(name), _) => name,
            (None, Some(file)) => stem(file),
            (None, None) => return Err("`files` names no file".to_owned()),
        };
        let mut spec = Self {
            name,
            format: table.format,
            files: table.files,
            languages: table.languages,
            fields: table.fields,
            language_fields: table.language_fields,
            tags: table.tags,
            header: table.header,
            quoting: table.quoting,
            direction: table.direction,
            licence: table.licence,
            weight: table.weight.unwrap_or(1.0),
        };
        if spec.fields.is_empty() && spec.has_default_field() {
            spec.fields = vec!["text".to_owned()];
        }
        let wrong = |reason| format!("corpus '{}': {reason}", spec.name);
        spec.check_all().map_err(wrong)?;
        match spec.format {
            CorpusFormat::Moses | CorpusFormat::Text => spec.check_lines(),
            CorpusFormat::Tmx => spec.check_tmx(),
            CorpusFormat::Tsv | CorpusFormat::Jsonl | CorpusFormat::Parquet => spec.check_rows(),
        }
        .map_err(wrong)?;
        Ok(spec)
    }
}

impl CorpusSpec {
    /// Texts of a record: one or two.
    pub fn sides(&self) -> usize {
        match self.languages.len() {
            0 => self.fields.len(),
            sides => sides,
        }
    }

    /// Whether the name of the field of its text goes without saying.
    fn has_default_field(&self) -> bool {
        let is_rows = matches!(self.format, CorpusFormat::Jsonl | CorpusFormat::Parquet);
        is_rows && self.languages.len() < 2 && self.language_fields.len() < 2
    }

    fn check_all(&self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("`files` names no file".to_owned());
        }
        if let [first, second] = self.languages[..]
            && first == second
        {
            return Err(format!("both `languages` are {first}"));
        }
        if self.languages.len() > 2 {
            return Err(format!(
                "has {} `languages`; a record has one or two sides",
                self.languages.len()
            ));
        }
        if !(self.weight > 0.0 && self.weight <= 100.0) {
            let weight = self.weight;
            return Err(format!(
                "`weight` is {weight}; it may be above 0, up to 100"
            ));
        }
        if self.licence.trim().is_empty() {
            return Err(
                "`licence` is empty; write the corpus's licence, or \"unknown\"".to_owned(),
            );
        }
        if self.direction != Direction::Both && self.sides() == 1 {
            return Err("has one side, and so no `direction`".to_owned());
        }
        if self.format != CorpusFormat::Tsv && (self.quoting || !self.header.is_empty()) {
            return Err("`header` and `quoting` are for `tsv` alone".to_owned());
        }
        Ok(())
    }

    fn check_lines(&self) -> Result<(), String> {
        if !self.fields.is_empty() || !self.language_fields.is_empty() || !self.tags.is_empty() {
            return Err("has no rows, and so no `fields`, `language-fields` and `tags`".to_owned());
        }
        let (sides, files) = (self.languages.len(), self.files.len());
        match self.format {
            CorpusFormat::Moses if sides != 2 || files != 2 => Err(format!(
                "`moses` are two `files` in two `languages`, in the same order; found {files} and {sides}"
            )),
            CorpusFormat::Text if sides != 1 => {
                Err(format!("`text` is in one of `languages`; found {sides}"))
            }
            _ => Ok(()),
        }
    }

    fn check_tmx(&self) -> Result<(), String> {
        if !self.fields.is_empty() || !self.language_fields.is_empty() {
            return Err("`tmx` has no `fields` and `language-fields`".to_owned());
        }
        if self.languages.is_empty() {
            return Err("`languages` names none; write one or two".to_owned());
        }
        for language in &self.languages {
            if !self.tags.values().any(|tag| tag == language) {
                return Err(format!(
                    "`tags` says for no `xml:lang` that it is {language}; write such as \
                     tags = {{ {} = \"{language}\" }}",
                    language.language()
                ));
            }
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<(), String> {
        let (fields, languages) = (self.fields.len(), self.languages.len());
        if !matches!(fields, 1 | 2) {
            return Err(format!(
                "`fields` names {fields} of a row; name the one or two that hold the texts"
            ));
        }
        if languages != 0 && languages != fields {
            return Err(format!(
                "has {languages} `languages` and {fields} `fields`; each field is in one language"
            ));
        }
        match self.language_fields.len() {
            0 if languages == 0 => Err(
                "`languages` names none; write that of each field, or `language-fields` and `tags`"
                    .to_owned(),
            ),
            0 if !self.tags.is_empty() => Err("has `tags` without `language-fields`".to_owned()),
            0 => Ok(()),
            found if found != fields => Err(format!(
                "has {found} `language-fields` and {fields} `fields`; each has its own"
            )),
            _ if self.tags.is_empty() => Err(
                "`language-fields` needs `tags`, such as tags = { ny = \"nya_Latn\" }".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

/// Name of a file without the endings of formats.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut stem: &str = &name;
    for ending in [
        "gz", "zst", "tmx", "tsv", "tab", "csv", "jsonl", "json", "parquet", "txt",
    ] {
        if let Some((before, last)) = stem.rsplit_once('.')
            && last.eq_ignore_ascii_case(ending)
        {
            stem = before;
        }
    }
    stem.to_owned()
}
