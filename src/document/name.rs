//! The names of an object's members.

use std::cmp::Ordering;

use super::Bytes;

/// How many bytes a name or a text in place may have.
pub const INLINE_BYTES: usize = 14;

/// A few bytes in place: then zeros, and their number in the last byte.
#[derive(Clone, Copy, Default)]
pub struct Short([u8; INLINE_BYTES + 1]);

/// A member's name: in place if it is short, as most names are.
///
/// Names are ordered by their bytes. Two short ones are compared as the numbers that [`Short::packed`] makes
/// of them.
#[derive(Clone)]
pub enum StoredName {
    Short(Short),
    Long(Bytes),
}

/// A wanted name.
#[derive(Clone, Copy)]
pub struct WantedName<'a> {
    bytes: &'a [u8],
    /// As a number, if it is short.
    packed: Option<u128>,
}

impl Short {
    /// None if there are too many.
    #[inline]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let packed = pack(bytes)?;
        let mut place = [0; INLINE_BYTES + 1];
        place[..8].copy_from_slice(&((packed >> 64) as u64).to_be_bytes());
        place[7..].copy_from_slice(&(packed as u64).to_be_bytes());
        Some(Self(place))
    }

    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.0[INLINE_BYTES])
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.0[..self.len()]
    }

    /// A number whose order is that of the bytes: the first eight of all fifteen bytes, then the last eight.
    /// One byte is in both, which does not matter.
    #[inline]
    fn packed(&self) -> u128 {
        let (first, last) = self.halves();
        u128::from(u64::from_be_bytes(first)) << 64 | u128::from(u64::from_be_bytes(last))
    }

    #[inline]
    fn halves(&self) -> ([u8; 8], [u8; 8]) {
        let [first @ .., _, _, _, _, _, _, _] = self.0;
        let [_, _, _, _, _, _, _, last @ ..] = self.0;
        (first, last)
    }

    /// Whether this is its number. So the byte order of the wanted number is changed once, and not that of
    /// each name it is compared with.
    #[inline]
    fn is(&self, wanted: u128) -> bool {
        let (first, last) = self.halves();
        let differ = |half, wanted: u64| u64::from_ne_bytes(half) ^ wanted.to_be();
        differ(first, (wanted >> 64) as u64) | differ(last, wanted as u64) == 0
    }
}

/// The number of bytes that are not in place yet; none if they are too many. Two loads that overlap are
/// faster than a copy of a few bytes whose number is not known when the program is compiled.
#[inline]
fn pack(bytes: &[u8]) -> Option<u128> {
    let length = bytes.len();
    let (first, behind) = match length {
        0..4 => {
            let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
            (byte(0) << 56 | byte(1) << 48 | byte(2) << 40, 0)
        }
        4..8 => {
            let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
            let behind = u32::from_be_bytes(*last).checked_shl(8 * (8 - length as u32));
            let first = u64::from(u32::from_be_bytes(*first));
            (first << 32 | u64::from(behind.unwrap_or(0)), 0)
        }
        8..=INLINE_BYTES => {
            let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
            let behind = u64::from_be_bytes(*last).checked_shl(8 * (16 - length as u32));
            (u64::from_be_bytes(*first), behind.unwrap_or(0))
        }
        _ => return None,
    };
    let last = first << 56 | behind >> 8 | length as u64;
    Some(u128::from(first) << 64 | u128::from(last))
}

/// The number of the beginning of a long name, plus one: so it is greater than that of the short name which
/// equals this beginning.
#[cold]
fn long_floor(bytes: &Bytes) -> u128 {
    pack(&bytes.slice[..INLINE_BYTES]).map_or(u128::MAX, |packed| packed + 1)
}

/// A byte that is different for most names that differ.
fn fold(left: u64, right: u64) -> u8 {
    let mixed = (left ^ right.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

fn tag(bytes: &[u8], packed: Option<u128>) -> u8 {
    match packed {
        Some(packed) => fold((packed >> 64) as u64, packed as u64),
        None => {
            // Long names that are similar often differ only at their ends.
            let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
            let (first, last) = (&bytes[..8], &bytes[bytes.len() - 8..]);
            fold(word(first) ^ bytes.len() as u64, word(last))
        }
    }
}

impl<'a> WantedName<'a> {
    #[inline]
    pub fn new(name: &'a str) -> Self {
        let bytes = name.as_bytes();
        Self { bytes, packed: pack(bytes) }
    }

    /// As a number, if it is short.
    #[inline]
    pub fn packed(&self) -> Option<u128> {
        self.packed
    }

    /// The name's [`StoredName::tag`].
    #[inline]
    pub fn tag(&self) -> u8 {
        tag(self.bytes, self.packed)
    }
}

impl StoredName {
    pub fn new(name: &str) -> Self {
        match Short::new(name.as_bytes()) {
            Some(short) => Self::Short(short),
            None => Self::Long(Bytes::from_header_and_slice((), name.as_bytes())),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Short(short) => short.len(),
            Self::Long(bytes) => bytes.slice.len(),
        }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(short) => short.bytes(),
            Self::Long(bytes) => &bytes.slice,
        }
    }

    #[inline]
    fn packed(&self) -> Option<u128> {
        match self {
            Self::Short(short) => Some(short.packed()),
            Self::Long(_) => None,
        }
    }

    /// Its number if it is short; else a number between those of the short names before and after it.
    #[inline]
    pub fn floor(&self) -> u128 {
        match self {
            Self::Short(short) => short.packed(),
            Self::Long(bytes) => long_floor(bytes),
        }
    }

    /// A byte by which the name is found among others.
    #[inline]
    pub fn tag(&self) -> u8 {
        tag(self.bytes(), self.packed())
    }

    /// Its order relative to a wanted name.
    #[inline]
    pub fn compare(&self, key: &WantedName) -> Ordering {
        match (self.packed(), key.packed) {
            (Some(packed), Some(wanted)) => packed.cmp(&wanted),
            _ => self.bytes().cmp(key.bytes),
        }
    }

    #[inline]
    pub fn is(&self, key: &WantedName) -> bool {
        match (self, key.packed) {
            (Self::Short(short), Some(wanted)) => short.is(wanted),
            (Self::Long(bytes), None) => bytes.slice == *key.bytes,
            _ => false,
        }
    }
}

impl Ord for StoredName {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.packed(), other.packed()) {
            (Some(packed), Some(wanted)) => packed.cmp(&wanted),
            _ => self.bytes().cmp(other.bytes()),
        }
    }
}

impl PartialOrd for StoredName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for StoredName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for StoredName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_bytes_and_found_by_their_tags() {
        let names = [
            "",
            "\0",
            "\0\0",
            "a",
            "a\0",
            "aa",
            "aaaaaaaaaaaaa",
            "aaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaab",
            "aaaaaaaaaaaaab",
            "b",
            "z\u{e4}",
            "\u{e4}",
            "\u{10ffff}",
        ];
        for left in names {
            for right in names {
                let order = left.as_bytes().cmp(right.as_bytes());
                let (a, b, key) =
                    (StoredName::new(left), StoredName::new(right), WantedName::new(right));
                assert_eq!(a.cmp(&b), order, "{left:?} and {right:?}");
                assert_eq!(a.compare(&key), order);
                assert_eq!(a.is(&key), order.is_eq());
                assert_eq!(b.tag(), key.tag());
                assert_eq!((b.len(), b.bytes()), (right.len(), right.as_bytes()));
            }
        }
    }
}
