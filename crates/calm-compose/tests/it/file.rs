//! Compositions on disk.

use std::fs;
use std::path::Path;

use crate::common::{
    HEADS, bridges_with, fresh_bridges, halves, ids, options, parts, random_bridges, shaken, values,
};
use burn::tensor::{DType, Device, FloatDType};
use calm_compose::{
    BridgeOptions, Bridges, ComposeError, CompositionFile, FrozenParts, Gate, ModelHashes,
    ModelReference, TrainingRecord,
};
use calm_models::PaddingMask;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const DESCRIPTION: &str = "composition.json";
const WEIGHTS: &str = "bridge.safetensors";

fn reference(name: &str) -> ModelReference {
    ModelReference {
        untrained_seed: None,
        path: name.into(),
        absolute_path: None,
        relative_path: None,
        weights_sha256: format!("hash of {name}"),
        tokenizer_sha256: Some(format!("vocabulary of {name}")),
    }
}

fn description(parts: &FrozenParts) -> CompositionFile {
    let connections = parts.augmenting.iter().map(|a| a.connections.clone());
    CompositionFile::new(
        reference("anchor"),
        vec![reference("first"), reference("second")],
        connections.collect(),
        HEADS,
        TrainingRecord::new(&serde_json::json!({"steps": 7})).unwrap(),
    )
}

fn read(directory: &Path, parts: &FrozenParts) -> Result<(CompositionFile, Bridges), ComposeError> {
    let file = CompositionFile::read(directory)?;
    let bridges = file.read_bridges(directory, parts, &Device::default())?;
    Ok((file, bridges))
}

/// A saved composition.
fn saved() -> (tempfile::TempDir, FrozenParts, Bridges) {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts();
    let bridges = random_bridges(&parts, &Device::default());
    let file = description(&parts);
    file.write(directory.path(), &bridges).unwrap();
    (directory, parts, bridges)
}

#[test]
fn what_is_read_is_what_was_written() {
    let (directory, parts, bridges) = saved();
    let (file, again) = read(directory.path(), &parts).unwrap();
    assert_eq!(file, description(&parts));
    assert_eq!(again.named_parameters(), bridges.named_parameters());
    let hidden = |bridges: &Bridges| {
        let padding = PaddingMask::none(1, 5);
        let text = ids(&[&[1, 30, 12, 45, 7]]);
        values(parts.hidden_states(bridges, text, &padding, None).unwrap())
    };
    assert_eq!(hidden(&again), hidden(&bridges));

    let elsewhere = tempfile::tempdir().unwrap();
    file.write(elsewhere.path(), &again).unwrap();
    for name in [DESCRIPTION, WEIGHTS] {
        let bytes = |directory: &Path| fs::read(directory.join(name)).unwrap();
        assert_eq!(bytes(elsewhere.path()), bytes(directory.path()), "{name}");
    }
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 2, "no temporary file is left");
}

#[test]
fn trained_bridges_are_stored_like_any() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts();
    let tracked = random_bridges(&parts, &Device::default().autodiff());
    let file = description(&parts);
    file.write(directory.path(), &tracked).unwrap();
    let (_, plain, _) = saved();
    let expected = random_bridges(&plain, &Device::default());
    let (_, found) = read(directory.path(), &parts).unwrap();
    assert_eq!(found.named_parameters(), expected.named_parameters());
}

#[test]
fn every_option_is_stored() {
    let halves = halves().map(|dtype| {
        let plain = BridgeOptions::paper();
        (dtype.name(), BridgeOptions { dtype, ..plain })
    });
    for (name, options) in options().into_iter().chain(halves) {
        let (directory, parts) = (tempfile::tempdir().unwrap(), parts());
        let bridges = shaken(bridges_with(&parts, options, &Device::default()));
        let mut file = description(&parts);
        file.options = options;
        file.write(directory.path(), &bridges).unwrap();
        let (again, found) = read(directory.path(), &parts).unwrap();
        assert_eq!(again, file, "{name}");
        // Trained bridges are rounded once, and compute what they did.
        let dtype = DType::from(FloatDType::from(options.dtype));
        let rounded = bridges.named_parameters().into_iter();
        let rounded = rounded.map(|(name, data)| (name, data.convert_dtype(dtype)));
        assert_eq!(
            found.named_parameters(),
            rounded.collect::<Vec<_>>(),
            "{name}"
        );
        let hidden = |bridges: &Bridges| {
            let padding = PaddingMask::none(1, 3);
            let hidden = parts.hidden_states(bridges, ids(&[&[1, 30, 12]]), &padding, None);
            values(hidden.unwrap())
        };
        assert_eq!(hidden(&found), hidden(&bridges), "{name}");
    }
}

