//! The texts of benchmarks that a manifest names.

use std::fs;
use std::path::{Path, PathBuf};

use super::Contamination;
use crate::DataError;
use crate::corpus::benchmarks::{code, code_text, flores, math};
use crate::corpus::{BenchmarkFormat, BenchmarkSpec, text_lines};

/// All texts of benchmarks, of all their languages and splits: sentences of FLORES, questions and
/// worked answers of word problems. `words` is the length of the n-grams.
///
/// # Errors
///
/// [`DataError`] if a benchmark cannot be read or holds no text.
pub fn contamination(specs: &[BenchmarkSpec], words: usize) -> Result<Contamination, DataError> {
    let mut all = Contamination::new(words);
    for spec in specs {
        let mut count = 0;
        let mut add = |text: &str| {
            all.add(name(spec.format), text);
            count += 1;
        };
        read(spec, &mut add)?;
        if count == 0 {
            let reason = format!("holds no file of {}", name(spec.format));
            return Err(DataError::file(&spec.path, reason));
        }
    }
    Ok(all)
}

/// The name that counts and reasons have.
fn name(format: BenchmarkFormat) -> &'static str {
    match format {
        BenchmarkFormat::Flores200 => "flores-200",
        BenchmarkFormat::FloresPlus => "flores-plus",
        BenchmarkFormat::FloresV1 => "flores-v1",
        BenchmarkFormat::Gsm8k => "gsm8k",
        BenchmarkFormat::Mgsm => "mgsm",
        BenchmarkFormat::HumanEval => "humaneval",
        BenchmarkFormat::Mbpp => "mbpp",
        BenchmarkFormat::CodeXGlue => "codexglue",
        BenchmarkFormat::Text => "text",
    }
}

fn read(spec: &BenchmarkSpec, add: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let BenchmarkSpec {
        format,
        path,
        pairs,
    } = spec;
    match format {
        BenchmarkFormat::Flores200 => read_flores_200(path, add),
        BenchmarkFormat::FloresPlus => files(path, "jsonl")?.iter().try_for_each(|file| {
            let sentences = flores::flores_plus(file)?;
            sentences.iter().for_each(|sentence| add(&sentence.text));
            Ok(())
        }),
        BenchmarkFormat::FloresV1 => read_flores_v1(path, pairs, add),
        BenchmarkFormat::Gsm8k => files(path, "jsonl")?.iter().try_for_each(|file| {
            for problem in math::gsm8k(file)? {
                add(&problem.question);
                add(&problem.answer);
            }
            Ok(())
        }),
        BenchmarkFormat::Mgsm => files(path, "tsv")?.iter().try_for_each(|file| {
            math::mgsm(file)?
                .iter()
                .for_each(|problem| add(&problem.question));
            Ok(())
        }),
        BenchmarkFormat::HumanEval | BenchmarkFormat::Mbpp | BenchmarkFormat::CodeXGlue => {
            let files = benchmark_files(spec)?;
            files
                .iter()
                .try_for_each(|file| read_code(*format, file, add))
        }
        BenchmarkFormat::Text => {
            text_lines(path)?.iter().for_each(|line| add(line));
            Ok(())
        }
    }
}

/// Prompts, solutions and tests of programs, and functions with what they are to be described as.
fn read_code(
    format: BenchmarkFormat,
    file: &Path,
    add: &mut dyn FnMut(&str),
) -> Result<(), DataError> {
    let is_json = file.extension().is_some_and(|ending| ending == "json");
    match format {
        BenchmarkFormat::HumanEval => {
            for problem in code::human_eval(file)? {
                [problem.prompt, problem.canonical_solution, problem.test]
                    .iter()
                    .for_each(|text| add(text));
            }
        }
        BenchmarkFormat::CodeXGlue => {
            for function in code_text::code_text(file)? {
                add(&function.code);
                add(&function.docstring);
            }
        }
        _ => {
            let problems = match is_json {
                true => code::mbpp_sanitised(file)?,
                false => code::mbpp(file)?,
            };
            for problem in problems {
                add(&problem.prompt);
                add(&problem.code);
                problem.tests.iter().for_each(|test| add(test));
            }
        }
    }
    Ok(())
}

const SPLITS: [flores::Split; 2] = [flores::Split::Dev, flores::Split::DevTest];

/// The files of a benchmark that [`contamination`] reads.
///
/// # Errors
///
/// [`DataError::Io`] if a directory cannot be read.
pub fn benchmark_files(spec: &BenchmarkSpec) -> Result<Vec<PathBuf>, DataError> {
    let BenchmarkSpec {
        format,
        path,
        pairs,
    } = spec;
    match format {
        BenchmarkFormat::Flores200 => {
            let of_split = |split| flores_200_files(path, split);
            Ok(SPLITS
                .map(of_split)
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?
                .concat())
        }
        BenchmarkFormat::FloresV1 => {
            let mut files = Vec::new();
            for split in SPLITS {
                for pair in flores_v1_pairs(path, split, pairs)? {
                    let (source, target) = pair.split_once('-').unwrap_or((&pair, ""));
                    let name = |ending| format!("wikipedia.{}.{pair}.{ending}", split.name());
                    files.extend([source, target, "doc_id"].map(|ending| path.join(name(ending))));
                }
            }
            Ok(files)
        }
        BenchmarkFormat::FloresPlus | BenchmarkFormat::Gsm8k => files(path, "jsonl"),
        BenchmarkFormat::Mgsm => files(path, "tsv"),
        BenchmarkFormat::HumanEval => files(path, "gz"),
        BenchmarkFormat::Mbpp => {
            let mut found = files(path, "jsonl")?;
            if path.is_dir() {
                found.extend(files(path, "json")?);
            }
            Ok(found)
        }
        BenchmarkFormat::CodeXGlue => {
            let of_language = |name: &&str| path.join(name);
            let within = code_text::LANGUAGES.iter().map(of_language);
            let within: Vec<_> = within.filter(|path| path.is_dir()).collect();
            match within.is_empty() {
                true => files(path, "jsonl"),
                false => within
                    .iter()
                    .map(|path| files(path, "jsonl"))
                    .collect::<Result<Vec<_>, _>>()
                    .map(|all| all.concat()),
            }
        }
        BenchmarkFormat::Text => Ok(vec![path.clone()]),
    }
}

