//! Strings and numbers as JSON text (RFC 8259), in the same bytes as serde_json's.

/// How many bytes are looked at together.
const WORD: usize = size_of::<u64>();

/// Appends a string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_length(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(byte) = rest.get(plain) else { break };
        push_escape(out, *byte);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// Appends a number.
pub fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// How many bytes of a string's content come before the first that is escaped; all if none is.
pub fn plain_length(bytes: &[u8]) -> usize {
    let (words, last) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let plain = plain_bytes(u64::from_le_bytes(*word));
        if plain < WORD {
            return index * WORD + plain;
        }
    }
    let plain = last.iter().position(|byte| matches!(byte, ..b' ' | b'"' | b'\\'));
    words.len() * WORD + plain.unwrap_or(last.len())
}

/// How many bytes, from the least one on, come before the first that is escaped, by arithmetic on all of them at once
/// (Hacker's Delight, 2nd edition, section 6-1).
fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let are = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    // Above the first one there may be others that are none.
    let escaped = below(word, b' ') | are(b'"') | are(b'\\');
    escaped.trailing_zeros() as usize / 8
}

/// Appends the escape of a byte that is not plain: the short one, if JSON has one.
pub fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b' '.. => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_serde_json_writes_it() {
        let all: String =
            (0..0x250).filter_map(char::from_u32).chain("\u{1f600}".chars()).collect();
        let printable: String = all.chars().filter(|character| *character >= ' ').collect();
        for text in ["", "a", "\\\"", &all, &printable] {
            let mut out = Vec::new();
            push_string(&mut out, text);
            assert_eq!(out, serde_json::to_vec(text).unwrap());
        }
    }

    #[test]
    fn the_first_byte_that_is_escaped_is_found_at_each_place_behind_each_other() {
        for before in 0..=u8::MAX {
            for byte in 0..=u8::MAX {
                for at in 0..2 * WORD {
                    let mut bytes = [b'x'; 2 * WORD + 3];
                    (bytes[at], bytes[at + 1]) = (before, byte);
                    let is_escaped = |byte: &u8| matches!(byte, ..b' ' | b'"' | b'\\');
                    let expected = bytes.iter().position(is_escaped).unwrap_or(bytes.len());
                    assert_eq!(plain_length(&bytes), expected, "{before} {byte} at {at}");
                }
            }
        }
    }
}
