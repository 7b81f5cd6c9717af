//! Models that do not share a tokenizer: what each anchor position sees, in every kind of pass.

use std::path::Path;
use std::sync::Arc;

use crate::common::two_streams::{
    anchor_model, augmenting_model, composed, join, logits_seeing, pairs, seen_by_definition,
    three, tokenizer, words,
};
use crate::common::{
    assert_close, fresh_bridges, ids, logits, logits_after, random_bridges, values,
};
use burn::tensor::{Device, Tensor};
use calm_compose::{
    Bridges, ComposedCache, ComposedModel, ComposedPrompt, FrozenParts, Mode, PromptText, Rendering,
};
use calm_models::{
    Cache, CausalLm, Chat, ChatTemplate, DecoderConfig, FrozenModel, LoadOptions, ModelError,
    PaddingMask, PositionEmbedding, PositionEncoding, SequenceOptions, TextStream, generate,
};
use proptest::prelude::*;

/// Logits of one text, `[1, seq, vocab]`.
fn whole(model: &ComposedModel, text: &[u32]) -> Tensor<3> {
    logits(model, ids(&[text]), &PaddingMask::none(1, text.len()))
}

/// Pieces of many scripts, signs that combine, and emoji that are several characters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "the", " anchor", " reads", " one", " two", ".", ", ", "!", "  ", "\n", "\t", "<s>",
            "é", "e\u{301}", "naïve", "日本語", "한국어", "\u{1112}\u{1161}\u{11ab}", "العربية",
            "עברית", "हिन्दी", "ไทย", "Ελληνικά", "русский", "🙂", "👩‍🚀", "🇫🇷", "👍🏽", "ﬁ", "①",
            "\u{200f}", "\u{feff}", "a\u{300}\u{323}", "𝔘", "0", "17", "_x", "'s",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

/// Tokens of a text, or any tokens at all, which need not make characters.
fn tokens(name: &'static str) -> impl Strategy<Value = Vec<u32>> {
    let tokenizer = tokenizer(name);
    let vocab = tokenizer.vocab_size() as u32;
    let of_text = text().prop_map(move |text| {
        let mut ids = tokenizer.encode(&text, true).unwrap().ids;
        ids.truncate(24);
        ids
    });
    prop_oneof![
        2 => of_text,
        1 => prop::collection::vec(0..vocab, 1..16),
    ]
    .prop_filter("a text has a token", |ids| !ids.is_empty())
}

fn pair_and_tokens() -> impl Strategy<Value = (&'static str, &'static str, Vec<u32>)> {
    let pairs: Vec<_> = pairs().collect();
    prop::sample::select(pairs).prop_flat_map(|(a, b)| (Just(a), Just(b), tokens(a)))
}

/// The definition, carried out: a pass of the augmenting model of its own for every position.
fn logits_by_definition(model: &ComposedModel, text: &[u32]) -> Tensor<3> {
    logits_seeing(model, text, |position| {
        seen_by_definition(model, &text[..=position])
    })
}

