//! What each frozen model is trained on.

use rayon::prelude::*;

use super::dataset::World;
use super::language::Resource;
use super::texts::{BLOCK, Row, TextKind};

/// Kinds of rows with their shares in percent, each over some languages in turn (`None`: English).
pub(super) struct Mixture(Vec<(usize, TextKind, Vec<Option<usize>>)>);

impl Mixture {
    /// `small`: a little of everything.
    pub(super) fn small(world: &World) -> Self {
        let [english, high, low] = Self::groups(world);
        Self(vec![
            (12, TextKind::Plain, english.clone()),
            (8, TextKind::Plain, high.clone()),
            (32, TextKind::IntoEnglish, high.clone()),
            (28, TextKind::Dictionary, high.clone()),
            (8, TextKind::IntoEnglish, low.clone()),
            (4, TextKind::Dictionary, low),
            (3, TextKind::Problems, english),
            (5, TextKind::Problems, high),
        ])
    }

    /// m_B: English and high-resource languages, problems in them, and traces of the rest.
    pub(super) fn anchor(world: &World) -> Self {
        let [english, high, low] = Self::groups(world);
        Self(vec![
            (10, TextKind::Plain, english.clone()),
            (4, TextKind::Plain, high.clone()),
            (36, TextKind::IntoEnglish, high.clone()),
            (3, TextKind::FromEnglish, high.clone()),
            (20, TextKind::Dictionary, high.clone()),
            (8, TextKind::Problems, english),
            (14, TextKind::Problems, high),
            (5, TextKind::IntoEnglish, low),
        ])
    }

    /// English, high- and low-resource languages.
    fn groups(world: &World) -> [Vec<Option<usize>>; 3] {
        let group = |resource| world.with(resource).into_iter().map(Some).collect();
        [vec![None], group(Resource::High), group(Resource::Low)]
    }

    pub(super) fn rows(&self, world: &World, count: usize) -> Vec<Row> {
        let row = |index| self.row(world, index);
        (0..count).into_par_iter().map(row).collect()
    }

    fn row(&self, world: &World, index: usize) -> Row {
        let mut turn = index * 37 % 100;
        for (percent, kind, languages) in &self.0 {
            if turn < *percent {
                let language = languages[index / 100 % languages.len()];
                return world.row(*kind, language, index);
            }
            turn -= percent;
        }
        unreachable!("shares add up to 100")
    }
}

/// D_NTL: the corpora of low-resource languages, and of high-resource ones half as much as of the
/// largest of these.
pub(super) fn ntl(world: &World) -> Vec<Row> {
    let rows = |language: usize| {
        let pairs = match world.languages()[language].resource {
            Resource::Low => world.corpus_pairs(language),
            Resource::High => world.corpus_pairs(language) / 2,
        };
        let blocks = (0..pairs).step_by(BLOCK);
        blocks.flat_map(move |index| world.corpus_rows(language, index))
    };
    let languages = 0..world.languages().len();
    languages.into_par_iter().flat_map_iter(rows).collect()
}