#[test]
fn parameters_of_another_option_are_refused() {
    let (directory, parts, _) = saved();
    let mut file = description(&parts);
    file.options.gate = Gate::Scalar;
    let path = directory.path().join(DESCRIPTION);
    fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    malformed(directory.path(), &parts, WEIGHTS, "a0.c0.gate is missing");

    let bridges = shaken(bridges_with(&parts, file.options, &Device::default()));
    file.write(directory.path(), &bridges).unwrap();
    fs::write(&path, serde_json::to_vec(&description(&parts)).unwrap()).unwrap();
    let unknown = "a1.c0.gate is not part of this composition";
    malformed(directory.path(), &parts, WEIGHTS, unknown);
}

#[test]
fn the_first_version_is_read() {
    let (directory, parts, bridges) = saved();
    let path = directory.path().join(DESCRIPTION);
    let mut text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    text["format_version"] = 1.into();
    text.as_object_mut().unwrap().remove("options");
    text["anchor"]
        .as_object_mut()
        .unwrap()
        .remove("tokenizer_sha256");
    fs::write(&path, text.to_string()).unwrap();
    let (file, found) = read(directory.path(), &parts).unwrap();
    assert_eq!(found.named_parameters(), bridges.named_parameters());
    let mut expected = description(&parts);
    expected.anchor.tokenizer_sha256 = None;
    assert_eq!(
        file, expected,
        "what is written again is of the current version"
    );
}

/// The tensors of a file, changed.
fn rewrite(directory: &Path, change: impl FnOnce(&mut Vec<(String, Dtype, Vec<usize>, Vec<u8>)>)) {
    let path = directory.join(WEIGHTS);
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), view.dtype(), shape, data)
        })
        .collect();
    tensors.sort();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
        (name, view)
    });
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[track_caller]
fn malformed(directory: &Path, parts: &FrozenParts, file: &str, expected: &str) {
    let error = read(directory, parts).unwrap_err();
    let ComposeError::Malformed { path, reason } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(path, &directory.join(file));
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn every_wrong_tensor_is_named() {
    let (directory, parts, _) = saved();
    rewrite(directory.path(), |tensors| {
        assert_eq!(tensors[0].0, "a0.c0.k.weight");
        tensors[0].0 = "a0.c7.k.weight".to_owned();
        assert_eq!(tensors[3].0, "a0.c0.proj.weight");
        tensors[3].2.reverse();
        tensors[4].1 = Dtype::I32;
    });
    malformed(
        directory.path(),
        &parts,
        WEIGHTS,
        "a0.c0.proj.weight has shape [24, 16], expected [16, 24]; a0.c0.q.weight is I32, expected \
         F32; a0.c0.k.weight is missing; a0.c7.k.weight is not part of this composition",
    );
}

#[test]
fn damaged_weights_are_refused() {
    let (directory, parts, _) = saved();
    let path = directory.path().join(WEIGHTS);
    let bytes = fs::read(&path).unwrap();
    let mut long_header = bytes.clone();
    long_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let short = &bytes[..bytes.len() - 1];
    for damaged in [&[][..], &bytes[..100], short, &long_header] {
        fs::write(&path, damaged).unwrap();
        malformed(directory.path(), &parts, WEIGHTS, "not a safetensors file");
    }
    fs::remove_file(&path).unwrap();
    let error = read(directory.path(), &parts).unwrap_err();
    assert!(matches!(&error, ComposeError::Io { path: p, .. } if *p == path));
}

#[test]
fn files_too_long_to_be_true_are_not_read() {
    for name in [DESCRIPTION, WEIGHTS] {
        let (directory, parts, _) = saved();
        let path = directory.path().join(name);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1 << 28).unwrap(); // Sparse: it takes no room on the disk.
        malformed(directory.path(), &parts, name, "is longer than");
    }
}

#[test]
fn descriptions_are_read_strictly() {
    let (directory, parts, _) = saved();
    let path = directory.path().join(DESCRIPTION);
    let text = fs::read_to_string(&path).unwrap();
    let changed = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        malformed(directory.path(), &parts, DESCRIPTION, expected);
    };
    let version = "\"format_version\": 4";
    changed(
        version,
        "\"format_version\": 5",
        "format_version is 5, this program reads 1 to 4",
    );
    changed(version, "\"version\": 4", "format_version is missing");
    changed(version, "\"format_version\": 4,\n \"colour\": 3", "colour");
    changed("\"gate\": \"none\"", "\"gate\": \"open\"", "open");
    changed("\"dtype\": \"f32\"", "\"dtype\": \"f64\"", "f64");
    changed("\"bias\"", "\"beds\"", "beds");
    changed("\"weights_sha256\"", "\"sha\"", "sha");
    changed("\"heads\": 4", "\"heads\": -4", "-4");
    changed("{", "", "not JSON");
    changed("\"augmenting\": [", "\"augmenting\": [[", "not JSON");

    let mut one_model = description(&parts);
    one_model.augmenting.pop();
    let tensors = random_bridges(&parts, &Device::default());
    one_model.write(directory.path(), &tensors).unwrap();
    malformed(directory.path(), &parts, DESCRIPTION, "differ in length");
}

