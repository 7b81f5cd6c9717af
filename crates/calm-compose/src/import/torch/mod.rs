//! State dicts as `torch.save` writes them, read without executing anything.
//!
//! They are zip archives of one pickle and of the bytes of storages. A pickle is a program that may
//! call whatever it names; [`pickle`] runs it for what a state dict is made of and refuses all else
//! by its name. pytorch-reader, which burn-store uses, was not taken: it brings decompression and
//! tar archives, and our part of the format is this small.

mod pickle;
mod zip;

use std::collections::BTreeMap;

use half::{bf16, f16};

use self::pickle::Pickled;

/// A tensor in `f32`, (out, in) if it is a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The tensors of an archive for whose names `keep` holds, or the problem with it.
pub(crate) fn read(
    bytes: &[u8],
    keep: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Stored>, String> {
    let entries = zip::entries(bytes)?;
    let pickles = entries.iter().find_map(|(name, bytes)| {
        let root = name.strip_suffix("data.pkl")?;
        (root.is_empty() || root.ends_with('/')).then_some((root, *bytes))
    });
    let (root, pickle) = pickles.ok_or("is an archive without data.pkl, so not of torch.save")?;
    if let Some(order) = entries.get(&format!("{root}byteorder"))
        && *order != b"little"
    {
        return Err("has numbers of another byte order than little".to_owned());
    }
    // Views may share a storage, but not make more of it than a file may hold.
    let mut room = bytes.len();
    let mut tensors = BTreeMap::new();
    for (name, pickled) in pickle::state_dict(pickle)? {
        if !keep(&name) {
            continue;
        }
        let pickled = pickled.ok_or_else(|| format!("{name} is no tensor"))?;
        let storage = format!("{root}data/{}", pickled.storage.key);
        let storage = entries
            .get(&storage)
            .ok_or_else(|| format!("{name} is in {storage}, which is missing"))?;
        let values = pickled.values(storage, &mut room);
        let values = values.map_err(|reason| format!("{name} {reason}"))?;
        let shape = pickled.shape;
        tensors.insert(name, Stored { shape, values });
    }
    Ok(tensors)
}

impl Pickled {
    /// The numbers in the order of the shape; `room` is what may still be taken.
    fn values(&self, storage: &[u8], room: &mut usize) -> Result<Vec<f32>, String> {
        let (bytes, number): (usize, fn(&[u8]) -> f32) = match self.storage.class {
            "FloatStorage" => (4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            "HalfStorage" => (2, |b| f16::from_le_bytes([b[0], b[1]]).to_f32()),
            "BFloat16Storage" => (2, |b| bf16::from_le_bytes([b[0], b[1]]).to_f32()),
            other => return Err(format!("is in a {other}, not of a float of 32 or 16 bits")),
        };
        let len = self.storage.len;
        if len.checked_mul(bytes) != Some(storage.len()) {
            return Err(format!(
                "is in a storage of {len} numbers, of which the archive has {} bytes",
                storage.len()
            ));
        }
        let count = self
            .shape
            .iter()
            .try_fold(1, |n: usize, dim| n.checked_mul(*dim));
        let count = count.filter(|count| *count <= len.min(*room));
        let count = count.ok_or("has more numbers than its storage")?;
        *room -= count;
        if count > 0 && self.last().is_none_or(|last| last >= len) {
            return Err("reaches beyond its storage".to_owned());
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let steps = index.iter().zip(&self.strides);
            let at = self.offset + steps.map(|(index, stride)| index * stride).sum::<usize>();
            values.push(number(&storage[at * bytes..][..bytes]));
            // The next index, the last axis first.
            for (index, dim) in index.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < *dim {
                    break;
                }
                *index = 0;
            }
        }
        Ok(values)
    }

    /// The place in the storage of the last number of a tensor that has any.
    fn last(&self) -> Option<usize> {
        let axes = self.shape.iter().zip(&self.strides);
        let mut steps = axes.map(|(dim, stride)| (dim - 1).checked_mul(*stride));
        steps.try_fold(self.offset, |sum, step| sum.checked_add(step?))
    }
}
