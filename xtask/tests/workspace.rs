//! The shape of the workspace: who may use whom, who may name a backend, what lies where.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// A crate may only use those before it.
const LAYERS: [&str; 13] = [
    "calm-files",
    "calm-template",
    "calm-backend",
    "calm-models",
    TESTING,
    "calm-compose",
    "calm-data",
    "calm-train",
    "calm-sandbox",
    "calm-eval",
    "calm-experiments",
    "calm-lm",
    "xtask",
];

const BACKENDS: [&str; 6] = ["flex", "cuda", "wgpu", "vulkan", "metal", "rocm"];

/// The one crate that may name a backend.
const NAMES_BACKENDS: &str = "calm-backend";

/// Only tests use it, so that it is part of no program. It may stand above the crate that it tests.
const TESTING: &str = "calm-testing";

/// No tensors: these neither use Burn nor forward its features.
const WITHOUT_BURN: [&str; 4] = ["calm-files", "calm-template", "calm-data", "calm-sandbox"];

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
fn what_tests_share_is_part_of_no_program() {
    for package in &metadata().packages {
        let used = package.dependencies.iter();
        for dependency in used.filter(|dependency| dependency.name == TESTING) {
            let kind = dependency.kind.as_deref();
            assert_eq!(kind, Some("dev"), "{}: [dev-dependencies]", package.name);
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
        "examples",
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

/// Two files that need each other can only be understood together.
#[test]
fn no_two_files_use_each_other() {
    let mut circles = Vec::new();
    for package in &metadata().packages {
        let source = package.manifest_path.parent().unwrap().join("src");
        let modules: BTreeMap<ModulePath, String> = rust_files(&source)
            .into_iter()
            .map(|file| (module_path(&source, &file), code(&file)))
            .collect();
        let uses: BTreeMap<&ModulePath, BTreeSet<ModulePath>> = modules
            .iter()
            .map(|(module, code)| (module, used_modules(module, code, &modules)))
            .collect();
        for (module, used) in &uses {
            let mutual = used.iter().filter(|other| {
                // A folder and the files in it are one thing.
                let is_within = other.starts_with(module) || module.starts_with(other);
                !is_within && *module < other && uses[other].contains(*module)
            });
            circles.extend(mutual.map(|other| {
                format!(
                    "{}: {} and {}",
                    package.name,
                    module.join("::"),
                    other.join("::")
                )
            }));
        }
    }
    assert!(
        circles.is_empty(),
        "move what both need into a third file: {circles:#?}"
    );
}

#[test]
fn paths_of_modules_are_found() {
    let known = ["a", "a::b", "c", "c::d"];
    let module = |name: &str| name.split("::").map(str::to_owned).collect::<ModulePath>();
    let modules = known.map(|name| (module(name), String::new())).into();
    let code = "use crate::c::{self, d::{E, F}, G};\nuse super::h;\nlet x = crate::a::x();";
    let used = used_modules(&module("a::b"), code, &modules);
    assert_eq!(used, ["a", "c", "c::d"].map(module).into());
}

/// Names of modules from the root of a crate, which is empty.
type ModulePath = Vec<String>;

fn module_path(source: &Path, file: &Path) -> ModulePath {
    let relative = file.strip_prefix(source).unwrap().with_extension("");
    let names = relative
        .iter()
        .map(|name| name.to_str().unwrap().to_owned());
    let is_root = |name: &String| ["mod", "lib", "main"].contains(&name.as_str());
    names.filter(|name| !is_root(name)).collect()
}

/// A file without its comments and unit tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules of the same crate that are named in `code`.
fn used_modules(
    module: &[String],
    code: &str,
    modules: &BTreeMap<ModulePath, String>,
) -> BTreeSet<ModulePath> {
    let begins = ["crate::", "super::", "self::"];
    let mut paths = Vec::new();
    for (at, _) in begins.iter().flat_map(|begin| code.match_indices(begin)) {
        let is_inside_path = code[..at].ends_with("::");
        if !is_inside_path {
            expand(String::new(), &mut &code[at..], &mut paths);
        }
    }
    let resolved = paths.iter().map(|path| {
        let mut found = module.to_vec();
        for name in path.split("::") {
            match name {
                "crate" => found.clear(),
                "super" => drop(found.pop()),
                "self" => {}
                name => found.push(name.to_owned()),
            }
        }
        while !found.is_empty() && !modules.contains_key(&found) {
            found.pop();
        }
        found
    });
    resolved
        .filter(|found| !found.is_empty() && found != module)
        .collect()
}

/// All paths of a tree such as `a::{b, c::{d, e}}`, of which `text` begins with one.
fn expand(before: String, text: &mut &str, paths: &mut Vec<String>) {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let length = text.find(|c| !is_path(c)).unwrap_or(text.len());
    let path = before + &text[..length];
    *text = &text[length..];
    if !(path.ends_with("::") && text.starts_with('{')) {
        paths.push(path);
        return;
    }
    while !text.is_empty() && !text.starts_with('}') {
        *text = text[1..].trim_start();
        if text.starts_with(|c: char| is_path(c)) {
            expand(path.clone(), text, paths);
        }
        // What stands between a path and the next comma, a new name or white space.
        let rest = text.find([',', '}']).unwrap_or(text.len());
        *text = &text[rest..];
    }
    *text = text.get(1..).unwrap_or_default();
}

/// Each links all of Burn.
#[test]
fn few_programs_hold_all_integration_tests() {
    let metadata = metadata();
    let targets = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    let programs: Vec<&str> = targets
        .filter(|target| target.kind.iter().any(|kind| kind == "test"))
        .map(|target| target.name.as_str())
        .collect();
    assert!(
        programs.len() <= 12,
        "make them modules of tests/it: {programs:#?}"
    );
}

#[test]
fn commands_are_short() {
    let directory = root().join("crates/calm-lm/src/commands");
    let mut long = Vec::new();
    for file in rust_files(&directory) {
        let code = code(&file);
        let lines: Vec<&str> = code.lines().collect();
        for (number, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_function(line))
        {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[number..].iter().position(|line| *line == end);
            if length.is_some_and(|length| length >= 50) {
                let name = line.split("fn ").nth(1).unwrap_or_default();
                let name = name.split(['(', '<']).next().unwrap_or_default();
                let file = file.file_name().unwrap().display();
                long.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(long.is_empty(), "longer than 50 lines: {long:#?}");
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("fn ") || line.starts_with("pub") && line.contains(" fn ")
}

/// The crates of this workspace, as `cargo metadata` describes them.
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
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
    features: HashMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev` for tests.
    kind: Option<String>,
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

/// Our own crates among the dependencies of a package, those of its tests included, but for what
/// only tests use.
fn layers_used_by(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .filter(|name| LAYERS.contains(name) && *name != TESTING)
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

/// Every command of README, docs and `--help`, those that train for two steps, and those that need
/// a network or other models by their flags alone.
#[test]
fn what_the_pages_tell_to_paste_works() {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walk");
    let mut walk = Command::new(xtask);
    walk.args(["walk", "--quick", "--dir"]).arg(directory);
    let output = walk.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = said
        .split('\n')
        .filter(|line| line.contains("FAILED"))
        .collect();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{error}", failed.join("\n"));
}
