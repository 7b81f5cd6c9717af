//! Prefix trees of the tokens of growing texts.

use std::collections::HashMap;
use std::iter::zip;

use super::AugmentingTokens;

/// A prefix tree that grows path by path. It starts from one path, the held one.
#[derive(Debug)]
pub(super) struct PathTree {
    /// Number of nodes of the held path.
    held: usize,
    /// Number of these nodes that a followed path has reached.
    reached: usize,
    /// The length of the longest of these paths.
    longest: usize,
    ids: Vec<u32>,
    parents: Vec<Option<u32>>,
    /// New nodes by parent and id.
    children: HashMap<(Option<u32>, u32), u32>,
    /// Nodes of the path that was followed last, from the root.
    path: Vec<u32>,
}

impl PathTree {
    pub(super) fn new(held: &[u32]) -> Self {
        let before = |node: usize| node.checked_sub(1).map(|parent| parent as u32);
        Self {
            held: held.len(),
            reached: 0,
            longest: 0,
            ids: held.to_vec(),
            parents: (0..held.len()).map(before).collect(),
            children: HashMap::new(),
            path: (0..held.len() as u32).collect(),
        }
    }

    /// Follows these ids from the root, and adds missing nodes.
    pub(super) fn follow(&mut self, ids: &[u32]) {
        let same = zip(&self.path, ids).take_while(|(node, id)| self.ids[**node as usize] == **id);
        let shared = same.count();
        self.path.truncate(shared);
        for id in &ids[shared..] {
            let node = self.child(self.end(), *id);
            self.path.push(node);
        }
        self.longest = self.longest.max(ids.len());
        let held = self
            .path
            .partition_point(|node| (*node as usize) < self.held);
        self.reached = self.reached.max(held);
    }

    fn child(&mut self, parent: Option<u32>, id: u32) -> u32 {
        let next = parent.map_or(0, |parent| parent + 1);
        if (next as usize) < self.held && self.ids[next as usize] == id {
            return next;
        }
        *self.children.entry((parent, id)).or_insert_with(|| {
            self.ids.push(id);
            self.parents.push(parent);
            self.ids.len() as u32 - 1
        })
    }

    /// The last node of the path that was followed last.
    pub(super) fn end(&self) -> Option<u32> {
        self.path.last().copied()
    }

    pub(super) fn path_ids(&self) -> Vec<u32> {
        let ids = self.path.iter().map(|node| self.ids[*node as usize]);
        ids.collect()
    }

    /// The tokens of the tree. `ends` has the node that each anchor position sees last.
    pub(super) fn into_tokens(mut self, ends: Vec<Option<u32>>) -> AugmentingTokens {
        if ends.is_empty() {
            (self.reached, self.longest) = (self.held, self.held);
        }
        AugmentingTokens {
            held: self.held,
            reached: self.reached,
            longest: self.longest,
            ids: self.ids.split_off(self.held),
            parents: self.parents.split_off(self.held),
            ends,
            last: self.path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(held: &[u32], paths: &[&[u32]]) -> AugmentingTokens {
        let mut tree = PathTree::new(held);
        let ends = paths.iter().map(|path| {
            tree.follow(path);
            assert_eq!(tree.path_ids(), *path);
            tree.end()
        });
        let ends = ends.collect();
        tree.into_tokens(ends)
    }

    #[test]
    fn paths_share_their_beginnings() {
        let tokens = followed(&[], &[&[7], &[7, 1], &[7, 2], &[7, 1], &[7, 2, 3], &[]]);
        assert_eq!(tokens.ids, [7, 1, 2, 3]);
        assert_eq!(tokens.parents, [None, Some(0), Some(0), Some(2)]);
        let ends = [Some(0), Some(1), Some(2), Some(1), Some(3), None];
        assert_eq!(tokens.ends, ends);
        assert!(tokens.last.is_empty());
    }

    #[test]
    fn what_is_held_is_gone_on_from_where_it_still_fits() {
        let held = [7, 1, 5, 6];
        let tokens = followed(&held, &[&[7, 1, 4], &[7, 1, 5, 8]]);
        assert_eq!((tokens.held, tokens.reached), (4, 3));
        assert_eq!(
            (&*tokens.ids, &*tokens.parents),
            (&[4, 8][..], &[Some(1), Some(2)][..])
        );
        assert_eq!(tokens.last, [0, 1, 2, 5]);
        let other = followed(&held, &[&[9]]);
        assert_eq!((other.reached, other.parents), (0, vec![None]));
        let nothing = followed(&held, &[]);
        assert_eq!((nothing.reached, nothing.last.len()), (4, 4));
    }
}
