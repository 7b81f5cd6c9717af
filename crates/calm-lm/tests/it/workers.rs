//! Runs whose steps are shared among devices and processes, which may die.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command};
use std::time::{Duration, Instant};

use crate::common::{Run, Workshop, example, is_sign_of_life, kill, wait_until};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 2 --accumulation 6 --steps 60 \
                       --checkpoint-steps 3 --seed 5 --quiet";

/// A workshop with the composition `straight`, which one device trained alone.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.calm(&format!("{COMPOSE} --out straight")).done();
    workshop
}

/// Another process, which computes for runs, and does not outlive its test.
struct Helper {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Helper {
    /// One that was started with these flags.
    fn start(workshop: &Workshop, flags: &str) -> Self {
        let line = format!("{COMPOSE} --out nowhere --listen 127.0.0.1:0 {flags}");
        let mut child = workshop.command(&line).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while told.is_empty() || is_sign_of_life(&told) {
            told.clear();
            assert_ne!(stderr.read_line(&mut told).unwrap(), 0, "it has ended");
        }
        let address = told.strip_prefix("listening at ");
        let address = address
            .unwrap_or_else(|| panic!("{told}"))
            .trim()
            .to_owned();
        Self {
            child,
            stderr,
            address,
        }
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status();
        assert!(sent.unwrap().success());
    }

