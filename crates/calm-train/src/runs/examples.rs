//! Settings of reading examples, which verbs for training and evaluation share.

use calm_data::ExampleForm;
use serde::{Deserialize, Serialize};

/// How rows of data become examples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", default)]
pub struct ExampleConfig {
    /// Field that holds the prompt [default: the usual names, such as `prompt`, `question`]
    ///
    /// One within another by dots, as `answers.text.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub prompt_field: Option<String>,
    /// Field that holds the target [default: the usual names, such as `target`, `answer`]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub target_field: Option<String>,
    /// Field that holds a plain text, in place of prompt and target
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", conflicts_with_all = ["prompt_field", "target_field"]))]
    pub text_field: Option<String>,
    /// Write prompts and targets as questions and answers in the models' chat templates
    ///
    /// Rows of `messages` always are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub chat: bool,
}

impl ExampleConfig {
    /// The form of rows.
    pub fn form(&self) -> ExampleForm {
        ExampleForm {
            prompt_field: self.prompt_field.clone(),
            target_field: self.target_field.clone(),
            text_field: self.text_field.clone(),
            chat: self.chat,
            mask_field: None,
        }
    }
}
