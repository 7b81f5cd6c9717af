//! The form in which tasks ask: a sentence with its label, and the label of the answer.

/// Worked examples and a question, and where their sentences are.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    pub(super) text: String,
    chars: usize,
    /// Characters, from and to, that anchor masking may hide: the sentences that are asked about, but
    /// for numbers, which all languages write alike.
    pub(super) mask: Vec<[usize; 2]>,
}

impl Prompt {
    /// Asks for what `into` names, of a sentence that `from` names: two languages, or question and
    /// answer.
    pub(super) fn ask(&mut self, from: &str, sentence: &str, into: &str) {
        self.push(&format!("{from}: "));
        self.hide(sentence);
        self.push(sentence);
        self.push(&format!("\n{into}:"));
    }

    /// Answers, so that the next question follows a worked example.
    pub(super) fn answer(&mut self, answer: &str) {
        self.push(&format!(" {answer}\n\n"));
    }

    /// Notes which parts of the sentence that comes next may be hidden.
    fn hide(&mut self, sentence: &str) {
        let characters = (self.chars..).zip(sentence.chars());
        for (position, _) in characters.filter(|(_, character)| !character.is_numeric()) {
            match self.mask.last_mut().filter(|range| range[1] == position) {
                Some(range) => range[1] += 1,
                None => self.mask.push([position, position + 1]),
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.chars += text.chars().count();
    }
}
