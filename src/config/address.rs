//! Addresses: `host:port`, alone or in a URL.

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::{UsageError, usage};
use crate::source::MAX_NAME_BYTES;

/// A node to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Where it listens: `host:port`.
    pub address: String,
    /// The path of its replication stream, `/ws` unless given.
    pub path: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls {
            f.write_str("wss://")?;
        }
        f.write_str(&self.address)?;
        if self.path == "/ws" { Ok(()) } else { f.write_str(&self.path) }
    }
}

impl FromStr for Peer {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        parse_peer(text)
    }
}

/// The host and the port of an address that was checked. An IPv6 host is without its brackets.
pub fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (bare, port.parse().expect("its port is a number"))
}

/// A checked address in the form of a Host header and a URL: without a zone, which has a meaning on one machine
/// only (RFC 9844).
pub fn authority(address: &str) -> String {
    match (address.find('%'), address.find(']')) {
        (Some(zone), Some(end)) => format!("{}{}", &address[..zone], &address[end..]),
        _ => address.to_owned(),
    }
}

/// The address in the URL of a node, and whether the node speaks TLS; none if the value is no URL of a node.
pub fn node_url(value: &OsStr) -> Result<Option<(String, bool)>, UsageError> {
    let Some((scheme, rest)) = value.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(None);
    };
    let (is_tls, path) = match scheme {
        "http" => (false, "/"),
        "https" => (true, "/"),
        "ws" => (false, "/ws"),
        "wss" => (true, "/ws"),
        _ => return Ok(None),
    };
    if is_tls {
        need_tls(&format!("{value:?}"))?;
    }
    let address = rest.strip_suffix(path).or(rest.strip_suffix('/')).unwrap_or(rest);
    if address.contains('/') {
        return Err(usage(format!(
            "{value:?}: the URL of a node is {scheme}://host:port, without a path"
        )));
    }
    Ok(Some((check_address(&of_url(address))?.to_owned(), is_tls)))
}

/// Refuses `what` if this program cannot speak TLS.
pub fn need_tls(what: &str) -> Result<(), UsageError> {
    if cfg!(feature = "tls") {
        return Ok(());
    }
    Err(usage(format!("{what}: this build has no TLS; build with --features tls")))
}

/// An address from a URL, in which the % before a zone may be percent-encoded.
fn of_url(address: &str) -> String {
    address.replacen("%25", "%", 1)
}

/// Checks that `text` is `host:port`, with an IPv6 host in brackets.
pub fn check_address(text: &str) -> Result<&str, UsageError> {
    let wrong = |why: &str| usage(format!("{text:?} is not an address: {why}"));
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| wrong("it has no port, as in 127.0.0.1:8080"))?;
    port.parse::<u16>().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed {
        _ if text.len() > MAX_NAME_BYTES => Err(wrong("it is too long")),
        Some(inner) => {
            let (ip, zone) = match inner.split_once('%') {
                Some((ip, zone)) => (ip, Some(zone)),
                None => (inner, None),
            };
            let is_zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            let is_zone = |zone: &str| !zone.is_empty() && zone.bytes().all(is_zone_byte);
            match (ip.parse::<Ipv6Addr>(), zone) {
                (Err(_), _) => Err(wrong("what stands in brackets is not an IPv6 address")),
                (Ok(_), Some(zone)) if !is_zone(zone) => {
                    Err(wrong("what stands behind % names no zone, as in [fe80::1%eth0]:80"))
                }
                (Ok(ip), None) if ip.is_unicast_link_local() => Err(wrong(
                    "an address of one link only needs its interface, as in [fe80::1%eth0]:80",
                )),
                _ => Ok(text),
            }
        }
        None if host.is_empty() => Err(wrong("it has no host; 0.0.0.0 listens on all")),
        None if host.contains(':') => Err(wrong("an IPv6 host stands in brackets, as in [::1]:80")),
        None if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
            Ok(text)
        }
        None => Err(wrong("the host has a character that no host name has")),
    }
}

/// Reads a peer as the command line names it.
pub fn parse_peer(text: &str) -> Result<Peer, UsageError> {
    let (rest, is_tls) = match text.split_once("://") {
        None => (text, false),
        Some(("ws", rest)) => (rest, false),
        Some(("wss", rest)) => {
            need_tls(&format!("{text:?}"))?;
            (rest, true)
        }
        Some((scheme, _)) => {
            return Err(usage(format!(
                "{text:?}: a peer is host:port, ws:// or wss://, not {scheme}://"
            )));
        }
    };
    let (address, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if path.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#".contains(&byte)) {
        return Err(usage(format!("{text:?}: a peer's path has no query and no white space")));
    }
    let path = if path == "/" { "/ws" } else { path };
    let address = if rest.len() < text.len() { of_url(address) } else { address.to_owned() };
    Ok(Peer { address: check_address(&address)?.to_owned(), path: path.to_owned(), is_tls })
}

/// Reads an origin of web pages, and returns it as browsers write it.
pub fn check_origin(text: &str) -> Result<String, UsageError> {
    let wrong = |why: &str| {
        usage(format!(
            "{text:?} is no origin as https://app.example or http://localhost:3000: {why}"
        ))
    };
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(is_scheme_byte)
    {
        return Err(wrong("its scheme is none"));
    }
    if let Some(at) = rest.find(['/', '?', '#', '@']) {
        return Err(wrong(&format!("it has a {:?}", &rest[at..=at])));
    }
    let has_port = rest.rfind(':') > rest.rfind(']') && rest.contains(':');
    let default_port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    // A host alone is checked with some port.
    let address = if has_port { rest.to_owned() } else { format!("{rest}:0") };
    check_address(&address).map_err(|error| wrong(&error.to_string()))?;
    match rest.rsplit_once(':') {
        Some((host, port)) if has_port && port == default_port => Ok(format!("{scheme}://{host}")),
        _ => Ok(lower),
    }
}
