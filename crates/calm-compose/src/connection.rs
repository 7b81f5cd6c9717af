//! Connections: pairs of an augmenting block and the anchor block that reads it (section 3.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ComposeError;

/// One bridge: the output of an augmenting block is read at the output of an anchor block.
///
/// Both numbers are 1-based and mean the *output* of that block, so anchor block `j` of `N_B`
/// hands the composed state to block `j + 1`, or to the final norm where `j = N_B`.
/// Serialised as the pair `[augmenting_block, anchor_block]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "[usize; 2]", into = "[usize; 2]")]
pub struct Connection {
    /// 1-based block of the augmenting model.
    pub augmenting_block: usize,
    /// 1-based block of the anchor.
    pub anchor_block: usize,
}

impl From<[usize; 2]> for Connection {
    fn from([augmenting_block, anchor_block]: [usize; 2]) -> Self {
        Self {
            augmenting_block,
            anchor_block,
        }
    }
}

impl From<Connection> for [usize; 2] {
    fn from(connection: Connection) -> Self {
        [connection.augmenting_block, connection.anchor_block]
    }
}

/// A rule that chooses connections for models of any depth.
///
/// As text, for instance of a command line: `every:4`, `even:3`, `first:2`, `middle:4`, `last:2`,
/// or pairs as JSON, `[[2,4],[4,8]]`. Several augmenting blocks may be read at one anchor block,
/// and one at several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionPlan {
    /// Every k-th block of the augmenting model, and as many anchor blocks, evenly spaced: the
    /// paper's choice, with k = 4.
    Every(usize),
    /// This number of blocks of each model, evenly spaced.
    Even(usize),
    /// This number of blocks from the bottom of each model, in pairs.
    First(usize),
    /// This number of blocks in the middle of each model: as many blocks are below them as above, or
    /// one less.
    Middle(usize),
    /// This number of blocks at the top of each model, in pairs.
    Last(usize),
    /// These pairs.
    Explicit(Vec<Connection>),
}

impl Default for ConnectionPlan {
    fn default() -> Self {
        Self::Every(4)
    }
}

impl From<Vec<Connection>> for ConnectionPlan {
    fn from(pairs: Vec<Connection>) -> Self {
        Self::Explicit(pairs)
    }
}

