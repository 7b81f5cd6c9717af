//! Tables that are large or hostile, made of the small one of `fixtures/report`.

use std::path::{Path, PathBuf};

use calm_eval::Spread;
use calm_eval::tasks::TaskMetric;
use calm_experiments::report;
use calm_experiments::table::{
    Contrast, Difference, SampleOutput, SampleRow, Score, SystemFrame, SystemKind, Table, TaskFrame,
};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report")
}

/// The small table.
pub(crate) fn small() -> Table {
    report::read(&[fixture()]).unwrap()
}

/// Numbers that look random, the same every time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 31) as f64
    }

    fn text(&mut self, words: u64) -> String {
        let word = |numbers: &mut Self| -> String {
            let letters = 2 + numbers.next() % 7;
            let letter = |numbers: &mut Self| (b'a' + (numbers.next() % 26) as u8) as char;
            (0..letters).map(|_| letter(numbers)).collect()
        };
        let words: Vec<String> = (0..words).map(|_| word(self)).collect();
        words.join(" ")
    }
}

fn score(numbers: &mut Numbers, mean: f64, seeds: usize) -> Score {
    let figures: Vec<f64> = (0..seeds).map(|_| mean + numbers.unit() - 0.5).collect();
    let spread = Spread::of(&figures).unwrap();
    let interval_95 = Some([spread.mean - 1.1, spread.mean + 1.1]);
    Score {
        spread,
        interval_95,
        n: 500,
    }
}

/// Translations of so many languages by six systems, with five seeds each.
pub(crate) fn languages(languages: usize, samples: usize) -> Table {
    let mut table = small();
    let mut numbers = Numbers(7);
    let names: Vec<String> = (0..languages)
        .map(|number| format!("l{number:02}_Latn"))
        .collect();
    table.frame.title = "Translation from low-resource languages".to_owned();
    table.frame.systems.push(SystemFrame {
        id: "finetuned".to_owned(),
        title: "fine-tuned m_B".to_owned(),
        kind: SystemKind::Finetuned,
        models: vec![("m_B".to_owned(), "kv-anchor".to_owned())],
    });
    let halves = [
        ("low resource", &names[..languages / 2]),
        ("high resource", &names[languages / 2..]),
    ];
    table.frame.tasks = vec![TaskFrame {
        id: "translation".to_owned(),
        title: "Translation to English".to_owned(),
        group: None,
        metric: TaskMetric::Chrf1,
        tested: true,
        languages: names.clone(),
        language_groups: halves
            .map(|(name, half)| (name.to_owned(), half.to_vec()))
            .into(),
        paper: [("composed".to_owned(), 45.3)].into(),
        paper_wins: [("composed".to_owned(), "175 of 192".to_owned())].into(),
        paper_of_groups: Default::default(),
        parts: Vec::new(),
    }];
    let template = table.cells[0].clone();
    let systems: Vec<String> = table
        .frame
        .systems
        .iter()
        .map(|system| system.id.clone())
        .collect();
    table.cells = systems
        .iter()
        .enumerate()
        .map(|(place, system)| {
            let mut cell = template.clone();
            (cell.system, cell.task) = (system.clone(), "translation".to_owned());
            let of = |numbers: &mut Numbers, number: usize| {
                score(
                    numbers,
                    20.0 + number as f64 + place as f64,
                    if place < 2 { 1 } else { 5 },
                )
            };
            cell.score = of(&mut numbers, languages / 2);
            cell.languages = names
                .iter()
                .enumerate()
                .map(|(at, name)| (name.clone(), of(&mut numbers, at)))
                .collect();
            cell.groups = halves
                .iter()
                .map(|(name, _)| ((*name).to_owned(), of(&mut numbers, languages / 2)))
                .collect();
            cell
        })
        .collect();
    let mut difference = |points: f64| Difference {
        points,
        interval_95: [points - 1.5, points + 1.5],
        p: if points.abs() > 2.0 {
            0.0001
        } else {
            0.2 + numbers.unit() / 2.0
        },
        p_corrected: if points.abs() > 2.0 { 0.004 } else { 1.0 },
        n: 500,
    };
    let gains = names.iter().enumerate();
    let gains = gains.map(|(at, name)| (name.clone(), difference(6.0 - at as f64 * 0.2)));
    let gains: Vec<(String, Difference)> = gains.collect();
    let wins = gains.iter().filter(|(_, gain)| gain.points > 0.0).count();
    table.contrasts = vec![Contrast {
        task: "translation".to_owned(),
        system: "composed".to_owned(),
        against: "m_b".to_owned(),
        difference: difference(3.1),
        languages: gains,
        wins: [wins, languages - wins],
        significant_wins: [wins / 2, 0],
        verdict: "m_A⊕B is better than m_B by 3.1 points (p < 0.001).".to_owned(),
        groups: Vec::new(),
    }];
    table.breakdowns.clear();
    let run = table.runs[0].clone();
    table.runs = systems[2..]
        .iter()
        .flat_map(|system| (0..5).map(|seed| (system.clone(), seed)))
        .map(|(system, seed)| {
            let losses = (1..=3000).map(|step| {
                (
                    step,
                    (2.0 + 3.0 / step as f32) + numbers.unit() as f32 * 0.1,
                )
            });
            let losses = losses.collect();
            calm_experiments::table::TrainedRun {
                system,
                seed,
                losses,
                ..run.clone()
            }
        })
        .collect();
    table.samples = (0..samples)
        .map(|index| {
            let reference = numbers.text(20);
            let output = |numbers: &mut Numbers| {
                let text = format!("{} {}", &reference[..reference.len() / 2], numbers.text(10));
                Some(SampleOutput {
                    text,
                    score: 100.0 * numbers.unit(),
                })
            };
            SampleRow {
                task: "translation".to_owned(),
                language: names[index % languages].clone(),
                index: index / languages,
                prompt: format!("Translate to English.\n\n{}\n", numbers.text(20)),
                outputs: systems.iter().map(|_| output(&mut numbers)).collect(),
                reference,
            }
        })
        .collect();
    table
}

