//! GGUF files taken apart, to be changed and put together again.

use std::fs;
use std::path::{Path, PathBuf};

/// Numbers of types of values.
pub(crate) const U32: u32 = 4;
pub(crate) const F32: u32 = 6;
pub(crate) const BOOL: u32 = 7;
pub(crate) const TEXT: u32 = 8;
pub(crate) const ARRAY: u32 = 9;

const ALIGNMENT: usize = 32;

#[derive(Clone)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    /// Keys, types and values as bytes.
    pub(crate) values: Vec<(String, u32, Vec<u8>)>,
    pub(crate) tensors: Vec<GgufTensor>,
    /// Tensors and values that the header claims, if not as many as there are.
    pub(crate) claimed: [Option<u64>; 2],
}

#[derive(Clone)]
pub(crate) struct GgufTensor {
    pub(crate) name: String,
    /// Innermost first, as in the file.
    pub(crate) sizes: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Its place, if not behind the one before.
    pub(crate) offset: Option<u64>,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

pub(crate) fn texts(texts: &[&str]) -> Vec<u8> {
    let mut bytes = [&TEXT.to_le_bytes()[..], &(texts.len() as u64).to_le_bytes()].concat();
    bytes.extend(texts.iter().flat_map(|part| text(part)));
    bytes
}

impl GgufFile {
    /// A file without values and tensors.
    pub(crate) fn empty() -> Self {
        Self {
            version: 3,
            values: Vec::new(),
            tensors: Vec::new(),
            claimed: [None; 2],
        }
    }

    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut reader = Reader(&bytes);
        assert_eq!(reader.take(4), b"GGUF");
        let mut file = Self::empty();
        file.version = reader.u32();
        let [tensors, values] = [reader.u64(), reader.u64()];
        for _ in 0..values {
            let (key, kind) = (reader.text(), reader.u32());
            let before = reader.0;
            reader.value(kind);
            let value = before[..before.len() - reader.0.len()].to_vec();
            file.values.push((key, kind, value));
        }
        let mut places = Vec::new();
        for _ in 0..tensors {
            let name = reader.text();
            let dimensions = reader.u32();
            file.tensors.push(GgufTensor {
                name,
                sizes: (0..dimensions).map(|_| reader.u64()).collect(),
                kind: reader.u32(),
                data: Vec::new(),
                offset: None,
            });
            places.push(reader.u64() as usize);
        }
        let start = (bytes.len() - reader.0.len()).next_multiple_of(ALIGNMENT);
        let data = &bytes[start..];
        for (tensor, place) in file.tensors.iter_mut().zip(&places) {
            let later = places.iter().filter(|other| *other > place);
            let end = later.min().map_or(data.len(), |end| *end);
            tensor.data = data[*place..end].to_vec();
        }
        file
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        let counts = [self.tensors.len(), self.values.len()];
        for (count, claimed) in counts.into_iter().zip(self.claimed) {
            bytes.extend(claimed.unwrap_or(count as u64).to_le_bytes());
        }
        for (key, kind, value) in &self.values {
            bytes.extend([&text(key), &kind.to_le_bytes()[..], value].concat());
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            bytes.extend(text(&tensor.name));
            bytes.extend((tensor.sizes.len() as u32).to_le_bytes());
            bytes.extend(tensor.sizes.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            let offset = tensor.offset.unwrap_or(data.len() as u64);
            bytes.extend(offset.to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(data);
        bytes
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, self.bytes()).unwrap();
    }

    /// Writes it in so many files, the tensors dealt out in turn.
    pub(crate) fn split(&self, dir: &Path, count: usize) -> Vec<PathBuf> {
        let path = |number| dir.join(format!("m-{number:05}-of-{count:05}.gguf"));
        for part in 0..count {
            let mut file = Self::empty();
            if part == 0 {
                file.values.clone_from(&self.values);
            }
            file.set("split.no", 2, (part as u16).to_le_bytes());
            file.set("split.count", 2, (count as u16).to_le_bytes());
            let tensors = self.tensors.len() as i32;
            file.set("split.tensors.count", 5, tensors.to_le_bytes());
            let tensors = self.tensors.iter().skip(part).step_by(count);
            file.tensors = tensors.cloned().collect();
            file.write(&path(part + 1));
        }
        (1..=count).map(path).collect()
    }

    /// Sets a value, new or in its old place.
    pub(crate) fn set(&mut self, key: &str, kind: u32, value: impl Into<Vec<u8>>) {
        let new = (key.to_owned(), kind, value.into());
        match self.values.iter_mut().find(|(other, ..)| other == key) {
            Some(old) => *old = new,
            None => self.values.push(new),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.values.retain(|(other, ..)| other != key);
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut GgufTensor {
        let mut tensors = self.tensors.iter_mut();
        tensors.find(|tensor| tensor.name == name).unwrap()
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) {
        match kind {
            0 | 1 | BOOL => drop(self.take(1)),
            2 | 3 => drop(self.take(2)),
            U32 | 5 | F32 => drop(self.take(4)),
            10..=12 => drop(self.take(8)),
            TEXT => drop(self.text()),
            ARRAY => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.value(kind));
            }
            other => panic!("type {other}"),
        }
    }
}
