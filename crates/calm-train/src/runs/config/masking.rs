//! Settings of masking.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::checks::check;
use super::text;
use crate::TrainError;

/// Words of prompts that the anchor or m_A is not shown while bridges are trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Anchor masking")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct MaskingConfig {
    /// Share of the words of a prompt that the anchor is not shown; 0: none
    ///
    /// It reads placeholders in their place, and m_A the true text, so that bridges are needed for
    /// words that the anchor knows, too. In training only.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "SHARE",
            allow_negative_numbers = true,
            default_value_t = 0.0
        )
    )]
    pub mask_anchor: f64,
    /// Share of the words of a prompt that m_A is not shown; with --mask-anchor
    ///
    /// Words that the anchor reads: so bridges learn to say nothing about what it knows. Both shares
    /// are at most 1 together.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "SHARE",
            allow_negative_numbers = true,
            default_value_t = 0.0
        )
    )]
    pub mask_augmenting: f64,
    /// Share of the steps, the last ones, over which that of the anchor falls to none
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "SHARE",
            allow_negative_numbers = true,
            default_value_t = 0.0
        )
    )]
    pub mask_decay: f64,
    /// Field of the parts of a prompt that masking may hide [default: mask]
    ///
    /// A list of [start, end) in characters. In a row without the field it is all of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub mask_field: Option<String>,
    /// What is shown instead: words of the `data`, of a file, or token:TEXT [default: data]
    ///
    /// `data`: words of prompts of which masking may hide nothing, or of all, if it may hide something
    /// of each.
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "WORDS", value_hint = clap::ValueHint::AnyPath))]
    pub placeholders: Option<PlaceholderSource>,
}

/// Where placeholders come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PlaceholderSource {
    /// Words of the training data.
    #[default]
    Data,
    /// One token.
    Token(String),
    /// Words of a file.
    File(PathBuf),
}

impl FromStr for PlaceholderSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.strip_prefix("token:")) {
            ("data", _) => Self::Data,
            (_, Some(token)) => Self::Token(token.to_owned()),
            (path, None) => Self::File(path.into()),
        })
    }
}

impl fmt::Display for PlaceholderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("data"),
            Self::Token(token) => write!(f, "token:{token}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl MaskingConfig {
    /// The field that is read where it is not named.
    const FIELD: &str = "mask";

    /// Whether anything is hidden.
    pub(in crate::runs) fn is_on(&self) -> bool {
        self.mask_anchor > 0.0
    }

    /// The field of what may be hidden; none if nothing is.
    pub(in crate::runs) fn field(&self) -> Option<&str> {
        let field = self.mask_field.as_deref().unwrap_or(Self::FIELD);
        self.is_on().then_some(field)
    }

    pub(super) fn validate(&self, is_baseline: bool) -> Result<(), TrainError> {
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        let without = "needs --mask-anchor, a share above 0";
        check([
            (
                "mask-anchor",
                is_share(self.mask_anchor),
                "it may be from 0 to 1",
            ),
            (
                "mask-augmenting",
                is_share(self.mask_augmenting),
                "it may be from 0 to 1",
            ),
            (
                "mask-augmenting",
                self.mask_anchor + self.mask_augmenting <= 1.0,
                "a word is hidden from one side at most, so the shares of --mask-anchor and \
                 --mask-augmenting may be 1 together",
            ),
            (
                "mask-decay",
                is_share(self.mask_decay),
                "it may be from 0 to 1",
            ),
            (
                "mask-anchor",
                !is_baseline || !self.is_on(),
                "hides words that bridges tell, and a baseline has none; leave it out, and it learns \
                 from the true text",
            ),
            (
                "mask-augmenting",
                self.is_on() || self.mask_augmenting == 0.0,
                without,
            ),
            (
                "mask-decay",
                self.is_on() || self.mask_decay == 0.0,
                without,
            ),
            (
                "mask-field",
                self.is_on() || self.mask_field.is_none(),
                without,
            ),
            (
                "placeholders",
                self.is_on() || self.placeholders.is_none(),
                without,
            ),
        ])
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(in crate::runs) fn is_zero(number: &f64) -> bool {
    *number == 0.0
}
