//! Texts without LaTeX, as far as numbers are concerned.

/// A space of LaTeX becomes this.
pub(super) const THIN_SPACE: char = '\u{2009}';

/// `\frac` becomes this; two pairs of braces follow it.
pub(super) const FRACTION: char = '\u{2044}';

/// The letters of a text. LaTeX is written with those that it stands for: `4{,}500` is `4,500`,
/// `\$5\,000` is `$5 000` with a thin space, `\times` is `×`. Letters that nobody sees are left out.
pub(super) fn plain(text: &str) -> Vec<char> {
    let is_formula = text.contains('\\') || text.matches('$').nth(1).is_some();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let (replaced, behind) = command(rest);
                out.extend(replaced);
                rest = behind;
            }
            '~' if is_formula => out.push(THIN_SPACE),
            '\u{ff0e}' => out.push('.'),
            '}' => close(&mut out),
            c if is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Writes a brace, unless it closes a pair around one mark, which stands there alone then.
fn close(out: &mut Vec<char>) {
    if let [.., '{', mark] = out[..]
        && !mark.is_alphanumeric()
    {
        out.truncate(out.len() - 2);
        out.push(mark);
    } else {
        out.push('}');
    }
}

/// The character of a command of LaTeX, from behind its backslash, and the text behind it.
fn command(text: &str) -> (Option<char>, &str) {
    let name = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    if name == 0 {
        let Some(c) = text.chars().next() else {
            return (Some('\\'), text);
        };
        let replaced = match c {
            ',' | ';' | ':' | '>' | ' ' => Some(THIN_SPACE),
            '!' => None,
            '(' | ')' | '[' | ']' => Some('$'),
            '\\' => Some('\n'),
            c => Some(c),
        };
        return (replaced, &text[c.len_utf8()..]);
    }
    let (name, behind) = text.split_at(name);
    let replaced = match name {
        "times" | "cdot" | "ast" => Some('×'),
        "frac" | "dfrac" | "tfrac" | "cfrac" => Some(FRACTION),
        "thinspace" | "medspace" | "thickspace" | "nobreakspace" => Some(THIN_SPACE),
        "textdollar" | "dollar" => Some('$'),
        "euro" | "texteuro" => Some('€'),
        "pounds" | "textsterling" => Some('£'),
        "negthinspace" | "boxed" | "fbox" | "text" | "textbf" | "textit" | "textrm" | "mathrm"
        | "mathbf" | "mathit" | "mathsf" | "mathtt" | "mathord" | "mbox" | "num"
        | "displaystyle" | "left" | "right" => None,
        _ => Some('\\'),
    };
    (replaced, behind)
}

/// Zero-width spaces and joiners, soft hyphens, marks of direction and of byte order.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}
