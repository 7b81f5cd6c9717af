//! State dicts of other projects, there and back, and against what their layers compute.

use std::path::Path;

use crate::common::{HEADS, ids, parts, shaken, values};
use burn::tensor::Device;
use calm_compose::{
    BridgeOptions, Bridges, ComposeError, FrozenParts, Gate, ImportPlan, Project, export, import,
};
use calm_models::PaddingMask;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// The parts with the first augmenting model only.
fn one_model() -> FrozenParts {
    let mut parts = parts();
    parts.augmenting.truncate(1);
    parts
}

fn bridges(parts: &FrozenParts, options: BridgeOptions) -> Bridges {
    let sets = parts.bridge_sets_with(HEADS, options);
    shaken(Bridges::init(&sets, 3, &Device::default()).unwrap())
}

fn plan(parts: &FrozenParts, project: Project) -> ImportPlan {
    let theirs = |[augmenting, anchor]: [usize; 2]| match project {
        Project::Deepmind => [anchor - 1, augmenting - 1],
        Project::Lucidrains => [augmenting, anchor],
    };
    let lists = parts.augmenting.iter().map(|augmenting| {
        let pairs = augmenting.connections.iter().copied();
        pairs.map(|pair| theirs(pair.into())).collect()
    });
    let widths = parts.augmenting.iter().map(|a| a.decoder.config().d_model);
    ImportPlan {
        project,
        connections: lists.collect(),
        heads: None,
        d_anchor: 16,
        d_augmenting: widths.collect(),
        norm_epsilon: 1e-5,
    }
}

fn hidden(parts: &FrozenParts, bridges: &Bridges) -> Vec<f32> {
    let padding = PaddingMask::none(1, 5);
    let hidden = parts.hidden_states(bridges, ids(&[&[1, 30, 12, 45, 7]]), &padding, None);
    values(hidden.unwrap())
}

fn state_dict(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("state.safetensors")
}

#[test]
fn lucidrains_there_and_back() {
    let plain = BridgeOptions::paper();
    let gated = BridgeOptions {
        d_inner: Some(24),
        anchor_norm: true,
        norm_epsilon: 1e-12,
        gate: Gate::Heads,
        ..plain
    };
    for options in [plain, gated] {
        let (directory, parts) = (tempfile::tempdir().unwrap(), parts());
        let original = bridges(&parts, options);
        let path = state_dict(&directory);
        export(&original, Project::Lucidrains, &path).unwrap();
        let plan = plan(&parts, Project::Lucidrains);
        let again = import(&path, &plan, &Device::default()).unwrap();
        assert_eq!(again.heads, HEADS);
        let connections = parts.augmenting.iter().map(|a| a.connections.clone());
        assert_eq!(again.connections, connections.collect::<Vec<_>>());
        // Where there was no gate, there is one now that is open.
        let expected = BridgeOptions {
            gate: Gate::Heads,
            norm_epsilon: 1e-12,
            ..options
        };
        assert_eq!(again.options, expected);
        assert_eq!(hidden(&parts, &again.bridges), hidden(&parts, &original));
    }
}

#[test]
fn deepmind_there_and_back() {
    let options = BridgeOptions {
        output_norm: true,
        bias: true,
        norm_epsilon: 1e-5,
        ..BridgeOptions::paper()
    };
    let (directory, parts) = (tempfile::tempdir().unwrap(), one_model());
    let original = bridges(&parts, options);
    let path = state_dict(&directory);
    export(&original, Project::Deepmind, &path).unwrap();
    let mut plan = plan(&parts, Project::Deepmind);
    let error = import(&path, &plan, &Device::default()).unwrap_err();
    assert!(error.to_string().contains("give --heads"), "{error}");
    plan.heads = Some(HEADS);
    let again = import(&path, &plan, &Device::default()).unwrap();
    assert_eq!(again.options, options);
    assert_eq!(again.connections[0], parts.augmenting[0].connections);
    for ((name, found), (_, expected)) in again
        .bridges
        .named_parameters()
        .iter()
        .zip(original.named_parameters())
    {
        let far = found.iter::<f32>().zip(expected.iter::<f32>());
        // The weight of their norm is stored less one, which rounds it.
        let far = far.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            far <= if name.ends_with("norm.weight") {
                1e-6
            } else {
                0.0
            },
            "{name}"
        );
    }
}

