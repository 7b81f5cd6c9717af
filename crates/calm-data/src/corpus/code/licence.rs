//! Licences of source code, as SPDX expressions.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use spdx::detection::{Store, TextData};
use spdx::{Expression, Licensee, ParseMode};

use crate::DataError;

/// Lines of a file in which it may say its licence.
const HEADER_LINES: usize = 40;

/// Most bytes of a file that holds the text of a licence.
const LONGEST_TEXT: u64 = 1 << 18;

/// Least Dice coefficient of pairs of words with the text of a licence, as askalono has it.
const LEAST_SCORE: f32 = 0.9;

/// Beginnings of names of files that hold the text of a licence, in lower case.
const NAMES: [&str; 4] = ["license", "licence", "copying", "unlicense"];

/// What headers say without an SPDX tag, in lower case and with single spaces.
const PHRASES: [(&str, &str); 9] = [
    (
        "licensed under the apache license, version 2.0",
        "Apache-2.0",
    ),
    (
        "subject to the terms of the mozilla public license, v. 2.0",
        "MPL-2.0",
    ),
    ("gnu affero general public license", "AGPL-3.0-or-later"),
    ("gnu lesser general public license", "LGPL-2.1-or-later"),
    ("gnu library general public license", "LGPL-2.0-or-later"),
    ("gnu general public license", "GPL-2.0-or-later"),
    ("permission is hereby granted, free of charge", "MIT"),
    (
        "distributed under the boost software license, version 1.0",
        "BSL-1.0",
    ),
    ("this is free and unencumbered software", "Unlicense"),
];

/// Texts of the licences that the OSI approves or the FSF calls free.
static TEXTS: LazyLock<Store> = LazyLock::new(|| {
    let mut store = Store::new();
    for (name, text) in spdx::text::LICENSE_TEXTS {
        let is_free = |id: &spdx::LicenseId| id.is_osi_approved() || id.is_fsf_free_libre();
        let Some(id) = spdx::license_id(name).filter(is_free) else {
            continue;
        };
        // GPL-2.0 and GPL-2.0-only are the same text.
        if !id.is_deprecated() {
            store.add_license((*name).to_owned(), TextData::new(text));
        }
    }
    store
});

/// The licence that a text begins with: an SPDX tag, or the words of a usual header.
pub(crate) fn of_header(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(HEADER_LINES).collect();
    let tagged = lines.iter().find_map(|line| {
        let (_, tag) = line.split_once("SPDX-License-Identifier:")?;
        of_expression(tag.trim_end_matches(['*', '/', '-', '>', '#']).trim())
    });
    tagged.or_else(|| {
        let marks = |c: char| c.is_whitespace() || matches!(c, '/' | '*' | '#' | ';' | '-');
        let words = lines.iter().flat_map(|line| line.split(marks));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let header = words.join(" ").to_lowercase();
        let said = PHRASES.iter().find(|(phrase, _)| header.contains(phrase));
        said.map(|(_, licence)| (*licence).to_owned())
    })
}

/// An SPDX expression in its usual form, from one in a sloppy form, such as `MIT/Apache-2.0`.
pub(crate) fn of_expression(text: &str) -> Option<String> {
    let canonical = Expression::canonicalize(text).ok()?;
    let text = canonical.as_deref().unwrap_or(text);
    let parsed = Expression::parse_mode(text, ParseMode::LAX).ok()?;
    Some(parsed.to_string())
}

/// The licence whose text this is.
pub(crate) fn of_text(text: &str) -> Option<String> {
    let found = TEXTS.analyze(&TextData::new(text));
    (found.score >= LEAST_SCORE).then(|| found.name.to_owned())
}

/// The licences under which code may be used.
#[derive(Debug, Clone)]
pub(crate) struct Allowed(Vec<Licensee>);

