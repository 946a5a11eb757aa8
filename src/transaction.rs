//! A transaction and its one JSON encoding, which is the same on the wire and in the journal:
//!
//! ```json
//! {"Source":"filonenko~k3x9q2pd","Id":1,"Payload":"[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]","Time":1763888400123456}
//! ```
//!
//! More members follow if they are needed: `"By":["b~k3x9q2pd^s",17]`, the stamp, if it differs from the
//! name; `"Request":"..."`, a hash of the request that made the transaction, if its author named it; and
//! `"Commit":{...}` in a [`Commit`], which every transaction of a source of commits is, and no other.
//!
//! The writer keeps this order. The reader takes the members in any order and their names in any case (as
//! Go's encoding/json does), ignores members that it does not know, and takes a transaction without `Time`,
//! as plain nodes send it.

mod commit;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::clock::{MAX_SAFE_INTEGER, Time};
use crate::json_text::{push_number, push_string};
use crate::source::Source;

pub use commit::Commit;

/// The longest payload in bytes. A protocol limit: the same on every node.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// The longest encoding in bytes that is read: a payload of [`MAX_PAYLOAD_BYTES`] in which each byte
/// is written as a `\u` escape, and room for the other members.
pub const MAX_ENCODED_BYTES: usize = 6 * MAX_PAYLOAD_BYTES + (64 << 10);

/// The longest `Request` in bytes.
const MAX_REQUEST_BYTES: usize = 128;

/// The payload of every commit: a node that does not know commits applies it without effect.
const COMMIT_PAYLOAD: &str = "[]";

/// One JSON Patch, applied whole or not at all.
///
/// Its author gives it a *name*: `source` and `id`. It is *fresh* while it has no `time`. The node that
/// stamps it makes it *ordered*; the time then never changes. Nodes count it by its *stamp*: the name itself,
/// or `by` if a node stamped it for another author. To be counted, Ids must be given out in order, and the
/// Ids of an author whose transactions two nodes stamp are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who created it.
    pub source: Source,
    /// Its number among those of its source, below 2^53; they increase, with gaps.
    pub id: u64,
    /// The text of a JSON Patch (RFC 6902), at most [`MAX_PAYLOAD_BYTES`]. Any text is accepted: one that is
    /// not a JSON Patch does not apply.
    pub payload: Box<str>,
    /// Its place in the history, together with its stamp.
    pub time: Option<Time>,
    /// The stamp; none if it is the name.
    pub by: Option<Name>,
    /// A hash of the request that made it, which tells a repeated request from a different one; none if the
    /// author did not name the transaction.
    pub request: Option<Box<str>>,
    /// Which part of the history is final; none if the transaction is not a commit.
    pub commit: Option<Box<Commit>>,
}

impl Transaction {
    /// A transaction that no node has stamped yet.
    pub fn fresh(source: Source, id: u64, payload: impl Into<Box<str>>) -> Self {
        let payload = payload.into();
        Self { source, id, payload, time: None, by: None, request: None, commit: None }
    }

    /// The commit with this name.
    pub fn commit(name: Name, time: Time, commit: Commit) -> Self {
        let (time, commit) = (Some(time), Some(Box::new(commit)));
        Self { time, commit, ..Self::fresh(name.source, name.id, COMMIT_PAYLOAD) }
    }

    /// Its name.
    pub fn name(&self) -> Name {
        Name { source: self.source.clone(), id: self.id }
    }

    /// The source and the Id by which nodes count it.
    pub fn stamp(&self) -> (&Source, u64) {
        self.by.as_ref().map_or((&self.source, self.id), |by| (&by.source, by.id))
    }

    /// Its place in the history; none while it is fresh.
    pub fn place(&self) -> Option<Place> {
        let (source, id) = self.stamp();
        self.time.map(|time| Place { time, source: source.clone(), id })
    }

    /// The encoding, without a line end.
    pub fn encode(&self) -> String {
        let Self { source, id, payload, time, by, request, commit } = self;
        let by = by.as_ref().map(|by| (&by.source, by.id));
        let (request, commit) = (request.as_deref(), commit.as_deref());
        Encoding { source, id: *id, payload, time: *time, by, request, commit }.text()
    }

