//! Models of the Hub, fetched from a server on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::common::fixture;
use crate::common::gguf::GgufFile;
use crate::common::hub_server::{Behaviour, COMMIT, Files, HubServer, Request, files, sha256};
use calm_models::{
    Fetching, FrozenModel, Hub, HubError, LoadOptions, ModelError, ModelFiles, ModelSource,
};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// A server with a model, and an empty cache.
struct Bench {
    server: HubServer,
    hub: Hub,
    _home: TempDir,
}

impl Bench {
    fn new(files: Files) -> Self {
        let server = HubServer::start(files);
        let home = tempfile::tempdir().unwrap();
        let hub = Hub {
            endpoint: server.endpoint.clone(),
            cache: home.path().join("hub"),
            token: None,
            offline: false,
        };
        Self {
            server,
            hub,
            _home: home,
        }
    }

    fn fetch(&self, source: &str) -> Result<ModelFiles, ModelError> {
        fetch(source, &self.hub)
    }

    /// Words of the refusal; none of the file looks like a whole file afterwards.
    fn refused(&self, source: &str) -> HubError {
        match self.fetch(source) {
            Err(ModelError::Hub {
                model,
                source: error,
            }) => {
                assert!(source.starts_with(&format!("hf:{}", model.repository())));
                let message = error.to_string();
                assert!(!message.contains('\n'), "{message}");
                *error
            }
            other => panic!("{source}: {other:?}"),
        }
    }

    fn snapshot(&self) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT)
    }

    fn repository(&self) -> PathBuf {
        self.hub.cache.join("models--owner--name")
    }

    /// The blob of a file, or what there is of it.
    fn part(&self, file: &[u8]) -> PathBuf {
        let name = format!("{}.part", sha256(file));
        self.repository().join("blobs").join(name)
    }
}

fn fetch(source: &str, hub: &Hub) -> Result<ModelFiles, ModelError> {
    match source.parse().unwrap() {
        ModelSource::Hub(model) => model.fetch(hub, &[], &mut |_| {}),
        ModelSource::Path(_) => panic!("{source} is a directory"),
    }
}

/// A model in one file, with files that nobody needs.
fn single() -> Files {
    let mut files = files(&fixture("llama"));
    files.insert("pytorch_model.bin".to_owned(), vec![0; 100]);
    files.insert("README.md".to_owned(), b"# A model".to_vec());
    files
}

