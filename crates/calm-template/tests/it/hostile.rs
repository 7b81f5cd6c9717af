//! Templates can do no harm.

use std::time::{Duration, Instant};

use calm_template::{ErrorKind, Template, TemplateError};
use proptest::prelude::*;
use serde_json::json;

fn render(source: &str) -> Result<String, TemplateError> {
    let variables = json!({ "messages": [{ "role": "user", "content": "user's" }], "s": "text" });
    Template::new(source)?.render(variables.as_object().unwrap())
}

#[test]
fn templates_that_never_end_or_grow_are_stopped() {
    let start = Instant::now();
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x.replace('a', 'aaaa') %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x|replace('', n.x) %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x.join(n.x) %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = [n.x, n.x]|join(n.x) %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x]|sum(start=[]) %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ '%s' % [n.x] }}",
        "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
        "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x < n.y }}",
        "{% set n = namespace(x=(1,)) %}{% for i in range(99) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ {n.x: 1, (n.x, 2): 3}|length }}",
        "{{ 'a' * 999999999999 }}",
        "{{ 'a' * 10 ** 30 }}",
        "{{ ('a' * 99999999) | upper }}",
        "{{ [0] * 999999999 }}",
        "{{ 'x'.join(range(99999)|map('string')) * 9999 }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '%.9999999999f' | format(1.5) }}",
        "{{ '%.99999999999999999999999s' % 'a' ~ '%99999999999999999999999s' % 'a' }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ '{:.9999999999f}'.format(1.5) }}",
        "{{ ('{0}' * 99999).format('a' * 99999) }}",
        "{{ [[[1]]] | tojson(indent='xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 99999999) }}",
        "{{ [[[1]]] | tojson(indent=99999999999) }}",
        "{{ 10 ** 99999999999 }}",
        "{{ ('a' * 99999) | center(9999999999) }}",
        "{{ 'a'.zfill(9999999999) }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ ('\t' * 99999).expandtabs(9999999) }}",
        "{{ ('a\n' * 99999)|indent(999999) }}",
        "{{ [1]|batch(9999999999, 0)|list }}",
        "{{ [1]|slice(9999999999)|list }}",
        "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}",
        "{% for i in range(99999) %}{% set x = range(99999)|list %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'a' in 'b' * 99999 }}{% endfor %}",
        "{% for i in range(99999) %}{{ range(99999)|sort|first }}{% endfor %}",
        "{% for i in range(99999) %}{% macro f() %}{{ f }}{% endmacro %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    ] {
        let error = render(source).map(|text| text.len()).unwrap_err();
        let is_bounded = matches!(error.kind, ErrorKind::Exhausted | ErrorKind::Failed(_));
        assert!(is_bounded, "{source}: {error}");
    }
    // Generous: the test machine may be busy.
    assert!(start.elapsed() < Duration::from_secs(120));
}

/// Values and templates nested as deep as anything allows must not overflow the stack.
#[test]
fn depth_is_no_danger() {
    let chain = format!("{{{{ 1{} }}}}", " + 1".repeat(20_000));
    assert_eq!(render(&chain).unwrap(), "20001");
    let namespaces =
        "{% set n = namespace(x=1) %}{% for i in range(99999) %}{% set n.x = %} {% endfor %}";
    for value in [
        "[n.x]",
        "(n.x,)",
        "{'a': n.x}",
        "namespace(x=n.x)",
        "[n.x]|map('string')",
        "cycler(n.x)",
    ] {
        let source = namespaces.replace("= %}", &format!("= {value} %}}"));
        assert!(render(&source).is_err(), "{value}");
    }
    for (open, close) in [
        ("[", "]"),
        ("(", ")"),
        ("{1:", "}"),
        ("not ", ""),
        ("-", ""),
        ("x[", "]"),
        ("f(", ")"),
        ("1 if ", ""),
        ("1 ~ (", ")"),
        ("s|replace(", ")"),
        ("s is in(", ")"),
        ("s is in ", ""),
        ("{0:", "}"),
    ] {
        for depth in [150, 9999] {
            let _ = render(&format!(
                "{{{{ {}1{} }}}}",
                open.repeat(depth),
                close.repeat(depth)
            ));
        }
    }
    for tail in [
        ".a",
        "[0]",
        "()",
        "|upper",
        "|trim",
        "[:1]",
        " is string",
        " if 1 else 2",
        " or 1",
        " == 1",
        " ~ 1",
        " ** 1",
    ] {
        let _ = render(&format!("{{{{ s{} }}}}", tail.repeat(20_000)));
    }
    for block in [
        "{% if 1 %}",
        "{% for x in s %}",
        "{% with %}",
        "{% set x %}",
        "{% filter upper %}",
        "{% macro f() %}",
        "{% call f() %}",
        "{% generation %}",
    ] {
        let _ = render(&block.repeat(9999));
    }
    let itself = "{% set n = namespace() %}{% set n.n = n %}{{ n }}";
    assert!(render(itself).is_err());
}

#[test]
fn templates_cannot_leave_their_box() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'chat_template' as x %}",
        "{% from '/etc/passwd' import x %}",
        "{% extends '/etc/passwd' %}",
        "{{ open('/etc/passwd') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self._TemplateReference__context.x }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({}) }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
}

#[test]
fn errors_tell_their_line() {
    for (source, words) in [
        ("one\n{% for x in %}", "chat_template:2"),
        ("{% if %}", "syntax error"),
        (
            "\n\n{{ messages.one.two }}",
            "'list object' has no attribute 'one' (in chat_template:3)",
        ),
        (
            "{{ s }}\n{{ nope.x }}",
            "'nope' is undefined (in chat_template:2)",
        ),
        (
            "{% macro f() %}\n\n{{ 1 / 0 }}{% endmacro %}\n{{ f() }}",
            "division by zero (in chat_template:3)",
        ),
        ("{{ raise_exception('no\nnever') }}", "never"),
        (
            "{{ strftime_now('%Q') }}",
            "strftime_now: \"%Q\" is no format",
        ),
        ("{{ [1] | tojson(indents=3) }}", "indents"),
        ("{{ 1|urlize }}", "unknown filter urlize"),
        ("{{ s.encode() }}", "'str object' has no attribute 'encode'"),
        (
            "{% autoescape true %}{% endautoescape %}",
            "unknown statement autoescape",
        ),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        (
            "{{ messages.append(1) }}",
            "access to attribute 'append' of 'list' object is unsafe.",
        ),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a template is, it is rendered or refused.
    #[test]
    fn no_template_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", " ", "\n", "for x in messages", "endfor", "if", "else",
        "endif", "set x =", "x", "messages", "[0]", "[::-1]", "'a'", "1", "|", "tojson", "trim", "(", ")",
        "generation", "endgeneration", "raise_exception", "namespace", ".content", "is", "defined", "é", "🙂",
        "macro f(x)", "endmacro", "f", "not", "==", "~", ",", "{", "}", "range", "loop.index", "break", "raw",
        "endraw", "'%5.1s'", "%", "'{:>5}'", ".format", ".split", "sort", "groupby('role')", "**", "-1", "1e9",
        "call f()", "endcall", "recursive", "loop", "varargs", "kwargs", "s", "[-1:]", "slice(2)", "round(3)",
    ]), 0..24)) {
        let _ = render(&pieces.concat());
        let _ = render(&format!("{{% for x in messages %}}{{{{ {} }}}}{{% endfor %}}", pieces.concat()));
        let _ = render(&format!("{{{{ {} }}}}", pieces.join(" ")));
    }
}
