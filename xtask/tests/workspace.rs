//! The shape of the workspace: who may use whom, who may name a backend, what lies where.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// From the bottom to the top: a crate may only use those before it.
const LAYERS: [&str; 10] = [
    "calm-files",
    "calm-backend",
    "calm-models",
    "calm-compose",
    "calm-data",
    "calm-train",
    "calm-sandbox",
    "calm-eval",
    "calm-lm",
    "xtask",
];

const BACKENDS: [&str; 6] = ["flex", "cuda", "wgpu", "vulkan", "metal", "rocm"];

/// The one crate that may name a backend.
const NAMES_BACKENDS: &str = "calm-backend";

/// No tensors: these neither use Burn nor forward its features.
const WITHOUT_BURN: [&str; 3] = ["calm-files", "calm-data", "calm-sandbox"];

#[test]
fn every_crate_uses_only_those_below_it() {
    let metadata = metadata();
    let layer: HashMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .map(|(layer, name)| (*name, layer))
        .collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(own) = layer.get(name) else {
            panic!("list {name} in LAYERS, where it belongs");
        };
        for below in layers_used_by(package) {
            assert!(
                layer[below] < *own,
                "{name} must not use {below}: see docs/architecture.md"
            );
        }
    }
}

#[test]
fn data_is_built_without_models() {
    let metadata = metadata();
    let without_burn = |name: &&str| WITHOUT_BURN.contains(name);
    for name in WITHOUT_BURN {
        let package = package(&metadata, name);
        let mut names = package.dependencies.iter().map(|used| used.name.as_str());
        let forbidden = names
            .find(|used| used.starts_with("burn") || LAYERS.contains(used) && !without_burn(used));
        assert_eq!(forbidden, None, "{name} must not use it");
    }
}

#[test]
fn every_crate_forwards_the_backend_features() {
    let metadata = metadata();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if WITHOUT_BURN.contains(&name) {
            continue;
        }
        let below = match name {
            NAMES_BACKENDS => vec!["burn"],
            _ => layers_used_by(package)
                .filter(|below| !WITHOUT_BURN.contains(below))
                .collect(),
        };
        for backend in BACKENDS {
            let forwarded = package.features.get(backend).cloned().unwrap_or_default();
            for below in &below {
                let feature = format!("{below}/{backend}");
                assert!(
                    forwarded.contains(&feature),
                    "{name}: feature {backend} must forward {feature}"
                );
            }
        }
    }
}

/// Or another feature set would still compile the default backend.
#[test]
fn no_crate_turns_on_the_default_backend_of_another() {
    let metadata = metadata();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let below = dependency.name.as_str();
            let has_backends =
                below == "burn" || LAYERS.contains(&below) && !WITHOUT_BURN.contains(&below);
            assert!(
                !(has_backends && dependency.uses_default_features),
                "{}: use {below} with `default-features = false`",
                package.name
            );
        }
    }
}

#[test]
fn only_the_backend_crate_depends_on_a_backend() {
    let metadata = metadata();
    for package in &metadata.packages {
        if package.name == NAMES_BACKENDS {
            continue;
        }
        for dependency in &package.dependencies {
            let backend = dependency.name.strip_prefix("burn-").unwrap_or_default();
            assert!(
                !BACKENDS.contains(&backend),
                "{} must not use {}",
                package.name,
                dependency.name
            );
        }
        let of_burn = package
            .features
            .values()
            .flatten()
            .find(|feature| feature.starts_with("burn/"));
        assert_eq!(of_burn, None, "{}: forward to calm-backend", package.name);
    }
}

#[test]
fn only_the_backend_crate_names_a_backend() {
    let backend_crate = root().join("crates").join(NAMES_BACKENDS);
    let sources = [root().join("crates"), root().join("xtask/src")];
    let mut named = Vec::new();
    for file in sources.iter().flat_map(|directory| rust_files(directory)) {
        if file.starts_with(&backend_crate) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        named.extend(backend_named_in(&text).map(|name| format!("{name} in {}", file.display())));
    }
    assert!(
        named.is_empty(),
        "take a `&Device` instead of naming a backend: {named:#?}"
    );
}

#[test]
fn a_named_backend_is_found() {
    for text in [
        "use burn_wgpu::Wgpu;",
        "let device = Device::cuda(0);",
        "Device::cpu()",
    ] {
        assert!(backend_named_in(text).is_some(), "{text}");
    }
    assert_eq!(
        backend_named_in("Device::default(), device(\"cuda:0\")"),
        None
    );
}

/// The first backend that a source names, as its crate or as a constructor of its device.
fn backend_named_in(text: &str) -> Option<String> {
    let crates = BACKENDS.iter().map(|backend| format!("burn_{backend}"));
    let devices = BACKENDS
        .iter()
        .chain(&["cpu", "webgpu"])
        .map(|backend| format!("Device::{backend}("));
    crates.chain(devices).find(|name| text.contains(name))
}

#[test]
fn the_top_level_holds_what_the_map_says() {
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
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

/// What `cargo metadata` says of the crates of this workspace.
///
/// The crate `cargo_metadata` would turn on features of serde_json, which Burn uses too: tests
/// would then build all of Burn a second time.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    features: HashMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    uses_default_features: bool,
}

fn metadata() -> Metadata {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    let mut packages = metadata.packages.iter();
    packages.find(|package| package.name == name).unwrap()
}

/// Our own crates among the dependencies of a package, those of its tests included.
fn layers_used_by(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .filter(|name| LAYERS.contains(name))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
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
