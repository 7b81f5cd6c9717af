//! Tags of languages, as FLORES-200 writes them: `nya_Latn`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_script::{Script, UnicodeScript};

use crate::bundle::nearest;

/// A language and the script that it is written in: three letters of the form of ISO 639-3 and four
/// of ISO 15924.
///
/// Any three letters are a language, since there are more of them than any list has, and made-up ones
/// are of use. The script is one that Unicode knows.
///
/// ```
/// use calm_data::corpus::LanguageTag;
///
/// let chichewa: LanguageTag = "nya_Latn".parse()?;
/// assert_eq!(chichewa.language(), "nya");
/// assert_eq!(chichewa.uses('a'), Some(true));
/// assert_eq!(chichewa.uses('ж'), Some(false));
/// assert_eq!(chichewa.uses('7'), None);
/// let error = "ny".parse::<LanguageTag>().unwrap_err();
/// assert!(error.to_string().contains("did you mean 'nya_Latn'?"));
/// # Ok::<(), calm_data::corpus::LanguageError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanguageTag([u8; 8]);

/// A text that is no tag of a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{found}' is no language: {reason}; write three letters for the language and four for the script, \
     as FLORES-200 does{hint}"
)]
pub struct LanguageError {
    found: String,
    reason: &'static str,
    /// What was meant, perhaps.
    hint: String,
}

impl LanguageTag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Three letters for the language.
    pub fn language(&self) -> &str {
        &self.as_str()[..3]
    }

    /// Four letters for the script.
    pub fn script(&self) -> &str {
        &self.as_str()[4..]
    }

    /// The two letters of ISO 639-1 for the language, or for the one that it is the standard form of.
    /// Norwegian has two.
    pub fn short(&self) -> impl Iterator<Item = &'static str> {
        let words: Vec<&str> = SHORT.split(' ').collect();
        let (pairs, _) = words.as_chunks::<2>();
        let of =
            |[short, tag]: &[&'static str; 2]| (tag[..3] == *self.language()).then_some(*short);
        pairs.iter().filter_map(of).collect::<Vec<_>>().into_iter()
    }

    /// Whether a character is of the script; `None` for what all scripts share, such as digits,
    /// punctuation, spaces and combining marks.
    pub fn uses(&self, character: char) -> Option<bool> {
        let script = match character {
            'a'..='z' | 'A'..='Z' => Script::Latin,
            '\0'..='\x7f' => Script::Common,
            other => other.script(),
        };
        match script {
            Script::Common | Script::Inherited => None,
            script => Some(self.scripts().contains(&Some(script))),
        }
    }

    /// Unicode's scripts that this one is made of.
    fn scripts(&self) -> [Option<Script>; 4] {
        scripts(self.script()).unwrap_or_default()
    }
}

/// Unicode's scripts that a script of ISO 15924 is made of; `None` if it is no script of words.
fn scripts(code: &str) -> Option<[Option<Script>; 4]> {
    let several: &[Script] = match code {
        "Hans" | "Hant" | "Hanb" => &[Script::Han, Script::Bopomofo],
        "Jpan" => &[Script::Han, Script::Hiragana, Script::Katakana],
        "Hrkt" => &[Script::Hiragana, Script::Katakana],
        "Kore" => &[Script::Hangul, Script::Han],
        "Jamo" => &[Script::Hangul],
        "Aran" => &[Script::Arabic],
        "Latf" | "Latg" => &[Script::Latin],
        "Cyrs" => &[Script::Cyrillic],
        "Geok" => &[Script::Georgian],
        "Syre" | "Syrj" | "Syrn" => &[Script::Syriac],
        code => match Script::from_short_name(code)? {
            Script::Common | Script::Inherited | Script::Unknown => return None,
            one => return Some([Some(one), None, None, None]),
        },
    };
    let mut scripts = [None; 4];
    for (place, script) in scripts.iter_mut().zip(several) {
        *place = Some(*script);
    }
    Some(scripts)
}

impl FromStr for LanguageTag {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let wrong = |reason| LanguageError {
            found: text.escape_debug().take(40).collect(),
            reason,
            hint: hint(text),
        };
        let Ok(bytes) = <[u8; 8]>::try_from(text.as_bytes()) else {
            return Err(wrong("it has not the form of `nya_Latn`"));
        };
        let [language @ .., b'_', upper, _, _, _] = bytes else {
            return Err(wrong("it has not the form of `nya_Latn`"));
        };
        let lower = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_lowercase);
        if !lower(&language) || !upper.is_ascii_uppercase() || !lower(&bytes[5..]) {
            return Err(wrong("it has not the form of `nya_Latn`"));
        }
        match scripts(&text[4..]) {
            Some(_) => Ok(Self(bytes)),
            None => Err(wrong("Unicode knows no script of that code")),
        }
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for LanguageTag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The languages of FLORES-200, for hints.
const FLORES: &str = "\
    ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab \
    arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl \
    bam_Latn ban_Latn bel_Cyrl bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn \
    bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn \
    dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn fij_Latn fin_Latn \
    fon_Latn fra_Latn fur_Latn fuv_Latn gaz_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn \
    hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn \
    ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor kaz_Cyrl \
    kbp_Latn kea_Latn khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Arab knc_Latn \
    kon_Latn kor_Hang lao_Laoo lij_Latn lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn \
    lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Arab min_Latn mkd_Cyrl \
    mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn \
    nya_Latn oci_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn \
    prs_Arab quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Olck scn_Latn shn_Mymr sin_Sinh \
    slk_Latn slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl \
    ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn tam_Taml taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl \
    tgl_Latn tha_Thai tir_Ethi tpi_Latn tsn_Latn tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng \
    uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn wol_Latn xho_Latn ydd_Hebr \
    yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn";

