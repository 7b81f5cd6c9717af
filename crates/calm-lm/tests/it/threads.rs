//! The number of threads, which a user may choose.

use std::path::Path;

use crate::common::Workshop;

/// Models that are large enough for their products to be shared among threads.
#[test]
fn any_number_of_threads_trains_the_same_bridges() {
    let workshop = Workshop::new();
    workshop.calm("data kv --laptop --out kv").done();
    let checkpoints = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/checkpoints");
    let train = |threads: usize| {
        let (out, models) = (format!("threads-{threads}"), checkpoints.display());
        let run = workshop.calm(&format!(
            "compose --anchor {models}/kv-anchor --augmenting {models}/kv-augmenting --out {out} \
             --connections every:1 --train kv/kv-arithmetic.held-in.jsonl --rows 64 --steps 3 \
             --threads {threads}"
        ));
        run.done();
        let settings = workshop.text(&format!("{out}/run/run.json"));
        assert!(
            settings.contains(&format!("\"threads\": {threads}")),
            "{settings}"
        );
        workshop.bridges(&out)
    };
    let one = train(1);
    assert_eq!(one, train(2));
    assert_eq!(one, train(5));
}

#[test]
fn no_thread_is_refused() {
    Workshop::new()
        .calm("doctor --threads 0")
        .refused(&["--threads", "0"]);
}
