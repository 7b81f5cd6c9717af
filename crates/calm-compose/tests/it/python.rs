//! `examples/load_composition.py`, which opens a composition in transformers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use calm_compose::{BridgeOptions, Composition, CompositionConfig, ConnectionPlan, LoadedModel};
use calm_models::{LoadOptions, ModelSource, PaddingMask};

use crate::common::{fixtures, ids, logits, options, relative_error, shaken, values};

/// Ids that all models of the test know.
const TEXT: [u32; 7] = [1, 30, 12, 45, 7, 7, 22];

/// Prints, for each composition, the logits of all positions.
const DRIVER: &str = "
import importlib.util, json, sys, torch
spec = importlib.util.spec_from_file_location('load_composition', sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
ids = torch.tensor([json.loads(sys.argv[2])])
for directory in sys.argv[3:]:
    print(json.dumps(module.open_composition(directory)(ids).logits.flatten().tolist()))
";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A Python that has what the example needs: that of `CALM_PYTHON`, or else `python3`.
fn python() -> Option<String> {
    let python = std::env::var("CALM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(["-c", "import torch, transformers, safetensors"]);
    let has_all = command.output().is_ok_and(|output| output.status.success());
    has_all.then_some(python)
}

/// A composition of two checkpoints none of whose bridges' parameters is zero.
fn composition(models: [PathBuf; 2], options: BridgeOptions) -> Composition {
    let load = |path| LoadedModel::load(&ModelSource::Path(path), &LoadOptions::default()).unwrap();
    let [anchor, augmenting] = models.map(load);
    let pairs = [[1, 1], [2, 1], [2, 2]].map(Into::into).to_vec();
    let config = CompositionConfig {
        options,
        ..CompositionConfig::default()
    };
    let augmenting = vec![(augmenting, ConnectionPlan::Explicit(pairs))];
    let mut composition = Composition::new(anchor, augmenting, &config, 7).unwrap();
    composition.model.bridges = shaken(composition.model.bridges);
    composition
}

#[test]
#[expect(clippy::print_stderr, reason = "who skips says so")]
fn transformers_computes_what_a_saved_composition_does() {
    let Some(python) = python() else {
        eprintln!(
            "skipped: python3 has no torch, transformers and safetensors; name a Python that has \
             with CALM_PYTHON"
        );
        return;
    };
    let own = |name: &str| fixtures().join("checkpoints").join(name);
    let other = |name: &str| {
        fixtures()
            .join("../../../calm-models/tests/fixtures")
            .join(name)
    };
    let llamas = || [own("llama"), own("llama3-scaled-tied")];
    let mut cases: Vec<(String, Composition)> = options()
        .into_iter()
        .map(|(name, options)| (name.to_owned(), composition(llamas(), options)))
        .collect();
    cases.extend(["gpt2", "gemma3"].map(|name| {
        let of_kind = composition([other(name), other(name)], BridgeOptions::default());
        (name.to_owned(), of_kind)
    }));

    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.env("OMP_NUM_THREADS", "1").args(["-c", DRIVER]);
    command.arg(top().join("examples/load_composition.py"));
    command.arg(serde_json::to_string(&TEXT).unwrap());
    for (name, composition) in &cases {
        let place = directory.path().join(name);
        composition.save(&place).unwrap();
        command.arg(place);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), cases.len(), "{errors}");
    for ((name, composition), line) in cases.iter().zip(lines) {
        let text = ids(&[&TEXT]);
        let ours = logits(&composition.model, text, &PaddingMask::none(1, TEXT.len()));
        let theirs: Vec<f32> = serde_json::from_str(line).unwrap();
        let theirs = TensorData::new(theirs, ours.dims());
        let theirs = Tensor::<3>::from_data(theirs, &Device::default());
        assert!(values(ours.clone()).iter().all(|logit| logit.is_finite()));
        let relative = relative_error(ours, theirs);
        assert!(relative < 1e-4, "{name}: relative error {relative:e}");
    }
}

#[test]
fn the_docs_show_the_example_as_it_is() {
    let example = fs::read_to_string(top().join("examples/load_composition.py")).unwrap();
    let docs = fs::read_to_string(top().join("docs/composition.md")).unwrap();
    assert!(
        docs.contains(&format!("```python\n{example}```\n")),
        "paste examples/load_composition.py into docs/composition.md"
    );
}
