//! Conversations in training: what generating reads, token for token.

use std::fs;
use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use calm_compose::{
    BridgeOptions, ComposedModel, Composition, CompositionConfig, ConnectionPlan, LoadedModel,
    OutputInit,
};
use calm_data::{
    ChatTurn, Conversation, EncodedTurn, ExampleForm, Record, RenderChat, Tokenizing, TooLong,
};
use calm_models::{
    CausalLm, Chat, DecoderConfig, FrozenModel, ModelFiles, ModelSource, PaddingMask, SpecialIds,
};
use calm_train::{ChatTokenizer, DataTokenizer, example_losses};
use serde_json::json;
use tempfile::TempDir;

const ANCHORS: &str = "<s>{% for m in messages %}{{ m.role }}: {{ m.content }}</s>\n{% endfor %}\
                       {% if add_generation_prompt %}assistant: {% endif %}";
const OWN: &str = "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} [!] {% endfor %}\
                   {% if add_generation_prompt %}[assistant]{% endif %}";

/// A model whose chat template lies in a directory.
fn loaded(tokenizer: &str, template: Option<&str>, directory: &TempDir) -> LoadedModel {
    let tokenizer = calm_testing::tokenizer(tokenizer);
    let mut config = DecoderConfig::llama(tokenizer.vocab_size(), 16, 3, 2);
    config.special = SpecialIds {
        bos: tokenizer.token_id("<s>"),
        eos: tokenizer.token_id("</s>").into_iter().collect(),
        pad: None,
    };
    if let Some(template) = template {
        fs::write(directory.path().join("chat_template.jinja"), template).unwrap();
    }
    let path = directory.path().to_owned();
    LoadedModel {
        model: FrozenModel::new(calm_testing::decoder(&config, 1), tokenizer),
        files: ModelFiles {
            source: ModelSource::Path(path.clone()),
            path,
        },
        untrained_seed: None,
    }
}

struct Bench {
    composition: Composition,
    chat: ChatTokenizer,
    end_of_text: u32,
    _directories: [TempDir; 4],
}

impl Bench {
    /// An anchor, a model that shares its tokenizer but no template, one that shares neither, and one
    /// without a template.
    fn new(template: &str) -> Self {
        let directories = [(); 4].map(|()| tempfile::tempdir().unwrap());
        let anchor = loaded("byte-level", Some(template), &directories[0]);
        let augmenting = [
            loaded("byte-level", Some(OWN), &directories[1]),
            loaded("byte-fallback", Some(OWN), &directories[2]),
            loaded("byte-fallback", None, &directories[3]),
        ];
        let end_of_text = anchor.model.special.eos[0];
        let plan: ConnectionPlan = "[[1,1],[3,2]]".parse().unwrap();
        let augmenting = augmenting.map(|model| (model, plan.clone()));
        let config = CompositionConfig {
            options: BridgeOptions {
                output_init: OutputInit::Random,
                ..BridgeOptions::default()
            },
            ..CompositionConfig::default()
        };
        let composition = Composition::new(anchor, augmenting.into(), &config, 3).unwrap();
        Self {
            chat: ChatTokenizer::new(&composition, end_of_text),
            composition,
            end_of_text,
            _directories: directories,
        }
    }

    fn encode(&self, turn: &ChatTurn) -> EncodedTurn {
        self.chat.encode(turn).unwrap()
    }

    /// Loss of an answer, as generating comes to it: with a cache that begins with the prompt.
    fn decoded_loss(&self, turn: &ChatTurn) -> f64 {
        let model: &ComposedModel = &self.composition.model;
        let chat = Chat {
            messages: turn.prompt().to_vec(),
            add_generation_prompt: true,
            ..Chat::default()
        };
        let format = self.composition.chat_format().unwrap();
        let prompt = format.prompt(&chat).unwrap();
        let EncodedTurn {
            prompt: ids,
            target,
            ..
        } = self.encode(turn);
        assert_eq!(ids, prompt.ids, "the prompt of generating");
        let reads_own: Vec<bool> = prompt.texts.iter().map(Option::is_some).collect();
        assert_eq!(reads_own, [true, true, false]);
        let mut cache = model.cache_for(&prompt);
        let mut loss = 0.0;
        let mut new = ids;
        for next in target {
            let padding = PaddingMask::none(1, new.len());
            let ids: Tensor<2, Int> =
                Tensor::<1, Int>::from_ints(&*new, &Device::default()).unsqueeze();
            let hidden = model
                .hidden_states(ids, &padding, Some(&mut cache))
                .unwrap();
            let logits = model.head().finish(hidden);
            let [_, seq, vocab] = logits.dims();
            let last = log_softmax(logits.slice([0..1, seq - 1..seq]).reshape([vocab]), 0);
            let place = next as usize;
            loss -= f64::from(last.narrow(0, place, 1).into_scalar::<f32>());
            new = vec![next];
        }
        loss
    }
}

fn said(role: &str, text: &str) -> serde_json::Value {
    json!({ "role": role, "content": text })
}

