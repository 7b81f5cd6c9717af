//! The most probable label of a text.

use fasttext::FastText;
use fasttext::args::LossName;
use fasttext::dictionary::EntryType;

/// What fastText adds to a probability before it takes the logarithm.
const LEAST: f32 = 1e-5;

/// A model with what its loss needs. The crate reads models, but takes the outputs of those that are quantised and were
/// trained by hierarchical softmax, as `lid.176.ftz` was, for those of a softmax.
pub(super) struct Classifier {
    model: FastText,
    tree: Option<Tree>,
}

impl Classifier {
    /// An error says what is not read of a model.
    pub(super) fn new(model: FastText) -> Result<Self, String> {
        let is_tree = model.args().loss == LossName::HierarchicalSoftmax;
        if is_tree && model.quant_output().is_some() {
            let reason =
                "was quantised by `-qout`, which is not read together with hierarchical softmax";
            return Err(reason.to_owned());
        }
        let counts = model.dict().get_counts(EntryType::Label);
        Ok(Self {
            tree: is_tree.then(|| Tree::new(&counts)),
            model,
        })
    }

    /// All labels, in the order of the model.
    pub(super) fn labels(&self) -> Vec<String> {
        self.model.get_labels().0
    }

    /// The most probable label of a line, and its probability; none of a line without words.
    pub(super) fn best(&self, line: &str) -> Option<(String, f32)> {
        let Some(tree) = &self.tree else {
            let best = self.model.predict(line, 1, 0.0).into_iter().next()?;
            return Some((best.label, best.prob));
        };
        line.split_ascii_whitespace().next()?;
        let hidden = self.model.get_sentence_vector(line);
        let outputs = self.model.output_matrix();
        let (label, score) = tree.best(|node| {
            let row = outputs.row(node as i64).iter().zip(&hidden);
            let output: f32 = row.map(|(weight, state)| weight * state).sum();
            1.0 / (1.0 + (-output).exp())
        });
        let name = self.model.dict().get_label(label as i32).ok()?;
        Some((name.to_owned(), score.exp().min(1.0)))
    }
}

/// The Huffman tree of hierarchical softmax. Its leaves are labels; at each other node a row of the output
/// matrix decides between two branches.
struct Tree {
    labels: usize,
    /// Branches of each node that is no leaf: a number below `labels` is a leaf.
    branches: Vec<[usize; 2]>,
}

impl Tree {
    /// The tree of labels that occur so often, from the most frequent on.
    fn new(counts: &[i64]) -> Self {
        let labels = counts.len();
        let mut counts = counts.to_vec();
        let mut branches = Vec::new();
        // Leaves and nodes that have no parent yet, each from the rarest on.
        let (mut leaves, mut node) = (labels, labels);
        while counts.len() + 1 < 2 * labels {
            let pair = [(); 2].map(|()| {
                let is_leaf =
                    leaves > 0 && counts.get(node).is_none_or(|of| counts[leaves - 1] < *of);
                match is_leaf {
                    true => leaves -= 1,
                    false => node += 1,
                }
                if is_leaf { leaves } else { node - 1 }
            });
            counts.push(pair.iter().map(|of| counts[*of]).sum());
            branches.push(pair);
        }
        Self { labels, branches }
    }

    /// The leaf of the highest score, which is the sum of the logarithms of the probabilities on the way to
    /// it. `right` gives the probability of the right branch of a node.
    fn best(&self, right: impl Fn(usize) -> f32) -> (usize, f32) {
        let mut best = (0, f32::NEG_INFINITY);
        let root = self.labels + self.branches.len() - 1;
        let mut open = vec![(root, 0.0_f32)];
        while let Some((node, score)) = open.pop() {
            if score <= best.1 {
                continue;
            }
            let Some(inner) = node.checked_sub(self.labels) else {
                best = (node, score);
                continue;
            };
            let probability = right(inner);
            let shares = [1.0 - probability, probability];
            let scores = shares.map(|share| score + (share + LEAST).ln());
            let mut next = [0, 1].map(|side| (self.branches[inner][side], scores[side]));
            // The better branch first, so that most of the others need not be gone into.
            next.sort_by(|a, b| a.1.total_cmp(&b.1));
            open.extend(next);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use fasttext::args::{Args, ModelName};

    use super::*;

    /// Words of five languages, of which the first are the most frequent.
    const LINES: [&str; 5] = [
        "this is a sentence and it is english",
        "dies ist ein satz und er ist deutsch",
        "ceci est une phrase et elle est belle",
        "questa frase qui parla italiano bene",
        "sentensi hii ni ya kiswahili kabisa",
    ];

    fn train() -> (FastText, Args) {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("rows.txt");
        let rows = LINES
            .iter()
            .enumerate()
            .map(|(label, line)| format!("__label__{label} {line}\n").repeat(60 - 10 * label));
        fs::write(&input, rows.collect::<String>()).unwrap();
        let args = Args {
            input,
            model: ModelName::Supervised,
            loss: LossName::HierarchicalSoftmax,
            dim: 8,
            epoch: 20,
            lr: 0.5,
            min_count: 1,
            minn: 2,
            maxn: 3,
            bucket: 500,
            thread: 1,
            verbose: 0,
            ..Args::default()
        };
        (FastText::train(args.clone()).unwrap(), args)
    }

    #[test]
    fn the_tree_gives_what_the_crate_gives_of_a_model_that_is_not_quantised() {
        let (model, _) = train();
        let lines = LINES
            .into_iter()
            .chain(["satz and phrase", "hii", "unbekannt"]);
        let expected = lines.map(|line| (line, model.predict(line, 1, 0.0).remove(0)));
        let expected: Vec<_> = expected.collect();
        let classifier = Classifier::new(model).unwrap();
        for (line, expected) in expected {
            let (label, probability) = classifier.best(line).unwrap();
            assert_eq!(label, expected.label, "{line}");
            assert!(
                (probability - expected.prob.min(1.0)).abs() < 1e-5,
                "{line}"
            );
        }
        assert_eq!(classifier.best("  "), None);
    }

    #[test]
    fn a_quantised_model_finds_the_same_labels() {
        let (mut model, args) = train();
        model.quantize(&args).unwrap();
        let classifier = Classifier::new(model).unwrap();
        for (label, line) in LINES.iter().enumerate() {
            let (found, probability) = classifier.best(line).unwrap();
            assert_eq!(found, format!("__label__{label}"));
            assert!((0.5..=1.0).contains(&probability), "{line}: {probability}");
        }
    }

    #[test]
    fn the_probabilities_of_all_leaves_are_one() {
        let counts = [90, 50, 50, 20, 7, 7, 1];
        let tree = Tree::new(&counts);
        assert_eq!(tree.branches.len(), counts.len() - 1);
        let mut leaves: Vec<usize> = tree.branches.concat();
        leaves.retain(|node| *node < counts.len());
        leaves.sort_unstable();
        assert_eq!(leaves, [0, 1, 2, 3, 4, 5, 6]);
        // The most frequent label is the nearest to the root.
        let root = tree.branches.last().unwrap();
        assert!(root.contains(&0));
        assert_eq!(Tree::new(&[5]).best(|_| 0.5), (0, 0.0));
    }
}