    /// Reads an encoding; white space around it, such as a line end, is allowed.
    ///
    /// # Errors
    /// If the text is not a transaction or passes a protocol limit: what and where, for a person.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(text).map_err(|error| DecodeError(error.to_string()))
    }
}

/// A source and one of its Ids. As JSON an array of the two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(Source, u64)", into = "(Source, u64)")]
pub struct Name {
    /// The source.
    pub source: Source,
    /// The Id.
    pub id: u64,
}

impl From<(Source, u64)> for Name {
    fn from((source, id): (Source, u64)) -> Self {
        Self { source, id }
    }
}

impl From<Name> for (Source, u64) {
    fn from(Name { source, id }: Name) -> Self {
        (source, id)
    }
}

/// The place of a transaction in the history: the order of `Time`, then of the stamp's source and Id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The transaction's time.
    pub time: Time,
    /// The source of the transaction's stamp.
    pub source: Source,
    /// The Id of the transaction's stamp.
    pub id: u64,
}

/// An ordered transaction, encoded once for the wire, the journal and every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where in the history the transaction belongs.
    pub place: Place,
    /// The transaction's name; none if it equals the stamp, which is in the place.
    pub named: Option<Box<Name>>,
    /// The transaction's encoding, without a line end.
    pub line: Arc<str>,
}

/// Why a text is not a transaction, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a transaction: {}", self.0)
    }
}

impl std::error::Error for DecodeError {}

impl Record {
    /// Encodes the transaction at `place` whose name is its stamp.
    pub fn new(place: Place, payload: &str) -> Self {
        Self::of(place, None, payload, None)
    }

    /// Encodes the transaction at `place`, with its name if that is not its stamp, and the hash of the
    /// request that made it.
    pub fn of(place: Place, named: Option<Name>, payload: &str, request: Option<&str>) -> Self {
        Self::encoded(place, named, payload, request, None)
    }

    /// Encodes the commit at `place`.
    pub fn commit(place: Place, commit: &Commit) -> Self {
        Self::encoded(place, None, COMMIT_PAYLOAD, None, Some(commit))
    }

    fn encoded(
        place: Place,
        named: Option<Name>,
        payload: &str,
        request: Option<&str>,
        commit: Option<&Commit>,
    ) -> Self {
        let (time, by) = (Some(place.time), by(&place, named.as_ref()));
        let (source, id) = name(&place, named.as_ref());
        let line = Encoding { source, id, payload, time, by, request, commit }.text().into();
        Self { place, named: named.map(Box::new), line }
    }

    /// The record whose line a journal has; none if the line has no `Time`.
    ///
    /// # Errors
    /// If the line is not an encoding.
    pub fn read(line: &str) -> Result<Option<Self>, DecodeError> {
        let transaction = Transaction::decode(line.as_bytes())?;
        let Some(place) = transaction.place() else { return Ok(None) };
        let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
        Ok(Some(Self { place, named, line: line.into() }))
    }

    /// Its name: the source and the Id that its author gave it.
    pub fn name(&self) -> (&Source, u64) {
        name(&self.place, self.named.as_deref())
    }

    /// Its stamp, if that is not its name.
    pub fn by(&self) -> Option<(&Source, u64)> {
        by(&self.place, self.named.as_deref())
    }

    /// Whether a journal with this line needs version 2: older programs would count the line wrongly.
    pub fn needs_version_2(&self) -> bool {
        // A Request comes with a By: an author that names a transaction does not stamp it.
        self.named.is_some() || self.place.source.epoch().is_some()
    }

    /// The transaction, read from the line.
    ///
    /// # Errors
    /// If the line is not an encoding.
    pub fn transaction(&self) -> Result<Transaction, DecodeError> {
        Transaction::decode(self.line.as_bytes())
    }

