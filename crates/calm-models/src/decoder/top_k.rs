//! The largest numbers of a row, with ties as PyTorch breaks them.
//!
//! In half precision the logits of two experts are often equal, and which of them a token uses changes
//! everything after. `torch.topk` on a processor leaves that to the selection and sorting of the C++
//! library that it is built with, libstdc++: quickselect and quicksort by the median of three,
//! insertion sort of what is short, a heap where few of many numbers are wanted. Here are the same
//! algorithms, with the same sequence of exchanges.

/// Indices of the `k` largest numbers of a row, the largest first. NaN is larger than any number.
///
/// # Panics
///
/// If the row has fewer than `k` numbers.
pub(super) fn top_k(row: &[f32], k: usize) -> Vec<usize> {
    let entries = row.iter().copied().enumerate();
    let mut row = Row(entries.map(|(index, value)| (value, index)).collect());
    let count = row.0.len();
    assert!(k <= count, "{k} of {count} numbers are wanted");
    if k * 64 <= count {
        row.select_by_heap(0, k, count);
        row.sort_heap(0, k);
    } else if k > 0 {
        row.select(k - 1);
        row.sort(0, k - 1);
    }
    row.0.iter().take(k).map(|(_, index)| *index).collect()
}

/// A number and its index.
type Entry = (f32, usize);

/// Whether `a` comes before `b`.
fn is_before((a, _): Entry, (b, _): Entry) -> bool {
    a > b || (a.is_nan() && !b.is_nan())
}

struct Row(Vec<Entry>);

/// Parts of at most this length are sorted by insertion.
const SHORT: usize = 16;

impl Row {
    /// Moves the entry that belongs at `place` there, none that belongs behind it before it.
    fn select(&mut self, place: usize) {
        let (mut start, mut end) = (0, self.0.len());
        let mut depth = depth_limit(end);
        while end - start > 3 {
            if depth == 0 {
                self.select_by_heap(start, place + 1, end);
                self.0.swap(start, place);
                return;
            }
            depth -= 1;
            let cut = self.partition(start, end);
            if cut <= place {
                start = cut;
            } else {
                end = cut;
            }
        }
        self.insert_all(start, end);
    }

    fn sort(&mut self, start: usize, end: usize) {
        if start == end {
            return;
        }
        self.sort_roughly(start, end, depth_limit(end - start));
        let first = end.min(start + SHORT);
        self.insert_all(start, first);
        (first..end).for_each(|index| self.insert(index));
    }

    /// Sorts until nothing is further from its place than parts are short.
    fn sort_roughly(&mut self, start: usize, mut end: usize, mut depth: usize) {
        while end - start > SHORT {
            if depth == 0 {
                self.select_by_heap(start, end, end);
                self.sort_heap(start, end);
                return;
            }
            depth -= 1;
            let cut = self.partition(start, end);
            self.sort_roughly(cut, end, depth);
            end = cut;
        }
    }

    /// Parts entries by the median of three of them. Returns where the second part begins.
    fn partition(&mut self, start: usize, end: usize) -> usize {
        let (a, b, c) = (start + 1, start + (end - start) / 2, end - 1);
        let before = |x: usize, y: usize| is_before(self.0[x], self.0[y]);
        let median = match (before(a, b), before(b, c), before(a, c)) {
            (true, true, _) | (false, false, false) => b,
            (true, false, true) | (false, true, false) => c,
            (true, false, false) | (false, _, true) => a,
        };
        self.0.swap(start, median);
        let pivot = self.0[start];
        let (mut first, mut last) = (start + 1, end);
        loop {
            while is_before(self.0[first], pivot) {
                first += 1;
            }
            last -= 1;
            while is_before(pivot, self.0[last]) {
                last -= 1;
            }
            if first >= last {
                return first;
            }
            self.0.swap(first, last);
            first += 1;
        }
    }

    fn insert_all(&mut self, start: usize, end: usize) {
        for index in start + 1..end {
            if is_before(self.0[index], self.0[start]) {
                self.0[start..=index].rotate_right(1);
            } else {
                self.insert(index);
            }
        }
    }

    /// Moves an entry to its place among those before it, the first of which is before it.
    fn insert(&mut self, mut index: usize) {
        while is_before(self.0[index], self.0[index - 1]) {
            self.0.swap(index, index - 1);
            index -= 1;
        }
    }

