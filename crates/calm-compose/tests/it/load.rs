//! Opening a composition over the models that it was made for, and over others.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{
    HEADS, fixtures, halves, ids, load, logits, random_bridges, relative_error, values,
};
use burn::tensor::Device;
use calm_backend::FloatType;
use calm_compose::{
    Bridges, ComposeError, ComposedModel, Composition, CompositionConfig, CompositionFile,
    Connection, ConnectionPlan, FrozenParts, LoadedModel, TrainingRecord,
};
use calm_models::{FrozenModel, LoadOptions, ModelFiles, ModelSource, PaddingMask};
use serde_json::Value;

fn loaded(model: &FrozenModel) -> LoadedModel {
    let directory = "somewhere".into();
    LoadedModel {
        model: model.clone(),
        files: ModelFiles {
            path: directory,
            source: ModelSource::Path("somewhere".into()),
        },
        untrained_seed: None,
    }
}

/// The composition opened over these models.
fn open(
    directory: &Path,
    anchor: &FrozenModel,
    augmenting: &[FrozenModel],
) -> Result<ComposedModel, ComposeError> {
    let augmenting = augmenting.iter().map(loaded).collect();
    let opened = Composition::open_over(directory, loaded(anchor), augmenting)?;
    Ok(opened.model)
}

/// A composition of two models with these connections, saved.
fn saved(
    anchor: &FrozenModel,
    augmenting: &FrozenModel,
    pairs: &[[usize; 2]],
) -> (tempfile::TempDir, Vec<Connection>) {
    let connections: Vec<Connection> = pairs.iter().copied().map(Into::into).collect();
    let parts = FrozenParts::join(anchor, [(augmenting, vec![[2, 1].into(), [4, 2].into()])]);
    let bridges: Bridges = random_bridges(&parts.unwrap(), &Device::default());
    let directory = tempfile::tempdir().unwrap();
    let reference = |model| loaded(model).reference().unwrap();
    let (anchor, augmenting) = (reference(anchor), vec![reference(augmenting)]);
    let training = TrainingRecord::default();
    CompositionFile::new(
        anchor,
        augmenting,
        vec![connections.clone()],
        HEADS,
        training,
    )
    .write(directory.path(), &bridges)
    .unwrap();
    (directory, connections)
}

const PAIRS: [[usize; 2]; 2] = [[2, 1], [4, 2]];

#[test]
fn what_is_opened_computes_what_was_saved() {
    let (anchor, augmenting) = (load("llama"), load("llama3-scaled-tied"));
    let (directory, connections) = saved(&anchor, &augmenting, &PAIRS);
    let parts = FrozenParts::join(&anchor, [(&augmenting, connections)]).unwrap();
    let bridges = random_bridges(&parts, &Device::default());
    let original = ComposedModel { parts, bridges };
    let opened = open(directory.path(), &anchor, &[augmenting]).unwrap();
    let output = |model| {
        values(logits(
            model,
            ids(&[&[1, 30, 12]]),
            &PaddingMask::none(1, 3),
        ))
    };
    assert_eq!(output(&opened), output(&original));
}

#[test]
fn a_composition_is_saved_extended_and_opened_again() {
    let options = LoadOptions::default();
    let load = |name: &str| {
        let source = ModelSource::Path(fixtures().join("checkpoints").join(name));
        LoadedModel::load(&source, &options).unwrap()
    };
    let every = |k| ConnectionPlan::Every(k);
    let config = CompositionConfig::default();
    let augmenting = vec![(load("llama3-scaled-tied"), every(2))];
    let first = Composition::new(load("llama"), augmenting, &config, 3).unwrap();
    let parameters = |composition: &Composition| composition.model.bridges.named_parameters();
    let before = parameters(&first);
    let random = load("llama").random_init_like(5);
    let mut both = first.extend(vec![(random, every(3))], 4).unwrap();
    assert_eq!(parameters(&both)[..before.len()], before);
    assert!(parameters(&both).len() > before.len());
    both.training = TrainingRecord::new(&("trained", 7)).unwrap();

    let directory = tempfile::tempdir().unwrap();
    both.save(directory.path()).unwrap();
    let opened = Composition::open(directory.path(), &options).unwrap();
    assert_eq!(opened.file().unwrap(), both.file().unwrap());
    assert_eq!(parameters(&opened), parameters(&both));
    assert_eq!(opened.training.read::<(String, u32)>().unwrap().1, 7);
    let output = |composition: &Composition| {
        let (text, padding) = (ids(&[&[1, 30, 12]]), PaddingMask::none(1, 3));
        values(logits(&composition.model, text, &padding))
    };
    assert_eq!(output(&opened), output(&both));
}

/// Copies a checkpoint.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A directory with the models `models/big` and `models/small` and their composition `runs/one`.
fn composed_in_a_directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let options = LoadOptions::default();
    let [anchor, augmenting] =
        [("llama", "big"), ("llama3-scaled-tied", "small")].map(|(from, to)| {
            let to = root.path().join("models").join(to);
            copied(&fixtures().join("checkpoints").join(from), &to);
            LoadedModel::load(&ModelSource::Path(to), &options).unwrap()
        });
    let plan = ConnectionPlan::Every(2);
    let config = CompositionConfig::default();
    let composition = Composition::new(anchor, vec![(augmenting, plan)], &config, 0).unwrap();
    composition.save(&root.path().join("runs/one")).unwrap();
    root
}