    /// The transaction's payload, cut out of the line, which takes a part of the time of reading all of it.
    ///
    /// # Errors
    /// If the line is not an encoding.
    pub fn payload(&self) -> Result<Box<str>, DecodeError> {
        // In a string there is a backslash before the quote, so this is a member.
        let (_, after) = self.line.split_once(PAYLOAD_BEGIN).unwrap_or_default();
        match plain_string(after) {
            Some(payload) => Ok(payload),
            None => self.transaction().map(|transaction| transaction.payload),
        }
    }
}

/// What is before the text of a payload.
const PAYLOAD_BEGIN: &str = ",\"Payload\":\"";

/// A JSON string up to its closing quote, if no character is escaped but quotes and backslashes.
fn plain_string(text: &str) -> Option<Box<str>> {
    let mut string = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
        string.push_str(&rest[..at]);
        if rest.as_bytes()[at] == b'"' {
            return Some(string.into());
        }
        let escaped =
            rest[at + 1..].chars().next().filter(|escaped| ['"', '\\'].contains(escaped))?;
        string.push(escaped);
        rest = &rest[at + 2..];
    }
}

/// The name of the transaction at `place`: its stamp, unless it is `named` otherwise.
pub fn name<'a>(place: &'a Place, named: Option<&'a Name>) -> (&'a Source, u64) {
    named.map_or((&place.source, place.id), |name| (&name.source, name.id))
}

/// The stamp of the transaction at `place`, if that is not its name: the member `By`.
pub fn by<'a>(place: &'a Place, named: Option<&Name>) -> Option<(&'a Source, u64)> {
    named.map(|_| (&place.source, place.id))
}

/// The members of an encoding, in their order.
struct Encoding<'a> {
    source: &'a Source,
    id: u64,
    payload: &'a str,
    time: Option<Time>,
    by: Option<(&'a Source, u64)>,
    request: Option<&'a str>,
    commit: Option<&'a Commit>,
}

impl Encoding<'_> {
    /// Written by hand, since this is done for every transaction: a payload has many quotes, and a serializer
    /// that writes the text between two quotes at a time takes three times as long.
    fn text(&self) -> String {
        let Self { source, id, payload, time, by, request, commit } = self;
        let mut out = Vec::with_capacity(source.as_str().len() + payload.len() * 3 / 2 + 96);
        out.extend_from_slice(b"{\"Source\":");
        push_string(&mut out, source.as_str());
        out.extend_from_slice(b",\"Id\":");
        push_number(&mut out, *id);
        out.extend_from_slice(b",\"Payload\":");
        push_string(&mut out, payload);
        if let Some(time) = time {
            out.extend_from_slice(b",\"Time\":");
            push_number(&mut out, time.as_micros());
        }
        if let Some((source, id)) = by {
            out.extend_from_slice(b",\"By\":[");
            push_string(&mut out, source.as_str());
            out.push(b',');
            push_number(&mut out, *id);
            out.push(b']');
        }
        if let Some(request) = request {
            out.extend_from_slice(b",\"Request\":");
            push_string(&mut out, request);
        }
        if let Some(commit) = commit {
            out.extend_from_slice(b",\"Commit\":");
            serde_json::to_writer(&mut out, commit).expect("a commit always has a JSON text");
        }
        out.push(b'}');
        String::from_utf8(out).expect("strings are copied, and escapes are ASCII")
    }
}

/// A member's name, borrowed from the text if it has no escapes.
#[derive(Deserialize)]
struct MemberName<'a>(#[serde(borrow)] Cow<'a, str>);

impl MemberName<'_> {
    /// Names are read in any case.
    fn is(&self, known: &str) -> bool {
        self.0.eq_ignore_ascii_case(known)
    }
}

impl<'de> Deserialize<'de> for Transaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TransactionVisitor)
    }
}

struct TransactionVisitor;

