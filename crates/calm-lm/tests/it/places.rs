//! Compositions that are opened from another directory than they were made in.

use std::fs;

use crate::common::{Run, Workshop};

#[test]
fn a_composition_opens_from_any_directory() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("runs")).unwrap();
    let compose = "compose --anchor anchor --augmenting specialist --train data.jsonl --rows 4 \
                   --connections [[2,1],[4,3]] --steps 2 --quiet --out runs/composition";
    workshop.calm(compose).done();
    let generate = |from: &str, composition: &str| {
        let line = format!("generate {composition} --prompt ABC --max-new-tokens 4");
        let mut command = workshop.command(&line);
        command.current_dir(workshop.path(from));
        Run::new(&line, command.output().unwrap()).done()
    };
    let text = generate(".", "runs/composition");
    assert_eq!(generate("runs", "composition"), text);
    assert_eq!(generate("specialist", "../runs/composition"), text);
    let told = workshop.calm("inspect runs/composition").done();
    assert!(told.contains("to no other project"), "{told}");

    workshop
        .calm("merge runs/composition runs/composition --out both")
        .done();
    generate("runs", "../both");
    fs::rename(workshop.path("anchor"), workshop.path("gone")).unwrap();
    let line = "generate runs/composition --prompt ABC";
    workshop
        .calm(line)
        .refused(&["anchor, which is not there any more", "--anchor"]);
}
