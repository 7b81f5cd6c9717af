//! Which block of the augmenting model feeds which block of the anchor (section 3.1).

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

/// How connections are chosen for a pair of depths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionPlan {
    /// Every k-th block of the augmenting model, and as many anchor blocks, evenly spaced: the
    /// paper's choice, with k = 4.
    Every(usize),
    /// These pairs, as they stand.
    Explicit(Vec<Connection>),
}

impl Default for ConnectionPlan {
    fn default() -> Self {
        Self::Every(4)
    }
}

impl ConnectionPlan {
    /// The connections for models of these depths, in the order of the anchor's blocks.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Connections`] if a block is out of range, a pair is listed twice, or the
    /// augmenting model has too few blocks for the spacing asked for.
    pub fn resolve(
        &self,
        augmenting_blocks: usize,
        anchor_blocks: usize,
    ) -> Result<Vec<Connection>, ComposeError> {
        let mut connections = match self {
            Self::Every(k) => spread(*k, augmenting_blocks, anchor_blocks)?,
            Self::Explicit(pairs) => pairs.clone(),
        };
        connections.sort_by_key(|c| (c.anchor_block, c.augmenting_block));
        check(&connections, augmenting_blocks, anchor_blocks)?;
        Ok(connections)
    }
}

/// Blocks k, 2k, … of the augmenting model, spread evenly over the anchor. The last one stops a
/// block short of the top, so that some anchor block can still work with what it adds.
fn spread(
    k: usize,
    augmenting_blocks: usize,
    anchor_blocks: usize,
) -> Result<Vec<Connection>, ComposeError> {
    let n = augmenting_blocks.checked_div(k).unwrap_or(0);
    if n == 0 || n > anchor_blocks {
        return Err(ComposeError::Connections {
            reason: format!(
                "every {k}th of {augmenting_blocks} augmenting blocks gives {n} connections; \
                 between 1 and {anchor_blocks} can be spread over the anchor: choose a spacing \
                 of 1 to {augmenting_blocks} or list the pairs"
            ),
        });
    }
    Ok((1..=n)
        .map(|i| {
            let even = anchor_blocks * i / n;
            Connection {
                augmenting_block: k * i,
                anchor_block: if i == n && n < anchor_blocks {
                    even - 1
                } else {
                    even
                }
                .max(1),
            }
        })
        .collect())
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
    }
}