impl<'de> Visitor<'de> for TransactionVisitor {
    type Value = Transaction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members Source, Id and Payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Transaction, A::Error> {
        let (mut source, mut id, mut payload, mut time) = (None, None, None, None);
        let (mut by, mut request): (Option<Name>, Option<Box<str>>) = (None, None);
        let mut commit: Option<Box<Commit>> = None;
        while let Some(name) = members.next_key::<MemberName>()? {
            match name {
                _ if name.is("Source") => source = Some(members.next_value::<Source>()?),
                _ if name.is("Id") => id = Some(members.next_value::<u64>()?),
                _ if name.is("Payload") => payload = Some(members.next_value::<Box<str>>()?),
                _ if name.is("Time") => time = members.next_value::<Option<u64>>()?,
                _ if name.is("By") => by = members.next_value()?,
                _ if name.is("Request") => request = members.next_value()?,
                _ if name.is("Commit") => commit = members.next_value()?,
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        let id = id.ok_or_else(|| A::Error::missing_field("Id"))?;
        for id in by.iter().map(|by| by.id).chain([id]) {
            if id > MAX_SAFE_INTEGER {
                return Err(A::Error::custom(format_args!(
                    "an Id is below 2^53, this one is {id}"
                )));
            }
        }
        if let Some(bytes) = request.as_ref().map(|request| request.len())
            && bytes > MAX_REQUEST_BYTES
        {
            return Err(A::Error::custom(format_args!(
                "a Request has at most {MAX_REQUEST_BYTES} bytes, this one has {bytes}"
            )));
        }
        let payload: Box<str> = payload.ok_or_else(|| A::Error::missing_field("Payload"))?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(A::Error::custom(format_args!(
                "a Payload has at most {MAX_PAYLOAD_BYTES} bytes, this one has {}",
                payload.len()
            )));
        }
        let time = time
            .map(|micros| {
                Time::from_micros(micros).ok_or_else(|| {
                    A::Error::custom(format_args!("a Time is below 2^53, this one is {micros}"))
                })
            })
            .transpose()?;
        let source = source.ok_or_else(|| A::Error::missing_field("Source"))?;
        if by.is_some() && time.is_none() {
            return Err(A::Error::custom("a transaction with By has a Time"));
        }
        // A stamp that equals the name is left out.
        let by = by.filter(|by| (&by.source, by.id) != (&source, id));
        let transaction = Transaction { source, id, payload, time, by, request, commit };
        check_commit(&transaction).map_err(A::Error::custom)?;
        Ok(transaction)
    }
}

/// Checks that the transaction is a commit if and only if its stamp is of a source of commits, and that all
/// readers understand the commit alike. A fresh one of such a source passes: no node stamps it.
fn check_commit(transaction: &Transaction) -> Result<(), String> {
    let Transaction { payload, time, by, commit, .. } = transaction;
    let epoch = transaction.stamp().0.epoch().map(|epoch| epoch.number);
    match (epoch, commit) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("a Commit is only in a source of commits".into()),
        (Some(_), None) if time.is_none() => Ok(()),
        (Some(_), None) => Err("a source of commits has only transactions with a Commit".into()),
        (Some(_), Some(_)) if time.is_none() => {
            Err("a transaction with a Commit has a Time".into())
        }
        (Some(_), Some(_)) if by.is_some() => Err("a transaction with a Commit has no By".into()),
        (Some(_), Some(_)) if **payload != *COMMIT_PAYLOAD => {
            Err(format!("the Payload of a commit is {COMMIT_PAYLOAD:?}"))
        }
        (Some(epoch), Some(commit)) if commit.epoch != epoch => {
            Err(format!("a Commit of epoch {} in a source of epoch {epoch}", commit.epoch))
        }
        // What can still be written must not be final: a later stamp is later than the commit.
        (Some(_), Some(commit)) if Some(commit.until) > *time => {
            Err("the Until of a Commit is after its Time".into())
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(time: Option<u64>) -> Transaction {
        Transaction {
            source: "a~1".parse().unwrap(),
            id: 7,
            payload: r#"[{"op":"remove","path":"/ä\n"}]"#.into(),
            time: time.map(|micros| Time::from_micros(micros).unwrap()),
            by: None,
            request: None,
            commit: None,
        }
    }

    #[test]
    fn the_encoding_reads_back_as_the_same_transaction() {
        for time in [None, Some(0), Some(1_763_888_400_123_456), Some(MAX_SAFE_INTEGER)] {
            let transaction = transaction(time);
            assert_eq!(Transaction::decode(transaction.encode().as_bytes()), Ok(transaction));
        }
        assert_eq!(
            transaction(Some(5)).encode(),
            r#"{"Source":"a~1","Id":7,"Payload":"[{\"op\":\"remove\",\"path\":\"/ä\\n\"}]","Time":5}"#
        );
    }

    #[test]
    fn transactions_of_plain_nodes_are_read() {
        let expected = Transaction { payload: "[]".into(), ..transaction(None) };
        for text in [
            "{\"Payload\":\"[]\",\"Id\":7,\"Source\":\"a~1\"}\n",
            r#"{"payload":"[]","ID":7,"sOURCE":"a~1","Time":null}"#,
            r#" {"Source":"a~1","Id":7,"Extra":{"deep":[1,{}]},"Payload":"\u005b\u005d"} "#,
        ] {
            assert_eq!(Transaction::decode(text.as_bytes()), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn a_commit_is_written_as_it_is_read() {
        let text = r#"{"Source":"main~k3x9q2pd^2","Id":7,"Payload":"[]","Time":9,"Commit":{"Epoch":2,"After":{"Source":"main~00000000^1","Id":3},"Until":5,"Clock":{"a~k3x9q2pd":17},"Horizon":2592000,"Hash":"0123456789abcdef0123456789abcdef"}}"#;
        let decoded = Transaction::decode(text.as_bytes()).unwrap();
        assert_eq!(decoded.encode(), text);
        let record = Record::read(text).unwrap().unwrap();
        assert!(record.needs_version_2());
        let commit = decoded.commit.clone().unwrap();
        assert_eq!(Record::commit(record.place.clone(), &commit), record);
        assert_eq!(Transaction::commit(decoded.name(), decoded.time.unwrap(), *commit), decoded);
        let other_case = text.replace("Commit", "commit").replace("After", "aFTER");
        let other_case = other_case.replace("Until", "uNTIL").replace("Hash", "HASH");
        assert_eq!(Transaction::decode(other_case.as_bytes()), Ok(decoded));
        let first = r#"{"Source":"main~k3x9q2pd^1","Id":1,"Payload":"[]","Time":9,"Commit":{"Epoch":1,"After":null,"Until":5,"Clock":{},"Horizon":1}}"#;
        assert_eq!(Transaction::decode(first.as_bytes()).unwrap().encode(), first);
    }

    #[test]
    fn what_is_not_a_commit_says_why() {
        let commit = r#"{"Epoch":2,"Until":5,"Clock":{"a~1":1},"Horizon":1}"#;
        let decode = |members: &str, commit: &str| {
            let text = format!(r#"{{{members},"Commit":{commit}}}"#);
            Transaction::decode(text.as_bytes())
        };
        let right = r#""Source":"a~00000000^2","Id":1,"Payload":"[]","Time":9"#;
        assert!(decode(right, commit).is_ok());
        // What is put in the place of what, and what the error says.
        let table = [
            (r#""[]","#, r#""[ ]","#, "Payload of a commit"),
            ("^2", "^3", "epoch 2 in a source of epoch 3"),
            ("^2", "", "only in a source of commits"),
            ("^2", "^s", "only in a source of commits"),
            (r#","Time":9"#, "", "has a Time"),
            (r#""Source":"a~00000000^2""#, r#""Source":"a","By":["b~00000000^2",1]"#, "no By"),
            ("Epoch\":2", "Epoch\":0", "from 1 to 999999"),
            ("Epoch\":2", "E\":2", "missing field `Epoch`"),
            ("Epoch\":2", "Epoch\":2.0", "expected u64"),
            ("Until\":5", "Until\":9007199254740992", "below 2^53"),
            ("Until\":5", "U\":5", "missing field `Until`"),
            (r#"{"a~1":1}"#, "[]", "an object of Ids"),
            (r#"{"a~1":1}"#, r#"{"a~1":0}"#, "from 1 to 2^53"),
            (r#"{"a~1":1}"#, r#"{"a~1":9007199254740993}"#, "from 1 to 2^53"),
            (r#"{"a~1":1}"#, r#"{"":1}"#, "must not be empty"),
            (r#"{"a~1":1}"#, r#"{"a~1":1,"a~1":2}"#, "twice in a Clock"),
            ("Clock\"", "C\"", "missing field `Clock`"),
            ("Horizon\":1", "Horizon\":0", "from 1 to 2^53 - 1 seconds"),
            ("Horizon\":1", "H\":1", "missing field `Horizon`"),
            ("}}", r#","Hash":"0123456789ABCDEF0123456789ABCDEF"}}"#, "32 digits"),
            ("}}", r#","Hash":"0"}}"#, "32 digits"),
            ("Until\":5", "Until\":10", "Until of a Commit is after its Time"),
            ("}}", r#","After":["a~00000000^1",1]}}"#, "null or an object"),
            ("}}", r#","After":{"Source":"a~1","Id":1}}}"#, "names a commit"),
            ("}}", r#","After":{"Source":"a~00000000^1"}}}"#, "missing field `Id`"),
            ("}}", r#","After":{"Source":"a~00000000^2","Id":1}}}"#, "of a lesser one"),
        ];
        for (from, to, why) in table {
            let text = format!(r#"{{{right},"Commit":{commit}}}"#).replacen(from, to, 1);
            let error = Transaction::decode(text.as_bytes()).expect_err(&text).to_string();
            assert!(error.contains(why), "{error:?} does not say {why:?}");
        }
        assert!(decode(right, "null").unwrap_err().to_string().contains("only transactions with"));
    }

    #[test]
    fn a_payload_is_cut_out_of_a_line_as_it_is_read() {
        let payloads = [
            "",
            "[]",
            r#"[{"path":"/\\\"a"}]"#,
            r#"\"\\"\"#,
            "ä\"ö",
            "\n\u{1}\"",
            r#","Payload":"x""#,
        ];
        let place = Place { time: Time::MAX, source: r#","Payload":"s"#.parse().unwrap(), id: 1 };
        let name = Name { source: "n\\".parse().unwrap(), id: 2 };
        for payload in payloads {
            for named in [None, Some(name.clone())] {
                let record = Record::of(place.clone(), named, payload, Some("\"Payload\":"));
                assert_eq!(&*record.payload().unwrap(), payload, "{}", record.line);
            }
        }
        let other = r#"{"Time":1, "Payload" : "[\u005d", "Id":1, "Source":"a"}"#;
        assert_eq!(&*Record::read(other).unwrap().unwrap().payload().unwrap(), "[]");
    }

    #[test]
    fn what_is_not_a_transaction_says_why() {
        let long =
            format!(r#"{{"Source":"a","Id":1,"Payload":"{}"}}"#, "x".repeat(MAX_PAYLOAD_BYTES + 1));
        let table: [(&str, &str); 14] = [
            ("", "EOF"),
            ("[]", "expected an object"),
            ("{}", "missing field `Id`"),
            (r#"{"Source":"a","Id":1}"#, "missing field `Payload`"),
            (r#"{"Id":1,"Payload":"[]"}"#, "missing field `Source`"),
            (r#"{"Source":"","Id":1,"Payload":"[]"}"#, "must not be empty"),
            (r#"{"Source":"a\u0000","Id":1,"Payload":"[]"}"#, "control"),
            (r#"{"Source":"a","Id":-1,"Payload":"[]"}"#, "expected u64"),
            (r#"{"Source":"a","Id":1.5,"Payload":"[]"}"#, "expected u64"),
            (r#"{"Source":"a","Id":9007199254740992,"Payload":"[]"}"#, "below 2^53"),
            (r#"{"Source":"a","Id":1,"Payload":[]}"#, "expected a string"),
            (r#"{"Source":"a","Id":1,"Payload":"[]","Time":9007199254740992}"#, "below 2^53"),
            (r#"{"Source":"a","Id":1,"Payload":"[]"} x"#, "trailing"),
            (&long, "at most 1048576 bytes"),
        ];
        for (text, why) in table {
            let error = Transaction::decode(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error:?} does not say {why:?}");
        }
        assert!(Transaction::decode(b"{\"Source\":\"\xff\",\"Id\":1,\"Payload\":\"[]\"}").is_err());
    }
}
