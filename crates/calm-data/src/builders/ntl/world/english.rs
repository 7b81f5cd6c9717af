//! How English says a sentence.

use super::lexicon::{Lexicon, NounClass, plural};
use super::sentence::{Clause, Count, Head, NAMES, NounPhrase, Sentence, Tense};

/// A sentence in English, with its full stop or question mark.
pub(super) fn say(lexicon: &Lexicon, sentence: &Sentence) -> String {
    let mut words = clause(lexicon, &sentence.first);
    if let Some((conjunction, second)) = &sentence.second {
        words.push(lexicon.forms(*conjunction).base.clone());
        words.extend(clause(lexicon, second));
    }
    let mut text = words.join(" ");
    if let Some(first) = text.get(..1) {
        text.replace_range(..1, &first.to_uppercase());
    }
    text.push(if sentence.first.asks { '?' } else { '.' });
    text
}

/// A noun phrase in English.
pub(super) fn say_phrase(lexicon: &Lexicon, phrase: &NounPhrase) -> String {
    let mut words = Vec::new();
    noun_phrase(lexicon, phrase, &mut words);
    words.join(" ")
}

fn clause(lexicon: &Lexicon, clause: &Clause) -> Vec<String> {
    let mut words = Vec::new();
    if clause.asks {
        question(lexicon, clause, &mut words);
    } else {
        noun_phrase(lexicon, &clause.subject, &mut words);
        predicate(lexicon, clause, &mut words);
        if let Some(object) = &clause.object {
            noun_phrase(lexicon, object, &mut words);
        }
    }
    if let Some(recipient) = &clause.recipient {
        words.push("to".to_owned());
        noun_phrase(lexicon, recipient, &mut words);
    }
    if let Some((preposition, place)) = &clause.place {
        words.push(lexicon.forms(*preposition).base.clone());
        noun_phrase(lexicon, place, &mut words);
    }
    let adverbs = clause.manner.into_iter().chain(clause.time);
    words.extend(adverbs.map(|adverb| lexicon.forms(adverb).base.clone()));
    words
}

/// Class of the noun that a verb acts on.
fn object_class(lexicon: &Lexicon, clause: &Clause) -> Option<NounClass> {
    match clause.object.as_ref()?.head {
        Head::Noun(noun) => Some(lexicon.class(noun)),
        Head::Name(_) => Some(NounClass::Person),
    }
}

fn predicate(lexicon: &Lexicon, clause: &Clause, words: &mut Vec<String>) {
    let forms = lexicon.forms_beside(clause.verb, object_class(lexicon, clause));
    let singular = clause.subject.is_singular();
    let (auxiliary, verb) = match (clause.tense, clause.negated) {
        (Tense::Past, false) => (None, forms.other.clone()),
        (Tense::Past, true) => (Some("did"), forms.base.clone()),
        (Tense::Present, false) if singular => (None, plural(&forms.base)),
        (Tense::Present, false) => (None, forms.base.clone()),
        (Tense::Present, true) if singular => (Some("does"), forms.base.clone()),
        (Tense::Present, true) => (Some("do"), forms.base.clone()),
        (Tense::Future, _) => (Some("will"), forms.base.clone()),
    };
    words.extend(auxiliary.map(str::to_owned));
    if clause.negated {
        words.push("not".to_owned());
    }
    words.push(verb);
}

/// "how many apples does Mira have"
fn question(lexicon: &Lexicon, clause: &Clause, words: &mut Vec<String>) {
    words.push("how many".to_owned());
    if let Some(object) = &clause.object {
        noun_phrase(lexicon, object, words);
    }
    let auxiliary = match clause.tense {
        Tense::Past => "did",
        Tense::Present if clause.subject.is_singular() => "does",
        Tense::Present => "do",
        Tense::Future => "will",
    };
    words.push(auxiliary.to_owned());
    noun_phrase(lexicon, &clause.subject, words);
    words.push(lexicon.forms(clause.verb).base.clone());
}

fn noun_phrase(lexicon: &Lexicon, phrase: &NounPhrase, words: &mut Vec<String>) {
    let noun = match phrase.head {
        Head::Name(name) => {
            words.push(NAMES[name].to_owned());
            return;
        }
        Head::Noun(noun) => noun,
    };
    let start = words.len();
    let adjective = phrase.adjective.map(|adjective| {
        let class = Some(lexicon.class(noun));
        lexicon.forms_beside(adjective, class).base.clone()
    });
    let forms = lexicon.forms(noun);
    let number = match phrase.count {
        Count::Number(number) => Some(number.to_string()),
        Count::One | Count::Many => None,
    };
    words.extend(number);
    if phrase.more {
        words.push("more".to_owned());
    }
    words.extend(adjective);
    words.push(if phrase.is_singular() {
        forms.base.clone()
    } else {
        forms.other.clone()
    });
    if phrase.definite {
        words.insert(start, "the".to_owned());
    } else if phrase.count == Count::One {
        let vowel = words[start].starts_with(['a', 'e', 'i', 'o', 'u']);
        words.insert(start, ["a", "an"][usize::from(vowel)].to_owned());
    }
}
