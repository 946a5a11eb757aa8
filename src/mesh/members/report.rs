//! The report of a node about itself, and its form on the wire.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MOST_NODES;
use crate::clock::MAX_SAFE_INTEGER;
use crate::manager::StateHash;
use crate::mesh::upstream::PeerState;
use crate::source::Source;

/// How many peers a report lists.
pub const MOST_READS: usize = 64;

/// The longest address.
const MAX_ADDRESS_BYTES: usize = 512;

/// How many bytes a report, and a peer in it, take at most as text without names and addresses.
const REPORT_BYTES: usize = 512;
const READ_BYTES: usize = 256;

/// The report of a node about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its source.
    pub node: Source,
    /// Where it listens.
    pub address: String,
    /// How many transactions its history has.
    pub length: u64,
    /// How many of them are final. `None` if it knows no primary.
    pub committed: Option<u64>,
    /// Whether it is the primary.
    pub primary: bool,
    /// Its state hash, for comparison. `None` if it was not ready.
    pub hash: Option<StateHash>,
    /// How many pages and tools read it.
    pub viewers: u64,
    /// The peers that it reads: the first [`MOST_READS`].
    pub reads: Vec<ReportedPeer>,
}

/// A peer in a report: see `UpstreamStatus`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedPeer {
    /// The peer that is dialed.
    pub address: String,
    /// The source of the node that answered last. `None` if it has not named itself.
    pub node: Option<Source>,
    /// The state of the connection.
    pub state: PeerState,
    /// For how long it is in this state.
    pub since_ms: u64,
    /// How long ago it gave the last sign of life.
    pub heard_ms: Option<u64>,
    /// Whether it is told to send summaries only.
    pub lazy: bool,
    /// How many of its transactions are lacking. `None` if it does not say, or is down.
    pub behind: Option<u64>,
    /// How old its last transaction was when it came.
    pub delay_ms: Option<u64>,
    /// Whether it has the same document, as far as that is known.
    pub agrees: Option<bool>,
}

/// A report on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldReport {
    /// Later reports of a node have greater numbers.
    pub number: u64,
    /// Its age.
    pub told_ms: u64,
    /// The report.
    pub report: Arc<Report>,
}

/// The reports of one message. All of them are valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ToldReport>")]
pub struct Reports(Vec<ToldReport>);

impl Report {
    /// How many bytes its text has at most.
    pub fn most_bytes(&self) -> usize {
        // A quotation mark and a backslash take two bytes, and there are no control characters.
        let read = |ReportedPeer { address, node, .. }: &ReportedPeer| {
            READ_BYTES + 2 * (address.len() + node.as_ref().map_or(0, |node| node.as_str().len()))
        };
        let own = REPORT_BYTES + 2 * (self.address.len() + self.node.as_str().len());
        own + self.reads.iter().map(read).sum::<usize>()
    }

    /// Whether others accept it. They close the stream of a node that sends another one.
    ///
    /// # Errors
    /// If they do not; why, for a person.
    pub fn check(&self) -> Result<(), String> {
        let Self { node, address, length, committed, viewers, reads, .. } = self;
        let name = node.life_name().filter(|name| !name.contains(['~', '^']));
        if name.is_none() {
            return Err(format!("{node} is not the source of a node"));
        }
        if reads.len() > MOST_READS {
            return Err(format!(
                "{node} reads {} peers, and at most {MOST_READS} are told",
                reads.len()
            ));
        }
        check_address(address)?;
        let of_reads = reads
            .iter()
            .flat_map(|read| [Some(read.since_ms), read.heard_ms, read.behind, read.delay_ms]);
        let mut numbers =
            [Some(*length), *committed, Some(*viewers)].into_iter().chain(of_reads).flatten();
        check_number(numbers.find(|number| *number > MAX_SAFE_INTEGER))?;
        reads.iter().try_for_each(|read| check_address(&read.address))
    }
}

fn check_address(address: &str) -> Result<(), String> {
    if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
        return Err(format!(
            "an address has 1 to {MAX_ADDRESS_BYTES} bytes, and this one {}",
            address.len()
        ));
    }
    if address.contains(char::is_control) {
        return Err("an address has a control character".into());
    }
    Ok(())
}

fn check_number(greater: Option<u64>) -> Result<(), String> {
    greater.map_or(Ok(()), |number| Err(format!("{number} is greater than {MAX_SAFE_INTEGER}")))
}

/// An address as it is reported: if it is too long, it is cut and ends with `…`, and control characters are
/// replaced.
pub fn told_address(address: &str) -> String {
    let address = address.replace(char::is_control, "\u{fffd}");
    if address.len() <= MAX_ADDRESS_BYTES {
        return address;
    }
    let end = address.floor_char_boundary(MAX_ADDRESS_BYTES - '…'.len_utf8());
    format!("{}…", &address[..end])
}

/// A number as it is reported: others accept no greater one.
pub fn told_number(number: u64) -> u64 {
    number.min(MAX_SAFE_INTEGER)
}

impl ToldReport {
    /// Its age.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.told_ms)
    }
}

impl Reports {
    /// Reports to pass on.
    pub fn new(reports: Vec<ToldReport>) -> Self {
        Self(reports)
    }
}

