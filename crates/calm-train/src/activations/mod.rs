//! Hidden states that no bridge changes, kept from one epoch to the next.
//!
//! In the type of the models nothing is lost: on the processor, where an example's states are the
//! same bits in whatever batch they are computed ([`FrozenParts::activations`]), a run with a
//! cache is the run without one, bit for bit. The halves take half the room, and round.
//!
//! Every example has a place of its own, as large as its states. Those whose place lies within the
//! budget are kept, the others computed in every epoch.

mod store;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Tensor, TensorData};
use calm_backend::FloatType;
use calm_compose::{
    ActivationSize, CachedActivations, Connection, FrozenParts, Mode, RowTokens, Text,
};
use calm_data::TokenizedExample;
use calm_files::{Digest, Sha256};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use self::store::{Place, Store};
use crate::TrainError;

/// Changed whenever files of an earlier program could not be read, or would hold other states.
const VERSION: u32 = 1;

/// Where states are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationPlace {
    /// By this process, until it ends.
    Memory,
    /// In a file of this directory, whose name tells what its states depend on; runs to come find
    /// it again.
    Directory(PathBuf),
}

/// Keeps what [`FrozenParts::activations`] computes of a dataset.
#[derive(Debug)]
pub struct ActivationCache {
    store: Mutex<Store>,
    /// Where each example's states begin among all, and where the last one's end, in bytes.
    places: Vec<u64>,
    /// Examples that are kept: so many first ones.
    kept: usize,
    dtype: FloatType,
    reused: AtomicU64,
    computed: AtomicU64,
}

/// Contents and use of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationStatistics {
    /// Bytes that the states of all examples take.
    pub bytes: u64,
    /// Bytes of those that are kept.
    pub kept_bytes: u64,
    /// Examples whose states are kept, once they were computed.
    pub kept_examples: usize,
    /// Examples whose states were read, counted every time.
    pub reused: u64,
    /// Examples whose states were computed, counted every time.
    pub computed: u64,
    /// Examples whose states were there, but damaged, and so were computed anew.
    pub damaged: u64,
}

/// Plan of an [`ActivationCache`]: the examples whose states it will hold.
#[derive(Debug)]
pub struct ActivationPlan<'a> {
    parts: &'a FrozenParts,
    /// All that the states depend on.
    key: Sha256,
    places: Vec<u64>,
    dtype: FloatType,
}

/// Everything that states depend on besides the examples.
#[derive(Serialize)]
struct CacheKey<'a, M> {
    version: u32,
    program: &'static str,
    models: &'a M,
    connections: Vec<(&'a [Connection], Mode, bool)>,
    kept_as: FloatType,
    computed_in: Vec<String>,
    device: String,
}

impl<'a> ActivationPlan<'a> {
    /// A cache of states of these models, kept as numbers of this type.
    ///
    /// `models` is what the states depend on besides the examples: the hashes of the models'
    /// weights and tokenizers. With the program's version, the connections and the examples it
    /// becomes the name and the head of a file, so that states of anything else are never read.
    ///
    /// # Panics
    ///
    /// If `models` has no JSON form.
    pub fn new(parts: &'a FrozenParts, models: &impl Serialize, dtype: FloatType) -> Self {
        let connections = parts.augmenting.iter();
        let computed_in = state_dtypes(parts).into_iter();
        let head = CacheKey {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION"),
            models,
            connections: connections
                .map(|model| (model.connections.as_slice(), model.mode, model.scale != 0.0))
                .collect(),
            kept_as: dtype,
            computed_in: computed_in
                .map(|dtype| format!("{dtype:?}").to_lowercase())
                .collect(),
            device: calm_backend::device_name(&parts.anchor.device()),
        };
        let head = serde_json::to_string(&head).expect("settings are plain data");
        Self {
            parts,
            key: Sha256::new_with_prefix(head),
            places: vec![0],
            dtype,
        }
    }

