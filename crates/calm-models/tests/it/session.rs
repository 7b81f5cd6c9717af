//! Sequences of a session get what each gets alone, whenever they come and whoever is there.

use std::collections::HashMap;

use crate::common::{FIXTURES, load};
use calm_models::{
    CausalLm, DecoderConfig, FinishReason, ModelError, PositionEncoding, RopeConfig, RopeScaling,
    SamplingParams, SequenceId, SequenceOptions, Session, SharedPrefix,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tokens, text and end of one sequence.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    ids: Vec<u32>,
    text: String,
    finished: Option<FinishReason>,
}

/// Outcomes of the sequences of a session, by their numbers.
#[derive(Default)]
struct Outcomes(HashMap<SequenceId, Outcome>);

impl Outcomes {
    fn step<M: CausalLm>(&mut self, session: &mut Session<'_, M>) {
        for event in session.step().unwrap() {
            let outcome = self.0.entry(event.sequence).or_default();
            assert!(
                outcome.finished.is_none(),
                "news of a sequence that has ended"
            );
            outcome.ids.extend(event.token);
            outcome.text += &event.text;
            outcome.finished = event.finished;
        }
    }
}

type Request = (Vec<u32>, SequenceOptions);

fn alone<M: CausalLm>(session: Session<'_, M>, (prompt, options): &Request) -> Outcome {
    let (mut session, mut outcomes) = (session, Outcomes::default());
    let id = session.add(prompt.clone(), options).unwrap();
    while !session.is_empty() {
        outcomes.step(&mut session);
    }
    outcomes.0.remove(&id).unwrap()
}

/// Prompts from short to longer than any window and any short context, with options of their own.
fn requests(random: &mut ChaCha8Rng, vocab: u32, longest: usize) -> Vec<Request> {
    let mut request = |number: u64| {
        let length = random.random_range(1..longest);
        let prompt = (0..length).map(|_| random.random_range(3..vocab)).collect();
        let mut options = SequenceOptions::greedy(random.random_range(1..24), vec![5, 17]);
        if number % 3 == 1 {
            options.sampling = SamplingParams {
                temperature: Some(1.3),
                top_p: Some(0.9),
                ..SamplingParams::seeded(number)
            };
        }
        if number % 4 == 2 {
            options.sampling.repetition_penalty = Some(1.3);
        }
        (prompt, options)
    };
    (0..12).map(&mut request).collect()
}

/// Lets sequences come one by one, two at a time and some steps apart.
fn come_and_go<'a, M: CausalLm + 'a>(
    new: impl Fn() -> Session<'a, M>,
    requests: &[Request],
    random: &mut ChaCha8Rng,
) {
    let (mut session, mut outcomes) = (new(), Outcomes::default());
    let mut ids = Vec::new();
    for (prompt, options) in requests {
        ids.push(session.add(prompt.clone(), options).unwrap());
        for _ in 0..random.random_range(0..4) {
            outcomes.step(&mut session);
        }
    }
    while !session.is_empty() {
        outcomes.step(&mut session);
    }
    for (id, request) in ids.iter().zip(requests) {
        assert_eq!(outcomes.0[id], alone(new(), request), "{request:?}");
    }
}

#[test]
fn sequences_that_join_late_get_what_each_gets_alone() {
    for name in FIXTURES {
        let model = load(name);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let requests = requests(&mut random, 80, 70);
        let session = || Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
        come_and_go(session, &requests, &mut random);
    }
}

