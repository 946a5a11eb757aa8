//! Text from outside, as it is logged and shown.

/// At most `most` bytes of a text in which every character is visible: line ends, and characters that move the
/// cursor or turn the direction of writing, are escaped. So no text from outside looks like another line of the
/// log, and none is too long.
pub fn visible(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    let mut visible = String::with_capacity(end);
    for character in text[..end].chars() {
        match character {
            '"' | '\'' | '\\' => visible.push(character),
            _ => visible.extend(character.escape_debug()),
        }
    }
    if end < text.len() {
        visible.push_str("...");
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn a_text_from_outside_cannot_pass_for_a_line_of_the_log() {
        for (text, expected) in [
            (r#"a "quoted" it's \n é й 日 🦀"#, r#"a "quoted" it's \n é й 日 🦀"#),
            ("a\nFri, 27 Nov 2026 ERROR", r"a\nFri, 27 Nov 2026 ERROR"),
            ("\r\t\0", r"\r\t\0"),
            ("\u{1b}[2K\u{9b}2K\u{7f}", r"\u{1b}[2K\u{9b}2K\u{7f}"),
            ("\u{202e}\u{2028}\u{feff}", r"\u{202e}\u{2028}\u{feff}"),
        ] {
            assert_eq!(visible(text, 4096), expected);
        }
        assert_eq!(visible(&"ä".repeat(150), 201), format!("{}...", "ä".repeat(100)));
    }
}
