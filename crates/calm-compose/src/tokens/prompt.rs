//! Prompts for which each model has markup of its own: conversations.

use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;

use calm_models::{Chat, ChatTemplate};
use serde_json::Value;

use crate::{ComposeError, OwnTokens};

/// A conversation as one model's chat template writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendering {
    /// All of it.
    pub text: String,
    /// Byte ranges of the contents of the messages.
    contents: Vec<Range<usize>>,
}

/// The text that an augmenting model reads while the anchor reads a prompt: its own rendering of the
/// same conversation.
///
/// ```text
/// anchor       <|user|>  Why is the sky blue?  <|end|><|assistant|>
/// augmenting   [INST]    Why is the sky blue?  [/INST]
/// ```
///
/// Within a content the augmenting model has read just as far as the anchor, byte by byte. While
/// the anchor is in the markup between two contents, it has read up to the end of the first; at the
/// markup's end, its own markup, too. Space in a content counts once something follows it, since a
/// template may strip what is at the end.
#[derive(Debug, Clone)]
pub struct PromptText {
    tokens: OwnTokens,
    text: Arc<str>,
    /// For every token of the anchor's prompt, how many bytes of the text are read.
    ends: Vec<usize>,
}

impl Rendering {
    /// Renders a conversation, and finds the contents of its messages in the text.
    ///
    /// A template may strip the space around a content. Anything else that it does to one, such as
    /// leaving it out, is an error.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Content`] with the message whose content is changed, [`ComposeError::Model`]
    /// if the template refuses the conversation.
    pub fn new(template: &ChatTemplate, chat: &Chat) -> Result<Self, ComposeError> {
        let text = template.render(chat)?;
        let mut marked = chat.clone();
        let mut originals = Vec::new();
        for (message, value) in marked.messages.iter_mut().enumerate() {
            if let Some(Value::String(content)) = value.get_mut("content")
                && !content.trim().is_empty()
            {
                // No tokenizer or template has a use for these characters.
                let marker = format!("\u{F8F0}{message}\u{F8F1}");
                originals.push((message, std::mem::replace(content, marker)));
            }
        }
        let changed = |message| ComposeError::Content {
            path: template.path().to_owned(),
            message,
        };
        let marked = template.render(&marked)?;
        let markup = markup(&marked, &originals).map_err(changed)?;
        let contents = find(&text, &markup, &originals).map_err(changed)?;
        Ok(Self { text, contents })
    }
}

/// The markup before, between and behind the contents, or the message whose content is not there.
fn markup(marked: &str, originals: &[(usize, String)]) -> Result<Vec<String>, usize> {
    let mut gaps = Vec::new();
    let mut rest = marked;
    for (message, _) in originals {
        let marker = format!("\u{F8F0}{message}\u{F8F1}");
        let (gap, behind) = rest.split_once(&marker).ok_or(*message)?;
        gaps.push(gap.to_owned());
        rest = behind;
    }
    gaps.push(rest.to_owned());
    Ok(gaps)
}

/// Byte ranges of the contents between that markup, or the message whose content is changed.
fn find(
    text: &str,
    markup: &[String],
    originals: &[(usize, String)],
) -> Result<Vec<Range<usize>>, usize> {
    let mut contents = Vec::new();
    let mut at = 0;
    for ((message, original), gaps) in zip(originals, markup.windows(2)) {
        let rest = text[at..].strip_prefix(&*gaps[0]).ok_or(*message)?;
        at += gaps[0].len();
        let variants = [
            original.as_str(),
            original.trim_end(),
            original.trim_start(),
            original.trim(),
        ];
        let is_followed = |written: &&&str| {
            let behind = rest.strip_prefix(**written);
            behind.is_some_and(|behind| behind.starts_with(&*gaps[1]))
        };
        let written = variants.iter().find(is_followed).ok_or(*message)?;
        contents.push(at..at + written.len());
        at += written.len();
    }
    Ok(contents)
}

impl PromptText {
    /// The rendering `own` of a model that reads in these `tokens`, aligned with the tokens of the
    /// anchor's rendering, of which `offsets` has the bytes, start and end, as
    /// [`Encoded::offsets`](calm_models::Encoded::offsets).
    ///
    /// # Panics
    ///
    /// If the renderings are of different conversations.
    pub fn align(
        tokens: &OwnTokens,
        anchor: &Rendering,
        offsets: &[(usize, usize)],
        own: &Rendering,
    ) -> Self {
        let counts = [anchor.contents.len(), own.contents.len()];
        assert_eq!(counts[0], counts[1], "contents of one conversation");
        let mut read = 0;
        let ends = offsets.iter().enumerate().map(|(token, (_, end))| {
            // A token that ends amid a character is followed by one that begins with it.
            let next = offsets.get(token + 1).map_or(*end, |next| next.0);
            read = read.max((*end).min(next));
            translate(read, anchor, own)
        });
        let mut ends: Vec<usize> = ends.collect();
        if let Some(last) = ends.last_mut() {
            *last = own.text.len();
        }
        Self {
            tokens: tokens.clone(),
            text: own.text.as_str().into(),
            ends,
        }
    }