/// Two-letter codes of these languages, as files are often named, and their tags.
const SHORT: &str = "\
    af afr_Latn am amh_Ethi ar arb_Arab as asm_Beng az azj_Latn ba bak_Cyrl be bel_Cyrl bg bul_Cyrl \
    bm bam_Latn bn ben_Beng bo bod_Tibt bs bos_Latn ca cat_Latn cs ces_Latn cy cym_Latn da dan_Latn \
    de deu_Latn dz dzo_Tibt ee ewe_Latn el ell_Grek en eng_Latn eo epo_Latn es spa_Latn et est_Latn \
    eu eus_Latn fa pes_Arab ff fuv_Latn fi fin_Latn fj fij_Latn fo fao_Latn fr fra_Latn ga gle_Latn \
    gd gla_Latn gl glg_Latn gn grn_Latn gu guj_Gujr ha hau_Latn he heb_Hebr hi hin_Deva hr hrv_Latn \
    ht hat_Latn hu hun_Latn hy hye_Armn id ind_Latn ig ibo_Latn is isl_Latn it ita_Latn ja jpn_Jpan \
    jv jav_Latn ka kat_Geor kg kon_Latn ki kik_Latn kk kaz_Cyrl km khm_Khmr kn kan_Knda ko kor_Hang \
    ks kas_Arab ku kmr_Latn ky kir_Cyrl lb ltz_Latn lg lug_Latn li lim_Latn ln lin_Latn lo lao_Laoo \
    lt lit_Latn lv lvs_Latn mg plt_Latn mi mri_Latn mk mkd_Cyrl ml mal_Mlym mn khk_Cyrl mr mar_Deva \
    ms zsm_Latn mt mlt_Latn my mya_Mymr nb nob_Latn ne npi_Deva nl nld_Latn nn nno_Latn no nob_Latn \
    ny nya_Latn oc oci_Latn om gaz_Latn or ory_Orya pa pan_Guru pl pol_Latn ps pbt_Arab pt por_Latn \
    qu quy_Latn rn run_Latn ro ron_Latn ru rus_Cyrl rw kin_Latn sa san_Deva sc srd_Latn sd snd_Arab \
    sg sag_Latn si sin_Sinh sk slk_Latn sl slv_Latn sm smo_Latn sn sna_Latn so som_Latn sq als_Latn \
    sr srp_Cyrl ss ssw_Latn st sot_Latn su sun_Latn sv swe_Latn sw swh_Latn ta tam_Taml te tel_Telu \
    tg tgk_Cyrl th tha_Thai ti tir_Ethi tk tuk_Latn tl tgl_Latn tn tsn_Latn tr tur_Latn ts tso_Latn \
    tt tat_Cyrl tw twi_Latn ug uig_Arab uk ukr_Cyrl ur urd_Arab uz uzn_Latn vi vie_Latn wo wol_Latn \
    xh xho_Latn yi ydd_Hebr yo yor_Latn zh zho_Hans zu zul_Latn";

/// A tag that may have been meant by a text that is none.
fn hint(text: &str) -> String {
    let code = text.split(['-', '_']).next().unwrap_or_default();
    let code = code.to_ascii_lowercase();
    let short: Vec<&str> = SHORT.split(' ').collect();
    let of_two = short.chunks(2).find(|pair| pair[0] == code);
    let meant = match of_two {
        Some(pair) => Some(pair[1]),
        None if (3..=16).contains(&text.len()) => {
            Some(nearest(text, &FLORES.split(' ').collect::<Vec<_>>()))
        }
        None => None,
    };
    match meant {
        Some(meant) => format!("; did you mean '{meant}'?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_of_flores_is_a_tag() {
        let tags = FLORES.split(' ').chain(SHORT.split(' ').skip(1).step_by(2));
        for tag in tags {
            assert_eq!(tag.parse::<LanguageTag>().unwrap().as_str(), tag);
        }
        assert_eq!(FLORES.split(' ').count(), 204);
        // One that is made up, and scripts of ISO 15924 that are several of Unicode's.
        for tag in ["qxa_Geor", "kor_Kore", "urd_Aran", "deu_Latf"] {
            assert_eq!(tag.parse::<LanguageTag>().unwrap().to_string(), tag);
        }
    }

    #[test]
    fn what_is_no_language_gets_the_tag_that_was_meant() {
        for (text, reason, meant) in [
            ("ny", "has not the form", "nya_Latn"),
            ("en-GB", "has not the form", "eng_Latn"),
            ("nya", "has not the form", "nya_Latn"),
            ("nya-Latn", "has not the form", "nya_Latn"),
            ("NYA_LATN", "has not the form", ""),
            ("nya_latn", "has not the form", "nya_Latn"),
            ("zho_Simp", "no script of that code", "zho_Han"),
            ("eng_Zzzz", "no script of that code", "eng_Latn"),
            ("eng_Zyyy", "no script of that code", "eng_Latn"),
            ("", "has not the form", ""),
            ("n\u{e4}a_Lat", "has not the form", ""),
        ] {
            let error = text.parse::<LanguageTag>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(meant), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_script_may_be_several_of_unicode() {
        let uses = |tag: &str, character| tag.parse::<LanguageTag>().unwrap().uses(character);
        for character in ['\u{6f22}', '\u{3042}', '\u{30ab}'] {
            assert_eq!(uses("jpn_Jpan", character), Some(true));
            assert_eq!(uses("eng_Latn", character), Some(false));
        }
        assert_eq!(uses("zho_Hans", '\u{3042}'), Some(false));
        for shared in ['5', '.', ' ', '\u{301}', '\u{1f600}'] {
            assert_eq!(uses("npi_Deva", shared), None);
        }
    }
}
