//! Which process is at the other end of a stream.

use std::fmt;
use std::str::FromStr;

/// A process of a node in a time in which it loses nothing: a random number that it chose at its start, and a
/// generation.
///
/// A source does not tell that: a copy of a data directory has the same source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The random number.
    pub number: u64,
    /// How many times its streams had to begin again.
    pub generation: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.number, self.generation)
    }
}

impl FromStr for ProcessId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a process is 16 hexadecimal digits, a point and a number";
        let (number, generation) = text.split_once('.').ok_or(FORM)?;
        let is_number = number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_number.then(|| u64::from_str_radix(number, 16).ok()).flatten();
        let (number, generation) = (number.ok_or(FORM)?, generation.parse().map_err(|_| FORM)?);
        Ok(Self { number, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_as_it_is_written() {
        for process in
            [ProcessId { number: 0, generation: 0 }, ProcessId { number: u64::MAX, generation: 17 }]
        {
            assert_eq!(process.to_string().parse(), Ok(process));
        }
        for text in ["", "0", "0.0", "00000000000000000", "+000000000000000.0", "0000000000000000."]
        {
            assert!(text.parse::<ProcessId>().is_err(), "{text}");
        }
    }
}