impl IntoIterator for Reports {
    type Item = ToldReport;
    type IntoIter = std::vec::IntoIter<ToldReport>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl TryFrom<Vec<ToldReport>> for Reports {
    type Error = String;

    fn try_from(reports: Vec<ToldReport>) -> Result<Self, String> {
        if reports.len() > MOST_NODES {
            return Err(format!(
                "{} reports, and at most {MOST_NODES} are passed on",
                reports.len()
            ));
        }
        for ToldReport { number, told_ms, report } in &reports {
            check_number(
                [*number, *told_ms].into_iter().find(|number| *number > MAX_SAFE_INTEGER),
            )?;
            report.check()?;
        }
        Ok(Self(reports))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn valid() -> Value {
        let hash = "0f".repeat(16);
        json!([{"number": 17, "told_ms": 250, "report": {
            "node": "a\"\\~00000000",
            "address": "a:1",
            "length": 3,
            "committed": null,
            "primary": false,
            "hash": {"clock": hash, "state": hash},
            "viewers": 1,
            "reads": [{
                "address": "b:1",
                "node": "b~00000000",
                "state": "waiting",
                "since_ms": 12_000,
                "heard_ms": 900,
                "lazy": true,
                "behind": null,
                "delay_ms": null,
                "agrees": false,
            }],
        }}])
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let reports: Reports = serde_json::from_value(valid()).unwrap();
        assert_eq!(serde_json::to_value(&reports).unwrap(), valid());
        let [told] = &reports.0[..] else { panic!("{reports:?}") };
        let bytes = serde_json::to_string(told).unwrap().len();
        assert!((bytes..bytes + REPORT_BYTES).contains(&told.report.most_bytes()), "{bytes}");
        // From a later version.
        let mut later = valid();
        later[0]["report"]["color"] = json!("blue");
        assert_eq!(serde_json::from_value::<Reports>(later).unwrap(), reports);
    }

    #[test]
    fn no_report_is_longer_than_its_upper_bound() {
        let mut reports = valid();
        let report = &mut reports[0]["report"];
        let read = &mut report["reads"][0];
        for number in ["since_ms", "heard_ms", "behind", "delay_ms"] {
            read[number] = json!(MAX_SAFE_INTEGER);
        }
        (read["address"], read["node"]) = (json!("\"".repeat(512)), json!("\\".repeat(128)));
        read["state"] = json!("connecting");
        report["reads"] = vec![read.clone(); MOST_READS].into();
        for number in ["length", "committed", "viewers"] {
            report[number] = json!(MAX_SAFE_INTEGER);
        }
        let reports: Reports = serde_json::from_value(reports).unwrap();
        let text = serde_json::to_string(&reports).unwrap();
        assert!(text.len() <= reports.0[0].report.most_bytes(), "{}", text.len());
    }

    #[test]
    fn an_invalid_report_is_refused_with_a_reason() {
        let greater = json!(MAX_SAFE_INTEGER + 1);
        for (pointer, value, expected) in [
            ("/0/number", json!(-1), "invalid value"),
            ("/0/number", greater.clone(), "is greater than"),
            ("/0/told_ms", greater.clone(), "is greater than"),
            ("/0/report/node", json!("a"), "is not the source of a node"),
            ("/0/report/node", json!("a~b~00000000"), "is not the source of a node"),
            ("/0/report/node", json!("a~00000000^s"), "is not the source of a node"),
            ("/0/report/node", json!("a\n~00000000"), "no control characters"),
            ("/0/report/address", json!(""), "an address has 1 to"),
            ("/0/report/address", json!("x".repeat(513)), "an address has 1 to"),
            ("/0/report/address", json!("a\u{1b}"), "a control character"),
            ("/0/report/length", greater.clone(), "is greater than"),
            ("/0/report/hash/clock", json!("0f"), "32 hexadecimal digits"),
            (
                "/0/report/reads",
                vec![valid()[0]["report"]["reads"][0].clone(); 65].into(),
                "at most 64",
            ),
            ("/0/report/reads/0/address", json!("a\0"), "a control character"),
            ("/0/report/reads/0/state", json!("fine"), "unknown variant"),
            ("/0/report/reads/0/node", json!(""), "must not be empty"),
            ("/0/report/reads/0/behind", greater, "is greater than"),
            ("", vec![valid()[0].clone(); MOST_NODES + 1].into(), "at most 256"),
            ("", json!({}), "invalid type"),
        ] {
            let mut reports = valid();
            *reports.pointer_mut(pointer).unwrap() = value;
            let error = serde_json::from_value::<Reports>(reports).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }

    #[test]
    fn an_address_is_reported_as_others_accept_it() {
        for address in ["a:1", &"x".repeat(MAX_ADDRESS_BYTES)] {
            assert_eq!(told_address(address), *address);
        }
        let cut = told_address(&"ä".repeat(MAX_ADDRESS_BYTES));
        assert!(check_address(&cut).is_ok() && cut.ends_with("ä…"), "{cut}");
        assert_eq!(told_address("a\n:1"), "a\u{fffd}:1");
    }
}
