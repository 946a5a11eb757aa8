//! gzip (RFC 1952): whether a client wants it, and the bytes.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use crc32fast::Hasher;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};

use super::Request;
use super::filter::Filter;

use crate::locks::Mutex;

/// The level, of 10. A higher one takes several times as long and saves some per cent.
const LEVEL: i32 = 1;
/// The largest window. It is negative, so that no zlib header stands around the data.
const WINDOW_BITS: i32 = -15;
/// Deflate, without a name, a time or a comment, of an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How many bodies are compressed at the same time at most: each needs a third of a megabyte.
const MOST: usize = 64;

/// How many compressors are kept for later bodies: to make one takes ten times as long as to compress a small
/// answer.
const SPARE: usize = 4;

/// The compressions of one node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gzips(Arc<GzipPool>);

#[derive(Default)]
struct GzipPool {
    under_way: AtomicUsize,
    spare: Mutex<Vec<Box<CompressorOxide>>>,
}

/// Compresses one body.
pub struct Gzip {
    /// None before the first bytes.
    compressor: Option<Box<CompressorOxide>>,
    crc: Hasher,
    length: u32,
    gzips: Gzips,
}

impl Gzips {
    /// Begins one more, unless there are too many already.
    pub fn begin(&self) -> Option<Gzip> {
        let more = |count| (count < MOST).then_some(count + 1);
        self.0.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Gzip { compressor: None, crc: Hasher::new(), length: 0, gzips: self.clone() })
    }

    fn compressor(&self) -> Box<CompressorOxide> {
        match self.spare().pop() {
            Some(mut compressor) => {
                compressor.reset();
                compressor
            }
            None => {
                let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0);
                Box::new(CompressorOxide::new(flags))
            }
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Box<CompressorOxide>>> {
        self.0.spare.lock()
    }
}

impl Drop for Gzip {
    fn drop(&mut self) {
        self.gzips.0.under_way.fetch_sub(1, Ordering::Relaxed);
        let mut spare = self.gzips.spare();
        if spare.len() < SPARE {
            spare.extend(self.compressor.take());
        }
    }
}

impl Gzip {
    fn compress(&mut self, input: &[u8], flush: TDEFLFlush, output: &mut Vec<u8>) {
        let compressor = self.compressor.get_or_insert_with(|| {
            output.extend_from_slice(&HEADER);
            self.gzips.compressor()
        });
        let (status, read) = compress_to_output(compressor, input, flush, |bytes| {
            output.extend_from_slice(bytes);
            true
        });
        assert!(matches!(status, TDEFLStatus::Okay | TDEFLStatus::Done) && read == input.len());
    }
}

impl Filter for Gzip {
    fn push(&mut self, input: &[u8], output: &mut Vec<u8>) {
        self.crc.update(input);
        self.length = self.length.wrapping_add(input.len() as u32);
        self.compress(input, TDEFLFlush::None, output);
    }

    fn finish(&mut self, output: &mut Vec<u8>) {
        self.compress(b"", TDEFLFlush::Finish, output);
        output.extend(self.crc.clone().finalize().to_le_bytes());
        output.extend(self.length.to_le_bytes());
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Whether a client wants gzip, and not rather an answer without compression (RFC 9110, 12.5.3).
pub fn is_wanted(request: &Request) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for (coding, weight) in request.weighted("Accept-Encoding") {
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "identity" => identity = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::super::filter::tests::bytes_of;
    use super::super::tests::request;
    use super::*;
    use miniz_oxide::inflate::decompress_to_vec;

    #[test]
    fn what_is_compressed_is_what_was() {
        let mut random = fastrand::Rng::with_seed(3);
        let noise: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
        let same = vec![b'a'; 1_000_000];
        // The second compression uses a compressor of an earlier one.
        let gzips = Gzips::default();
        let json = r#"{"name":"value","list":[1,2,3]},"#.repeat(10_000).into_bytes();
        for (bytes, most) in [
            (b"".to_vec(), 30),
            (b"{}\n".to_vec(), 30),
            (noise, 310_000),
            (same, 10_000),
            (json.clone(), 20_000),
            (json, 20_000),
        ] {
            let gzip = gzips.begin().unwrap();
            let body = bytes_of(Body::from(bytes.clone()).through(gzip)).unwrap();
            assert!(body.len() <= most, "{} of {}", body.len(), bytes.len());
            let (deflated, end) = body[HEADER.len()..].split_at(body.len() - HEADER.len() - 8);
            assert_eq!(body[..HEADER.len()], HEADER);
            assert!(decompress_to_vec(deflated).unwrap() == bytes);
            let mut expected = crc32fast::hash(&bytes).to_le_bytes().to_vec();
            expected.extend((bytes.len() as u32).to_le_bytes());
            assert_eq!(end, expected);
        }
    }

    #[test]
    fn there_are_so_many_at_most() {
        let gzips = Gzips::default();
        let mut begun: Vec<_> = (0..MOST).map(|_| gzips.begin().unwrap()).collect();
        assert!(gzips.begin().is_none());
        begun.iter_mut().for_each(|gzip| gzip.push(b"a", &mut Vec::new()));
        drop(begun);
        assert_eq!(gzips.spare().len(), SPARE);
        assert!(gzips.begin().is_some());
    }

    #[test]
    fn it_is_for_those_who_want_it() {
        for (header, expected) in [
            ("", false),
            ("Accept-Encoding:\r\n", false),
            ("Accept-Encoding: gzip\r\n", true),
            ("Accept-Encoding: GZip, deflate, br\r\n", true),
            ("Accept-Encoding: x-gzip\r\n", true),
            ("Accept-Encoding: deflate, br\r\n", false),
            ("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true),
            ("Accept-Encoding: *\r\n", true),
            ("Accept-Encoding: *;q=0\r\n", false),
            ("Accept-Encoding: *;q=0, gzip\r\n", true),
            ("Accept-Encoding: *, gzip;q=0\r\n", false),
            ("Accept-Encoding: gzip;q=0\r\n", false),
            ("Accept-Encoding: gzip; Q = 0.001\r\n", true),
            ("Accept-Encoding: gzip;q=2\r\n", false),
            ("Accept-Encoding: gzip;q=NaN\r\n", false),
            ("Accept-Encoding: gzip;level=9\r\n", true),
            ("Accept-Encoding: identity, gzip;q=0.5\r\n", false),
            ("Accept-Encoding: identity;q=0.5, gzip;q=1.0\r\n", true),
            ("Accept-Encoding: identity;q=0\r\n", false),
        ] {
            let request = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n"));
            assert_eq!(is_wanted(&request), expected, "{header}");
        }
    }
}