#[test]
fn heads_that_do_not_divide_the_width_are_refused() {
    let (directory, parts, bridges) = saved();
    let mut file = description(&parts);
    file.heads = 5;
    file.write(directory.path(), &bridges).unwrap();
    let error = read(directory.path(), &parts).unwrap_err();
    assert!(matches!(
        error,
        ComposeError::Heads {
            heads: 5,
            d_inner: 16
        }
    ));
}

#[test]
fn other_weights_and_tokenizers_are_refused() {
    let mut file = description(&parts());
    let own = |model: &ModelReference| {
        let vocabulary = model.tokenizer_sha256.clone();
        [model.weights_sha256.clone(), vocabulary.unwrap()]
    };
    let augmenting: Vec<[String; 2]> = file.augmenting.iter().map(own).collect();
    let of = |[weights, tokenizer]: &[String; 2]| -> Result<(), ComposeError> {
        let augmenting = augmenting.iter();
        let augmenting: Vec<ModelHashes<'_>> = augmenting.map(hashes).collect();
        let anchor = ModelHashes { weights, tokenizer };
        file.check_models(Path::new("here"), anchor, &augmenting)
    };
    let [weights, vocabulary] = own(&file.anchor);
    let other = "another hash".to_owned();
    of(&[weights.clone(), vocabulary.clone()]).unwrap();

    let error = of(&[other.clone(), vocabulary.clone()]).unwrap_err();
    assert!(matches!(error, ComposeError::OtherWeights { .. }));
    let message = error.to_string();
    for part in ["here", "anchor", &weights, &other, "--allow-other-weights"] {
        assert!(message.contains(part), "{message}");
    }
    let error = of(&[weights.clone(), other.clone()]).unwrap_err();
    assert!(matches!(error, ComposeError::OtherTokenizer { .. }));
    let message = error.to_string();
    for part in ["here", "anchor", &vocabulary, &other] {
        assert!(message.contains(part), "{message}");
    }

    // Version 1 did not know of tokenizers.
    file.anchor.tokenizer_sha256 = None;
    let augmenting: Vec<ModelHashes<'_>> = augmenting.iter().map(hashes).collect();
    let anchor = ModelHashes {
        weights: &weights,
        tokenizer: &other,
    };
    file.check_models(Path::new("here"), anchor, &augmenting)
        .unwrap();
}

fn hashes([weights, tokenizer]: &[String; 2]) -> ModelHashes<'_> {
    ModelHashes { weights, tokenizer }
}

#[test]
fn a_write_that_fails_leaves_what_was_there() {
    let (directory, parts, _) = saved();
    // A directory in the place of the weights.
    let weights_path = directory.path().join(WEIGHTS);
    fs::remove_file(&weights_path).unwrap();
    fs::create_dir_all(weights_path.join("not empty")).unwrap();
    let before = fs::read(directory.path().join(DESCRIPTION)).unwrap();
    let mut file = description(&parts);
    file.heads = 2;
    let bridges = fresh_bridges(&parts, &Device::default());
    let error = file.write(directory.path(), &bridges).unwrap_err();
    assert!(matches!(error, ComposeError::Io { .. }), "{error}");
    let after = fs::read(directory.path().join(DESCRIPTION)).unwrap();
    assert_eq!(before, after);
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 2, "no temporary file is left");
}

#[test]
fn two_compositions_over_one_anchor_become_one() {
    let (first, parts, bridges) = saved();
    let (second, _, _) = saved();
    let out = tempfile::tempdir().unwrap();
    let merged = CompositionFile::merge(first.path(), second.path(), out.path()).unwrap();
    assert_eq!((merged.augmenting.len(), merged.connections.len()), (4, 4));
    let record: Value = merged.training.read().unwrap();
    assert_eq!(record["merged"][1]["steps"], 7);
    assert_eq!(CompositionFile::read(out.path()).unwrap(), merged);

    let mut both = parts.clone();
    both.augmenting.extend(parts.augmenting);
    let (_, read) = read(out.path(), &both).unwrap();
    let expected = bridges.clone().followed_by(bridges);
    assert_eq!(read.named_parameters(), expected.named_parameters());
}

#[test]
fn compositions_over_different_anchors_are_not_merged() {
    let (first, _, _) = saved();
    let (second, parts, bridges) = saved();
    let out = tempfile::tempdir().unwrap();
    let refused = |file: CompositionFile| {
        file.write(second.path(), &bridges).unwrap();
        let error = CompositionFile::merge(first.path(), second.path(), out.path());
        error.unwrap_err().to_string()
    };
    let mut other = description(&parts);
    other.anchor = reference("other");
    let message = refused(other);
    assert!(
        message.contains("hash of anchor and hash of other"),
        "{message}"
    );
    let mut other = description(&parts);
    other.heads = 2;
    assert!(refused(other).contains("4 and 2 heads"));
    assert_eq!(
        fs::read_dir(out.path()).unwrap().count(),
        0,
        "nothing is written"
    );
}
