//! The shape of the workspace: who may use whom, and who may name a backend.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// From the bottom to the top: a crate may only use those before it.
const LAYERS: [&str; 8] = [
    "calm-backend",
    "calm-models",
    "calm-compose",
    "calm-data",
    "calm-train",
    "calm-eval",
    "calm-lm",
    "xtask",
];

const BACKENDS: [&str; 6] = ["flex", "cuda", "wgpu", "vulkan", "metal", "rocm"];

/// Builds data, not tensors: neither uses Burn nor needs to forward its features.
const WITHOUT_BURN: &str = "calm-data";

fn metadata() -> Metadata {
    MetadataCommand::new()
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .unwrap()
}

fn ours(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn every_crate_uses_only_those_below_it() {
    let metadata = metadata();
    let layer: HashMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .map(|(layer, name)| (*name, layer))
        .collect();
    let packages = ours(&metadata);
    assert_eq!(
        packages.len(),
        LAYERS.len(),
        "list a new crate in LAYERS, where it belongs"
    );
    for package in packages {
        let name = package.name.as_str();
        for dependency in &package.dependencies {
            let Some(below) = layer.get(dependency.name.as_str()) else {
                continue;
            };
            assert!(
                *below < layer[name],
                "{name} must not use {}: see docs/architecture.md",
                dependency.name
            );
        }
    }
}

#[test]
fn data_is_built_without_models() {
    let metadata = metadata();
    let package = ours(&metadata)
        .into_iter()
        .find(|p| p.name.as_str() == WITHOUT_BURN)
        .unwrap();
    let forbidden = package.dependencies.iter().find(|dependency| {
        dependency.name.starts_with("burn") || LAYERS.contains(&dependency.name.as_str())
    });
    assert!(
        forbidden.is_none(),
        "{WITHOUT_BURN} must not use {forbidden:?}"
    );
}

#[test]
fn every_crate_forwards_the_backend_features() {
    let metadata = metadata();
    for package in ours(&metadata) {
        let name = package.name.as_str();
        if [WITHOUT_BURN, "calm-backend", "xtask"].contains(&name) {
            continue;
        }
        for backend in BACKENDS {
            let forwarded = package.features.get(backend).cloned().unwrap_or_default();
            for dependency in &package.dependencies {
                let below = dependency.name.as_str();
                if LAYERS.contains(&below) && below != WITHOUT_BURN && below != name {
                    let feature = format!("{below}/{backend}");
                    assert!(
                        forwarded.contains(&feature),
                        "{name}: feature {backend} must forward {feature}"
                    );
                }
            }
        }
    }
}

#[test]
fn only_the_backend_crate_names_a_backend() {
    let mut named = Vec::new();
    let constructors = [
        "flex(", "cuda(", "wgpu(", "vulkan(", "metal(", "rocm(", "cpu(",
    ];
    for file in rust_files(&root().join("crates")) {
        if file.starts_with(root().join("crates/calm-backend")) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let crates = [
            "burn_flex",
            "burn_cuda",
            "burn_wgpu",
            "burn_rocm",
            "burn_cubecl",
        ];
        let calls = constructors.map(|constructor| format!("Device::{constructor}"));
        let words = crates
            .iter()
            .copied()
            .chain(calls.iter().map(String::as_str));
        named.extend(
            words
                .filter(|word| text.contains(word))
                .map(|w| format!("{w} in {file:?}")),
        );
    }
    assert!(
        named.is_empty(),
        "take a `&Device` instead of naming a backend: {named:#?}"
    );
}

#[test]
fn the_top_level_holds_what_the_map_says() {
    let expected = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "crates",
        "datasets",
        "docs",
        "xtask",
    ];
    // Build outputs and run directories are ignored by git and may be there.
    let ignored =
        |name: &str| name.starts_with('.') || name.starts_with("target") || name == "runs";
    let mut found: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !ignored(name))
        .collect();
    found.sort();
    assert_eq!(
        found, expected,
        "docs/architecture.md says what belongs at the top level"
    );
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
