//! Examples of a task, with their prompts.

use std::path::Path;

use serde_json::{Map, Value};

use super::expression::Expression;
use super::read::Fields;
use super::template::{ProgramTemplates, Template};
use super::{DataSource, Shots, Task, TaskError};
use calm_sandbox::Program;

/// Examples of one language.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// The language, as in the names of files; empty if the task has none.
    pub language: String,
    /// Examples in the order of the file.
    pub items: Vec<Item>,
}

/// An example with its prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its position in the file, among the kept ones.
    pub index: usize,
    /// Text that a model reads, with the worked examples.
    pub prompt: String,
    /// Right answer; empty if programs are run.
    pub reference: String,
    /// Record of the file, for the templates of the task.
    pub record: Map<String, Value>,
}

impl Task {
    /// Reads the examples of these languages, or of all, at most `limit` of each.
    ///
    /// # Errors
    ///
    /// [`TaskError`] naming the file or the template.
    pub fn read(
        &self,
        directory: &Path,
        languages: &[String],
        limit: Option<usize>,
    ) -> Result<Vec<Subset>, TaskError> {
        let found = self.data.languages(directory);
        let missing = languages.iter().find(|language| !found.contains(language));
        if found.is_empty() {
            return Err(self.no_data(directory));
        }
        if let Some(language) = missing {
            return Err(TaskError::Language {
                task: self.name.clone(),
                language: language.clone(),
                known: match &*found.concat() {
                    "" => "it knows no languages, leave --language out".to_owned(),
                    _ => format!("there are: {}", found.join(", ")),
                },
            });
        }
        let wanted = |language: &&String| languages.is_empty() || languages.contains(*language);
        found
            .iter()
            .filter(wanted)
            .map(|language| self.subset(directory, language, limit))
            .collect()
    }

    fn no_data(&self, directory: &Path) -> TaskError {
        TaskError::NoData {
            task: self.name.clone(),
            path: directory.join(self.data.path()),
        }
    }

    fn subset(
        &self,
        directory: &Path,
        language: &str,
        limit: Option<usize>,
    ) -> Result<Subset, TaskError> {
        if !self.data.file_of(directory, language).is_file() {
            return Err(self.no_data(directory));
        }
        let mut records = self.kept(&self.data, directory, language)?;
        records.truncate(limit.unwrap_or(usize::MAX));
        let shots = match &self.shots {
            Some(shots) => self.shots(shots, directory, language)?,
            None => Vec::new(),
        };
        let worked = self.worked(&shots, language)?;
        let shots: Vec<Value> = shots.into_iter().map(Value::Object).collect();
        let items = records.into_iter().enumerate().map(|(index, mut record)| {
            record.insert("language".to_owned(), language.into());
            let mut fields = record.clone();
            fields.insert("shots".to_owned(), shots.clone().into());
            let own = self.render("prompt", &self.prompt, &fields)?;
            let reference = match &self.score.reference {
                Some(reference) => self.render("score.reference", reference, &record)?,
                None => String::new(),
            };
            Ok(Item {
                index,
                prompt: worked.clone() + &own,
                reference,
                record,
            })
        });
        let items: Vec<Item> = items.collect::<Result<_, TaskError>>()?;
        let is_empty = |item: &&Item| item.reference.trim().is_empty();
        let empty = items.iter().filter(is_empty).count();
        if self.score.metric.is_of_texts() && empty > 0 {
            let (path, all) = (self.data.file_of(directory, language), items.len());
            tracing::warn!(
                "{}: {empty} of {all} references are empty; they count as no words",
                path.display()
            );
        }
        Ok(Subset {
            language: language.to_owned(),
            items,
        })
    }

    fn kept(
        &self,
        source: &DataSource,
        directory: &Path,
        language: &str,
    ) -> Result<Vec<Fields>, TaskError> {
        let records = source.records(directory, language)?;
        let Some(keep) = &source.keep else {
            return Ok(records);
        };
        let bad = |reason| self.bad("keep", reason);
        let keep = Expression::parse(keep).map_err(bad)?;
        let mut kept = Vec::new();
        for record in records {
            if keep.holds(&record).map_err(bad)? {
                kept.push(record);
            }
        }
        Ok(kept)
    }

    /// Records of the worked examples.
    fn shots(
        &self,
        shots: &Shots,
        directory: &Path,
        language: &str,
    ) -> Result<Vec<Fields>, TaskError> {
        let is_there = |source: &&DataSource| source.file_of(directory, language).is_file();
        let other = shots.or_data.as_ref().filter(is_there);
        let source = match other.filter(|_| !is_there(&&shots.data)) {
            Some(other) => other,
            None => &shots.data,
        };
        let path = source.file_of(directory, language);
        let mut records = match path.is_file() {
            true => self.kept(source, directory, language)?,
            false => Vec::new(),
        };
        if records.len() < shots.count {
            return Err(TaskError::Shots {
                task: self.name.clone(),
                path,
                wanted: shots.count,
                found: records.len(),
            });
        }
        records.truncate(shots.count);
        Ok(records)
    }

    fn worked(&self, shots: &[Fields], language: &str) -> Result<String, TaskError> {
        let Some(Shots { template, .. }) = &self.shots else {
            return Ok(String::new());
        };
        let render = |shot: &Fields| {
            let mut fields = shot.clone();
            fields.insert("language".to_owned(), language.into());
            self.render("shots.template", template, &fields)
        };
        shots.iter().map(render).collect()
    }

    /// Answer in the output of a model.
    ///
    /// # Errors
    ///
    /// [`TaskError::Template`].
    pub fn answer(&self, item: &Item, output: &str) -> Result<String, TaskError> {
        let mut fields = item.record.clone();
        fields.insert("output".to_owned(), output.into());
        self.render("score.answer", &self.score.answer, &fields)
    }

    /// Program that scores an answer; `None` unless the metric is pass@1.
    ///
    /// # Errors
    ///
    /// [`TaskError::Template`].
    pub fn program(&self, item: &Item, answer: &str) -> Result<Option<Program>, TaskError> {
        let Some(templates) = &self.score.program else {
            return Ok(None);
        };
        let ProgramTemplates {
            code,
            setup,
            tests,
            names,
            reference,
        } = templates;
        let mut fields = item.record.clone();
        fields.insert("answer".to_owned(), answer.into());
        let render = |name, template| self.render(name, template, &fields);
        let names = render("score.program.names", names)?;
        Ok(Some(Program {
            code: render("score.program.code", code)?,
            setup: render("score.program.setup", setup)?,
            tests: render("score.program.tests", tests)?,
            names: names.split_whitespace().map(str::to_owned).collect(),
            reference: render("score.program.reference", reference)?,
        }))
    }

    fn render(
        &self,
        name: &'static str,
        template: &Template,
        fields: &Fields,
    ) -> Result<String, TaskError> {
        template
            .render(fields)
            .map_err(|reason| self.bad(name, reason))
    }

    fn bad(&self, template: &'static str, reason: String) -> TaskError {
        TaskError::Template {
            task: self.name.clone(),
            template,
            reason,
        }
    }
}