/// As [`ConnectionPlan::from_str`] reads it.
impl fmt::Display for ConnectionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(step) => write!(f, "every:{step}"),
            Self::Even(count) => write!(f, "even:{count}"),
            Self::First(count) => write!(f, "first:{count}"),
            Self::Middle(count) => write!(f, "middle:{count}"),
            Self::Last(count) => write!(f, "last:{count}"),
            Self::Explicit(pairs) => {
                let pairs = pairs.iter();
                let pairs =
                    pairs.map(|pair| format!("[{},{}]", pair.augmenting_block, pair.anchor_block));
                write!(f, "[{}]", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl FromStr for ConnectionPlan {
    type Err = ComposeError;

    fn from_str(text: &str) -> Result<Self, ComposeError> {
        let unknown = || ComposeError::Connections {
            reason: format!(
                "'{text}' is no plan; use every:4, even:3, first:2, middle:4, last:2, or pairs \
                 such as [[1,1],[2,3]]"
            ),
        };
        let Some((name, number)) = text.split_once(':') else {
            let pairs = serde_json::from_str(text);
            return pairs.map(Self::Explicit).map_err(|_| unknown());
        };
        let plan = match name {
            "every" => Self::Every,
            "even" => Self::Even,
            "first" => Self::First,
            "middle" => Self::Middle,
            "last" => Self::Last,
            _ => return Err(unknown()),
        };
        number.parse().map(plan).map_err(|_| unknown())
    }
}

impl ConnectionPlan {
    /// The connections for models of these depths, in the order of the anchor's blocks.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Connections`] if a block is out of range, a pair is listed twice, or the
    /// models have too few blocks.
    pub fn resolve(
        &self,
        augmenting_blocks: usize,
        anchor_blocks: usize,
    ) -> Result<Vec<Connection>, ComposeError> {
        let depths = Depths {
            augmenting: augmenting_blocks,
            anchor: anchor_blocks,
        };
        let mut connections = match self {
            Self::Every(k) => depths.every(*k)?,
            Self::Even(n) => depths.even(*n)?,
            Self::First(n) => depths.run("first", *n, |_| 0)?,
            Self::Middle(n) => depths.run("middle", *n, |left_over| left_over / 2)?,
            Self::Last(n) => depths.run("last", *n, |left_over| left_over)?,
            Self::Explicit(pairs) => pairs.clone(),
        };
        connections.sort_by_key(|c| (c.anchor_block, c.augmenting_block));
        check(&connections, augmenting_blocks, anchor_blocks)?;
        Ok(connections)
    }
}

/// Numbers of blocks.
struct Depths {
    augmenting: usize,
    anchor: usize,
}

impl Depths {
    /// Blocks k, 2k, … of the augmenting model, spread evenly over the anchor.
    fn every(&self, k: usize) -> Result<Vec<Connection>, ComposeError> {
        let n = self.augmenting.checked_div(k).unwrap_or(0);
        let (augmenting, anchor) = (self.augmenting, self.anchor);
        if n == 0 || n > anchor {
            return Err(ComposeError::Connections {
                reason: format!(
                    "every {k}th of {augmenting} augmenting blocks gives {n} connections; between \
                     1 and {anchor} can be spread over the anchor: choose a spacing of {} to \
                     {augmenting} or list the pairs",
                    narrowest(augmenting, anchor)
                ),
            });
        }
        Ok(pairs(n, |i| k * i, |i| self.anchor_block(i, n)))
    }

    fn even(&self, n: usize) -> Result<Vec<Connection>, ComposeError> {
        self.check_number("even", n)?;
        let augmenting_block = |i| self.augmenting * i / n;
        Ok(pairs(n, augmenting_block, |i| self.anchor_block(i, n)))
    }

    /// Consecutive blocks of both models. `below` maps the number of blocks that are left over to the
    /// number of them that lie below.
    fn run(
        &self,
        plan: &str,
        n: usize,
        below: impl Fn(usize) -> usize,
    ) -> Result<Vec<Connection>, ComposeError> {
        self.check_number(plan, n)?;
        let [augmenting, anchor] = [self.augmenting, self.anchor].map(|depth| below(depth - n));
        Ok(pairs(n, |i| augmenting + i, |i| anchor + i))
    }

    fn check_number(&self, plan: &str, n: usize) -> Result<(), ComposeError> {
        let most = self.augmenting.min(self.anchor);
        if (1..=most).contains(&n) {
            return Ok(());
        }
        Err(ComposeError::Connections {
            reason: format!(
                "{plan}:{n} does not fit {} augmenting and {} anchor blocks; choose {plan}:1 to \
                 {plan}:{most} or list the pairs",
                self.augmenting, self.anchor
            ),
        })
    }

    /// The i-th of n evenly spaced anchor blocks. The last one is a block short of the top, so that
    /// an anchor block can still process what the bridge adds.
    fn anchor_block(&self, i: usize, n: usize) -> usize {
        let even = self.anchor * i / n;
        let short = usize::from(i == n && n < self.anchor);
        (even - short).max(1)
    }
}

/// The first to the n-th pair.
fn pairs(
    n: usize,
    augmenting_block: impl Fn(usize) -> usize,
    anchor_block: impl Fn(usize) -> usize,
) -> Vec<Connection> {
    let pairs = (1..=n).map(|i| Connection {
        augmenting_block: augmenting_block(i),
        anchor_block: anchor_block(i),
    });
    pairs.collect()
}

/// The smallest spacing of the augmenting blocks for which the anchor has enough blocks.
fn narrowest(augmenting: usize, anchor: usize) -> usize {
    augmenting / (anchor + 1) + 1
}

pub(crate) fn check(
    connections: &[Connection],
    augmenting_blocks: usize,
    anchor_blocks: usize,
) -> Result<(), ComposeError> {
    let fail = |reason| Err(ComposeError::Connections { reason });
    if connections.is_empty() {
        return fail("there is none; a composition needs at least one".to_owned());
    }
    for (position, c) in connections.iter().enumerate() {
        let pair = format!("[{}, {}]", c.augmenting_block, c.anchor_block);
        if !(1..=augmenting_blocks).contains(&c.augmenting_block)
            || !(1..=anchor_blocks).contains(&c.anchor_block)
        {
            return fail(format!(
                "{pair} is out of range: augmenting blocks are 1 to {augmenting_blocks}, anchor \
                 blocks 1 to {anchor_blocks}"
            ));
        }
        if connections[..position].contains(c) {
            return fail(format!("{pair} is listed twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(plan: &ConnectionPlan, augmenting: usize, anchor: usize) -> Vec<[usize; 2]> {
        let connections = plan.resolve(augmenting, anchor).unwrap();
        connections.into_iter().map(Into::into).collect()
    }

    #[test]
    fn every_fourth_block_is_spread_over_the_anchor() {
        assert_eq!(
            pairs(&ConnectionPlan::default(), 12, 16),
            [[4, 5], [8, 10], [12, 15]]
        );
        assert_eq!(
            pairs(&ConnectionPlan::Every(1), 4, 6),
            [[1, 1], [2, 3], [3, 4], [4, 5]]
        );
        assert_eq!(pairs(&ConnectionPlan::Every(1), 2, 2), [[1, 1], [2, 2]]);
        assert_eq!(pairs(&ConnectionPlan::Every(1), 1, 1), [[1, 1]]);
    }

    #[test]
    fn plans_by_number() {
        let of = |text: &str, augmenting, anchor| pairs(&text.parse().unwrap(), augmenting, anchor);
        assert_eq!(of("every:4", 12, 16), of("even:3", 12, 16));
        assert_eq!(of("even:3", 4, 6), [[1, 2], [2, 4], [4, 5]]);
        assert_eq!(of("first:2", 4, 6), [[1, 1], [2, 2]]);
        assert_eq!(of("middle:2", 4, 6), [[2, 3], [3, 4]]);
        assert_eq!(of("middle:2", 5, 6), [[2, 3], [3, 4]], "one less below");
        assert_eq!(of("last:2", 4, 6), [[3, 5], [4, 6]]);
        for plan in ["even:4", "first:4", "middle:4", "last:4"] {
            assert_eq!(of(plan, 4, 4), [[1, 1], [2, 2], [3, 3], [4, 4]], "{plan}");
        }
        assert_eq!(of("[[2,4],[4,8]]", 4, 8), [[2, 4], [4, 8]]);
        assert_eq!(of("[[3,1],[3,2],[4,2]]", 4, 2), [[3, 1], [3, 2], [4, 2]]);
    }

    #[test]
    fn every_plan_that_fits_gives_blocks_that_exist_and_differ() {
        for (augmenting, anchor) in (1..12).flat_map(|a| (1..12).map(move |b| (a, b))) {
            for n in 0..14 {
                use ConnectionPlan::{Even, Every, First, Last, Middle};
                for plan in [Even(n), First(n), Middle(n), Last(n)] {
                    let fits = (1..=augmenting.min(anchor)).contains(&n);
                    let found = plan.resolve(augmenting, anchor);
                    assert_eq!(found.map(|c| c.len()).ok(), fits.then_some(n), "{plan:?}");
                }
                let spacings = narrowest(augmenting, anchor)..=augmenting;
                let found = Every(n).resolve(augmenting, anchor);
                assert_eq!(
                    found.is_ok(),
                    spacings.contains(&n),
                    "{augmenting} {anchor} {n}"
                );
            }
        }
    }

    #[test]
    fn text_that_is_no_plan_is_told_what_is_one() {
        for text in [
            "",
            "4",
            "every",
            "every:",
            "every:-1",
            "all:3",
            "[[1,1,1]]",
            "{}",
        ] {
            let message = text.parse::<ConnectionPlan>().unwrap_err().to_string();
            assert!(message.contains("middle:4, last:2, or pairs"), "{message}");
        }
    }

    #[test]
    fn explicit_pairs_follow_the_anchor() {
        let plan = ConnectionPlan::Explicit(vec![[4, 6].into(), [2, 3].into(), [1, 3].into()]);
        assert_eq!(pairs(&plan, 4, 6), [[1, 3], [2, 3], [4, 6]]);
    }

    #[test]
    fn impossible_plans_say_what_is_possible() {
        let message = |plan: ConnectionPlan| plan.resolve(4, 6).unwrap_err().to_string();
        let explicit = |pairs: &[[usize; 2]]| {
            ConnectionPlan::Explicit(pairs.iter().copied().map(Into::into).collect())
        };
        assert!(message(explicit(&[[5, 1]])).contains("augmenting blocks are 1 to 4"));
        assert!(message(explicit(&[[1, 0]])).contains("anchor blocks 1 to 6"));
        assert!(message(explicit(&[[1, 1], [1, 1]])).contains("[1, 1] is listed twice"));
        assert!(message(explicit(&[])).contains("at least one"));
        assert!(message(ConnectionPlan::Every(0)).contains("spacing of 1 to 4"));
        assert!(message(ConnectionPlan::Every(5)).contains("spacing of 1 to 4"));
        assert!(message(ConnectionPlan::Middle(5)).contains("middle:1 to middle:4"));
        let crowded = ConnectionPlan::Every(1).resolve(12, 5).unwrap_err();
        assert!(crowded.to_string().contains("spacing of 3 to 12"));
    }
}
