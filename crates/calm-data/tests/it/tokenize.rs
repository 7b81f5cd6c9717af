//! Texts to examples of token ids.

use calm_data::jsonl::PromptTarget;
use calm_data::kv::{EOS, KeyPool, KvConfig, KvDataset, KvTask, PAD};
use calm_data::{
    Batch, DataError, Fitted, Record, TokenizedExample, Tokenizing, TooLong, tokenize,
};

use crate::word_tokenizer::WordTokenizer;

fn words() -> WordTokenizer {
    WordTokenizer::laptop()
}

/// A tokenizer that puts nothing before a text.
fn bare() -> WordTokenizer {
    let mut bare = words();
    bare.library
        .with_post_processor(None::<tokenizers::PostProcessorWrapper>);
    bare
}

fn pair(prompt: &str, target: &str) -> Record {
    Record::PromptTarget(PromptTarget {
        prompt: prompt.to_owned(),
        target: target.to_owned(),
        mask: None,
    })
}

/// Tokens of an example that was fitted to this context, before its target and from there.
fn fitted(
    tokenizer: &WordTokenizer,
    record: &Record,
    context: usize,
    too_long: TooLong,
) -> Result<Option<[String; 2]>, DataError> {
    let example = match tokenizer.with(context, too_long).example(3, record)? {
        Fitted::Whole(example) | Fitted::Truncated(example) => example,
        Fitted::Pieces(_) | Fitted::Skipped => return Ok(None),
    };
    let text = |ids: &[u32]| {
        let words = ids
            .iter()
            .map(|id| tokenizer.library.id_to_token(*id).unwrap());
        words.collect::<Vec<String>>().join(" ")
    };
    let (prompt, target) = example.ids.split_at(example.target_start);
    Ok(Some([text(prompt), text(target)]))
}

#[test]
fn a_long_text_is_cut_into_pieces_in_which_nothing_is_lost() {
    let tokenizer = words();
    let text = Record::Text("1 2 3 4 5 6 7 8 9".to_owned());
    let cut = |context| {
        let tokenizing = Tokenizing {
            cut_texts: true,
            chat: None,
            ..tokenizer.with(context, TooLong::Error)
        };
        tokenizing.example(0, &text).unwrap()
    };
    let Fitted::Whole(whole) = cut(10) else {
        panic!("ten tokens are read, and the end is only a target");
    };
    for context in 1..10 {
        let Fitted::Pieces(pieces) = cut(context) else {
            panic!("{context} tokens are too few");
        };
        let fits = |piece: &TokenizedExample| piece.inputs().len() <= context;
        assert!(pieces.iter().all(fits), "{context}: {pieces:?}");
        let read = pieces.iter().flat_map(TokenizedExample::inputs);
        assert!(read.eq(whole.inputs()), "{context}: {pieces:?}");
        let targets = pieces
            .iter()
            .flat_map(|piece| &piece.ids[piece.target_start..]);
        assert!(targets.eq(&whole.ids[1..]), "{context}: {pieces:?}");
    }
    // A prompt has to stay with its target.
    let tokenizing = Tokenizing {
        cut_texts: true,
        chat: None,
        ..tokenizer.with(4, TooLong::Error)
    };
    let error = tokenizing.example(0, &pair("1 2 3 4", "5")).unwrap_err();
    assert!(matches!(error, DataError::TooLong { .. }), "{error}");
}

#[test]
fn loss_is_on_the_target_and_the_end_of_text() {
    let tokenizer = words();
    let id = |word: &str| tokenizer.library.token_to_id(word).unwrap();
    let example = tokenize(&tokenizer, 0, "1 + 2 =", "3 0 0 0", id(EOS), 64).unwrap();
    let batch = Batch::collate([(0, &example)], id(PAD));
    assert_eq!(
        (batch.rows, batch.length),
        (1, 9),
        "<s> 1 + 2 = 3 0 0 0, and </s> is a target"
    );
    assert_eq!(batch.loss_positions, [4, 5, 6, 7, 8]);
    assert_eq!(batch.targets, ["3", "0", "0", "0", EOS].map(id));
}

