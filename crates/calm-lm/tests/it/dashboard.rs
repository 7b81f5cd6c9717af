//! The dashboard of a training run, in a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{Workshop, wait_until};
use nix::pty::{Winsize, openpty};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --checkpoint-steps 50 --tui";

/// A process whose terminal we are.
struct Terminal {
    child: Child,
    keyboard: File,
    /// All that was drawn.
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(workshop: &Workshop, line: &str) -> Self {
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let ends = openpty(Some(&size), None).unwrap();
        let calm = workshop.command(line);
        // Its controlling terminal: without, there is no Ctrl-C.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(calm.get_program())
            .args(calm.get_args());
        command.current_dir(workshop.path(""));
        let slave = || Stdio::from(ends.slave.try_clone().unwrap());
        let child = command.stdin(slave()).stdout(slave()).stderr(slave());
        let child = child.env("TERM", "xterm").spawn().unwrap();
        drop((ends.slave, command));
        let keyboard = File::from(ends.master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut drawn, shared) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error, once nobody has the other end.
            while let Ok(count @ 1..) = drawn.read(&mut bytes) {
                shared.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard,
            screen,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, words: &[&str]) {
        wait_until(&format!("{words:?} on the screen"), || {
            let text = self.text();
            words.iter().all(|word| text.contains(word))
        });
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Its exit code, and what it drew after the dashboard was gone.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        thread::sleep(Duration::from_millis(100));
        let text = self.text();
        // Back to the ordinary screen.
        let (_, after) = text.rsplit_once("\x1b[?1049l").expect("it was left");
        (code, after.to_owned())
    }
}

/// The steps that there are metrics of.
fn steps(workshop: &Workshop, out: &str) -> u64 {
    let shown = workshop.calm(&format!("runs show {out} --json")).json();
    shown["step"].as_u64().unwrap()
}

const SHOWN: [&str; 7] = [
    "Loss", "Speed", "Learning", "Gradient", "Peak", "compose,", "Progress",
];

#[test]
fn it_shows_a_run_and_gives_the_terminal_back() {
    let workshop = Workshop::new();
    let terminal = Terminal::start(&workshop, &format!("{COMPOSE} --steps 400 --out out"));
    terminal.wait_for(&SHOWN);
    let (code, after) = terminal.end();
    assert_eq!(code, Some(0), "{after}");
    assert!(after.contains("written to"), "{after}");
    assert_eq!(steps(&workshop, "out"), 400);
}

#[test]
fn ctrl_c_and_its_own_key_finish_the_step_and_save() {
    for keys in [&["\x03"][..], &["q", "s"]] {
        let workshop = Workshop::new();
        let line = format!("{COMPOSE} --steps 1000000 --out out");
        let mut terminal = Terminal::start(&workshop, &line);
        terminal.wait_for(&SHOWN);
        for key in keys {
            terminal.press(key.as_bytes());
            // The dashboard asks what to stop, and then listens for the answer.
            thread::sleep(Duration::from_millis(400));
        }
        let (code, after) = terminal.end();
        assert_eq!(code, Some(130), "{after}");
        let step = steps(&workshop, "out");
        assert!(
            after.contains(&format!("interrupted at step {step} of")),
            "{step} {after}"
        );
        let checkpoint = format!("out/run/checkpoints/{step:08}/checkpoint.json");
        assert!(workshop.path(&checkpoint).exists(), "{checkpoint}");
    }
}

#[test]
fn its_key_for_ending_at_once_does() {
    let workshop = Workshop::new();
    let mut terminal = Terminal::start(&workshop, &format!("{COMPOSE} --steps 1000000 --out out"));
    terminal.wait_for(&SHOWN);
    terminal.press(b"q");
    thread::sleep(Duration::from_millis(400));
    terminal.press(b"k");
    let (code, after) = terminal.end();
    assert_eq!(code, Some(130), "{after}");
    assert!(!after.contains("panicked"), "{after}");
}

#[test]
fn without_a_terminal_there_are_lines() {
    let workshop = Workshop::new();
    let run = workshop.calm(&format!("{COMPOSE} --steps 3 --out out"));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{run:#?}");
    assert!(lines[0].starts_with("data.jsonl: "), "{run:#?}");
    assert!(
        lines[1].starts_with("anchor alone: loss ")
            && lines[2].starts_with("no dashboard, this is no terminal"),
        "{run:#?}"
    );
    for word in [
        "3 of 3",
        "loss",
        "learning rate",
        "gradient norm",
        "tokens/s",
        "left",
    ] {
        assert!(lines[3].contains(word), "{word} in {run:#?}");
    }
    run.done();
    let quiet = workshop.calm(&format!("{COMPOSE} --steps 3 --out quiet --quiet"));
    assert_eq!(quiet.stderr, "");
}
