//! The paths that a source file names, in `use` lines and in between: `crate::manager::Handle`,
//! `super::super::replica::Replica`, `std::{fs, io::Read}`.

use std::iter::Peekable;
use std::str::Chars;

/// A path in full, without `super` and braces, and the line it is in.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub path: String,
}

/// The paths that are named in `source`, which is the file of the module `module` of the crate, such as
/// `["manager", "at"]`. What is only built for tests is left out.
pub fn named(source: &str, module: &[&str]) -> Vec<Named> {
    let tokens = without_tests(tokens(source));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let behind = |count: usize| at.checked_sub(count).map(|at| &tokens[at]);
        let is_inside = behind(1).is_some_and(|token| token.text == "::")
            && behind(2).is_some_and(|token| token.is_name() || token.text == ">");
        let begins = tokens[at].is_name() && !is_inside;
        if begins { read_path(&tokens, &mut at, &[], module, &mut found) } else { at += 1 }
    }
    found
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Reads one path from `at` on, behind `before`; what stands in braces is several.
fn read_path(
    tokens: &[Token],
    at: &mut usize,
    before: &[String],
    module: &[&str],
    found: &mut Vec<Named>,
) {
    let mut segments = before.to_vec();
    let line = tokens[*at].line;
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token| token.text.as_str());
    loop {
        if text(*at) == "{" {
            *at += 1;
            while *at < tokens.len() && text(*at) != "}" {
                match text(*at) {
                    // What it is called here does not matter.
                    "as" => *at += 2,
                    "*" | "{" => read_path(tokens, at, &segments, module, found),
                    _ if tokens[*at].is_name() => read_path(tokens, at, &segments, module, found),
                    _ => *at += 1,
                }
            }
            *at += 1;
            return;
        }
        segments.push(text(*at).to_owned());
        *at += 1;
        let goes_on = text(*at) == "::"
            && tokens
                .get(*at + 1)
                .is_some_and(|next| next.is_name() || ["*", "{"].contains(&&*next.text));
        if !goes_on {
            break;
        }
        *at += 1;
    }
    let mut path = in_full(&segments, module);
    // Not in `pub(crate)`: the root by another name, through which all can be reached.
    if path == "crate" && text(*at) != ")" {
        path.push_str("::*");
    }
    found.push(Named { line, path });
}

/// A path from the crate's root on, if it leads there; else as it is.
fn in_full(segments: &[String], module: &[&str]) -> String {
    let mut full = match segments[0].as_str() {
        "super" | "self" => {
            ["crate"].iter().chain(module).map(|segment| (*segment).to_owned()).collect()
        }
        _ => Vec::new(),
    };
    for segment in segments {
        match segment.as_str() {
            "super" => drop(full.pop()),
            "self" => {}
            _ => full.push(segment.clone()),
        }
    }
    full.join("::")
}

/// Leaves out the items behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let window = tokens[at..].iter().take(MARK.len()).map(|token| token.text.as_str());
        if !window.eq(MARK) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let mut depth = 0;
        while at < tokens.len() {
            let text = tokens[at].text.as_str();
            at += 1;
            match text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (text == ";" || text == "}") {
                break;
            }
        }
    }
    kept
}

/// Names, `::` and single characters; no comments, white space and literals.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source.chars().peekable();
    while let Some(first) = rest.next() {
        let mut push = |text: String| tokens.push(Token { line, text });
        match first {
            '\n' => line += 1,
            '/' if rest.peek() == Some(&'/') => {
                while rest.peek().is_some_and(|next| *next != '\n') {
                    rest.next();
                }
            }
            '/' if rest.peek() == Some(&'*') => line += skip_until(&mut rest, "*/", false),
            '"' => line += skip_until(&mut rest, "\"", true),
            '\'' => skip_character(&mut rest),
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                push("::".to_owned());
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let mut name = first.to_string();
                while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    name.push(next);
                }
                let is_raw =
                    matches!(name.as_str(), "r" | "br") && matches!(rest.peek(), Some('"' | '#'));
                if is_raw {
                    let mut end = "\"".to_owned();
                    while rest.next_if_eq(&'#').is_some() {
                        end.push('#');
                    }
                    rest.next();
                    line += skip_until(&mut rest, &end, false);
                } else {
                    push(name);
                }
            }
            _ if first.is_whitespace() => {}
            _ => push(first.to_string()),
        }
    }
    tokens
}