#[test]
fn options_that_the_other_does_not_have_are_refused() {
    let (directory, parts) = (tempfile::tempdir().unwrap(), parts());
    let refused = |options, to| {
        let error = export(&bridges(&parts, options), to, &state_dict(&directory)).unwrap_err();
        assert!(matches!(error, ComposeError::Foreign { .. }), "{error}");
        error.to_string()
    };
    let plain = BridgeOptions::paper();
    assert!(refused(plain, Project::Deepmind).contains("always has an `output_norm`"));
    let told = refused(BridgeOptions::default(), Project::Deepmind);
    for words in [
        "has one augmenting model, has no `augmenting_norm`, has no `anchor_norm`, always has",
        "--bridge paper",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let told = refused(BridgeOptions::default(), Project::Lucidrains);
    assert!(
        told.contains("CALM-pytorch has no `augmenting_norm`, so"),
        "{told}"
    );
    let normed = BridgeOptions {
        output_norm: true,
        ..plain
    };
    assert!(refused(normed, Project::Lucidrains).contains("no `output_norm`"));
    assert!(refused(normed, Project::Deepmind).contains("one augmenting model"));
}

#[test]
fn a_scalar_gate_is_multiplied_into_the_output() {
    let gated = BridgeOptions {
        gate: Gate::Scalar,
        ..BridgeOptions::paper()
    };
    let normed = BridgeOptions {
        output_norm: true,
        bias: true,
        norm_epsilon: 1e-5,
        ..gated
    };
    let cases = [
        (gated, Project::Lucidrains, parts()),
        (normed, Project::Deepmind, one_model()),
    ];
    for (options, to, parts) in cases {
        let (directory, original) = (tempfile::tempdir().unwrap(), bridges(&parts, options));
        let path = state_dict(&directory);
        export(&original, to, &path).unwrap();
        let plan = ImportPlan {
            heads: Some(HEADS),
            ..plan(&parts, to)
        };
        let again = import(&path, &plan, &Device::default()).unwrap();
        assert_ne!(again.options.gate, Gate::Scalar);
        let [found, expected] = [&again.bridges, &original].map(|bridges| hidden(&parts, bridges));
        let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 1e-5, "{to:?}");
    }
}

/// Writes a state dict with one tensor renamed, or another one beside it.
fn changed(path: &Path, from: &str, to: &str) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let views = file
        .iter()
        .map(|(name, view)| (name.replace(from, to), view));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let (directory, parts) = (tempfile::tempdir().unwrap(), parts());
    let path = state_dict(&directory);
    let plan = plan(&parts, Project::Lucidrains);
    export(
        &bridges(&parts, BridgeOptions::paper()),
        Project::Lucidrains,
        &path,
    )
    .unwrap();
    let message = || {
        let error = import(&path, &plan, &Device::default()).unwrap_err();
        assert!(matches!(error, ComposeError::Malformed { .. }), "{error}");
        error.to_string()
    };
    changed(&path, "0.1.attn.to_k.weight", "0.1.attn.mem_k");
    let told = message();
    assert!(told.contains("a0.c1.k.weight is missing"), "{told}");
    assert!(
        told.contains("0.1.attn.mem_k is not part of this composition"),
        "{told}"
    );

    std::fs::write(&path, b"PK\x03\x04").unwrap();
    assert!(message().contains("zip archive that is cut short"));
    std::fs::write(&path, b"\x10").unwrap();
    assert!(message().contains("not a safetensors file"));
    let view = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
    let bytes = safetensors::serialize([("0.0.attn.to_q.weight", view)], None).unwrap();
    std::fs::write(&path, bytes).unwrap();
    assert!(message().contains("is I64, not a float"));
}
