//! Sequences of a composed model get what each gets alone, whenever they come and whoever is there.

use std::collections::BTreeMap;
use std::fs;

use burn::tensor::Device;
use calm_compose::{ChatFormat, ComposedModel, ComposedPrompt, FrozenParts, LoadedModel, Mode};
use calm_models::{
    Chat, FinishReason, FrozenModel, ModelFiles, ModelSource, SamplingParams, SequenceId,
    SequenceOptions, Session,
};

use crate::common::two_streams::{
    anchor_model, augmenting_model, composed, join, pairs, three, tokenizer,
};
use crate::common::{model, random_bridges};

type Request = (ComposedPrompt, SequenceOptions);

/// Tokens of one sequence, and its end.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    ids: Vec<u32>,
    finished: Option<FinishReason>,
}

#[derive(Default)]
struct Outcomes(BTreeMap<SequenceId, Outcome>);

impl Outcomes {
    fn step(&mut self, session: &mut Session<'_, ComposedModel>) {
        for event in session.step().unwrap() {
            let outcome = self.0.entry(event.sequence).or_default();
            outcome.ids.extend(event.token);
            outcome.finished = event.finished;
        }
    }
}

/// Lets sequences come some steps apart, and compares each with what it gets alone.
#[track_caller]
fn come_and_go(model: &ComposedModel, requests: &[Request]) -> Vec<Outcome> {
    let run = |requests: &[&Request]| {
        let (mut session, mut outcomes) = (Session::new(model), Outcomes::default());
        for (number, (prompt, options)) in requests.iter().enumerate() {
            session.add(prompt.clone(), options).unwrap();
            // Two come together, then steps go by.
            for _ in 0..[0, 2, 1][number % 3] {
                outcomes.step(&mut session);
            }
        }
        while !session.is_empty() {
            outcomes.step(&mut session);
        }
        outcomes.0.into_values().collect::<Vec<_>>()
    };
    let together = run(&requests.iter().collect::<Vec<_>>());
    for (request, found) in requests.iter().zip(&together) {
        assert_eq!(&run(&[request])[0], found, "{request:?}");
    }
    together
}

/// Some are greedy, some are drawn, and they end at different lengths.
fn options(number: usize) -> SequenceOptions {
    let mut options = SequenceOptions::greedy(3 + number * 5 % 16, vec![4]);
    if number % 3 == 1 {
        options.sampling = SamplingParams::seeded(number as u64);
    }
    options
}

/// Prompts of any tokens, whether they make characters or not.
fn requests(vocab: u32, longest: usize) -> Vec<Request> {
    let prompt = |number: usize| {
        let ids = 0..1 + number * 7 % longest;
        let ids = ids.map(|place| (number * 131 + place * place * 17 + place * 5) as u32 % vocab);
        ids.collect::<Vec<_>>().into()
    };
    let numbers = 0..9;
    numbers
        .map(|number| (prompt(number), options(number)))
        .collect()
}

/// Returns whether the modes differ.
fn check_in_both_modes(model: &ComposedModel) -> bool {
    let requests = requests(model.parts.anchor.config().vocab_size as u32, 20);
    let [iterative, encoder] = [Mode::Iterative, Mode::Encoder].map(|mode| {
        let model = ComposedModel {
            parts: model.parts.clone().in_mode(mode),
            ..model.clone()
        };
        come_and_go(&model, &requests)
    });
    iterative != encoder
}

/// Vocabularies of one tokenizer are padded to different lengths in small and large models.
#[test]
fn padding_of_the_anchors_vocabulary_is_never_generated() {
    let tokenizer = tokenizer("byte-level");
    let tokens = tokenizer.vocab_size();
    let anchor = calm_testing::llama(4 * tokens, [16, 3, 4], 1);
    let anchor = FrozenModel::new(anchor, tokenizer.clone());
    let parts = join(&anchor, &augmenting_model(tokenizer));
    assert!(parts.augmenting[0].tokens.is_none());
    let bridges = random_bridges(&parts, &Device::default());
    let model = ComposedModel { parts, bridges };
    let generated = |model: &ComposedModel| {
        let mut session = Session::new(model);
        for number in 0..6 {
            session
                .add(vec![1, 2 + number as u32], &options(number))
                .unwrap();
        }
        let mut outcomes = Outcomes::default();
        while !session.is_empty() {
            outcomes.step(&mut session);
        }
        let ids = outcomes.0.into_values().flat_map(|outcome| outcome.ids);
        ids.map(|id| id as usize).collect::<Vec<_>>()
    };
    let ids = generated(&model);
    assert!(
        ids.len() > 30 && ids.iter().all(|id| *id < tokens),
        "{ids:?}"
    );
    let refused = Session::new(&model).add(vec![tokens as u32], &options(0));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains(&tokens.to_string()), "{message}");
    // By itself the anchor generates them, as it does in transformers.
    let mut alone = model;
    alone.parts.augmenting[0].scale = 0.0;
    assert!(generated(&alone).iter().any(|id| *id >= tokens));
}