    /// Adds the next example.
    pub fn add(&mut self, text: &Text<'_>) {
        for number in [text.ids.len(), text.prompt] {
            self.key.update((number as u64).to_le_bytes());
        }
        for id in text.ids {
            self.key.update(id.to_le_bytes());
        }
        let sizes = self.parts.activation_sizes(text);
        let elements: usize = sizes.iter().map(|size| size.elements()).sum();
        let start = self.places[self.places.len() - 1];
        self.places
            .push(start + (elements * self.dtype.bytes()) as u64);
    }

    /// Adds the next example; `tokens` is what the augmenting models read of it, none where all read
    /// the anchor's ids.
    pub fn add_example(&mut self, example: &TokenizedExample, tokens: Option<&RowTokens>) {
        let of_ids = RowTokens::of_anchor_ids(self.parts.augmenting.len());
        self.add(&Text {
            ids: example.inputs(),
            anchor_ids: example.inputs(),
            prompt: example.target_start.max(1),
            tokens: tokens.unwrap_or(&of_ids),
        });
    }

    /// The cache, of whose states at most `budget` bytes are kept.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the directory cannot be written to.
    pub fn open(self, place: &ActivationPlace, budget: u64) -> Result<ActivationCache, TrainError> {
        let Self { places, dtype, .. } = self;
        let kept = places[1..].partition_point(|end| *end <= budget);
        let place = match place {
            ActivationPlace::Memory => Place::Memory,
            ActivationPlace::Directory(directory) => Place::File {
                directory,
                key: self.key.finalize().into(),
                bytes: places[kept],
            },
        };
        Ok(ActivationCache {
            store: Mutex::new(Store::open(place, places.len() - 1, kept)?),
            places,
            kept,
            dtype,
            reused: AtomicU64::new(0),
            computed: AtomicU64::new(0),
        })
    }
}

impl ActivationCache {
    /// Contents and use so far.
    pub fn statistics(&self) -> ActivationStatistics {
        ActivationStatistics {
            bytes: self.places[self.places.len() - 1],
            kept_bytes: self.places[self.kept],
            kept_examples: self.kept,
            reused: self.reused.load(Ordering::Relaxed),
            computed: self.computed.load(Ordering::Relaxed),
            damaged: self.store().damaged(),
        }
    }

