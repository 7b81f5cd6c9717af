//! Tokenised examples, in memory or in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::words::Word;
use crate::{DataError, TokenizedExample};

/// Tokenised examples, by their numbers.
///
/// The ids of examples that were collected from an iterator are in memory; those from the cache of a
/// [`DataFile`](crate::DataFile) stay in its file. The index is in memory in both cases: twelve bytes
/// for each example, sixteen where words are known.
#[derive(Debug)]
pub struct Examples {
    all: Arc<Stock>,
    /// Numbers of those that are meant; none if it is all of them.
    chosen: Option<Vec<u32>>,
}

/// Examples that several selections share.
#[derive(Debug)]
struct Stock {
    index: Index,
    numbers: Numbers,
}

/// Where each example's numbers are: its ids, and behind them two for each word.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// End of each example's numbers.
    pub(crate) ends: Vec<u64>,
    pub(crate) target_starts: Vec<u32>,
    /// Words of each example; nothing if no example has any.
    word_counts: Vec<u32>,
    /// Words of all examples.
    words: u64,
}

/// Numbers of all examples.
#[derive(Debug)]
enum Numbers {
    Memory(Vec<u32>),
    Stored(Stored),
}

/// Numbers in a file, four bytes each, little-endian.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    /// Behind a lock, since reading moves the position.
    file: Mutex<File>,
    /// Position of the first number.
    begin: u64,
}

impl Index {
    /// Adds an example, and returns its numbers.
    pub(crate) fn push(&mut self, example: &TokenizedExample) -> Vec<u32> {
        let words = example.words.iter();
        let words =
            words.flat_map(|word| [word.start << 1 | u32::from(word.may_be_hidden), word.end]);
        let numbers: Vec<u32> = example.ids.iter().copied().chain(words).collect();
        self.ends.push(self.numbers() + numbers.len() as u64);
        self.target_starts.push(example.target_start as u32);
        let before = self.ends.len() - 1;
        self.set_words(before, example.words.len() as u32);
        numbers
    }

    /// Notes down how many words the next example has.
    pub(crate) fn set_words(&mut self, number: usize, count: u32) {
        if count > 0 || !self.word_counts.is_empty() {
            self.word_counts.resize(number, 0);
            self.word_counts.push(count);
            self.words += u64::from(count);
        }
    }

    /// Numbers of all examples.
    pub(crate) fn numbers(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Tokens of all examples.
    pub(crate) fn tokens(&self) -> u64 {
        self.numbers() - 2 * self.words
    }

    /// Words of an example.
    pub(crate) fn words_of(&self, number: usize) -> usize {
        self.word_counts
            .get(number)
            .map_or(0, |count| *count as usize)
    }

    fn tokens_of(&self, number: usize) -> usize {
        let range = self.range(number);
        (range.end - range.start) as usize - 2 * self.words_of(number)
    }

    fn range(&self, number: usize) -> Range<u64> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[number]
    }

    /// Whether every example has a token before its target, and one in it.
    pub(crate) fn is_sound(&self) -> bool {
        let mut start = 0;
        let mut examples = self.ends.iter().zip(&self.target_starts).enumerate();
        examples.all(|(number, (&end, &target_start))| {
            let numbers = end.checked_sub(start);
            start = end;
            let words = 2 * self.words_of(number) as u64;
            let tokens = numbers.and_then(|numbers| numbers.checked_sub(words));
            let target_start = u64::from(target_start);
            target_start > 0 && tokens.is_some_and(|tokens| target_start < tokens)
        })
    }
}

impl Stored {
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u32>> {
        let mut bytes = vec![0; (range.end - range.start) as usize * 4];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.begin + range.start * 4))?;
        file.read_exact(&mut bytes)?;
        let (ids, _) = bytes.as_chunks();
        Ok(ids.iter().map(|id| u32::from_le_bytes(*id)).collect())
    }
}

impl Examples {
    /// Examples whose numbers are in a file from position `begin` on.
    pub(crate) fn stored(index: Index, file: File, path: PathBuf, begin: u64) -> Self {
        let file = Mutex::new(file);
        Self::of(index, Numbers::Stored(Stored { path, file, begin }))
    }

    fn of(index: Index, numbers: Numbers) -> Self {
        Self {
            all: Arc::new(Stock { index, numbers }),
            chosen: None,
        }
    }

    /// The examples with these numbers, in this order. Ids are shared, not copied.
    #[must_use]
    pub(crate) fn chosen(&self, numbers: Vec<u32>) -> Self {
        let numbers = numbers.into_iter();
        Self {
            all: Arc::clone(&self.all),
            chosen: Some(numbers.map(|n| self.place(n as usize) as u32).collect()),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        let all = self.all.index.ends.len();
        self.chosen.as_ref().map_or(all, Vec::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of all examples, including those that are only ever a target.
    pub fn tokens(&self) -> u64 {
        match &self.chosen {
            None => self.all.index.tokens(),
            Some(chosen) => (0..chosen.len())
                .map(|number| self.tokens_of(number) as u64)
                .sum(),
        }
    }

    /// Number of an example among all of its file, from which some may be held out.
    ///
    /// # Panics
    ///
    /// If there is no example of that number.
    pub fn place(&self, number: usize) -> usize {
        match &self.chosen {
            None => number,
            Some(chosen) => chosen[number] as usize,
        }
    }

    /// Tokens of an example, without reading it.
    ///
    /// # Panics
    ///
    /// If there is no example of that number.
    pub fn tokens_of(&self, number: usize) -> usize {
        self.all.index.tokens_of(self.place(number))
    }

    /// An example.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if its file cannot be read any more.
    ///
    /// # Panics
    ///
    /// If there is no example of that number.
    pub fn get(&self, number: usize) -> Result<TokenizedExample, DataError> {
        let number = self.place(number);
        let range = self.all.index.range(number);
        let mut ids = match &self.all.numbers {
            Numbers::Memory(numbers) => numbers[range.start as usize..range.end as usize].to_vec(),
            Numbers::Stored(stored) => stored.read(range).map_err(DataError::io(&stored.path))?,
        };
        let words = ids.split_off(self.all.index.tokens_of(number));
        let (words, _) = words.as_chunks();
        let words = words.iter().map(|[start, end]| Word {
            start: start >> 1,
            end: *end,
            may_be_hidden: start & 1 == 1,
        });
        Ok(TokenizedExample {
            ids,
            target_start: self.all.index.target_starts[number] as usize,
            words: words.collect(),
        })
    }

    /// All examples in order, read one at a time.
    pub fn iter(&self) -> impl Iterator<Item = Result<TokenizedExample, DataError>> {
        (0..self.len()).map(|number| self.get(number))
    }
}

/// Collects examples in memory.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    index: Index,
    numbers: Vec<u32>,
}

impl InMemory {
    pub(crate) fn push(&mut self, example: &TokenizedExample) {
        self.numbers.extend(self.index.push(example));
    }
}

impl From<InMemory> for Examples {
    fn from(collected: InMemory) -> Self {
        Self::of(collected.index, Numbers::Memory(collected.numbers))
    }
}

impl FromIterator<TokenizedExample> for Examples {
    fn from_iter<I: IntoIterator<Item = TokenizedExample>>(examples: I) -> Self {
        let mut collected = InMemory::default();
        for example in examples {
            collected.push(&example);
        }
        collected.into()
    }
}