fn anchor_of(composition: &Path) -> Result<PathBuf, ComposeError> {
    let opened = Composition::open(composition, &LoadOptions::default())?;
    Ok(opened.anchor.files.path)
}

#[test]
fn a_composition_opens_wherever_it_and_its_models_are_moved() {
    let root = composed_in_a_directory();
    let at = |path: &str| root.path().join(path);
    let file = CompositionFile::read(&at("runs/one")).unwrap();
    let relative = file.anchor.relative_path.unwrap();
    assert_eq!(relative, Path::new("../../models/big"));
    assert_eq!(file.anchor.path, at("models/big"), "as it was given");

    // All together.
    let other = tempfile::tempdir().unwrap();
    let moved = other.path().join("deep/down");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(root.path(), &moved).unwrap();
    let found = anchor_of(&moved.join("runs/one")).unwrap();
    assert_eq!(found, moved.join("models/big").canonicalize().unwrap());
    fs::rename(&moved, root.path()).unwrap();

    // The composition alone.
    let alone = other.path().join("alone");
    fs::rename(at("runs/one"), &alone).unwrap();
    assert_eq!(anchor_of(&alone).unwrap(), at("models/big"));

    // What stands where the way leads now is another model.
    let deep = other.path().join("a/b");
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::rename(&alone, &deep).unwrap();
    copied(&at("models/small"), &other.path().join("models/big"));
    assert_eq!(anchor_of(&deep).unwrap(), at("models/big"));

    // Neither is there any more.
    fs::rename(at("models"), at("gone")).unwrap();
    fs::remove_dir_all(other.path().join("models")).unwrap();
    let told = anchor_of(&deep).unwrap_err().to_string();
    for words in [
        "which is not there any more",
        "../../models/big",
        "--anchor MODEL",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn files_from_before_name_their_models_from_their_own_directory() {
    let root = composed_in_a_directory();
    let composition = root.path().join("runs/one");
    let path = composition.join("composition.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["format_version"] = 3.into();
    for (model, name) in [("/anchor", "big"), ("/augmenting/0", "small")] {
        let model = file
            .pointer_mut(model)
            .and_then(Value::as_object_mut)
            .unwrap();
        assert!(model.remove("absolute_path").is_some());
        assert!(model.remove("relative_path").is_some());
        model["path"] = format!("../../models/{name}").into();
    }
    fs::write(&path, file.to_string()).unwrap();
    let found = anchor_of(&composition).unwrap();
    assert_eq!(
        found,
        root.path().join("models/big").canonicalize().unwrap()
    );

    // Merged into a directory elsewhere, where that way leads nowhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let merged = elsewhere.path().join("a/b/c/merged");
    CompositionFile::merge(&composition, &composition, &merged).unwrap();
    assert_eq!(anchor_of(&merged).unwrap(), found);
}

#[test]
fn other_models_are_refused() {
    let (anchor, augmenting) = (load("llama"), load("llama3-scaled-tied"));
    let (directory, _) = saved(&anchor, &augmenting, &PAIRS);
    let open = |anchor: &FrozenModel, augmenting: &[FrozenModel]| {
        open(directory.path(), anchor, augmenting).unwrap_err()
    };
    let error = open(&anchor, &[]);
    assert!(matches!(
        error,
        ComposeError::AugmentingCount {
            expected: 1,
            found: 0
        }
    ));
    let error = open(
        &anchor.random_init_like(1),
        std::slice::from_ref(&augmenting),
    );
    assert!(matches!(&error, ComposeError::OtherWeights { role, .. } if role == "anchor"));
    let error = open(&anchor, &[augmenting.random_init_like(1)]);
    assert!(
        matches!(&error, ComposeError::OtherWeights { role, .. } if role == "augmenting model 0")
    );
}

#[test]
fn a_file_that_names_blocks_there_are_not_is_refused() {
    let (anchor, augmenting) = (load("llama"), load("llama3-scaled-tied"));
    for pair in [[5, 1], [0, 1], [1, 4], [1, 0]] {
        let (directory, _) = saved(&anchor, &augmenting, &[pair, [4, 2]]);
        let opened = open(directory.path(), &anchor, std::slice::from_ref(&augmenting));
        let error = opened.unwrap_err();
        assert!(matches!(error, ComposeError::Connections { .. }), "{error}");
    }
}

#[test]
fn models_in_half_precision_are_read_by_bridges_in_single() {
    let model = |dtype| {
        let options = LoadOptions {
            dtype: FloatType::into(dtype),
            ..LoadOptions::default()
        };
        let load = |name: &str| {
            let directory = fixtures().join("checkpoints").join(name);
            FrozenModel::load(&directory, &options).unwrap()
        };
        let connections: Vec<Connection> = PAIRS.iter().copied().map(Into::into).collect();
        let augmenting = load("llama3-scaled-tied");
        let parts = FrozenParts::join(&load("llama"), [(&augmenting, connections)]).unwrap();
        let bridges = random_bridges(&parts, &Device::default());
        ComposedModel { parts, bridges }
    };
    let padding = PaddingMask::none(1, 4);
    let output = |dtype| logits(&model(dtype), ids(&[&[1, 30, 12, 45]]), &padding);
    let single = output(FloatType::F32);
    for dtype in halves() {
        let half = output(dtype).cast(burn::tensor::DType::F32);
        let relative = relative_error(half, single.clone());
        assert!(relative > 1e-5 && relative < 5e-2, "{dtype}: {relative}");
    }
}