/// A text that goes on from what another has computed gets what it gets alone.
#[test]
fn a_sequence_that_has_left_is_gone_on_from() {
    for name in FIXTURES {
        let model = load(name);
        let decoder = &model.decoder;
        let options = SequenceOptions::greedy(6, vec![5]);
        let prompt: Vec<u32> = (20..40).collect();
        let mut session = Session::new(decoder).with_kept();
        let mut outcomes = Outcomes::default();
        let id = session.add(prompt.clone(), &options).unwrap();
        while !session.is_empty() {
            outcomes.step(&mut session);
        }
        let kept = session.take_kept().unwrap();
        let answer = &outcomes.0[&id];
        let computed = [&*prompt, &*answer.ids].concat();
        // The last token of an answer that was cut is not computed.
        let unread = usize::from(answer.finished == Some(FinishReason::MaxNewTokens));
        assert_eq!(kept.len(), computed.len() - unread, "{name}");
        // A text that goes on from there, and one that leaves out some of the last tokens.
        for beginning in [&*computed, &computed[..computed.len() - 4]] {
            let request = ([beginning, &[50, 51, 52]].concat(), options.clone());
            let kept = kept.clone().shared_with(&request.0).unwrap();
            assert!(kept.len() >= beginning.len() - 1, "{name}");
            let session = || Session::new(decoder);
            let gone_on = alone(session().with_prefix(Some(&kept)), &request);
            assert_eq!(gone_on, alone(session(), &request), "{name}");
        }
        assert!(kept.shared_with(&[1, 2, 3]).is_none());
    }
}

/// Every length has frequencies of its own.
#[test]
fn sequences_may_have_frequencies_of_their_own() {
    let mut config = DecoderConfig::llama(80, 16, 2, 2);
    config.context_length = 64;
    for block in &mut config.blocks {
        let scaling = RopeScaling::Dynamic {
            factor: 2.0,
            original_context: 20,
        };
        block.attention.encoding = PositionEncoding::Rope(RopeConfig {
            scaling,
            ..RopeConfig::plain(100.0)
        });
    }
    let decoder = calm_testing::decoder(&config, 3);
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let requests = requests(&mut random, 80, 30);
    come_and_go(|| Session::new(&decoder), &requests, &mut random);
}

#[test]
fn sequences_may_share_a_beginning() {
    let beginning: Vec<u32> = (0..20).map(|i| 3 + i * 7 % 60).collect();
    for name in FIXTURES {
        let decoder = load(name).decoder;
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut requests = requests(&mut random, 80, 20);
        for (prompt, _) in requests.iter_mut().step_by(2) {
            prompt.splice(0..0, beginning.clone());
        }
        let prompts: Vec<_> = requests.iter().step_by(2).map(|(p, _)| p.clone()).collect();
        let prefix = SharedPrefix::of(&decoder, &prompts).unwrap().unwrap();
        assert!(prefix.len() >= 20);
        let (mut session, mut outcomes) = (Session::new(&decoder), Outcomes::default());
        session = session.with_prefix(Some(&prefix));
        let mut ids = Vec::new();
        for (prompt, options) in &requests {
            ids.push(session.add(prompt.clone(), options).unwrap());
            if random.random() {
                outcomes.step(&mut session);
            }
        }
        while !session.is_empty() {
            outcomes.step(&mut session);
        }
        for (id, request) in ids.iter().zip(&requests) {
            assert_eq!(
                outcomes.0[id],
                alone(Session::new(&decoder), request),
                "{name}"
            );
        }
    }
}

#[test]
fn a_sequence_that_is_removed_moves_no_other() {
    let decoder = load("gemma2").decoder;
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let requests = requests(&mut random, 80, 40);
    let (mut session, mut outcomes) = (Session::new(&decoder), Outcomes::default());
    let mut ids = Vec::new();
    for (number, (prompt, options)) in requests.iter().enumerate() {
        ids.push(session.add(prompt.clone(), options).unwrap());
        if number % 3 == 2 {
            // Before its first step.
            assert!(session.remove(ids[number]));
        }
        outcomes.step(&mut session);
        if number % 4 == 3 {
            session.remove(ids[number - 1]);
        }
        let refused = number % 3 == 2 && session.remove(ids[number]);
        assert!(!refused, "it has left already");
    }
    while !session.is_empty() {
        outcomes.step(&mut session);
    }
    assert_eq!(session.len(), 0);
    for (id, request) in ids.iter().zip(&requests) {
        let whole = alone(Session::new(&decoder), request);
        let found = outcomes.0.remove(id).unwrap_or_default();
        match found.finished {
            Some(_) => assert_eq!(found, whole),
            None => assert_eq!(found.ids, whole.ids[..found.ids.len()]),
        }
    }
}