/// Greedy decoding without a cache.
fn recomputed(model: &ComposedModel, prompt: &[u32], max_new_tokens: usize) -> Vec<u32> {
    let mut text = prompt.to_vec();
    for _ in 0..max_new_tokens {
        let last = values(whole(model, &text).narrow(1, text.len() - 1, 1));
        let likeliest = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b]));
        text.extend(likeliest.map(|id| id as u32));
    }
    text.split_off(prompt.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_full_pass_is_the_definition((anchor, augmenting, ids) in pair_and_tokens()) {
        let model = composed(anchor, augmenting);
        assert_close(whole(&model, &ids), logits_by_definition(&model, &ids));
    }

    #[test]
    fn later_tokens_never_move_an_earlier_logit(
        (anchor, augmenting, text) in pair_and_tokens(),
        at in any::<prop::sample::Index>(),
        others in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let model = composed(anchor, augmenting);
        let vocab = model.parts.anchor.config().vocab_size;
        let at = at.index(text.len());
        let mut changed = text[..at].to_vec();
        changed.extend(others.iter().map(|other| other.index(vocab) as u32));
        prop_assume!(at > 0);
        // In one batch: passes of other sizes are summed in another order.
        let rows = [text, changed];
        let padding = PaddingMask::right(&rows.each_ref().map(Vec::len));
        let rows = rows.map(|mut row| {
            row.resize(padding.seq(), 0);
            row
        });
        let logits = logits(&model, ids(&[&rows[0], &rows[1]]), &padding);
        let [one, other] = [0, 1].map(|row| logits.clone().narrow(0, row, 1).narrow(1, 0, at));
        let relative = crate::common::relative_error(one, other);
        prop_assert!(relative < 1e-6, "{relative:e}");
    }

    #[test]
    fn a_cached_pass_in_pieces_is_a_full_pass(
        (anchor, augmenting, text) in pair_and_tokens(),
        pieces in prop::collection::vec(1usize..5, 24),
    ) {
        let model = composed(anchor, augmenting);
        let mut cache = model.new_cache(1);
        let mut found = Vec::new();
        let mut rest = &*text;
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            found.push(logits_after(&model, &[now], &mut cache));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        assert_close(Tensor::cat(found, 1), whole(&model, &text));
    }

    #[test]
    fn rolled_back_caches_go_on_as_if_nothing_had_been(
        (anchor, augmenting, text) in pair_and_tokens(),
        at in any::<prop::sample::Index>(),
        others in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let model = composed(anchor, augmenting);
        let vocab = model.parts.anchor.config().vocab_size;
        let at = at.index(text.len());
        let detour: Vec<u32> = others.iter().map(|other| other.index(vocab) as u32).collect();
        let mut cache = model.new_cache(1);
        if at > 0 {
            logits_after(&model, &[&text[..at]], &mut cache);
        }
        logits_after(&model, &[&detour], &mut cache);
        cache.truncate(at);
        let found = logits_after(&model, &[&text[at..]], &mut cache);
        assert_close(found, whole(&model, &text).narrow(1, at, text.len() - at));
    }

    #[test]
    fn padding_and_company_move_nothing(
        (anchor, augmenting, rows) in prop::sample::select(pairs().collect::<Vec<_>>())
            .prop_flat_map(|(a, b)| (Just(a), Just(b), prop::collection::vec(tokens(a), 8))),
    ) {
        let model = composed(anchor, augmenting);
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        for padding in [PaddingMask::left(&lengths), PaddingMask::right(&lengths)] {
            let filled: Vec<Vec<u32>> = rows.iter().enumerate().map(|(row, text)| {
                let mut text = text.iter();
                let real = padding.row(row).iter();
                real.map(|real| if *real { *text.next().unwrap() } else { 3 }).collect()
            }).collect();
            let filled: Vec<&[u32]> = filled.iter().map(Vec::as_slice).collect();
            let batch = logits(&model, ids(&filled), &padding);
            for (row, text) in rows.iter().enumerate() {
                let start = padding.row(row).iter().position(|real| *real).unwrap();
                let found = batch.clone().slice([row..row + 1, start..start + text.len()]);
                assert_close(found, whole(&model, text));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn cached_decoding_of_a_batch_gives_the_tokens_of_recomputation(
        (anchor, augmenting, rows) in prop::sample::select(pairs().collect::<Vec<_>>())
            .prop_flat_map(|(a, b)| (Just(a), Just(b), prop::collection::vec(tokens(a), 1..4))),
    ) {
        let model = composed(anchor, augmenting);
        let found = generate(&model, &rows, &SequenceOptions::greedy(12, Vec::new())).unwrap();
        for (found, prompt) in found.iter().zip(&rows) {
            prop_assert_eq!(&found.ids, &recomputed(&model, prompt, 12));
        }
    }
}

#[test]
fn fresh_bridges_leave_the_anchor_as_it_is() {
    for (anchor, augmenting) in pairs() {
        let [anchor, augmenting] = [anchor, augmenting].map(tokenizer);
        let prompts: Vec<Vec<u32>> = ["the anchor reads 日本語 🙂", "one"]
            .map(|text| anchor.encode(text, true).unwrap().ids)
            .to_vec();
        let parts = join(&anchor_model(anchor), &augmenting_model(augmenting));
        let bridges = fresh_bridges(&parts, &Device::default());
        let model = ComposedModel { parts, bridges };
        let alone = &model.parts.anchor;
        let text = ids(&[&prompts[0]]);
        let padding = PaddingMask::none(1, prompts[0].len());
        assert_eq!(
            values(logits(&model, text.clone(), &padding)),
            values(logits(alone, text, &padding))
        );
        let [mut ours, mut its] = [model.new_cache(1), model.new_cache(1)];
        let mut cache = alone.new_cache(1);
        for id in &prompts[0] {
            assert_eq!(
                values(logits_after(&model, &[&[*id]], &mut ours)),
                values(logits_after(alone, &[&[*id]], &mut cache))
            );
        }
        let options = SequenceOptions::greedy(20, Vec::new());
        assert_eq!(
            generate(&model, &prompts, &options).unwrap(),
            generate(alone, &prompts, &options).unwrap()
        );
        let trained = random_bridges(&model.parts, &Device::default());
        let trained = ComposedModel {
            bridges: trained,
            ..model.clone()
        };
        assert_ne!(
            values(logits_after(&trained, &[&prompts[0]], &mut its)),
            values(whole(&model, &prompts[0]))
        );
    }
}

#[test]
fn every_family_can_read_along() {
    let anchor = anchor_model(tokenizer("byte-level"));
    for entry in std::fs::read_dir(calm_testing::fixtures("calm-models")).unwrap() {
        let directory = entry.unwrap().path();
        if !directory.join("config.json").exists() {
            continue;
        }
        let fixture = FrozenModel::load(&directory, &LoadOptions::default()).unwrap();
        let own = tokenizer("byte-fallback");
        let mut config = fixture.config().clone();
        config.vocab_size = own.vocab_size();
        config.special = Default::default();
        let augmenting = FrozenModel::new(calm_testing::decoder(&config, 3), own);
        let blocks = augmenting.decoder.block_count();
        let connections = vec![[1, 1].into(), [blocks, 2].into()];
        let parts = FrozenParts::join(&anchor, [(&augmenting, connections)]).unwrap();
        let bridges = random_bridges(&parts, &Device::default());
        let model = ComposedModel { parts, bridges };
        // Longer than windows and than the context after which frequencies change.
        let text = "the anchor reads, naïve 日本語 🙂 and two, one, ".repeat(2);
        let mut text = anchor.tokenizer.encode(&text, true).unwrap().ids;
        text.truncate(48);
        let expected = whole(&model, &text);
        let by_definition = logits_by_definition(&model, &text);
        let changes = config
            .blocks
            .iter()
            .filter_map(|block| block.attention.rope());
        // There, a full pass has the frequencies of its longest text, and others have their own.
        if changes
            .into_iter()
            .all(|rope| rope.scaling == calm_models::RopeScaling::None)
        {
            assert_close(expected.clone(), by_definition);
        }
        let mut cache = model.new_cache(1);
        let last = text
            .iter()
            .map(|id| logits_after(&model, &[&[*id]], &mut cache));
        let last = last.last().unwrap();
        assert_close(last, expected.narrow(1, text.len() - 1, 1));
    }
}

#[test]
fn rows_of_a_cache_leave_change_places_and_are_doubled() {
    let model = composed("byte-level", "byte-fallback");
    let tokens = model.parts.augmenting[0].tokens.clone().unwrap().anchor;
    let rows = ["the anchor", "one two", "日本語"].map(|t| tokens.encode(t, true).unwrap().ids);
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let padding = PaddingMask::left(&lengths);
    let filled = rows.clone().map(|row| {
        let mut filled = vec![0; padding.seq() - row.len()];
        filled.extend(row);
        filled
    });
    let mut cache = model.new_cache(3);
    let first = model.hidden_states(
        ids(&filled.each_ref().map(Vec::as_slice)),
        &padding,
        Some(&mut cache),
    );
    first.unwrap();
    cache.select_rows(&[2, 0, 2, 2]);
    let next = [[50u32], [60], [70], [50]];
    let found = logits_after(&model, &next.each_ref().map(|id| &id[..]), &mut cache);
    for (row, (from, next)) in [2, 0, 2, 2].into_iter().zip(next).enumerate() {
        let text = [&rows[from][..], &next].concat();
        let expected = whole(&model, &text).narrow(1, text.len() - 1, 1);
        assert_close(found.clone().narrow(0, row, 1), expected);
    }
}

#[test]
fn a_token_without_text_reads_what_a_long_row_left_behind() {
    let model = composed("byte-level", "byte-fallback");
    let tokens = model.parts.augmenting[0].tokens.clone().unwrap().anchor;
    let encode = |text: &str| tokens.encode(text, true).unwrap().ids;
    let (long, short) = (encode(&"日本語 ".repeat(12)), encode("one"));
    let padding = PaddingMask::left(&[long.len(), short.len()]);
    let filled = [vec![0; long.len() - short.len()], short.clone()].concat();
    let mut cache = model.new_cache(2);
    let first = model.hidden_states(ids(&[&long, &filled]), &padding, Some(&mut cache));
    first.unwrap();
    let (two, start) = (encode(" two")[1], encode("")[0]);
    // What the short row reads now comes behind the long one. When that has left, there is a gap,
    // which the next token gives back.
    logits_after(&model, &[&[two], &[two]], &mut cache);
    cache.select_rows(&[1]);
    let mut text = [&*short, &[two]].concat();
    for _ in 0..3 {
        text.push(start);
        let found = logits_after(&model, &[&[start]], &mut cache);
        assert_close(found, whole(&model, &text).narrow(1, text.len() - 1, 1));
    }
}

#[test]
fn memory_is_bounded_by_the_texts() {
    let model = composed("byte-level", "byte-fallback");
    let anchor = model.parts.augmenting[0].tokens.clone().unwrap().anchor;
    let mut cache = model.new_cache(2);
    let text = anchor
        .encode(&"the anchor reads what 🙂 ".repeat(40), true)
        .unwrap()
        .ids;
    for (read, id) in text[..200].iter().enumerate() {
        // The rows roll back at different times.
        logits_after(&model, &[&[*id], &[text[199 - read % 7]]], &mut cache);
        let longest = read + 1;
        let parts = cache.bytes_by_part();
        assert_eq!(
            cache.bytes(),
            parts.anchor + parts.augmenting[0] + parts.bridges[0]
        );
        // Keys and values of 4 blocks with one head of 8; of 2 bridges of width 16. At most four
        // tokens for a character, and two fifths more for holes.
        let seen = 4 * longest.max(16);
        let bound = (seen * 7 / 5 + 96) * 2 * 2 * size_of::<f32>();
        assert!(
            parts.augmenting[0] <= bound * 4 * 8,
            "{parts:?} at {longest}"
        );
        assert!(parts.bridges[0] <= bound * 2 * 16, "{parts:?} at {longest}");
    }
    // Going back and forth takes nothing more.
    let mut most = cache.bytes();
    for round in 0..30 {
        cache.truncate(190);
        for id in &text[190..200] {
            logits_after(&model, &[&[*id], &[*id]], &mut cache);
        }
        if round == 0 {
            most = cache.bytes();
        }
        assert!(cache.bytes() <= most + most / 2);
    }
}

#[test]
fn texts_that_cannot_be_read_along_are_errors() {
    let anchor = anchor_model(tokenizer("byte-level"));
    let parts = join(&anchor, &augmenting_model(words("none")));
    let unknown = anchor.tokenizer.encode("one zebra", true).unwrap().ids;
    let error = parts.read_rows(&[(&unknown, 0)]).unwrap_err();
    assert!(matches!(error, ModelError::Tokenize { .. }), "{error}");

    let mut config = DecoderConfig::llama(300, 24, 4, 3);
    config.embedding.positions = PositionEmbedding::Learnt;
    config.context_length = 6;
    for block in &mut config.blocks {
        block.attention.encoding = PositionEncoding::None;
    }
    let own = tokenizer("byte-fallback");
    let parts = join(
        &anchor,
        &FrozenModel::new(calm_testing::decoder(&config, 1), own),
    );
    let read = |text: &str| {
        let ids = anchor.tokenizer.encode(text, true).unwrap().ids;
        parts.read_rows(&[(&ids, 0)])
    };
    assert!(read("one").is_ok());
    let error = read("one two three").unwrap_err();
    assert!(error.to_string().contains("knows 6 positions"), "{error}");
    let bridges = random_bridges(&parts, &Device::default());
    let model = ComposedModel { parts, bridges };
    let prompt = anchor.tokenizer.encode("one two three", true).unwrap().ids;
    let error = generate(&model, &[prompt], &SequenceOptions::greedy(1, vec![])).unwrap_err();
    assert!(matches!(error, ModelError::TextTooLong { .. }), "{error}");
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, &Default::default(), Path::new("template.jinja")).unwrap()
}

/// A question, the anchor's tokens of it, and what the augmenting model reads meanwhile.
struct Question {
    ids: Vec<u32>,
    own: String,
    prompt: Arc<PromptText>,
}

impl Question {
    fn new(model: &ComposedModel, content: &str) -> Self {
        let [anchors, own] = [
            "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>reads:",
            "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} [!] {% endfor %}one",
        ];
        let chat = Chat::question(Some("the anchor 日本語"), content);
        let render = |source| Rendering::new(&template(source), &chat).unwrap();
        let [anchors, own] = [render(anchors), render(own)];
        let tokens = model.parts.augmenting[0].tokens.as_ref().unwrap();
        let encoded = tokens.anchor.encode(&anchors.text, false).unwrap();
        let prompt = PromptText::align(tokens, &anchors, &encoded.offsets, &own);
        Self {
            ids: encoded.ids,
            own: own.text,
            prompt: Arc::new(prompt),
        }
    }

    /// An empty cache of a text that begins with the question.
    fn cache(&self, model: &ComposedModel) -> ComposedCache {
        model.cache_for(&ComposedPrompt {
            ids: self.ids.clone(),
            texts: vec![Some(self.prompt.clone())],
        })
    }

    fn logits(&self, model: &ComposedModel, text: &[u32]) -> Tensor<3> {
        logits_after(model, &[text], &mut self.cache(model))
    }
}

#[test]
fn conversations_are_read_in_markup_of_their_own() {
    let model = composed("byte-level", "byte-fallback");
    let tokens = model.parts.augmenting[0].tokens.clone().unwrap();
    let question = Question::new(&model, " naïve 🙂 two ");
    let answer = tokens.anchor.encode(" two 🙂!", false).unwrap().ids;
    let text = [&*question.ids, &answer].concat();

    // At the prompt's end all of its own rendering is seen, then the answer as well.
    let prompt = question.ids.len();
    assert_eq!(question.prompt.read_after(prompt), question.own.len());
    let found = question.logits(&model, &text);
    let expected = logits_seeing(&model, &text, |position| {
        let mut stream = TextStream::new(&tokens.anchor);
        let mut own = question.own.clone();
        own.truncate(question.prompt.read_after(position + 1));
        for id in &text[prompt.min(position + 1)..=position] {
            own += &stream.push(*id).unwrap();
        }
        tokens.augmenting.encode(&own, false).unwrap().ids
    });
    assert_close(found.clone(), expected);

    // Token by token, as in decoding.
    let mut cache = question.cache(&model);
    cache.append_rows(question.cache(&model));
    let steps = text
        .iter()
        .map(|id| logits_after(&model, &[&[*id], &[*id]], &mut cache));
    let steps = Tensor::cat(steps.collect(), 1);
    assert_close(steps.clone().narrow(0, 0, 1), found.clone());
    assert_close(steps.narrow(0, 1, 1), found);
}

#[test]
fn an_encoder_reads_a_conversation_up_to_the_answer() {
    let mut model = composed("byte-level", "byte-fallback");
    model.parts = model.parts.in_mode(Mode::Encoder);
    let tokens = model.parts.augmenting[0].tokens.clone().unwrap();
    let question = Question::new(&model, " naïve 🙂 two ");
    let answer = tokens.anchor.encode(" two 🙂!", false).unwrap().ids;
    let text = [&*question.ids, &answer].concat();
    let prompt = question.ids.len();
    let expected = logits_seeing(&model, &text, |position| {
        let read = question.prompt.read_after(prompt.min(position + 1));
        tokens
            .augmenting
            .encode(&question.own[..read], false)
            .unwrap()
            .ids
    });
    assert_close(question.logits(&model, &text), expected.clone());
    let mut cache = question.cache(&model);
    let steps = text
        .iter()
        .map(|id| logits_after(&model, &[&[*id]], &mut cache));
    assert_close(Tensor::cat(steps.collect(), 1), expected);
}

#[test]
fn what_is_said_later_never_moves_an_earlier_logit_of_a_conversation() {
    let model = composed("byte-level", "byte-fallback");
    let one = Question::new(&model, "one naïve 🙂 two");
    for other in [
        "one naïve 🙃 reads",
        "one",
        "one  ",
        "  one",
        "the",
        "one naïve 🙂\u{200d}",
    ] {
        let other = Question::new(&model, other);
        let same = one.ids.iter().zip(&other.ids).take_while(|(a, b)| a == b);
        let same = same.count();
        assert!(same > 20);
        let earlier = |question: &Question| {
            let text = &question.ids;
            question.logits(&model, text).narrow(1, 0, same)
        };
        let relative = crate::common::relative_error(earlier(&one), earlier(&other));
        assert!(relative < 1e-6, "{relative:e}");
    }
}

#[test]
fn several_models_are_read_each_in_its_own_tokens() {
    let (anchor, model) = three();
    let text = anchor
        .tokenizer
        .encode("the anchor reads two 🙂", true)
        .unwrap()
        .ids;
    let mut cache = model.new_cache(1);
    let steps = text
        .iter()
        .map(|id| logits_after(&model, &[&[*id]], &mut cache));
    assert_close(Tensor::cat(steps.collect(), 1), whole(&model, &text));
    let parts = cache.bytes_by_part();
    assert_eq!((parts.augmenting.len(), parts.bridges.len()), (3, 3));
    assert!(
        parts
            .augmenting
            .iter()
            .chain(&parts.bridges)
            .all(|bytes| *bytes > 0)
    );
}

/// The composition with only some of its augmenting models.
fn only(model: &ComposedModel, kept: &[usize]) -> ComposedModel {
    let parts = FrozenParts {
        anchor: model.parts.anchor.clone(),
        augmenting: kept
            .iter()
            .map(|i| model.parts.augmenting[*i].clone())
            .collect(),
    };
    let of = kept.iter().map(|i| model.bridges.of[*i].clone()).collect();
    ComposedModel {
        parts,
        bridges: Bridges { of },
    }
}

#[test]
fn a_model_that_is_switched_off_is_not_run() {
    let (anchor, model) = three();
    let text = anchor
        .tokenizer
        .encode("one two, the anchor", true)
        .unwrap()
        .ids;
    for off in 0..3 {
        let mut switched = model.clone();
        switched.parts.augmenting[off].scale = 0.0;
        let kept: Vec<usize> = (0..3).filter(|i| *i != off).collect();
        let expected = only(&model, &kept);
        assert_eq!(
            values(whole(&switched, &text)),
            values(whole(&expected, &text))
        );
        let mut cache = switched.new_cache(1);
        let found = logits_after(&switched, &[&text], &mut cache);
        assert_close(found, whole(&expected, &text));
        let bytes = cache.bytes_by_part();
        assert_eq!((bytes.augmenting[off], bytes.bridges[off]), (0, 0));
    }
    let mut off = model.clone();
    off.parts
        .augmenting
        .iter_mut()
        .for_each(|augmenting| augmenting.scale = 0.0);
    let alone = logits(
        &off.parts.anchor,
        ids(&[&text]),
        &PaddingMask::none(1, text.len()),
    );
    assert_eq!(values(whole(&off, &text)), values(alone));
}

#[test]
fn scales_multiply_what_bridges_add() {
    let (anchor, model) = three();
    let text = anchor
        .tokenizer
        .encode("one two, the anchor", true)
        .unwrap()
        .ids;
    let mut scaled = model.clone();
    let mut expected = model.clone();
    for (m, scale) in [(0, 0.5), (1, 2.0), (2, -1.0)] {
        scaled.parts.augmenting[m].scale = scale;
        for bridge in &mut expected.bridges.of[m] {
            let weight = bridge.output.weight.val() * scale;
            bridge.output.weight = burn::module::Param::from_tensor(weight);
        }
    }
    assert_close(whole(&scaled, &text), whole(&expected, &text));
    let mut cache = scaled.new_cache(1);
    assert_close(
        logits_after(&scaled, &[&text], &mut cache),
        whole(&expected, &text),
    );
}
