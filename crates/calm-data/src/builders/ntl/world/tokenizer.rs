//! The subword tokenizer of a world, which all its models share.

use tokenizers::decoders::metaspace::Metaspace as Decoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

/// Pieces, digits and marks among them.
const PIECES: usize = 4096;

/// Longest piece, in characters: Thai has no spaces that would end one.
const LONGEST: usize = 10;

/// Padding, the beginning and the end of a text.
const SPECIAL: [&str; 3] = ["<pad>", "<s>", "</s>"];

/// Trains byte-pair encoding on texts; every digit and every mark is a piece of its own.
pub(super) fn train(texts: &[String]) -> tokenizers::Result<String> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let marks = SplitPattern::Regex(r"\n|\d|[.:?+=-]".to_owned());
    let marks = Split::new(marks, SplitDelimiterBehavior::Isolated, false)?;
    let spaces = Metaspace::new('▁', PrependScheme::Never, true);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![marks.into(), spaces.into()])));
    tokenizer.with_decoder(Some(Decoder::new('▁', PrependScheme::Never, true)));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(PIECES)
        .max_token_length(Some(LONGEST))
        .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
        .show_progress(false)
        .build()
        .into();
    tokenizer.train(&mut trainer, texts.iter().map(String::as_str))?;
    let begin = TemplateProcessing::builder()
        .try_single("<s> $A")?
        .special_tokens(vec![("<s>", 1)])
        .build()?;
    tokenizer.with_post_processor(Some(begin));
    tokenizer.to_string(true)
}
