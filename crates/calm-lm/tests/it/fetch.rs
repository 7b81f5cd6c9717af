//! Files of benchmarks, fetched from a server on this machine.

use std::fs;

use crate::common::{Run, Workshop};
use crate::hub_server::{Behaviour, HubServer, sha256};

/// Where the file is below its host.
const BASE: &str = "owner/name/0123/data";

const LINE: &str = "data fetch set.toml --out out --quiet";

/// A dataset of one file on a server.
struct Bench {
    workshop: Workshop,
    server: HubServer,
    bytes: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let bench = Self::with("set.bin", bytes);
        bench.describe(&bench.server.storage, "");
        bench
    }

    fn with(name: &str, bytes: Vec<u8>) -> Self {
        let files = [(format!("{BASE}/{name}"), bytes.clone())];
        Self {
            workshop: Workshop::new(),
            server: HubServer::start(files.into()),
            bytes,
        }
    }

    fn describe(&self, host: &str, more: &str) {
        let (hash, length) = (sha256(&self.bytes), self.bytes.len());
        let name = self.server_file();
        let text = format!(
            "layout = 1\nname = \"set\"\nabout = \"Numbers\"\nlicence = \"CC0 1.0\"\n\
             page = \"https://page.example\"\nhost = \"{host}\"\nbase = \"{BASE}\"\n\
             [[files]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nbytes = {length}\n{more}"
        );
        self.workshop.write("set.toml", &text);
    }

    fn server_file(&self) -> String {
        let mut name = String::new();
        self.server.change(|files| {
            let path = files.keys().next().unwrap();
            name = path.trim_start_matches(&format!("{BASE}/")).to_owned();
        });
        name
    }

    fn behave(&self, behaviour: Behaviour) {
        self.server.behave(behaviour);
        self.server.requests();
    }

    fn fetch(&self) -> Run {
        self.workshop.calm(LINE)
    }

    /// Files of the directory with their sizes.
    fn found(&self) -> Vec<(String, usize)> {
        let names = crate::hub_server::files(&self.workshop.path("out")).into_iter();
        names.map(|(name, bytes)| (name, bytes.len())).collect()
    }

    fn is_whole(&self) {
        let found = crate::hub_server::files(&self.workshop.path("out"));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["set.bin"]);
        assert!(found["set.bin"] == self.bytes);
    }
}

fn cut(times: usize, bytes: usize) -> Behaviour {
    Behaviour {
        cut: Some((times, bytes)),
        ..Behaviour::default()
    }
}

#[test]
fn a_file_is_fetched_once_with_its_licence() {
    let bench = Bench::new();
    let said = bench.fetch().done();
    assert!(said.contains("licence  CC0 1.0"), "{said}");
    assert!(said.contains("fetched  out/set.bin"), "{said}");
    bench.is_whole();

    bench.server.requests();
    let again = bench.workshop.calm(&format!("{LINE} --json")).json();
    assert_eq!(again["datasets"][0]["files"][0]["fetched"], false);
    assert!(bench.server.requests().is_empty());
    bench.is_whole();

    // Something else of the same name is replaced.
    bench.workshop.write("out/set.bin", "damaged");
    bench.fetch().done();
    bench.is_whole();
}

#[test]
fn a_fetch_that_was_cut_goes_on() {
    let bench = Bench::new();
    bench.behave(cut(1, 70_000));
    bench.fetch().done();
    let ranges = bench.server.requests().into_iter().map(|asked| asked.range);
    let expected = [None, Some("bytes=70000-".to_owned())];
    assert_eq!(ranges.collect::<Vec<_>>(), expected);
    bench.is_whole();

    // Cut for good, and gone on with by another process.
    let bench = Bench::new();
    fs::create_dir(bench.workshop.path("out")).unwrap();
    fs::write(bench.workshop.path("out/set.bin.part"), &bench.bytes[..123]).unwrap();
    bench.behave(cut(10, 0));
    bench.fetch().refused(&[
        "set.bin: the connection ended after 123 of 800000 bytes",
        "goes on",
    ]);
    assert_eq!(bench.found(), [("set.bin.part".to_owned(), 123)]);
    bench.behave(Behaviour::default());
    bench.fetch().done();
    let asked = bench.server.requests();
    assert_eq!(asked[0].range.as_deref(), Some("bytes=123-"));
    bench.is_whole();
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let bench = Bench::new();
    fs::create_dir(bench.workshop.path("out")).unwrap();
    fs::write(bench.workshop.path("out/set.bin.part"), [7; 1000]).unwrap();
    bench.behave(Behaviour {
        ignore_ranges: true,
        ..Behaviour::default()
    });
    bench.fetch().done();
    bench.is_whole();
}

