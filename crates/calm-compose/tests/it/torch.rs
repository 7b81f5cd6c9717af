//! State dicts that torch has saved, and archives that nobody should trust.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_compose::{ComposeError, ImportPlan, Imported, Project, import};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    crate::common::fixtures().join("state_dicts").join(name)
}

fn read(path: &Path) -> Result<Imported, ComposeError> {
    let plan = ImportPlan {
        project: Project::Lucidrains,
        connections: vec![vec![[2, 1], [4, 2]]],
        heads: None,
        d_anchor: 16,
        d_augmenting: vec![24],
        norm_epsilon: 1e-5,
    };
    import(path, &plan, &Device::default())
}

#[test]
fn what_torch_saves_is_what_safetensors_holds() {
    let expected = read(&fixture("state.safetensors")).unwrap();
    for name in ["state.pt", "protocol-4.pt"] {
        let found = read(&fixture(name)).unwrap();
        assert_eq!(
            found.bridges.named_parameters(),
            expected.bridges.named_parameters(),
            "{name}"
        );
        assert_eq!((found.heads, found.options), (4, expected.options));
    }
}

/// An archive of these files, compressed by `method`, which is none.
fn archive(files: &[(&str, &[u8])], method: u8) -> Vec<u8> {
    let (mut local, mut central) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let size = (bytes.len() as u32).to_le_bytes();
        let place = (local.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        let after_signature = [
            &[0, 0, 0, 0, method, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &size,
            &size,
            &name_len,
            &[0; 2],
        ]
        .concat();
        local.extend([b"PK\x03\x04", &after_signature[..], name.as_bytes(), bytes].concat());
        central.extend(
            [
                b"PK\x01\x02\0\0",
                &after_signature[..],
                &[0; 10],
                &place,
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let count = (files.len() as u16).to_le_bytes();
    let [size, place] = [&central, &local].map(|part| (part.len() as u32).to_le_bytes());
    let end = [
        b"PK\x05\x06\0\0\0\0",
        &count[..],
        &count,
        &size,
        &place,
        &[0; 2],
    ]
    .concat();
    [local, central, end].concat()
}

/// The pickle `{"0.0.context_proj.bias": tensor}`, its storage of two numbers.
fn tensor(class: &str, numbers: u8, offset: u8, shape: &str, strides: &str) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x15\0\0\x000.0.context_proj.biasctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
    pickle.extend(format!("ctorch\n{class}\n").as_bytes());
    pickle.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK");
    pickle.extend([numbers, b't', b'Q', b'K', offset]);
    for sizes in [shape, strides] {
        pickle.push(b'(');
        pickle.extend(sizes.bytes().flat_map(|size| [b'K', size - b'0']));
        pickle.push(b't');
    }
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    pickle
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.pt");
    fs::write(&path, bytes).unwrap();
    let error = read(&path).unwrap_err();
    assert!(matches!(error, ComposeError::Malformed { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains(expected) && !told.contains('\n'),
        "{expected:?} is not in {told}"
    );
}

#[track_caller]
fn pickle_refused(pickle: &[u8], expected: &str) {
    let files: [(&str, &[u8]); 2] = [("a/data.pkl", pickle), ("a/data/0", &[0; 8])];
    refused(&archive(&files, 0), expected);
}

#[test]
fn nothing_is_executed() {
    for (pickle, expected) in [
        (
            &b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."[..],
            "wants os.system",
        ),
        (b"\x80\x02cbuiltins\neval\n", "wants builtins.eval"),
        (
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
            "wants posix.system",
        ),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor\n",
            "wants torch._utils._rebuild_tensor",
        ),
        (
            b"\x80\x02ctorch\nFloatStorage.__init__\n",
            "wants torch.FloatStorage.__init__",
        ),
        (b"\x80\x02ctorch\nFloat\x1bStorage\n", "Float\\u{1b}Storage"),
        (
            b"\x80\x02ccollections\nOrderedDict\n(tN\x81.",
            "operation \\x81",
        ),
        (b"\x80\x02(cos\nsystem\no.", "wants os.system"),
        (b"\x80\x02(ios\nsystem\n.", "operation i"),
        (
            b"\x80\x02ccollections\nOrderedDict\nN\x85R.",
            "otherwise than torch.save",
        ),
        (
            b"\x80\x02ctorch\nFloatStorage\n)R.",
            "otherwise than torch.save",
        ),
        (b"\x80\x02N)R.", "calls what is no function"),
        (
            b"\x80\x02ccollections\nOrderedDict\nNb.",
            "attributes of what is no dict",
        ),
    ] {
        pickle_refused(pickle, expected);
    }
}

#[test]
fn damaged_and_endless_pickles_are_refused() {
    let deep = [
        b"\x80\x02".to_vec(),
        b"]".repeat(1 << 18),
        b"a".repeat(1 << 18),
        b".".to_vec(),
    ]
    .concat();
    let endless = [b"\x80\x02".to_vec(), b"N".repeat(1 << 21)].concat();
    let tuples = [
        b"\x80\x02)".to_vec(),
        b"\x85".repeat(1 << 18),
        b".".to_vec(),
    ]
    .concat();
    for (pickle, expected) in [
        (&deep[..], "appends to no list"),
        (&tuples, "is no dict"),
        (&endless, "steps"),
        (&vec![b'N'; (16 << 20) + 1], "more than 16777216 bytes"),
        (b"", "cut short"),
        (b"\x80\x02}", "cut short"),
        (b"\x80\x02X\xff\xff\xff\x7fa", "cut short"),
        (b"\x80\x09}.", "protocol 9"),
        (b"\x80\x02.", "takes more than it made"),
        (b"\x80\x02h\x07.", "refers to what is not there"),
        (b"\x80\x02}q\0h\0h\0s.", "a name is no text"),
        (b"\x80\x02}q\0K\x01h\0s.", "a name is no text"),
        (b"\x80\x02t.", "misses a mark"),
        (b"\x80\x02}(Nu.", "items of no dict"),
        (b"\x80\x02X\x02\0\0\0\xff\xfe.", "not UTF-8"),
        (b"\x80\x02\x8a\x09aaaaaaaaa.", "number of 9 bytes"),
        (b"\x80\x02}X\x01\0\0\0aNs.", "a is no tensor"),
    ] {
        pickle_refused(pickle, expected);
    }
}

#[test]
fn tensors_stay_within_their_storage() {
    let name = "0.0.context_proj.bias";
    for (pickle, expected) in [
        (
            tensor("FloatStorage", 2, 1, "2", "1"),
            "reaches beyond its storage",
        ),
        (
            tensor("FloatStorage", 2, 0, "2", "2"),
            "reaches beyond its storage",
        ),
        (
            tensor("FloatStorage", 2, 0, "3", "0"),
            "has more numbers than its storage",
        ),
        (
            tensor("FloatStorage", 2, 0, "999999", "000000"),
            "has more numbers than its storage",
        ),
        (
            tensor("FloatStorage", 3, 0, "2", "1"),
            "is in a storage of 3 numbers",
        ),
        (
            tensor("HalfStorage", 2, 0, "2", "1"),
            "is in a storage of 2 numbers",
        ),
        (tensor("LongStorage", 1, 0, "1", "1"), "is in a LongStorage"),
    ] {
        pickle_refused(&pickle, &format!("{name} {expected}"));
    }
    for (pickle, expected) in [
        (
            tensor("FloatStorage", 2, 0, "2", ""),
            "shape makes no sense",
        ),
        (
            tensor("FloatStorage", 2, 0, "111111111", "111111111"),
            "shape makes no sense",
        ),
        // In bounds, it is held against the bridges.
        (
            tensor("FloatStorage", 2, 0, "2", "1"),
            "does not tell how many heads",
        ),
    ] {
        pickle_refused(&pickle, expected);
    }
    let missing = archive(
        &[("a/data.pkl", &tensor("FloatStorage", 2, 0, "2", "1"))],
        0,
    );
    refused(&missing, "a/data/0, which is missing");
}

#[test]
fn damaged_archives_are_refused() {
    let pickle = tensor("FloatStorage", 2, 0, "2", "1");
    let whole = archive(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 8])], 0);
    for end in [4, 30, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..end], "cut short or damaged");
    }
    let end = whole.len() - 22;
    for (at, byte) in [(end + 10, 9), (end + 16, 1), (end + 19, 0x7f)] {
        let mut damaged = whole.clone();
        damaged[at] = byte;
        refused(&damaged, "cut short or damaged");
    }
    // Of more than 65534 entries the true number stands elsewhere.
    let mut damaged = whole.clone();
    damaged[end + 10..end + 12].fill(0xff);
    refused(&damaged, "cut short or damaged");
    refused(&archive(&[("a/data.pkl", &pickle)], 8), "compressed");
    refused(
        &archive(&[("a/data.pkl", &pickle), ("a/data.pkl", &pickle)], 0),
        "data.pkl twice",
    );
    refused(&archive(&[("a/weights", &pickle)], 0), "without data.pkl");
    let big: [(&str, &[u8]); 2] = [("a/data.pkl", &pickle), ("a/byteorder", b"big")];
    refused(&archive(&big, 0), "byte order");
    refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_damage_is_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = fs::read(fixture("state.pt")).unwrap();
        for (at, byte) in changes {
            // The pickle comes first, the directory last; between them there are only numbers.
            let at = at.index(6000);
            let len = bytes.len();
            bytes[if at < 3000 { at } else { len - 1 - (at - 3000) }] = byte;
        }
        if cuts {
            bytes.truncate(end.index(bytes.len()));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.pt");
        fs::write(&path, bytes).unwrap();
        let _ = read(&path);
    }
}
