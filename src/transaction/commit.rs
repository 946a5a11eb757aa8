//! What a commit says, as JSON the member `Commit`:
//!
//! ```json
//! {"Epoch":1,"After":null,"Until":1763888400123456,"Clock":{"a~k3x9q2pd":17},"Horizon":2592000,"Hash":"..."}
//! ```
//!
//! `AfterName` is null or `{"Source":...,"Id":...}`; `Hash` is left out if there is none. The reader takes
//! the names in any case and ignores members that it does not know. The members that it knows must be right:
//! a commit decides for all nodes what is final, so a text that two readers could understand differently is
//! not a commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{MemberName, Name};
use crate::clock::{MAX_SAFE_INTEGER, Time};
use crate::source::{MAX_EPOCH, Source};

/// How many hexadecimal digits a hash has.
const HASH_DIGITS: usize = 32;

/// Says which part of the history is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Commit {
    /// The epoch, from 1 to [`MAX_EPOCH`]: it decides which of several chains of commits counts.
    pub epoch: u64,
    /// The last commit that the primary knew, of a lesser epoch, when it began this one.
    #[serde(serialize_with = "serialize_after")]
    pub after: Option<Name>,
    /// The greatest time in the primary's journal two seconds before, or the least time of what this commit
    /// leaves out, if that is less: a transaction that reaches the primary in time never becomes void.
    pub until: Time,
    /// For sources that stamp, the Id up to which (exclusive) they are covered.
    pub clock: BTreeMap<Source, u64>,
    /// How long before `until` the floor is, in seconds, at least 1.
    pub horizon: u64,
    /// The hash of the document at the commit: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Box<str>>,
}

impl Commit {
    /// The horizon in microseconds.
    pub fn horizon_micros(&self) -> u64 {
        self.horizon.saturating_mul(1_000_000)
    }

    /// The time one horizon before `until`, but not less than [`Time::default`].
    pub fn floor(&self) -> Time {
        self.until.minus_micros(self.horizon_micros())
    }
}

fn serialize_after<S: Serializer>(after: &Option<Name>, serializer: S) -> Result<S::Ok, S::Error> {
    let after = after.as_ref().map(|Name { source, id }| AfterMembers { source, id: *id });
    after.serialize(serializer)
}

/// A name as an object: elsewhere it is an array.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AfterMembers<'a> {
    source: &'a Source,
    id: u64,
}

impl<'de> Deserialize<'de> for Commit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CommitVisitor)
    }
}

struct CommitVisitor;

impl<'de> Visitor<'de> for CommitVisitor {
    type Value = Commit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members Epoch, Until, Clock and Horizon")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Commit, A::Error> {
        let (mut epoch, mut until, mut clock, mut horizon) = (None, None, None, None);
        let (mut after, mut hash): (Option<AfterName>, Option<Box<str>>) = (None, None);
        while let Some(name) = members.next_key::<MemberName>()? {
            match name {
                _ if name.is("Epoch") => epoch = Some(members.next_value::<u64>()?),
                _ if name.is("After") => after = members.next_value()?,
                _ if name.is("Until") => until = Some(members.next_value::<u64>()?),
                _ if name.is("Clock") => clock = Some(members.next_value::<CoveredIds>()?.0),
                _ if name.is("Horizon") => horizon = Some(members.next_value::<u64>()?),
                _ if name.is("Hash") => hash = members.next_value()?,
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        let epoch = epoch.ok_or_else(|| A::Error::missing_field("Epoch"))?;
        let after = after.map(|AfterName(name)| name);
        let before = after.as_ref().and_then(|after| after.source.epoch());
        let until = until.ok_or_else(|| A::Error::missing_field("Until"))?;
        let clock = clock.ok_or_else(|| A::Error::missing_field("Clock"))?;
        let horizon = horizon.ok_or_else(|| A::Error::missing_field("Horizon"))?;
        check((1..=MAX_EPOCH).contains(&epoch), || {
            format!("an Epoch is from 1 to {MAX_EPOCH}, this one is {epoch}")
        })?;
        check(before.is_none_or(|before| before.number < epoch), || {
            format!("the After of epoch {epoch} is of a lesser one")
        })?;
        check((1..=MAX_SAFE_INTEGER).contains(&horizon), || {
            format!("a Horizon is from 1 to 2^53 - 1 seconds, this one is {horizon}")
        })?;
        check(hash.as_deref().is_none_or(is_hash), || {
            format!("a Hash has {HASH_DIGITS} digits of 0-9 and a-f, this one is {hash:?}")
        })?;
        let until = Time::from_micros(until).ok_or_else(|| {
            A::Error::custom(format_args!("a time is below 2^53, this Until is {until}"))
        })?;
        Ok(Commit { epoch, after, until, clock, horizon, hash })
    }
}

fn check<E: Error>(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), E> {
    if holds { Ok(()) } else { Err(E::custom(otherwise())) }
}

fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == HASH_DIGITS && text.bytes().all(is_digit)
}

/// The member `AfterName`.
struct AfterName(Name);

impl<'de> Deserialize<'de> for AfterName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AfterNameVisitor)
    }
}

struct AfterNameVisitor;

impl<'de> Visitor<'de> for AfterNameVisitor {
    type Value = AfterName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null or an object with the members Source and Id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AfterName, A::Error> {
        let (mut source, mut id) = (None, None);
        while let Some(name) = members.next_key::<MemberName>()? {
            match name {
                _ if name.is("Source") => source = Some(members.next_value::<Source>()?),
                _ if name.is("Id") => id = Some(members.next_value::<u64>()?),
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        let source = source.ok_or_else(|| A::Error::missing_field("Source"))?;
        let id = id.ok_or_else(|| A::Error::missing_field("Id"))?;
        check(id <= MAX_SAFE_INTEGER, || format!("an Id is below 2^53, this one is {id}"))?;
        check(source.epoch().is_some(), || {
            format!("After names a commit, {:?} has none", source.as_str())
        })?;
        Ok(AfterName(Name { source, id }))
    }
}

/// The member `Clock`.
struct CoveredIds(BTreeMap<Source, u64>);

impl<'de> Deserialize<'de> for CoveredIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CoveredIdsVisitor)
    }
}

struct CoveredIdsVisitor;

impl<'de> Visitor<'de> for CoveredIdsVisitor {
    type Value = CoveredIds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Ids by source")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<CoveredIds, A::Error> {
        let mut clock = BTreeMap::new();
        while let Some((source, next)) = members.next_entry::<Source, u64>()? {
            // One more than the last Id that is covered.
            check((1..=MAX_SAFE_INTEGER + 1).contains(&next), || {
                format!("an Id in a Clock is from 1 to 2^53, this one is {next}")
            })?;
            match clock.entry(source) {
                Entry::Vacant(entry) => entry.insert(next),
                Entry::Occupied(entry) => {
                    let source = entry.key().as_str();
                    return Err(A::Error::custom(format_args!("{source:?} is twice in a Clock")));
                }
            };
        }
        Ok(CoveredIds(clock))
    }
}
