//! The debug page, the JavaScript client and the description of the interface. They are part of the binary.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::http::Response;

const PAGE: &str = include_str!("../../index.html");
const CLIENT: &str = include_str!("../../client.js");

const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

static CLIENT_TAG: LazyLock<String> = LazyLock::new(|| tag(CLIENT));
static DESCRIPTION_TAG: LazyLock<String> = LazyLock::new(|| tag(DESCRIPTION));

/// Allows the page's own script and style by their hashes, the client, and requests to this node; nothing else.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}' 'self'; style-src '{}'; connect-src 'self' ws: wss:; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_hash("<script type=\"module\">", "</script>"),
        source_hash("<style>", "</style>")
    )
});

/// The debug page.
pub fn response() -> Response {
    Response::new(200)
        .with_body("text/html; charset=utf-8", PAGE)
        .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY.as_str())
        .with_header("Referrer-Policy", "no-referrer")
        .with_header("Cache-Control", "no-cache")
}

/// The JavaScript client: a module that pages import.
pub fn client() -> Response {
    tagged("text/javascript; charset=utf-8", CLIENT, &CLIENT_TAG)
}

/// The description of the interface (OpenAPI).
pub fn description() -> Response {
    tagged("application/json", DESCRIPTION, &DESCRIPTION_TAG)
}

fn tagged(content_type: &'static str, text: &'static str, tag: &'static str) -> Response {
    Response::new(200)
        .with_body(content_type, text)
        .with_header("ETag", tag)
        .with_header("Cache-Control", "no-cache")
}

/// A text's entity tag: a hash of it.
fn tag(text: &str) -> String {
    format!("\"{}\"", base64(&Sha256::digest(text)[..15]))
}

/// The hash of the page's one element between these tags, as a policy names it (CSP Level 3, section 2.3.1).
fn source_hash(begin: &str, end: &str) -> String {
    let content = PAGE.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    let (content, _) = content.expect("the page has one script and one style");
    format!("sha256-{}", base64(&Sha256::digest(content)))
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_page_is_one_file_with_one_script_and_one_style() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
        }
        assert!(!PAGE.contains("style=\""), "the policy lets no style attribute pass");
        assert!(PAGE.len() < 100_000, "the page has {} bytes", PAGE.len());
        let response = response();
        let policy = response.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"));
    }
}