/// Padding of rows that came late is not kept when those before them have left.
#[test]
fn a_session_that_goes_on_does_not_grow() {
    let decoder = load("llama").decoder;
    let (mut session, mut outcomes) = (Session::new(&decoder), Outcomes::default());
    let options = SequenceOptions::greedy(20, vec![]);
    let (mut bytes, mut ids) = (Vec::new(), Vec::new());
    for round in 0..60 {
        ids.push(session.add(vec![1, 30, 12], &options).unwrap());
        for _ in 0..7 {
            outcomes.step(&mut session);
        }
        bytes.push(session.cache_bytes());
        assert!(session.len() <= 3, "round {round}");
    }
    let most = |bytes: &[usize]| bytes.iter().copied().max();
    assert_eq!(most(&bytes[10..20]), most(&bytes[50..]));
    let whole = alone(Session::new(&decoder), &(vec![1, 30, 12], options));
    ids.truncate(57);
    for id in ids {
        assert_eq!(outcomes.0[&id], whole);
    }
}

#[test]
fn every_end_has_its_reason() {
    let model = load("llama");
    let session = || Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
    let prompt = vec![1, 30];
    let whole = alone(
        session(),
        &(prompt.clone(), SequenceOptions::greedy(8, vec![])),
    );
    assert_eq!(whole.finished, Some(FinishReason::MaxNewTokens));
    assert_eq!(whole.ids.len(), 8);
    let none = alone(
        session(),
        &(prompt.clone(), SequenceOptions::greedy(0, vec![])),
    );
    assert_eq!(none.finished, Some(FinishReason::MaxNewTokens));
    assert!(none.ids.is_empty());

    let stop = SequenceOptions::greedy(8, vec![whole.ids[3]]);
    let stopped = alone(session(), &(prompt.clone(), stop));
    assert_eq!(stopped.finished, Some(FinishReason::StopToken));
    let end = whole.ids.iter().position(|id| *id == whole.ids[3]).unwrap();
    assert_eq!(stopped.ids, whole.ids[..end]);

    let text: String = whole.text.chars().skip(2).take(2).collect();
    let stop = SequenceOptions {
        stop_texts: vec![text.clone()],
        ..SequenceOptions::greedy(8, vec![])
    };
    let stopped = alone(session(), &(prompt.clone(), stop.clone()));
    assert_eq!(stopped.finished, Some(FinishReason::StopText));
    assert_eq!(stopped.text, whole.text[..whole.text.find(&text).unwrap()]);

    let full = (vec![5; 125], SequenceOptions::greedy(9, vec![]));
    let full = alone(session(), &full);
    assert_eq!(full.finished, Some(FinishReason::ContextLength));
    assert_eq!(full.ids.len(), 3);

    let refused = Session::new(&model.decoder).add(prompt, &stop);
    assert!(matches!(refused, Err(ModelError::NoTokenizer)));
}

#[test]
fn prompts_may_be_texts_and_errors_name_them() {
    let model = load("llama");
    let mut session = Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
    let options = SequenceOptions::greedy(4, vec![]);
    session.add_text("four words of text", &options).unwrap();
    let ids = model
        .tokenizer
        .encode_unfinished("four words of text")
        .unwrap();
    let id = session.add(ids, &options).unwrap();
    assert_eq!(id.number(), 1);
    let refused = session.add(vec![80], &options);
    assert!(matches!(
        refused,
        Err(ModelError::TokenOutOfRange { row: 2, .. })
    ));
    let mut outcomes = Outcomes::default();
    while !session.is_empty() {
        outcomes.step(&mut session);
    }
    let [one, other] = [0, 1].map(|number| {
        let (_, outcome) = outcomes
            .0
            .iter()
            .find(|(id, _)| id.number() == number)
            .unwrap();
        outcome
    });
    assert_eq!(one, other);
}
