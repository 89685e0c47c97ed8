//! A document may hold any character: these let it be shown without being obeyed.

/// One line that no terminal takes for a command, and that keeps its order: controls become spaces, marks that turn the direction of what
/// follows become U+FFFD.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            _ if c.is_control() => ' ',
            _ if turns(c) => char::REPLACEMENT_CHARACTER,
            _ => c,
        })
        .collect()
}

/// Text for HTML and XML, in elements and in quoted attributes: markup is escaped, line ends are LF, and what XML forbids or what turns the
/// direction of the text after it is U+FFFD.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            _ if c.is_control() || turns(c) || is_noncharacter(c) => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Embeddings, overrides and isolates (Unicode Standard Annex #9): one of them could show "does not" as "ton seod", or a dose backwards.
fn turns(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Whether the first letter with a direction is written from right to left.
pub fn right_to_left(text: &str) -> bool {
    text.chars().find_map(|c| match c {
        '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' => Some(true),
        _ if c.is_alphabetic() => Some(false),
        _ => None,
    }) == Some(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_controls_and_direction_marks_do_nothing() {
        assert_eq!(
            markup("a<b & \"c\" 'd'>"),
            "a&lt;b &amp; &quot;c&quot; &#39;d&#39;&gt;"
        );
        assert_eq!(
            markup("\0\x1b[2J\u{9b}\u{7f}"),
            "\u{FFFD}\u{FFFD}[2J\u{FFFD}\u{FFFD}"
        );
        assert_eq!(markup("a\r\nb\rc\td\n"), "a\nb\nc\td\n");
        assert_eq!(
            markup("no\u{202E}ton\u{202C}\u{FFFE}"),
            "no\u{FFFD}ton\u{FFFD}\u{FFFD}"
        );
        assert_eq!(
            printable("a\n\x1b[2J\u{2066}b\u{200F}"),
            "a  [2J\u{FFFD}b\u{200F}"
        );
    }

    #[test]
    fn direction_is_that_of_the_first_letter() {
        assert!(right_to_left("12 \u{5E9}\u{5DC} aspirin"));
        assert!(!right_to_left("aspirin \u{5E9}\u{5DC}"));
        assert!(!right_to_left("12 ()"));
    }

    proptest! {
        #[test]
        fn nothing_that_a_parser_acts_on_is_left(text in any::<String>()) {
            let shown = markup(&text);
            prop_assert!(!shown.contains(['<', '>', '"', '\'']));
            prop_assert!(!shown.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || turns(c) || is_noncharacter(c)));
            prop_assert!(!printable(&text).chars().any(|c| c.is_control() || turns(c)));
            for (at, _) in shown.match_indices('&') {
                let rest = shown.get(at..).unwrap();
                prop_assert!(["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|known| rest.starts_with(known)));
            }
        }
    }
}
