//! Letters that the sounds of a language are written with.

use serde::Serialize;

/// Sounds, as Latin letters: consonants, then vowels.
pub(super) const CONSONANTS: &str = "ptkbdgmnszlrhfvwyjcx";
pub(super) const VOWELS: &str = "aeiou";

/// A way of writing; the names are those of ISO 15924.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Script {
    /// Latin.
    Latn,
    /// Cyrillic.
    Cyrl,
    /// Arabic, with all vowels written, as Uyghur and Kurdish have it.
    Arab,
    /// Georgian.
    Geor,
    /// Devanagari: a vowel is a mark on its consonant, and `a` is none.
    Deva,
    /// Thai: no spaces between words.
    Thai,
}

/// Letters in the order of [`CONSONANTS`] and [`VOWELS`], separated by spaces.
const CYRILLIC: &str = "п т к б д г м н с з л р х ф в ў й ж ч ш а е и о у";
const ARABIC: &str = "پ ت ك ب د گ م ن س ز ل ر ه ف ڤ و ي ج چ ش ا ە ی ۆ ۇ";
const GEORGIAN: &str = "პ ტ კ ბ დ გ მ ნ ს ზ ლ რ ჰ ფ ვ ჳ ჲ ჯ ჩ შ ა ე ი ო უ";
const DEVANAGARI: &str = "प त क ब द ग म न स ज ल र ह फ व ठ य झ च श अ ए इ ओ उ";
const THAI: &str = "ป ต ก บ ด ค ม น ส ซ ล ร ห ฟ ฝ ว ย จ ช ข า แ ี อ ู";

/// Marks of the vowels behind a consonant, and the mark of a consonant without a vowel.
const MATRAS: [&str; 5] = ["", "े", "ि", "ो", "ु"];
const VIRAMA: char = '\u{94d}';

impl Script {
    /// Its code in a language tag.
    pub fn code(self) -> &'static str {
        match self {
            Self::Latn => "Latn",
            Self::Cyrl => "Cyrl",
            Self::Arab => "Arab",
            Self::Geor => "Geor",
            Self::Deva => "Deva",
            Self::Thai => "Thai",
        }
    }

    /// What stands between words.
    pub(super) fn separator(self) -> &'static str {
        match self {
            Self::Thai => "",
            _ => " ",
        }
    }

    /// A word, or a name; what is no letter of a sound stays.
    pub(super) fn write(self, word: &str) -> String {
        let table = match self {
            Self::Latn => return word.to_owned(),
            Self::Cyrl => CYRILLIC,
            Self::Arab => ARABIC,
            Self::Geor => GEORGIAN,
            Self::Deva => return devanagari(&word.to_lowercase()),
            Self::Thai => THAI,
        };
        let letter = |sound: char| match place(sound) {
            Some(place) => table.split(' ').nth(place).unwrap_or_default().to_owned(),
            None => sound.to_string(),
        };
        word.to_lowercase().chars().map(letter).collect()
    }
}

/// Place of a sound in the tables.
fn place(sound: char) -> Option<usize> {
    CONSONANTS
        .chars()
        .chain(VOWELS.chars())
        .position(|known| known == sound)
}

fn devanagari(word: &str) -> String {
    let letters: Vec<&str> = DEVANAGARI.split(' ').collect();
    let first_vowel = CONSONANTS.len();
    let mut text = String::new();
    let mut after_consonant = false;
    for sound in word.chars() {
        match place(sound) {
            Some(vowel) if vowel >= first_vowel && after_consonant => {
                text.push_str(MATRAS[vowel - first_vowel]);
                after_consonant = false;
            }
            Some(vowel) if vowel >= first_vowel => text.push_str(letters[vowel]),
            Some(consonant) => {
                if after_consonant {
                    text.push(VIRAMA);
                }
                text.push_str(letters[consonant]);
                after_consonant = true;
            }
            None => text.push(sound),
        }
    }
    if after_consonant {
        text.push(VIRAMA);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sound_has_one_letter_of_its_own() {
        for table in [CYRILLIC, ARABIC, GEORGIAN, DEVANAGARI, THAI] {
            let mut letters: Vec<&str> = table.split(' ').collect();
            assert_eq!(letters.len(), CONSONANTS.len() + VOWELS.len());
            letters.sort_unstable();
            letters.dedup();
            assert_eq!(letters.len(), CONSONANTS.len() + VOWELS.len(), "{table}");
        }
    }

    #[test]
    fn vowels_of_devanagari_are_marks_on_consonants() {
        assert_eq!(Script::Deva.write("kati"), "कति");
        assert_eq!(Script::Deva.write("astak"), "अस्तक्");
        assert_eq!(Script::Cyrl.write("Mira"), "мира");
        assert_eq!(Script::Latn.write("Mira"), "Mira");
    }
}