#[test]
fn models_that_share_a_tokenizer() {
    assert!(check_in_both_modes(&model(random_bridges)));
}

#[test]
fn models_with_tokenizers_of_their_own() {
    // A model of few words may read nothing of what is written.
    let differ = pairs().filter(|(anchor, own)| check_in_both_modes(&composed(anchor, own)));
    assert!(differ.count() > 3);
    assert!(check_in_both_modes(&three().1));
}

/// A model, and a directory that holds its chat template, if it has one.
fn loaded(
    model: FrozenModel,
    template: Option<&str>,
    directory: &tempfile::TempDir,
) -> LoadedModel {
    if let Some(template) = template {
        fs::write(directory.path().join("chat_template.jinja"), template).unwrap();
    }
    LoadedModel {
        model,
        files: ModelFiles {
            path: directory.path().to_owned(),
            source: ModelSource::Path(directory.path().to_owned()),
        },
        untrained_seed: None,
    }
}

/// Conversations and other prompts in one session, of models that share a tokenizer but no template,
/// of some that share neither, and of one that has no template.
#[test]
fn a_conversation_is_a_property_of_a_request() {
    let anchors =
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>reads:";
    let own = "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} [!] {% endfor %}one";
    let directories = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let named = ["byte-level", "byte-fallback", "words"].map(tokenizer);
    let [same, other, words] = named.map(augmenting_model);
    let anchor = loaded(
        anchor_model(tokenizer("byte-level")),
        Some(anchors),
        &directories[0],
    );
    let augmenting = [
        loaded(same, Some(own), &directories[1]),
        loaded(other, Some(own), &directories[2]),
        loaded(words, None, &directories[3]),
    ];
    let connected = augmenting
        .iter()
        .map(|model| (&model.model, vec![[2, 1].into(), [4, 2].into()]));
    let parts = FrozenParts::join(&anchor.model, connected).unwrap();
    let bridges = random_bridges(&parts, &Device::default());
    let model = ComposedModel { parts, bridges };
    let format = ChatFormat::read(&anchor, &augmenting).unwrap();

    let plain = requests(model.parts.anchor.config().vocab_size as u32, 30);
    let chats = ["one two", " naïve 🙂 two ", "the anchor reads", "日本語!"];
    let chats = chats.iter().enumerate().map(|(number, content)| {
        let prompt = format.prompt(&Chat::question(Some("the anchor"), content));
        (prompt.unwrap(), options(number))
    });
    let mut requests = Vec::new();
    for (chat, plain) in chats.zip(plain) {
        // The model with the anchor's tokens reads them unless a conversation tells otherwise.
        let reads_own: Vec<bool> = chat.0.texts.iter().map(Option::is_some).collect();
        assert_eq!(reads_own, [true, true, false]);
        let unread = ComposedPrompt::from(chat.0.ids.clone());
        requests.extend([(unread, chat.1.clone()), chat, plain]);
    }
    let found = come_and_go(&model, &requests);
    assert_ne!(found[0], found[1]);

    // Templates that write the same leave the anchor's ids to be read.
    fs::write(directories[1].path().join("chat_template.jinja"), anchors).unwrap();
    let format = ChatFormat::read(&anchor, &augmenting).unwrap();
    let prompt = format.prompt(&Chat::question(None, "one")).unwrap();
    assert!(prompt.texts[0].is_none() && prompt.texts[1].is_some());
    let alone = ChatFormat::read(&anchor, &[]).unwrap();
    let prompt = alone.prompt(&Chat::question(None, "one")).unwrap();
    assert!(prompt.texts.is_empty());
}