fn records() -> Vec<Record> {
    let rows = [
        json!({ "messages": [
            said("system", "the anchor"), said("user", "one two"), said("assistant", "reads 🙂"),
            said("user", " naïve "), said("assistant", "two"),
        ]}),
        json!({ "prompt": [said("user", "日本語!")], "completion": [said("assistant", "one")] }),
    ];
    let form = ExampleForm::default();
    let records = rows
        .iter()
        .map(|row| form.records(row.as_object().unwrap()).unwrap());
    records.flatten().collect()
}

fn turn(record: &Record) -> &ChatTurn {
    match record {
        Record::Chat(turn) => turn,
        other => panic!("{other:?}"),
    }
}

#[test]
fn training_reads_a_conversation_as_generating_does() {
    let bench = Bench::new(ANCHORS);
    let (records, tokenizer) = (records(), DataTokenizer(bench.composition.tokenizer()));
    assert_eq!(records.len(), 3);
    let tokenizing = Tokenizing {
        tokenizer: &tokenizer,
        end_of_text: bench.end_of_text,
        context: 1000,
        too_long: TooLong::Error,
        cut_texts: false,
        chat: Some(&bench.chat),
        finds_words: false,
    };
    let model = &bench.composition.model;
    let losses = example_losses(model, &tokenizing, &bench.chat, &records, |_, _| {}).unwrap();
    for (record, loss) in records.iter().zip(&losses) {
        let expected = bench.decoded_loss(turn(record));
        assert!(
            (loss.nats - expected).abs() < 1e-3 * expected,
            "{loss:?} {expected}"
        );
        assert_eq!(loss.tokens, bench.encode(turn(record)).target.len());
    }
    // What augmenting models read matters.
    let mut without = bench.composition.model.clone();
    without.parts.augmenting[1].scale = 0.0;
    let others = example_losses(&without, &tokenizing, &bench.chat, &records, |_, _| {}).unwrap();
    assert!(losses.iter().zip(&others).all(|(a, b)| a.nats != b.nats));
}

#[test]
fn an_answer_ends_where_the_template_ends_it() {
    let bench = Bench::new(ANCHORS);
    let tokenizer = bench.composition.tokenizer();
    let question = ChatTurn::question("one", "two");
    let EncodedTurn {
        prompt,
        special,
        target,
    } = bench.encode(&question);
    assert_eq!(special, 1);
    let bos = tokenizer.token_id("<s>").unwrap();
    assert_eq!(
        prompt.iter().filter(|id| **id == bos).count(),
        1,
        "no second begin of text"
    );
    let ids = |text: &str| tokenizer.encode(text, false).unwrap().ids;
    let expected = [ids("<s>user: one</s>\nassistant: "), ids("two</s>")].concat();
    // The line end behind it is never generated.
    assert_eq!([prompt, target].concat(), expected);

    // A template that writes no end of text, and one that writes another beginning of answers.
    let endless = Bench::new(
        "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
    );
    let EncodedTurn { target, .. } = endless.encode(&question);
    assert_eq!(target.last(), Some(&endless.end_of_text));
    let thinking = Bench::new(
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}",
    );
    let EncodedTurn { target, .. } = thinking.encode(&question);
    let two = tokenizer.encode("two", false).unwrap().ids;
    assert_eq!(target, [two, vec![thinking.end_of_text]].concat());
}

#[test]
fn a_prompt_that_is_cut_is_read_from_where_it_goes_on() {
    let bench = Bench::new(ANCHORS);
    let tokenizer = DataTokenizer(bench.composition.tokenizer());
    let conversation = Conversation {
        messages: vec![
            said("user", "one two three reads the anchor"),
            said("assistant", "two"),
        ],
        ..Conversation::default()
    };
    let record = Record::Chat(ChatTurn {
        conversation: Arc::new(conversation),
        answer: 1,
    });
    let whole = bench.encode(turn(&record));
    let length = whole.prompt.len() + whole.target.len();
    let tokenizing = Tokenizing {
        tokenizer: &tokenizer,
        end_of_text: bench.end_of_text,
        context: length - 5,
        too_long: TooLong::Truncate,
        cut_texts: false,
        chat: Some(&bench.chat),
        finds_words: false,
    };
    let model = &bench.composition.model;
    let records = [record];
    let loss = example_losses(model, &tokenizing, &bench.chat, &records, |_, _| {}).unwrap()[0];
    assert_eq!(loss.tokens, whole.target.len());
    assert!(loss.nats.is_finite() && loss.nats > 0.0);
}

#[test]
fn a_model_without_a_template_says_so_once_there_is_a_conversation() {
    let directory = tempfile::tempdir().unwrap();
    let model = loaded("byte-level", None, &directory);
    let chat = ChatTokenizer::of_model(&model, 2);
    let error = chat.encode(&ChatTurn::question("one", "two")).unwrap_err();
    assert!(
        error.to_string().contains("has no chat template"),
        "{error}"
    );
}