/// Goes behind the next `end`, and counts the lines until there.
fn skip_until(rest: &mut Peekable<Chars>, end: &str, escapes: bool) -> usize {
    let mut lines = 0;
    let mut seen = String::new();
    while let Some(next) = rest.next() {
        lines += usize::from(next == '\n');
        if escapes && next == '\\' {
            lines += usize::from(rest.next() == Some('\n'));
            seen.clear();
            continue;
        }
        seen.push(next);
        if seen.ends_with(end) {
            break;
        }
    }
    lines
}

/// Goes behind a character's literal, if it is one and no lifetime.
fn skip_character(rest: &mut Peekable<Chars>) {
    let mut ahead = rest.clone();
    let first = ahead.next();
    if first == Some('\\') {
        rest.nth(1);
        while rest.next().is_some_and(|next| next != '\'') {}
    } else if ahead.next() == Some('\'') {
        rest.nth(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        named(source, &["manager", "at"]).into_iter().map(|named| named.path).collect()
    }

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found = paths(source);
        let found: Vec<_> = found.iter().filter(|path| path.contains("::")).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn paths_are_found_wherever_they_are() {
        check("use crate::journal::Journal;", &["crate::journal::Journal"]);
        check("fn f(x: &crate::replica::Replica) {}", &["crate::replica::Replica"]);
        check("let x = super::super::replica::new();", &["crate::replica::new"]);
        check(
            "use super::super::{replica, journal::Journal};",
            &["crate::replica", "crate::journal::Journal"],
        );
        check("use super::Handle;", &["crate::manager::Handle"]);
        check("use self::super::Handle;", &["crate::manager::Handle"]);
        check("self::inner::f()", &["crate::manager::at::inner::f"]);
        check("pub(crate) use crate::a as b;", &["crate::a"]);
        check(
            "use crate::{a, b::{self, c as d, *}};",
            &["crate::a", "crate::b", "crate::b::c", "crate::b::*"],
        );
        check("use crate::{\n    a::\n    B,\n};", &["crate::a::B"]);
        check("use std::{fs, io::Read};", &["std::fs", "std::io::Read"]);
        check("let x = smol::unblock::<T>(|| 1);", &["smol::unblock"]);
        check("::smol::spawn(<T as a::B>::c::d())", &["smol::spawn", "a::B"]);
        check("log::warn!(\"{}\", crate::node::x());", &["log::warn", "crate::node::x"]);
        check("use super::super as root;", &["crate::*"]);
        check("use crate as root; pub(crate) fn f() {}", &["crate::*"]);
        check("match x { A::B => { crate::a::b() } }", &["A::B", "crate::a::b"]);
    }

    #[test]
    fn what_is_no_code_or_for_tests_only_is_left_out() {
        check("// crate::a::b\n/* crate::a */ /// [`crate::a`]\n", &[]);
        check(
            r##"let x = "crate::a \" crate::b"; let y = r#"crate::c " "#; 'x'; '"'; '\''; a::b"##,
            &["a::b"],
        );
        check("fn f<'a>(x: &'a a::B<'a>) {}", &["a::B"]);
        check("#[cfg(test)]\nmod tests { use crate::a::B; fn f() { {} } }\na::b();", &["a::b"]);
        check("#[cfg(test)]\npub(crate) mod tests;\nuse crate::a::B;", &["crate::a::B"]);
        check("#[cfg(test)]\n#[allow(x)]\nuse crate::a::B;\nuse crate::c::D;", &["crate::c::D"]);
    }

    #[test]
    fn a_path_is_found_with_its_line() {
        let named = named("\"\n\\\n\"\n/*\n*/ use crate::{\n a::b};", &["x"]);
        let found = named.iter().find(|named| named.path == "crate::a::b").unwrap();
        assert_eq!(found.line, 6);
    }
}