impl Allowed {
    /// Those of these names, such as `Apache-2.0 WITH LLVM-exception`; an error is the name that SPDX
    /// does not know.
    pub(crate) fn new(names: &[String]) -> Result<Self, &String> {
        let parsed = names
            .iter()
            .map(|name| Licensee::parse(name).map_err(|_| name));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether an expression allows the use under one of them.
    pub(crate) fn allows(&self, expression: &str) -> bool {
        let Ok(parsed) = Expression::parse_mode(expression, ParseMode::LAX) else {
            return false;
        };
        parsed.evaluate(|wanted| self.0.iter().any(|licence| licence.satisfies(wanted)))
    }
}

/// Licences that the directories of a tree say, each once.
#[derive(Debug)]
pub(crate) struct TreeLicences {
    root: PathBuf,
    directories: HashMap<PathBuf, Option<Arc<str>>>,
}

impl TreeLicences {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            directories: HashMap::new(),
        }
    }

    /// The licence of a file in this directory: that of the nearest directory above it that has the text of
    /// one. If it has several, all of them count.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if a directory cannot be read.
    pub(crate) fn of(&mut self, directory: &Path) -> Result<Option<Arc<str>>, DataError> {
        if let Some(known) = self.directories.get(directory) {
            return Ok(known.clone());
        }
        let mut found = in_directory(directory)?.map(Arc::from);
        if found.is_none()
            && directory != self.root
            && let Some(above) = directory.parent()
        {
            found = self.of(above)?;
        }
        self.directories.insert(directory.to_owned(), found.clone());
        Ok(found)
    }
}

/// The licence whose text is in a directory.
fn in_directory(directory: &Path) -> Result<Option<String>, DataError> {
    let io = DataError::io(directory);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(&io)? {
        let entry = entry.map_err(&io)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_file = entry.file_type().map_err(&io)?.is_file();
        if is_file && NAMES.iter().any(|begin| name.starts_with(begin)) {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut found: Vec<String> = files
        .iter()
        .filter_map(|file| of_text(&begin(file)?))
        .collect();
    found.dedup();
    Ok((!found.is_empty()).then(|| found.join(" AND ")))
}

/// The beginning of a file, if it can be read.
fn begin(file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(file).ok()?;
    file.take(LONGEST_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_their_licence_in_several_ways() {
        for (header, expected) in [
            (
                "// SPDX-License-Identifier: MIT OR Apache-2.0\n",
                Some("MIT OR Apache-2.0"),
            ),
            (
                "/* SPDX-License-Identifier: BSD-3-Clause */",
                Some("BSD-3-Clause"),
            ),
            (
                "# Licensed under the Apache\n# License, Version 2.0 (the",
                Some("Apache-2.0"),
            ),
            (
                " * under the terms of the GNU General\n * Public License",
                Some("GPL-2.0-or-later"),
            ),
            ("# Copyright (c) 2020 Ada\n", None),
        ] {
            assert_eq!(of_header(header).as_deref(), expected, "{header}");
        }
        let late = format!("{}// SPDX-License-Identifier: MIT", "\n".repeat(100));
        assert_eq!(of_header(&late), None);
    }

    #[test]
    fn an_expression_is_allowed_if_one_of_its_choices_is() {
        let names = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        let allowed = Allowed::new(&names).unwrap();
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0-or-later", false),
            ("no licence", false),
        ] {
            assert_eq!(allowed.allows(expression), expected, "{expression}");
        }
        let wrong = ["MIT".to_owned(), "MTI".to_owned()];
        assert_eq!(Allowed::new(&wrong).unwrap_err(), "MTI");
        assert_eq!(
            of_expression("MIT/Apache-2.0").as_deref(),
            Some("MIT OR Apache-2.0")
        );
    }

    #[test]
    fn the_nearest_text_of_a_licence_counts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let text = |name: &str| spdx::license_id(name).unwrap().text();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("LICENSE-MIT"), text("MIT")).unwrap();
        fs::write(root.join("LICENSE-APACHE"), text("Apache-2.0")).unwrap();
        fs::write(root.join("a/COPYING"), text("GPL-3.0-only")).unwrap();
        fs::write(root.join("a/b/LICENSE"), "ask me").unwrap();
        let mut licences = TreeLicences::new(root);
        let mut of = |path: &str| licences.of(&root.join(path)).unwrap();
        assert_eq!(of("").as_deref(), Some("Apache-2.0 AND MIT"));
        assert!(of("a/b").unwrap().starts_with("GPL-3.0"));
    }
}