    /// Moves the entries that belong before `middle` there, as a heap whose root is the last of them.
    fn select_by_heap(&mut self, start: usize, middle: usize, end: usize) {
        let len = middle - start;
        for hole in (0..len / 2).rev() {
            let entry = self.0[start + hole];
            self.fill_hole(start, hole, len, entry);
        }
        for index in middle..end {
            if is_before(self.0[index], self.0[start]) {
                self.0.swap(index, start);
                let entry = self.0[start];
                self.fill_hole(start, 0, len, entry);
            }
        }
    }

    fn sort_heap(&mut self, start: usize, end: usize) {
        for last in (start + 1..end).rev() {
            self.0.swap(start, last);
            let entry = self.0[start];
            self.fill_hole(start, 0, last - start, entry);
        }
    }

    /// Puts `entry` into a heap of `len` entries from `start` on, one of which is a hole.
    fn fill_hole(&mut self, start: usize, mut hole: usize, len: usize, entry: Entry) {
        let top = hole;
        // The hole sinks to the bottom, and the entry rises from there.
        while 2 * hole + 1 < len {
            let mut child = 2 * hole + 2;
            if child == len || is_before(self.0[start + child], self.0[start + child - 1]) {
                child -= 1;
            }
            self.0[start + hole] = self.0[start + child];
            hole = child;
        }
        while hole > top && is_before(self.0[start + (hole - 1) / 2], entry) {
            self.0[start + hole] = self.0[start + (hole - 1) / 2];
            hole = (hole - 1) / 2;
        }
        self.0[start + hole] = entry;
    }
}

/// Partitions after which a heap takes over.
fn depth_limit(count: usize) -> usize {
    2 * count.max(1).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter::repeat_with;

    #[test]
    fn the_largest_come_first_and_nan_before_them() {
        assert_eq!(top_k(&[1.0, 4.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(top_k(&[1.0, f32::NAN, 3.0, 2.0], 2), [1, 2]);
        assert_eq!(top_k(&[f32::NAN; 4], 4).len(), 4);
        assert_eq!(top_k(&[1.0], 0), [0; 0]);
    }

    /// Expected values are those of `torch.topk` 2.15 on the processor.
    #[test]
    fn ties_are_broken_as_torch_breaks_them() {
        let cases: &[(&str, &[usize])] = &[
            ("0000", &[2, 3]),
            ("00001101", &[4, 7]),
            ("0000110100010000", &[7, 5, 4, 11]),
            (
                "000011022200201101100101",
                &[
                    9, 8, 7, 12, 21, 4, 5, 14, 15, 17, 18, 23, 3, 0, 22, 1, 20, 19, 13, 11,
                ],
            ),
            (
                "122022210111121011200102110211120102020001121211022110100122",
                &[35, 31, 27, 37],
            ),
            (
                "2122022210123100301223310032111301321032131332322331031321032202",
                &[26, 46, 55, 16, 53, 21, 50, 22],
            ),
            (
                "02223222103222322222321322111232031322011311103110102131033230112023230202022221332311331102030212333132333122323022321300312013",
                &[93, 35, 86, 33, 87, 30, 99, 23],
            ),
            (
                "03213013212233001222203221002301033333312302032321133213001200023033000101231113101003020031030233220121212012211233110200003133",
                &[4, 1],
            ),
            (
                "1100100100010011011111011110001000000001",
                &[
                    39, 4, 7, 11, 1, 14, 15, 17, 18, 26, 20, 30, 25, 19, 24, 23, 21, 0, 9, 8, 10,
                    16, 12, 22, 29, 2, 31, 32, 33, 34, 35, 36, 37, 38, 27, 5,
                ],
            ),
        ];
        for (digits, expected) in cases {
            let row: Vec<f32> = digits.bytes().map(f32::from).collect();
            assert_eq!(top_k(&row, expected.len()), *expected, "{digits}");
        }
    }

    #[test]
    fn no_row_is_beyond_it() {
        let mut state = 1u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for count in (1..200).chain([1000]) {
            let row: Vec<f32> = repeat_with(|| draw(7) as f32).take(count).collect();
            let k = 1 + draw(count as u32) as usize;
            let found = top_k(&row, k);
            let mut sorted = row.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let values: Vec<f32> = found.iter().map(|index| row[*index]).collect();
            assert_eq!(values, sorted[..k], "{row:?}");
        }
    }
}