#[test]
fn loss_is_on_all_of_a_plain_text_that_something_predicts() {
    let text = Record::Text("1 + 2".to_owned());
    let whole = |tokenizer: &WordTokenizer| fitted(tokenizer, &text, 64, TooLong::Error).unwrap();
    assert_eq!(whole(&words()).unwrap(), ["<s>", "1 + 2 </s>"]);
    assert_eq!(whole(&bare()).unwrap(), ["1", "+ 2 </s>"]);
    let ended = Record::Text("1 + 2 </s>".to_owned());
    let once = fitted(&words(), &ended, 64, TooLong::Error).unwrap();
    assert_eq!(once.unwrap(), ["<s>", "1 + 2 </s>"]);
}

#[test]
fn texts_that_cannot_be_learnt_are_refused() {
    let tokenizer = words();
    let refuse = |record: &Record, context: usize| {
        let refused = fitted(&tokenizer, record, context, TooLong::Error);
        refused.unwrap_err().to_string()
    };
    assert!(refuse(&pair("1 + zzzzzzz =", "3"), 64).contains("\"zzzzzzz\" is not one token"));
    assert!(refuse(&pair("1 =", ""), 64).contains("example 3: the target has no token"));
    let empty = Record::Text(" ".to_owned());
    assert!(refuse(&empty, 64).contains("example 3: the text has no token"));
    assert!(refuse(&pair("1 + 2 =", "3"), 6).contains("7 tokens do not fit the context of 6"));
}

#[test]
fn what_is_cut_off_is_what_stands_farthest_from_the_target() {
    let cut = |tokenizer: &WordTokenizer, context| {
        let record = pair("1 + 2 =", "3 0 0 0");
        let found = fitted(tokenizer, &record, context, TooLong::Truncate);
        found.map(|found| found.unwrap())
    };
    let words = words();
    assert_eq!(cut(&words, 10).unwrap(), ["<s> 1 + 2 =", "3 0 0 0 </s>"]);
    assert_eq!(cut(&words, 9).unwrap(), ["<s> + 2 =", "3 0 0 0 </s>"]);
    assert_eq!(cut(&words, 7).unwrap(), ["<s> =", "3 0 0 0 </s>"]);
    assert_eq!(cut(&words, 6).unwrap(), ["<s>", "3 0 0 0 </s>"]);
    assert_eq!(cut(&words, 5).unwrap(), ["<s>", "3 0 0 0"]);
    assert_eq!(cut(&words, 2).unwrap(), ["<s>", "3"]);
    assert!(matches!(cut(&words, 1), Err(DataError::TooLong { .. })));
    let bare = bare();
    assert_eq!(cut(&bare, 6).unwrap(), ["=", "3 0 0 0 </s>"]);
    assert_eq!(cut(&bare, 3).unwrap(), ["=", "3 0"]);
}

#[test]
fn a_plain_text_loses_its_end() {
    let text = Record::Text("1 + 2 =".to_owned());
    let cut = |context| fitted(&words(), &text, context, TooLong::Truncate).unwrap();
    assert_eq!(cut(6).unwrap(), ["<s>", "1 + 2 = </s>"]);
    assert_eq!(cut(4).unwrap(), ["<s>", "1 + 2"]);
}

#[test]
fn what_is_too_long_may_be_left_out() {
    let kept = |context| fitted(&words(), &pair("1 =", "3"), context, TooLong::Skip).unwrap();
    assert!(kept(5).is_some());
    assert_eq!(kept(4), None);
}

#[test]
fn a_first_token_that_nothing_predicts_is_refused() {
    let refused = tokenize(&bare(), 4, "", "3 0 0 0", 2, 64);
    assert!(matches!(
        refused,
        Err(DataError::EmptyPrompt { example: 4 })
    ));
}

#[test]
fn real_examples_survive_tokenising() {
    let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
    let tokenizer = words();
    let drawn = dataset.example(KvTask::KvSubstitution, KeyPool::HeldIn, 0);
    let example = tokenize(&tokenizer, 0, &drawn.prompt, &drawn.target, 2, 64).unwrap();
    let target = &example.ids[example.target_start..example.ids.len() - 1];
    assert_eq!(
        tokenizer.library.decode(target, true).unwrap(),
        drawn.target
    );
}
