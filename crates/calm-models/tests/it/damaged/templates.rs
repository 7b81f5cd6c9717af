//! Chat templates.

use calm_models::{Chat, ChatTemplate};

use super::assert_refused_by;

#[test]
fn chat_templates() {
    assert_refused_by(
        |checkpoint| {
            checkpoint.load()?;
            let template = ChatTemplate::read(checkpoint.dir())?;
            template.render(&Chat::question(None, "A")).map(drop)
        },
        &[
            (
                "never ends",
                |c| {
                    let nested = "{% for a in range(99999) %}".repeat(4);
                    let ends = "{% endfor %}".repeat(4);
                    c.write("chat_template.jinja", nested + &ends);
                },
                &["chat_template.jinja: ", "may never end"],
            ),
            (
                "calls itself",
                |c| {
                    let source = "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: "],
            ),
            (
                "is none",
                |_| (),
                &[": has no chat template", "chat_template.jinja"],
            ),
            (
                "is cut off",
                |c| c.write("chat_template.jinja", "one\ntwo {% if %}"),
                &["chat_template.jinja: ", "syntax error"],
            ),
            (
                "doubles a text",
                |c| {
                    let source = "{% set n = namespace(x='ab') %}{% for a in range(99) %}\
                                  {% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "makes too much text"],
            ),
            (
                "doubles a list",
                |c| {
                    let source = "{% set n = namespace(x=[1]) %}{% for a in range(99) %}\
                                  {% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x ~ 'many' }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "may never end"],
            ),
            (
                "asks for a field of nothing",
                |c| c.write("chat_template.jinja", "{{ messages.role.name }}"),
                &["chat_template.jinja: ", "chat_template:1"],
            ),
            (
                "has damaged settings",
                |c| {
                    c.write("chat_template.jinja", "{{ messages[0].content }}");
                    c.write("tokenizer_config.json", "{");
                },
                &["tokenizer_config.json: "],
            ),
            (
                "calls for a file",
                |c| c.write("chat_template.jinja", "{% include '/etc/hostname' %}"),
                &["chat_template.jinja: ", "unknown statement include"],
            ),
            (
                "extends a file",
                |c| c.write("chat_template.jinja", "{% extends '../config.json' %}"),
                &["chat_template.jinja: ", "unknown statement extends"],
            ),
            (
                "opens a file",
                |c| c.write("chat_template.jinja", "{{ open('/etc/hostname') }}"),
                &["chat_template.jinja: ", "open"],
            ),
            (
                "is deep",
                |c| {
                    c.write(
                        "chat_template.jinja",
                        "{{ ".to_owned() + &"(".repeat(1 << 20),
                    )
                },
                &["chat_template.jinja: "],
            ),
            (
                "has deep blocks",
                |c| c.write("chat_template.jinja", "{% if 1 %}".repeat(13_000)),
                &["chat_template.jinja: "],
            ),
            (
                "is a long chain",
                |c| {
                    let chain = "+1".repeat(60_000);
                    let source = format!("{{{{ 1{chain} }}}}{{{{ raise_exception('a sum') }}}}");
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "a sum"],
            ),
            (
                "negates itself",
                |c| {
                    c.write(
                        "chat_template.jinja",
                        format!("{{{{ {}x.y }}}}", "not ".repeat(30_000)),
                    )
                },
                &["chat_template.jinja: "],
            ),
            (
                "is a long list of attributes",
                |c| {
                    let source = format!("{{{{ messages{} }}}}", ".a".repeat(60_000));
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: "],
            ),
            (
                "is huge",
                |c| c.write("chat_template.jinja", "a".repeat(300_000)),
                &["chat_template.jinja: the chat template has 300000 bytes"],
            ),
            (
                "is there twice",
                |c| {
                    let text = r#"{"chat_template": "a", "chat_template": "b"}"#;
                    c.write("tokenizer_config.json", text);
                },
                &["tokenizer_config.json: key 'chat_template' occurs twice"],
            ),
        ],
    );
}
