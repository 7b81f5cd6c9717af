//! Any text as a chat template.

#![no_main]

use std::path::Path;

use calm_models::{Chat, ChatTemplate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let path = Path::new("chat_template.jinja");
    if let Ok(template) = ChatTemplate::new(source, &Default::default(), path) {
        let _ = template.render(&Chat::question(Some("Be brief."), "Why?"));
    }
});