    /// The same for a prompt of the anchor that has lost `count` tokens behind its first `start`.
    #[must_use]
    pub fn without(&self, start: usize, count: usize) -> Self {
        let mut shorter = self.clone();
        shorter.ends.drain(start..start + count);
        shorter
    }

    /// Tokens of the anchor's prompt.
    pub(crate) fn token_count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the own rendering that are read after this number of tokens of the anchor's prompt.
    pub fn read_after(&self, tokens: usize) -> usize {
        match tokens.checked_sub(1) {
            None => 0,
            Some(last) => self.ends[last.min(self.ends.len() - 1)],
        }
    }

    /// The tokenizers of the model that reads it.
    pub fn tokens(&self) -> &OwnTokens {
        &self.tokens
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Bytes of `own` that are read when `read` bytes of the anchor's rendering are.
fn translate(read: usize, anchor: &Rendering, own: &Rendering) -> usize {
    let begun = anchor
        .contents
        .partition_point(|content| content.start <= read);
    match begun.checked_sub(1) {
        None => 0,
        Some(content) => {
            let (theirs, ours) = (&anchor.contents[content], &own.contents[content]);
            if read > theirs.end {
                return ours.end;
            }
            let (so_far, all) = (&anchor.text[theirs.start..read], &own.text[ours.clone()]);
            // Space at the end may turn out to be space around the content, which templates may
            // strip: it counts once more has come.
            match so_far.trim().len() {
                0 => ours.start,
                read => ours.start + all.len() - all.trim_start().len() + read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use calm_models::Tokenizer;
    use serde_json::json;

    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, &Default::default(), Path::new("t.jinja")).unwrap()
    }

    fn chat(contents: &[&str]) -> Chat {
        let messages = contents
            .iter()
            .map(|c| json!({ "role": "user", "content": c }));
        Chat {
            messages: messages.collect(),
            add_generation_prompt: true,
            ..Chat::default()
        }
    }

    fn tokens() -> OwnTokens {
        let json = r#"{"added_tokens":[],"normalizer":null,"pre_tokenizer":null,"decoder":null,
            "post_processor":null,"model":{"type":"WordLevel","vocab":{"?":0},"unk_token":"?"}}"#;
        let tokenizer = Tokenizer::from_json(json, Path::new("tokenizer.json")).unwrap();
        OwnTokens {
            anchor: tokenizer.clone(),
            augmenting: tokenizer,
            max_tokens: None,
        }
    }

    const PLAIN: &str = "{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}<a>";
    const TRIMMED: &str = "#{% for m in messages %}[{{ m.content | trim }}]{% endfor %}:";

    fn rendering(source: &str, chat: &Chat) -> Rendering {
        Rendering::new(&template(source), chat).unwrap()
    }

    #[test]
    fn contents_are_found_whatever_they_are() {
        let chat = chat(&[" u ", "</u>", "", "[é]"]);
        for (source, first) in [(PLAIN, " u "), (TRIMMED, "u")] {
            let found = rendering(source, &chat);
            let contents = found
                .contents
                .iter()
                .map(|range| &found.text[range.clone()]);
            assert_eq!(contents.collect::<Vec<_>>(), [first, "</u>", "[é]"]);
        }
    }

    #[test]
    fn contents_that_a_template_changes_are_refused_by_their_number() {
        let chat = chat(&["one", "Two"]);
        for (source, message) in [
            (
                "{% for m in messages %}{{ m.content | lower }}{% endfor %}",
                1,
            ),
            ("{{ messages[1].content }}", 0),
            ("{{ messages[1].content }}{{ messages[0].content }}", 1),
        ] {
            let error = Rendering::new(&template(source), &chat).unwrap_err();
            let is_it = matches!(error, ComposeError::Content { message: m, .. } if m == message);
            assert!(is_it, "{source}: {error}");
        }
    }

    #[test]
    fn an_augmenting_model_reads_as_far_as_the_anchor_does() {
        let chat = chat(&["hé", "yo"]);
        let (anchor, own) = (rendering(PLAIN, &chat), rendering(TRIMMED, &chat));
        assert_eq!(anchor.text, "<u>hé</u><u>yo</u><a>");
        assert_eq!(own.text, "#[hé][yo]:");
        // The é is two tokens, and the last markup one with the y.
        let offsets = [
            (0, 3),
            (3, 4),
            (4, 6),
            (4, 6),
            (6, 10),
            (10, 14),
            (14, 15),
            (15, 22),
        ];
        let prompt = PromptText::align(&tokens(), &anchor, &offsets, &own);
        let read: Vec<&str> = (1..=8)
            .map(|tokens| &own.text[..prompt.read_after(tokens)])
            .collect();
        let expected = [
            "#[",
            "#[h",
            "#[h",
            "#[hé",
            "#[hé",
            "#[hé][y",
            "#[hé][yo",
            "#[hé][yo]:",
        ];
        assert_eq!(read, expected);
        assert_eq!(
            (prompt.read_after(0), prompt.read_after(30)),
            (0, own.text.len())
        );
    }
}