#[test]
fn what_is_wrong_gets_no_name() {
    let bench = Bench::new();
    for (behaviour, words) in [
        (
            Behaviour {
                corrupt: true,
                ..Behaviour::default()
            },
            "set.bin: what came has the SHA-256",
        ),
        (
            Behaviour {
                surplus: 7,
                ..Behaviour::default()
            },
            "set.bin: 800007 bytes came instead of 800000",
        ),
        (
            Behaviour {
                refuse: Some(("set.bin", 503, "Busy")),
                ..Behaviour::default()
            },
            "answers 503 for set.bin",
        ),
    ] {
        bench.behave(behaviour);
        bench.fetch().refused(&[words]);
        assert_eq!(bench.found(), [("set.bin.part".to_owned(), 0)]);
    }
    // A part of something else.
    bench.behave(Behaviour::default());
    fs::write(bench.workshop.path("out/set.bin.part"), [7; 1000]).unwrap();
    bench
        .fetch()
        .refused(&["set.bin: what came has the SHA-256"]);
    assert_eq!(bench.found(), [("set.bin.part".to_owned(), 0)]);
    bench.fetch().done();
    bench.is_whole();
}

#[test]
fn a_mirror_takes_the_place_of_the_host() {
    let bench = Bench::new();
    bench.describe("http://127.0.0.1:1", "");
    bench.fetch().refused(&[
        "http://127.0.0.1:1 cannot be reached",
        "check the network, name a mirror",
    ]);
    let mirror = bench.server.storage.clone();
    let with = |mirror: &str| bench.workshop.calm(&format!("{LINE} --mirror {mirror}"));
    with("nowhere").refused(&["\"nowhere/owner/name/0123/data/set.bin\" is no address"]);
    with(&format!("{mirror}/else")).refused(&["answers 404 for set.bin"]);
    with(&mirror).done();
    bench.is_whole();
}

#[test]
fn an_archive_is_unpacked() {
    let bench = Bench::with("sets.tgz", packed());
    bench.describe(&bench.server.storage, "unpack = \"sets\"");
    let said = bench.fetch().done();
    assert!(said.contains("unpacked  out/dev.ne-en.en"), "{said}");
    let text = bench.workshop.text("out/dev.ne-en.en");
    assert_eq!(text, "one\ntwo\n");
}

/// `sets/dev.ne-en.en` in a tar file that gzip has packed: headers are 512 bytes, their numbers
/// octal, and a checksum counts itself as spaces.
fn packed() -> Vec<u8> {
    let text = b"one\ntwo\n";
    let mut header = [0_u8; 512];
    header[..17].copy_from_slice(b"sets/dev.ne-en.en");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(text);
    tar.resize(512 * 4, 0);
    stored(&tar)
}

/// gzip without compression: one block, stored.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let length = u16::try_from(bytes.len()).unwrap();
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend_from_slice(bytes);
    packed.extend(crc32(bytes).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn what_there_is_and_what_is_to_be_had_by_hand() {
    let workshop = Workshop::new();
    let listed = workshop.calm("data fetch --list").done();
    for (name, licence) in [
        ("gsm8k", "MIT"),
        ("mgsm", "CC BY 4.0"),
        ("flores200", "by hand"),
    ] {
        let is_listed = |line: &str| line.starts_with(name) && line.contains(licence);
        assert!(listed.lines().any(is_listed), "{listed}");
    }
    let calm = |line: &str| workshop.calm(line);
    calm("data fetch flores200 --out out").refused(&["flores200", "CC BY-SA 4.0", "--data"]);
    calm("data fetch gsm9k --out out").refused(&["did you mean 'gsm8k'?", "--list"]);
    calm("data fetch gsm8k").refused(&["--out <DIR>"]);
    workshop.write("set.toml", "layout = 1\nnme = \"x\"\n");
    calm(LINE).refused(&["set.toml, line 2", "did you mean 'name'?"]);
    assert!(!workshop.path("out").exists());
}