/// Texts that would do harm to a page that trusted them.
pub(crate) fn hostile_texts() -> Vec<String> {
    let texts = [
        "<script>document.title='pwned'</script>",
        "</script><script>document.title='pwned'</script>",
        "</style></title></textarea><h1 id=pwned>pwned</h1>",
        "<!-- <script>",
        "--><img src=x onerror=\"document.title='pwned'\">",
        "\" onmouseover=\"document.title='pwned'\" x=\"",
        "' autofocus onfocus='document.title=1' '",
        "{{ 7 * 7 }}{% raw %}{#",
        "]]><svg/onload=alert(1)>",
        "&lt;b&gt; &#x3c; &amp",
        "a\0b\u{1}\u{8}\u{b}\u{c}\r\u{1b}[31mred\u{1b}]0;title\u{7}\u{7f}\u{85}\u{9b}",
        "\u{202e}desrever\u{202d} \u{2066}isolate \u{2067}rtl",
        "\u{200e}\u{200f}\u{61c}\u{feff}\u{200b}\u{200d}\u{2028}\u{2029}\u{e0041}",
        "مرحبا עולם 123",
        "=HYPERLINK(\"http://x\")",
        "| a | b |\n|---|---|\n`x` **y** [z](javascript:alert(1))",
        "${alert(1)} `${1}`",
        "\u{fffe}\u{ffff}\u{fdd0}",
    ];
    let mut texts: Vec<String> = texts.map(str::to_owned).to_vec();
    texts.push(format!("Z{}", "\u{300}\u{489}".repeat(3000)));
    texts.insert(0, "x".repeat(100_000));
    texts.push("<b>".repeat(4000));
    texts.push("\u{fdfd}".repeat(500));
    texts
}

/// The small table with hostile texts wherever a text of others stands.
pub(crate) fn hostile() -> Table {
    let mut table = small();
    let texts = hostile_texts();
    let mut all = texts.iter().cycle().cloned();
    let mut next = || all.next().unwrap();
    let short = |text: String| text.chars().take(60).collect::<String>();
    let frame = &mut table.frame;
    frame.about = short(next());
    frame.paper = Some(short(next()));
    for system in &mut frame.systems {
        system.title = short(next());
        system
            .models
            .iter_mut()
            .for_each(|model| *model = (short(next()), short(next())));
    }
    for task in &mut frame.tasks {
        (task.title, task.group) = (short(next()), Some(short(next())));
    }
    for cell in &mut table.cells {
        let scores = cell.languages[0].1;
        cell.languages = vec![
            ("<b>eng".to_owned(), scores),
            ("\u{202e}ara".to_owned(), scores),
        ];
        cell.seeds
            .iter_mut()
            .for_each(|seed| seed.commit = Some(short(next())));
        cell.seeds
            .iter_mut()
            .for_each(|seed| seed.directory = PathBuf::from(short(next())));
        cell.signature = short(next());
    }
    table
        .contrasts
        .iter_mut()
        .for_each(|contrast| contrast.verdict = short(next()));
    table
        .breakdowns
        .iter_mut()
        .flat_map(|one| &mut one.parts)
        .for_each(|part| part.0 = short(next()));
    for run in &mut table.runs {
        (run.optimizer, run.device, run.program) = (short(next()), short(next()), short(next()));
        run.weights_sha256
            .iter_mut()
            .for_each(|part| part.0 = short(next()));
    }
    for sample in &mut table.attention {
        sample.model = short(next());
        sample
            .anchor_tokens
            .iter_mut()
            .for_each(|token| *token = short(next()));
        sample
            .augmenting_tokens
            .iter_mut()
            .for_each(|token| *token = short(next()));
    }
    let row = table.samples[0].clone();
    table.samples = texts
        .iter()
        .enumerate()
        .map(|(index, text)| SampleRow {
            index,
            prompt: text.clone(),
            reference: text.clone(),
            language: if index % 2 == 0 {
                String::new()
            } else {
                short(text.clone())
            },
            outputs: row
                .outputs
                .iter()
                .map(|_| {
                    Some(SampleOutput {
                        text: text.clone(),
                        score: 100.0,
                    })
                })
                .collect(),
            ..row.clone()
        })
        .collect();
    table.circumstances.experiment = texts.concat();
    table
}
