//! Lines of a conversation: messages, and words to the program.

use crate::names::nearest;

pub(super) const HELP: &str = r"/scale X   scale of the bridges' output: 0 switches them off, 1 is as trained; one X for each
           augmenting model, or one for all; without X, tells it
/anchor    the anchor alone, and back (/anchor on, /anchor off)
/trace     tokens of the augmenting models that the last answer read most
/system T  the system message from now on, in a new conversation; without T, tells it
/reset     a new conversation
/help      this
/quit      the end, as Ctrl-D
A line that begins with // is a message that begins with /; one that ends in \ goes on in the
next. Ctrl-C stops an answer.";

/// Our words, and what other programs have for them.
const NAMES: [(&str, &[&str]); 7] = [
    ("/scale", &[]),
    ("/anchor", &[]),
    ("/trace", &["/attention"]),
    ("/system", &["/sys"]),
    ("/reset", &["/clear", "/new", "/restart"]),
    ("/help", &["/?", "/h"]),
    ("/quit", &["/exit", "/bye", "/q"]),
];

/// One line.
#[derive(Debug, PartialEq)]
pub(super) enum Words {
    Nothing,
    Message(String),
    /// One for each augmenting model, or one for all; none to be told them.
    Scale(Vec<f64>),
    /// Alone or not; none for the other of the two.
    Anchor(Option<bool>),
    Trace,
    /// None to be told it.
    System(Option<String>),
    Reset,
    Help,
    Quit,
}

impl Words {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let line = line.trim_end();
        if line.trim().is_empty() {
            return Ok(Self::Nothing);
        }
        if !line.starts_with('/') || line.starts_with("//") {
            let message = line.strip_prefix('/').unwrap_or(line);
            return Ok(Self::Message(message.to_owned()));
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let ours = NAMES
            .iter()
            .find(|(name, others)| *name == word || others.contains(&word));
        match ours.map(|(name, _)| *name) {
            Some("/scale") => scales(rest).map(Self::Scale),
            Some("/anchor") => alone(rest).map(Self::Anchor),
            Some("/system") => Ok(Self::System((!rest.is_empty()).then(|| rest.to_owned()))),
            Some(name) if !rest.is_empty() => Err(format!("{name} stands alone in its line")),
            Some("/trace") => Ok(Self::Trace),
            Some("/reset") => Ok(Self::Reset),
            Some("/help") => Ok(Self::Help),
            Some(_) => Ok(Self::Quit),
            None => Err(unknown(word)),
        }
    }
}

fn unknown(word: &str) -> String {
    let hint = match nearest(word, NAMES.iter().map(|(name, _)| *name)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "/help lists what there is".to_owned(),
    };
    format!("there is no {word}; {hint} A message that begins with / is written with //")
}

fn scales(text: &str) -> Result<Vec<f64>, String> {
    let scale = |word: &str| match word.parse::<f64>() {
        Ok(scale) if scale.is_finite() => Ok(scale),
        _ => Err(format!(
            "/scale takes numbers, as /scale 0.5, and '{word}' is none"
        )),
    };
    text.split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .map(scale)
        .collect()
}

fn alone(text: &str) -> Result<Option<bool>, String> {
    match text {
        "" => Ok(None),
        "on" | "alone" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(format!("/anchor is on or off, and not '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_words_to_the_program() {
        for (line, words) in [
            ("  ", Words::Nothing),
            (" Hello /there ", Words::Message(" Hello /there".to_owned())),
            ("//etc/hosts", Words::Message("/etc/hosts".to_owned())),
            ("/scale 0.5, -1", Words::Scale(vec![0.5, -1.0])),
            ("/scale", Words::Scale(Vec::new())),
            ("/anchor", Words::Anchor(None)),
            ("/anchor on", Words::Anchor(Some(true))),
            (
                "/system  Be brief. ",
                Words::System(Some("Be brief.".to_owned())),
            ),
            ("/system", Words::System(None)),
            ("/clear", Words::Reset),
            ("/bye", Words::Quit),
            ("/?", Words::Help),
        ] {
            assert_eq!(Words::read(line), Ok(words), "{line}");
        }
        for (line, reason) in [
            ("/rest", "did you mean /reset?"),
            ("/etc/hosts", "is written with //"),
            ("/scale much", "'much' is none"),
            ("/scale nan", "'nan' is none"),
            ("/anchor 3", "on or off"),
            ("/quit now", "stands alone"),
        ] {
            let error = Words::read(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