    /// The states of these examples, of which the cache was made under these numbers, counted from
    /// 0: those that are there, and the others computed.
    ///
    /// Kept are the states of the true texts. Where something of a text is hidden from the anchor, its
    /// states are computed.
    ///
    /// # Panics
    ///
    /// If there is no example of one of the numbers, or it is another one.
    pub fn states(
        &self,
        parts: &FrozenParts,
        numbers: &[usize],
        texts: &[Text<'_>],
    ) -> CachedActivations {
        let mut rows: Vec<Option<Vec<u8>>> = {
            let mut store = self.store();
            let read = |number: &usize| store.read(*number, self.place(*number));
            numbers.iter().map(read).collect()
        };
        let missing: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].is_none()).collect();
        self.computed
            .fetch_add(missing.len() as u64, Ordering::Relaxed);
        self.reused
            .fetch_add((rows.len() - missing.len()) as u64, Ordering::Relaxed);
        for (row, bytes) in self.compute(parts, &missing, texts) {
            let number = numbers[row];
            if number < self.kept {
                self.store().write(number, self.place(number), &bytes);
            }
            rows[row] = Some(bytes);
        }
        let rows: Vec<Vec<u8>> = rows.into_iter().flatten().collect();
        let mut states = self.assemble(parts, texts, &rows);
        if texts.iter().any(|text| text.anchor_ids != text.ids) {
            states.anchor = parts.anchor_activations(texts);
        }
        states
    }

    /// The states of some of the texts, each with the number of its text, as they are kept.
    fn compute(
        &self,
        parts: &FrozenParts,
        missing: &[usize],
        texts: &[Text<'_>],
    ) -> Vec<(usize, Vec<u8>)> {
        if missing.is_empty() {
            return Vec::new();
        }
        let whole = |row: &usize| Text {
            anchor_ids: texts[*row].ids,
            ..texts[*row]
        };
        let texts: Vec<Text<'_>> = missing.iter().map(whole).collect();
        let states = parts.activations(&texts);
        let mut rows: Vec<(usize, Vec<u8>)> =
            missing.iter().map(|row| (*row, Vec::new())).collect();
        let sizes: Vec<_> = texts
            .iter()
            .map(|text| parts.activation_sizes(text))
            .collect();
        for (number, state) in states.iter().enumerate() {
            let [_, longest, width] = state.dims();
            let values: Vec<f32> = state
                .clone()
                .cast(DType::F32)
                .try_into_vec_as()
                .expect("32-bit numbers");
            let padded = values.chunks(longest * width);
            for ((row, sizes), values) in rows.iter_mut().zip(&sizes).zip(padded) {
                encode(&values[..sizes[number].elements()], self.dtype, &mut row.1);
            }
        }
        rows
    }

    /// States as tensors, padded on the right with zeros.
    fn assemble(
        &self,
        parts: &FrozenParts,
        texts: &[Text<'_>],
        rows: &[Vec<u8>],
    ) -> CachedActivations {
        let sizes: Vec<_> = texts
            .iter()
            .map(|text| parts.activation_sizes(text))
            .collect();
        let count = sizes.first().map_or(0, Vec::len);
        let mut read = vec![0; rows.len()];
        let mut states = Vec::with_capacity(count);
        for number in 0..count {
            let of_row = |sizes: &Vec<ActivationSize>| sizes[number];
            let longest = sizes.iter().map(|sizes| of_row(sizes).positions).max();
            let (longest, width) = (longest.unwrap_or(0), of_row(&sizes[0]).width);
            let mut values = vec![0.0; rows.len() * longest * width];
            for (row, (bytes, sizes)) in rows.iter().zip(&sizes).enumerate() {
                let elements = of_row(sizes).elements();
                let end = read[row] + elements * self.dtype.bytes();
                let into = &mut values[row * longest * width..][..elements];
                decode(&bytes[read[row]..end], self.dtype, into);
                read[row] = end;
            }
            states.push(TensorData::new(values, [rows.len(), longest, width]));
        }
        let device = parts.anchor.device();
        let dtypes = state_dtypes(parts);
        let tensors = states.into_iter().zip(dtypes);
        parts.activations_from(
            tensors.map(|(data, dtype)| Tensor::<3>::from_data(data, &device).cast(dtype)),
        )
    }

    fn place(&self, number: usize) -> std::ops::Range<u64> {
        self.places[number]..self.places[number + 1]
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The type of every state, in their order.
fn state_dtypes(parts: &FrozenParts) -> Vec<DType> {
    let augmenting = parts.augmenting.iter().filter(|model| model.scale != 0.0);
    let of_model = augmenting
        .flat_map(|model| std::iter::repeat_n(model.decoder.dtype(), model.connections.len()));
    std::iter::once(parts.anchor.dtype())
        .chain(of_model)
        .collect()
}

/// Appends numbers as they are kept: little-endian.
fn encode(values: &[f32], dtype: FloatType, bytes: &mut Vec<u8>) {
    bytes.reserve(values.len() * dtype.bytes());
    match dtype {
        FloatType::F32 => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        FloatType::F16 => {
            bytes.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()));
        }
        FloatType::BF16 => {
            bytes.extend(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()));
        }
    }
}

/// Reads numbers of `bytes`, as many as there is room for.
fn decode(bytes: &[u8], dtype: FloatType, values: &mut [f32]) {
    match dtype {
        FloatType::F32 => read(bytes, values, f32::from_le_bytes),
        FloatType::F16 => read(bytes, values, |x| f16::from_le_bytes(x).to_f32()),
        FloatType::BF16 => read(bytes, values, |x| bf16::from_le_bytes(x).to_f32()),
    }
}

fn read<const N: usize>(bytes: &[u8], values: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (value, bytes) in values.iter_mut().zip(numbers) {
        *value = number(*bytes);
    }
}
