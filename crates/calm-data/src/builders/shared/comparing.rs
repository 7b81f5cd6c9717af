//! Passes over the records that wait in a file.

use rayon::prelude::*;

use super::{Store, Stored};
use crate::DataError;
use crate::builders::{BuildObserver, BuildPart};
use crate::cleaning::{Marks, MinHash, MinHashConfig, NearDuplicates};

/// Near duplicates among the records of a store, besides those in `gone`, to which they are added. `texts`
/// gives the scope in which a record is compared, and its texts.
///
/// # Errors
///
/// [`DataError::Interrupted`] if `observer` says so, [`DataError::Io`].
pub(in crate::builders) fn near_duplicates<R: Stored + Sync>(
    store: &mut Store<R>,
    config: MinHashConfig,
    memory: usize,
    gone: &mut Marks,
    texts: impl Fn(&R) -> (String, Vec<&str>) + Sync,
    observer: &mut dyn BuildObserver,
) -> Result<Marks, DataError> {
    let minhash = MinHash::new(config)?;
    let mut near = NearDuplicates::new(config, store.directory(), memory)?;
    let total = store.records();
    for chunk in store.chunks()? {
        let (first, records) = chunk?;
        advance(observer, BuildPart::Comparing, first, total)?;
        let left = (first..)
            .zip(&records)
            .filter(|(number, _)| !gone.contains(*number));
        let left: Vec<_> = left.collect();
        let sketch = |&(number, record): &(u64, &R)| {
            let (scope, texts) = texts(record);
            Some((number, minhash.sketch(&scope, texts)?))
        };
        let sketches: Vec<_> = left.par_iter().map(sketch).collect();
        for (number, sketch) in sketches.iter().flatten() {
            near.push(*number, sketch)?;
        }
    }
    near.finish(gone)
}

/// Tells how far a part is.
///
/// # Errors
///
/// [`DataError::Interrupted`] if nobody wants the rest.
pub(in crate::builders) fn advance(
    observer: &mut dyn BuildObserver,
    part: BuildPart,
    done: u64,
    total: u64,
) -> Result<(), DataError> {
    match observer.advance(part, done, total) {
        true => Ok(()),
        false => Err(DataError::Interrupted),
    }
}
