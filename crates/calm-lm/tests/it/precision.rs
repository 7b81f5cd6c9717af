//! Frozen models in half precision, bridges and their optimiser in `f32`.

use crate::common::Workshop;

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --connections every:2 \
                       --train data.jsonl --rows 4 --steps 40 --learning-rate 1e-2 --seed 5";

#[test]
fn bridges_learn_over_models_in_half_precision() {
    let workshop = Workshop::new();
    let loss = |dtype: &str| {
        let run = workshop.calm(&format!("{COMPOSE} --json --out {dtype} --dtype {dtype}"));
        let training = run.json()["training"].take();
        assert_eq!(training["dtype"], dtype);
        training["final_loss"].as_f64().unwrap()
    };
    let full = loss("f32");
    for dtype in ["bf16", "f16"] {
        let half = loss(dtype);
        assert!((half / full - 1.0).abs() < 0.05, "{dtype}: {half} {full}");
        let file = workshop.bridges(dtype);
        let header = String::from_utf8_lossy(&file[8..][..1000]);
        assert!(
            header.contains("F32") && !header.contains("F16"),
            "{header}"
        );
        assert_ne!(file, workshop.bridges("f32"));
    }
    // A run is gone on with as what it is.
    let run = workshop.calm(&format!("{COMPOSE} --out bf16 --resume"));
    run.refused(&["what.composed", "dtype"]);
}

#[test]
fn what_is_trained_is_in_f32() {
    let workshop = Workshop::new();
    let run = workshop.calm(&format!("{COMPOSE} --out new --dtype bf16 --baseline lora"));
    run.refused(&["--dtype", "frozen"]);
    assert!(!workshop.path("new").exists());
}