fn read_flores_200(directory: &Path, add: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    for split in SPLITS {
        for file in flores_200_files(directory, split)? {
            let language = file.file_stem().unwrap_or_default().to_string_lossy();
            let sentences = flores::flores_200(directory, split, &language)?;
            sentences.iter().for_each(|sentence| add(sentence));
        }
    }
    Ok(())
}

fn flores_200_files(directory: &Path, split: flores::Split) -> Result<Vec<PathBuf>, DataError> {
    let within = directory.join(split.name());
    match within.is_dir() {
        true => files(&within, split.name()),
        false => Ok(Vec::new()),
    }
}

fn read_flores_v1(
    directory: &Path,
    pairs: &[String],
    add: &mut dyn FnMut(&str),
) -> Result<(), DataError> {
    for split in SPLITS {
        for pair in flores_v1_pairs(directory, split, pairs)? {
            for sentence in flores::flores_v1(directory, split, &pair)? {
                add(&sentence.source);
                add(&sentence.target);
            }
        }
    }
    Ok(())
}

/// The pairs that are wanted, or all of a directory.
fn flores_v1_pairs(
    directory: &Path,
    split: flores::Split,
    pairs: &[String],
) -> Result<Vec<String>, DataError> {
    if !pairs.is_empty() {
        return Ok(pairs.to_vec());
    }
    let prefix = format!("wikipedia.{}.", split.name());
    let found = files(directory, "doc_id")?;
    let pair = |file: &PathBuf| {
        let name = file.file_name()?.to_str()?;
        let name = name.strip_prefix(&prefix)?.strip_suffix(".doc_id")?;
        Some(name.to_owned())
    };
    Ok(found.iter().filter_map(pair).collect())
}

/// A file, or the files of a directory with an ending, in order of their names.
fn files(path: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(DataError::io(path))? {
        let file = entry.map_err(DataError::io(path))?.path();
        if file.extension().is_some_and(|found| found == ending) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(format: BenchmarkFormat, path: &Path) -> BenchmarkSpec {
        BenchmarkSpec {
            format,
            path: path.to_owned(),
            pairs: Vec::new(),
        }
    }

    #[test]
    fn every_format_feeds_its_texts() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        };
        write("flores/dev/nya_Latn.dev", "Moni ku dziko lonse.\n");
        write(
            "flores/devtest/eng_Latn.devtest",
            "Good evening, all of you.\n",
        );
        write("v1/wikipedia.dev.ne-en.ne", "शुभ प्रभात।\n");
        write("v1/wikipedia.dev.ne-en.en", "Good morning.\n");
        write("v1/wikipedia.dev.ne-en.doc_id", "a\n");
        write(
            "gsm8k/test.jsonl",
            "{\"question\": \"Two and two?\", \"answer\": \"It is 4.\\n#### 4\"}\n",
        );
        write("mgsm/mgsm_sw.tsv", "Mbili na mbili?\t4\n");
        write(
            "plus.jsonl",
            "{\"id\": 1, \"iso_639_3\": \"nya\", \"iso_15924\": \"Latn\", \"text\": \"Usiku wabwino.\"}\n",
        );
        write("text.txt", "a first line\na second line\n");
        let at = |format, name: &str| spec(format, &directory.path().join(name));
        let specs = [
            at(BenchmarkFormat::Flores200, "flores"),
            at(BenchmarkFormat::FloresPlus, "plus.jsonl"),
            at(BenchmarkFormat::FloresV1, "v1"),
            at(BenchmarkFormat::Gsm8k, "gsm8k"),
            at(BenchmarkFormat::Mgsm, "mgsm"),
            at(BenchmarkFormat::Text, "text.txt"),
        ];
        let all = contamination(&specs, 12).unwrap();
        for (text, expected) in [
            ("moni ku dziko lonse", Some("flores-200")),
            ("Good evening all of you", Some("flores-200")),
            ("शुभ प्रभात", Some("flores-v1")),
            ("good morning", Some("flores-v1")),
            ("two and two", Some("gsm8k")),
            ("Mbili na mbili", Some("mgsm")),
            ("Usiku wabwino", Some("flores-plus")),
            ("a second line", Some("text")),
            ("4", None),
        ] {
            assert_eq!(all.find(text), expected, "{text}");
        }
        let files = specs.iter().flat_map(|spec| benchmark_files(spec).unwrap());
        let files: Vec<_> = files.collect();
        assert!(
            files.len() == 9 && files.iter().all(|file| file.is_file()),
            "{files:?}"
        );
    }

    #[test]
    fn a_benchmark_without_files_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for format in [
            BenchmarkFormat::Flores200,
            BenchmarkFormat::FloresV1,
            BenchmarkFormat::Mgsm,
        ] {
            let error = contamination(&[spec(format, directory.path())], 12).unwrap_err();
            assert!(error.to_string().contains("holds no file of"), "{error}");
        }
        let error = contamination(&[spec(BenchmarkFormat::Gsm8k, "/none".as_ref())], 12);
        assert!(error.unwrap_err().to_string().starts_with("/none"));
    }
}