/// The same model in two shards.
fn sharded() -> Files {
    let mut files = single();
    let whole = files.remove(WEIGHTS).unwrap();
    let tensors = SafeTensors::deserialize(&whole).unwrap();
    let mut shards: [Vec<(String, TensorView<'_>)>; 2] = Default::default();
    let mut weight_map = BTreeMap::new();
    for (number, (name, tensor)) in tensors.tensors().into_iter().enumerate() {
        weight_map.insert(name.clone(), SHARDS[number % 2]);
        shards[number % 2].push((name, tensor));
    }
    for (name, tensors) in SHARDS.into_iter().zip(shards) {
        let bytes = safetensors::serialize(tensors, None).unwrap();
        files.insert(name.to_owned(), bytes);
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
    files.insert(INDEX.to_owned(), index.to_string().into_bytes());
    files
}

fn names(directory: &Path) -> Vec<String> {
    files(directory).into_keys().collect()
}

/// The requests to the host that stores weights.
fn of_storage(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|r| r.is_storage).collect()
}

#[test]
fn the_first_time_fetches_what_loading_reads() {
    let bench = Bench::new(single());
    let found = bench.fetch("hf:owner/name").unwrap();
    assert_eq!(found.path, bench.snapshot());
    assert_eq!(found.source.to_string(), format!("hf:owner/name@{COMMIT}"));
    let expected = [
        "config.json",
        "generation_config.json",
        WEIGHTS,
        "tokenizer.json",
    ];
    assert_eq!(names(&found.path), expected);
    let model = FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();
    let original = crate::common::load("llama");
    assert_eq!(
        model.weights_sha256().unwrap(),
        original.weights_sha256().unwrap()
    );

    // What other programs find in the cache.
    let main = fs::read_to_string(bench.repository().join("refs/main")).unwrap();
    assert_eq!(main, COMMIT);
    let link = fs::read_link(found.path.join(WEIGHTS)).unwrap();
    let blob = sha256(&single()[WEIGHTS]);
    assert_eq!(link, Path::new("../../blobs").join(blob));
    let absent = bench.repository().join(".no_exist").join(COMMIT);
    assert_eq!(
        names(&absent),
        [
            "added_tokens.json",
            "additional_chat_templates",
            "chat_template.jinja",
            "chat_template.json",
            "special_tokens_map.json",
            "tokenizer_config.json"
        ]
    );
}

#[test]
fn a_commit_in_the_cache_needs_no_network() {
    let bench = Bench::new(single());
    let commit = format!("hf:owner/name@{COMMIT}");
    let first = bench.fetch(&commit).unwrap();
    assert!(!bench.server.requests().is_empty());
    assert_eq!(bench.fetch(&commit).unwrap(), first);
    assert!(bench.server.requests().is_empty());
    // A branch may have moved: one request, and no file again.
    bench.fetch("hf:owner/name@feature/x").unwrap();
    assert_eq!(bench.server.requests().len(), 1);
    assert!(bench.repository().join("refs/feature/x").is_file());
}

#[test]
fn shards_are_those_of_the_index() {
    let bench = Bench::new(sharded());
    bench.server.change(|files| {
        files.insert("extra.safetensors".to_owned(), vec![0; 100]);
        files.insert("tokenizer_config.json".to_owned(), b"{}".to_vec());
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    let mut expected = vec!["config.json", "generation_config.json"];
    expected.extend(SHARDS);
    expected.extend([INDEX, "tokenizer.json", "tokenizer_config.json"]);
    assert_eq!(names(&found.path), expected);
    FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();
}

/// With a vocabulary of SentencePiece instead of a tokenizer.json, and shards in a directory.
#[test]
fn other_files_are_fetched_where_they_are_all_there_is() {
    let bench = Bench::new(sharded());
    let read = |name: &str| fs::read(fixture("text/sentence-piece/llama").join(name)).unwrap();
    bench.server.change(|files| {
        files.remove("tokenizer.json");
        files.insert("tokenizer.model".to_owned(), read("tokenizer.model"));
        files.insert("special_tokens_map.json".to_owned(), b"{}".to_vec());
        files.insert("added_tokens.json".to_owned(), b"{}".to_vec());
        let index = files.remove(INDEX).unwrap();
        let index = String::from_utf8(index).unwrap();
        let index = SHARDS.iter().fold(index, |index, shard| {
            index.replace(shard, &format!("weights/{shard}"))
        });
        files.insert(INDEX.to_owned(), index.into_bytes());
        for shard in SHARDS {
            let bytes = files.remove(shard).unwrap();
            files.insert(format!("weights/{shard}"), bytes);
        }
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    for name in [
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
    ] {
        assert!(found.path.join(name).is_file(), "{name}");
    }
    let model = FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();
    assert!(!model.tokenizer.is_embedded(), "620 pieces, 80 embeddings");
}

#[test]
fn chat_templates_besides_the_default_one_are_fetched() {
    let bench = Bench::new(single());
    bench.server.change(|files| {
        for name in [
            "chat_template.jinja",
            "additional_chat_templates/tool_use.jinja",
            "additional_chat_templates/notes.txt",
            "additional_chat_templates/../../outside.jinja",
            "additional_chat_templates/a/b.jinja",
        ] {
            files.insert(name.to_owned(), b"{{ messages }}".to_vec());
        }
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    assert_eq!(
        names(&found.path.join("additional_chat_templates")),
        ["tool_use.jinja"]
    );
    bench.server.requests();
    bench.fetch(&format!("hf:owner/name@{COMMIT}")).unwrap();
    assert!(bench.server.requests().is_empty());
}

/// A repository of GGUF files: three models, one of them in two files and in a folder.
fn quantised() -> Files {
    let path = fixture("gguf/llama/model.gguf");
    let model = fs::read(&path).unwrap();
    let mut files = Files::from([
        ("m.Q8_0.gguf".to_owned(), model.clone()),
        ("m.F16.gguf".to_owned(), model.clone()),
        ("README.md".to_owned(), b"# A model".to_vec()),
        ("config.json".to_owned(), b"{}".to_vec()),
    ]);
    let split = tempfile::tempdir().unwrap();
    GgufFile::read(&path).split(split.path(), 2);
    let parts = crate::common::hub_server::files(split.path());
    files.extend(
        parts
            .into_iter()
            .map(|(name, part)| (format!("parts/{name}"), part)),
    );
    files
}

#[test]
fn a_gguf_file_is_all_that_its_model_needs() {
    let bench = Bench::new(quantised());
    let found = bench.fetch("hf:owner/name/m.Q8_0.gguf").unwrap();
    assert_eq!(found.path, bench.snapshot().join("m.Q8_0.gguf"));
    let pinned = format!("hf:owner/name/m.Q8_0.gguf@{COMMIT}");
    assert_eq!(found.source.to_string(), pinned);
    assert_eq!(names(&bench.snapshot()), ["m.Q8_0.gguf"]);
    FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();
    // Another file of the same commit does not stand for this one.
    let other = bench.fetch("hf:owner/name/m.F16.gguf").unwrap();
    assert_eq!(names(&bench.snapshot()), ["m.F16.gguf", "m.Q8_0.gguf"]);
    assert_ne!(other.source, found.source);

    bench.server.requests();
    assert_eq!(bench.fetch(&pinned).unwrap(), found);
    assert!(bench.server.requests().is_empty());
    let offline = Hub {
        offline: true,
        ..bench.hub.clone()
    };
    assert_eq!(fetch("hf:owner/name/m.Q8_0.gguf", &offline).unwrap(), found);
    let refused = fetch("hf:owner/name/parts/m-00001-of-00002.gguf", &offline);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("its parts/m-00001-of-00002.gguf is not in the cache"),
        "{refused}"
    );
}

#[test]
fn a_gguf_model_in_several_files_is_fetched_whole() {
    let bench = Bench::new(quantised());
    let found = bench
        .fetch("hf:owner/name/parts/m-00002-of-00002.gguf")
        .unwrap();
    let parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    assert_eq!(names(&bench.snapshot().join("parts")), parts);
    FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();

    let bench = Bench::new(quantised());
    bench.server.change(|files| {
        files.remove("parts/m-00002-of-00002.gguf");
    });
    let refused = bench
        .refused("hf:owner/name/parts/m-00001-of-00002.gguf")
        .to_string();
    assert!(
        refused.contains("has no parts/m-00002-of-00002.gguf; give one of"),
        "{refused}"
    );
    assert!(of_storage(&bench.server.requests()).is_empty());
}

#[test]
fn a_repository_of_gguf_files_says_which_there_are() {
    let bench = Bench::new(quantised());
    let all = "hf:owner/name/m.F16.gguf, hf:owner/name/m.Q8_0.gguf, \
               hf:owner/name/parts/m-00001-of-00002.gguf";
    for source in ["hf:owner/name", "hf:owner/name/m.Q2_K.gguf"] {
        let refused = bench.refused(source).to_string();
        assert!(
            refused.ends_with(&format!("give one of {all}")),
            "{refused}"
        );
    }
    let bench = Bench::new(single());
    let refused = bench.refused("hf:owner/name/m.gguf").to_string();
    assert_eq!(refused, "the repository has no m.gguf");
}

#[test]
fn shards_may_lie_in_folders() {
    let bench = Bench::new(sharded());
    bench.server.change(|files| {
        for name in SHARDS {
            let shard = files.remove(name).unwrap();
            files.insert(format!("weights/here/{name}"), shard);
        }
        let index = String::from_utf8(files.remove(INDEX).unwrap()).unwrap();
        let index = index.replace("\"model-", "\"weights/here/model-");
        files.insert(INDEX.to_owned(), index.into_bytes());
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    let link = found.path.join("weights/here").join(SHARDS[0]);
    assert!(
        fs::read_link(link)
            .unwrap()
            .starts_with("../../../../blobs")
    );
    FrozenModel::load(&found.path, &LoadOptions::default()).unwrap();
}

#[test]
fn an_index_that_leaves_the_directory() {
    for name in ["../x.safetensors", "/etc/passwd", "a/../../b.safetensors"] {
        let bench = Bench::new(sharded());
        let index = serde_json::json!({ "weight_map": { "lm_head.weight": name } });
        bench.server.change(|files| {
            files.insert(INDEX.to_owned(), index.to_string().into_bytes());
        });
        let refused = bench.fetch("hf:owner/name").unwrap_err().to_string();
        assert!(
            refused.contains(name) && refused.contains("same directory"),
            "{refused}"
        );
        assert!(of_storage(&bench.server.requests()).is_empty());
    }
}

#[test]
fn a_connection_that_was_cut_goes_on_from_there() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    bench.server.behave(Behaviour {
        cut: Some((1, 70_000)),
        ..Behaviour::default()
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    let requests = bench.server.requests();
    let sent: Vec<usize> = of_storage(&requests).iter().map(|r| r.bytes_sent).collect();
    assert_eq!(sent, [70_000, weights.len() - 70_000], "in one run");
    assert_eq!(fs::read(found.path.join(WEIGHTS)).unwrap(), weights);
}

#[test]
fn a_later_run_goes_on_from_there() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    let whole = weights.len() as u64;
    cut_for_good(&bench);
    match bench.refused("hf:owner/name") {
        HubError::Interrupted {
            file,
            bytes,
            total_bytes,
            ..
        } => {
            assert_eq!((&*file, bytes, total_bytes), (WEIGHTS, 70_000, whole));
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::metadata(bench.part(&weights)).unwrap().len(), 70_000);
    assert!(!bench.snapshot().join(WEIGHTS).exists());

    bench.server.behave(Behaviour::default());
    bench.server.requests();
    let mut seen = Vec::new();
    let ModelSource::Hub(model) = "hf:owner/name".parse().unwrap() else {
        panic!("no name of the hub");
    };
    let mut progress = |fetching: Fetching<'_>| {
        if fetching.file == WEIGHTS {
            seen.push(fetching.bytes);
        }
    };
    let found = model.fetch(&bench.hub, &[], &mut progress).unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&70_000), Some(&whole)));
    let requests = bench.server.requests();
    let [rest] = of_storage(&requests)[..] else {
        panic!("{requests:#?}");
    };
    assert_eq!(rest.range.as_deref(), Some("bytes=70000-"));
    assert_eq!(rest.bytes_sent, weights.len() - 70_000);
    assert_eq!(fs::read(found.path.join(WEIGHTS)).unwrap(), weights);
    assert!(!bench.part(&weights).exists());
}

/// After 70000 bytes of weights, no more come.
fn cut_for_good(bench: &Bench) {
    let weights = single().remove(WEIGHTS).unwrap();
    let part = bench.part(&weights);
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(part, &weights[..70_000]).unwrap();
    bench.server.behave(Behaviour {
        cut: Some((10, 0)),
        ..Behaviour::default()
    });
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    cut_for_good(&bench);
    bench.server.behave(Behaviour {
        ignore_ranges: true,
        ..Behaviour::default()
    });
    let found = bench.fetch("hf:owner/name").unwrap();
    assert_eq!(fs::read(found.path.join(WEIGHTS)).unwrap(), weights);
}

#[test]
fn a_whole_part_is_not_fetched_again() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    cut_for_good(&bench);
    fs::write(bench.part(&weights), &weights).unwrap();
    bench.fetch("hf:owner/name").unwrap();
    assert!(of_storage(&bench.server.requests()).is_empty());
}

#[test]
fn what_was_damaged_on_the_way_is_not_kept() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    bench.server.behave(Behaviour {
        corrupt: true,
        ..Behaviour::default()
    });
    match bench.refused("hf:owner/name") {
        HubError::Corrupt {
            file,
            expected,
            found,
        } => {
            assert_eq!((&*file, expected), (WEIGHTS, sha256(&weights)));
            assert_eq!(found.len(), 64);
        }
        other => panic!("{other}"),
    }
    bench.server.behave(Behaviour {
        surplus: 7,
        ..Behaviour::default()
    });
    let expected = weights.len() as u64;
    match bench.refused("hf:owner/name") {
        HubError::Length {
            expected: e, found, ..
        } => assert_eq!((e, found), (expected, expected + 7)),
        other => panic!("{other}"),
    }
    assert_eq!(fs::metadata(bench.part(&weights)).unwrap().len(), 0);
    bench.server.behave(Behaviour::default());
    let found = bench.fetch("hf:owner/name").unwrap();
    assert_eq!(fs::read(found.path.join(WEIGHTS)).unwrap(), weights);
}

/// A part that does not belong to the file, as another program might leave it.
#[test]
fn a_foreign_part_is_found_out() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    cut_for_good(&bench);
    bench.server.behave(Behaviour::default());
    fs::write(bench.part(&weights), vec![1; 500]).unwrap();
    assert!(matches!(
        bench.refused("hf:owner/name"),
        HubError::Corrupt { .. }
    ));
    fs::write(bench.part(&weights), vec![1; weights.len() + 1]).unwrap();
    bench.fetch("hf:owner/name").unwrap();

    // No hash tells, so nothing of an earlier run is believed.
    let bench = Bench::new(single());
    let config = single().remove("config.json").unwrap();
    let etag = &sha256(&config)[..40];
    let part = bench.part(&config).with_file_name(format!("{etag}.part"));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(part, "[").unwrap();
    let found = bench.fetch("hf:owner/name").unwrap();
    assert_eq!(fs::read(found.path.join("config.json")).unwrap(), config);
}

#[test]
fn the_token_is_for_the_hub_alone() {
    let mut bench = Bench::new(single());
    bench.server.behave(Behaviour {
        token: Some("hf_secret"),
        ..Behaviour::default()
    });
    let refused = bench.refused("hf:owner/name");
    assert!(matches!(refused, HubError::NeedsToken { status: 401, .. }));
    assert!(refused.to_string().contains("HF_TOKEN"), "{refused}");
    bench.hub.token = Some("hf_wrong".to_owned());
    let refused = bench.refused("hf:owner/name");
    assert!(matches!(refused, HubError::Denied { status: 401, .. }));
    assert!(!refused.to_string().contains("hf_wrong"), "{refused}");

    bench.hub.token = Some("hf_secret".to_owned());
    bench.server.requests();
    bench.fetch("hf:owner/name").unwrap();
    let requests = bench.server.requests();
    assert!(!of_storage(&requests).is_empty());
    for request in requests {
        let expected = (!request.is_storage).then_some("hf_secret");
        assert_eq!(request.token.as_deref(), expected, "{request:?}");
    }
}

#[test]
fn answers_that_are_none() {
    let bench = Bench::new(single());
    let refused = |part, status, code| {
        bench.server.behave(Behaviour {
            refuse: Some((part, status, code)),
            ..Behaviour::default()
        });
        bench.refused("hf:owner/name")
    };
    for (error, words) in [
        (refused("/api/models", 404, "RepoNotFound"), "no such model"),
        (refused("/api/models", 404, ""), "no such model"),
        (
            refused("/api/models", 500, ""),
            "answers 500 for the list of files",
        ),
        (
            refused("/resolve/", 403, "GatedRepo"),
            "answers 403 without a token",
        ),
        (refused("/resolve/", 404, "EntryNotFound"), "no config.json"),
        (
            refused("/resolve-cache/tok", 503, ""),
            "answers 503 for tokenizer.json",
        ),
        (
            refused("/storage/", 403, ""),
            "answers 403 for model.safetensors",
        ),
    ] {
        assert!(
            error.to_string().contains(words),
            "{words:?} is not in {error}"
        );
    }
    bench.server.behave(Behaviour::default());
    let error = bench.refused("hf:owner/other");
    assert!(matches!(error, HubError::NoModel { .. }), "{error}");
    let error = bench.refused("hf:owner/name@nowhere");
    assert!(
        error.to_string().contains("no revision 'nowhere'"),
        "{error}"
    );
    bench.fetch("hf:owner/name").unwrap();
}

#[test]
fn repositories_that_are_no_models() {
    for (missing, words) in [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer.json"),
        (WEIGHTS, "index.json, but pytorch_model.bin; convert it"),
    ] {
        let bench = Bench::new(single());
        bench.server.change(|files| drop(files.remove(missing)));
        let error = bench.refused("hf:owner/name").to_string();
        assert!(error.contains(words), "{words:?} is not in {error}");
        assert!(!bench.repository().exists(), "{missing}");
    }
    let bench = Bench::new(sharded());
    bench.server.change(|files| drop(files.remove(SHARDS[1])));
    let error = bench.refused("hf:owner/name").to_string();
    assert!(error.contains(SHARDS[1]), "{error}");
}

#[test]
fn offline_the_cache_has_to_do() {
    let mut bench = Bench::new(single());
    bench.hub.offline = true;
    let refused = bench.refused("hf:owner/name").to_string();
    assert!(
        refused.contains("config.json") && refused.contains("HF_HUB_OFFLINE"),
        "{refused}"
    );

    bench.hub.offline = false;
    let first = bench.fetch("hf:owner/name").unwrap();
    bench.server.requests();
    bench.hub.offline = true;
    let commit = format!("hf:owner/name@{COMMIT}");
    for source in ["hf:owner/name", &commit] {
        assert_eq!(bench.fetch(source).unwrap(), first);
    }
    fs::remove_file(bench.snapshot().join(WEIGHTS)).unwrap();
    let refused = bench.refused("hf:owner/name").to_string();
    assert!(refused.contains(WEIGHTS), "{refused}");
    assert!(bench.server.requests().is_empty());
    // The file itself is still in the cache, without its name.
    bench.hub.offline = false;
    assert_eq!(bench.fetch("hf:owner/name").unwrap(), first);
    assert!(of_storage(&bench.server.requests()).is_empty());
}

#[test]
fn no_server_at_all() {
    let bench = Bench::new(single());
    let first = bench.fetch("hf:owner/name").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut hub = bench.hub.clone();
    hub.endpoint = format!("http://{nobody}");
    // With a warning.
    assert_eq!(fetch("hf:owner/name", &hub).unwrap(), first);
    for source in ["hf:owner/other", "hf:owner/name@feature/x"] {
        let error = fetch(source, &hub).unwrap_err().to_string();
        assert!(
            error.contains("cannot be reached") && error.contains("HF_ENDPOINT"),
            "{error}"
        );
    }
}

#[test]
fn two_at_a_time_fetch_once() {
    let bench = Bench::new(single());
    let found: Vec<ModelFiles> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.fetch("hf:owner/name").unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(found.iter().all(|files| files.path == bench.snapshot()));
    assert_eq!(of_storage(&bench.server.requests()).len(), 1);
    let weights = single().remove(WEIGHTS).unwrap();
    assert_eq!(fs::read(bench.snapshot().join(WEIGHTS)).unwrap(), weights);
    assert!(!bench.part(&weights).exists());
}

#[test]
fn a_cache_that_cannot_be_written() {
    let mut bench = Bench::new(single());
    let file = bench.hub.cache.with_file_name("file");
    fs::write(&file, "").unwrap();
    bench.hub.cache = file.join("hub");
    let error = bench.refused("hf:owner/name").to_string();
    assert!(
        error.contains("file/hub") && error.contains("the same command"),
        "{error}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk() {
    let bench = Bench::new(single());
    let weights = single().remove(WEIGHTS).unwrap();
    cut_for_good(&bench);
    bench.server.behave(Behaviour::default());
    let part = bench.part(&weights);
    fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let error = bench.refused("hf:owner/name").to_string();
    assert!(error.contains("No space left"), "{error}");
    assert!(!bench.snapshot().join(WEIGHTS).exists());
    fs::remove_file(&part).unwrap();
    bench.fetch("hf:owner/name").unwrap();
}