    /// It has nothing more to do, and says so.
    fn finishes(mut self) {
        let mut said = [String::new(), String::new()];
        self.stderr.read_to_string(&mut said[0]).unwrap();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut said[1]).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said:?}");
        assert_eq!(said[1], "the run is over\n");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Most are dead by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that is shared with these.
fn begin(workshop: &Workshop, out: &str, helpers: &[&Helper]) -> Child {
    workshop.command(&shared(out, helpers)).spawn().unwrap()
}

fn shared(out: &str, helpers: &[&Helper]) -> String {
    let addresses: Vec<&str> = helpers
        .iter()
        .map(|helper| helper.address.as_str())
        .collect();
    let addresses = addresses.join(",");
    format!("{COMPOSE} --out {out} --resume --worker-timeout 2 --workers {addresses}")
}

/// Waits until a step was recorded.
fn wait_for(workshop: &Workshop, out: &str, step: usize) {
    let metrics = workshop.path(out).join("run/metrics.jsonl");
    wait_until(&format!("step {step}"), || {
        fs::read_to_string(&metrics).is_ok_and(|lines| lines.lines().count() >= step)
    });
}

#[test]
fn devices_of_one_process_give_the_same_bytes() {
    let workshop = workshop();
    for devices in ["cpu", "cpu,cpu", "cpu,auto,cpu"] {
        let run = workshop.calm(&format!(
            "{COMPOSE} --out {devices} --devices {devices} --json"
        ));
        let training = &run.json()["training"];
        let named: Vec<&str> = devices.split(',').collect();
        assert_eq!(training["workers"], serde_json::json!(named));
        assert!(
            workshop.bridges(devices) == workshop.bridges("straight"),
            "{devices}"
        );
    }
}

#[test]
fn processes_give_the_same_bytes_and_end_with_the_run() {
    let workshop = workshop();
    workshop.write("token", "correct-horse\n");
    let flags = ["", "--devices cpu,cpu", "--activation-cache off"];
    let helpers =
        flags.map(|flags| Helper::start(&workshop, &format!("{flags} --worker-token token")));
    let line = shared("shared", &helpers.each_ref());
    workshop
        .calm(&format!("{line} --worker-token token"))
        .done();
    assert!(workshop.bridges("shared") == workshop.bridges("straight"));
    helpers.into_iter().for_each(Helper::finishes);

    let many = Helper::start(&workshop, "--devices cpu,cpu,cpu,cpu,cpu,cpu");
    let run = workshop.calm(&shared("refused", &[&many]));
    run.refused(&["--accumulation: is 6", "7 devices"]);
    assert!(!workshop.path("refused").exists(), "nothing was written");
    assert!(!workshop.path("nowhere").exists(), "a worker has no run");
}

#[test]
fn a_worker_that_dies_is_told_at_once_and_the_run_can_be_resumed() {
    let workshop = workshop();
    let (dying, other) = (Helper::start(&workshop, ""), Helper::start(&workshop, ""));
    let run = begin(&workshop, "shared", &[&other, &dying]);
    wait_for(&workshop, "shared", 7);
    dying.signal("KILL");
    let killed = Instant::now();
    let output = run.wait_with_output().unwrap();
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    let address = format!("worker {} was lost (", dying.address);
    let run = Run::new("compose", output);
    run.refused(&[
        &address,
        "in step ",
        "the last good checkpoint is that of step ",
    ]);
    // The one that did not die is listening again.
    workshop.calm(&shared("shared", &[&other])).done();
    assert!(workshop.bridges("shared") == workshop.bridges("straight"));
    other.finishes();
}

#[test]
fn a_worker_that_hangs_is_given_up() {
    let workshop = workshop();
    let hanging = Helper::start(&workshop, "");
    let run = begin(&workshop, "shared", &[&hanging]);
    wait_for(&workshop, "shared", 4);
    hanging.signal("STOP");
    let stopped = Instant::now();
    let output = run.wait_with_output().unwrap();
    let waited = stopped.elapsed();
    assert!(
        waited > Duration::from_secs(1) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    let address = format!("worker {} said nothing for 2 s, in step ", hanging.address);
    Run::new("compose", output).refused(&[&address]);
    workshop
        .calm(&format!("{COMPOSE} --out shared --resume"))
        .done();
    assert!(workshop.bridges("shared") == workshop.bridges("straight"));
}

#[test]
fn workers_outlive_the_process_of_the_run() {
    let workshop = workshop();
    let helper = Helper::start(&workshop, "");
    for step in [4, 11] {
        let run = begin(&workshop, "shared", &[&helper]);
        wait_for(&workshop, "shared", step);
        kill(run);
    }
    workshop.calm(&shared("shared", &[&helper])).done();
    assert!(workshop.bridges("shared") == workshop.bridges("straight"));
    helper.finishes();
}

#[test]
fn workers_of_another_run_are_refused() {
    let workshop = Workshop::new();
    workshop.write("token", "correct-horse\n");
    workshop.write("other-token", "battery-staple\n");
    workshop.write("other.jsonl", &example("ABC", "DE").repeat(24));
    workshop.copy(&workshop.path("anchor"), "finetuned");
    let weights = workshop.path("finetuned/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();

    let helper = Helper::start(&workshop, "--worker-token token");
    let line = shared("shared", &[&helper]);
    let cases: &[(&str, &[&str])] = &[
        (
            "--worker-token token --learning-rate 0.5",
            &["train.learning_rate: 0.001 there, 0.5 here"],
        ),
        (
            "--worker-token token --heads 8",
            &["heads: 4 there, 8 here"],
        ),
        ("--worker-token other-token", &["has another token"]),
        ("", &["has another token"]),
    ];
    for (flags, words) in cases {
        let run = workshop.calm(&format!("{line} {flags}"));
        run.refused(&[words, &[helper.address.as_str()][..]].concat());
    }
    for (given, other, words) in [
        ("--train data.jsonl", "--train other.jsonl", "data_sha256: "),
        ("--rows 2", "--rows 3", "rows: 2 there, 3 here"),
        ("--anchor anchor", "--anchor finetuned", "anchor_sha256: "),
    ] {
        let other = format!("{line} --worker-token token").replace(given, other);
        workshop
            .calm(&other)
            .refused(&[words, "same flags, models, data and program"]);
    }
    assert!(!workshop.path("shared").exists(), "nothing was written");
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let workshop = Workshop::new();
    for (name, text) in [("empty", "\n"), ("two", "one two\n"), ("token", "one")] {
        workshop.write(name, text);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let listen_there = format!("--listen {taken}");
    let nobody = "--worker-timeout 2 --workers 127.0.0.1:9";
    let before = workshop.names();
    let cases: &[(&str, &[&str])] = &[
        ("--devices gpu", &["no device is called 'gpu'"]),
        ("--devices cpu,cpu:7", &["there is no number 7"]),
        (
            "--devices cpu --device cpu",
            &["--devices", "cannot be used with"],
        ),
        (
            "--devices cpu,cpu --baseline lora",
            &["cannot be used with"],
        ),
        (
            "--devices cpu,cpu,cpu,cpu,cpu,cpu,cpu",
            &["--accumulation: is 6", "7 devices"],
        ),
        (
            "--workers a:1,b:1,c:1,d:1,e:1,f:1",
            &["--accumulation: is 6", "7 devices"],
        ),
        (nobody, &["worker 127.0.0.1:9 cannot be reached", "refused"]),
        ("--workers nowhere", &["worker nowhere cannot be reached"]),
        (
            "--workers 127.0.0.1:9 --worker-token none",
            &["none: the token cannot be read"],
        ),
        (
            "--workers 127.0.0.1:9 --worker-token empty",
            &["empty: a token is one line"],
        ),
        (
            "--workers 127.0.0.1:9 --worker-token two",
            &["two: a token is one line"],
        ),
        ("--worker-timeout 1 --devices cpu", &["from 2 to 86400"]),
        (
            "--listen 0.0.0.0:0",
            &["--listen: 0.0.0.0:0 can be reached", "--worker-token"],
        ),
        (
            "--listen nowhere --worker-token token",
            &["cannot listen at nowhere"],
        ),
        (&listen_there, &["cannot listen at 127.0.0.1:", "in use"]),
        ("--listen 127.0.0.1:0 --dry-run", &["cannot be used with"]),
    ];
    for (flags, words) in cases {
        workshop
            .calm(&format!("{COMPOSE} --out new {flags}"))
            .refused(words);
        assert_eq!(workshop.names(), before, "{flags}");
    }
}
