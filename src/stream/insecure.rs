//! In a build without TLS streams are kept from nobody.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use smol::Async;

use super::dial::{DialError, connect};
use super::{Refused, Stream};
use crate::config::TlsFiles;

/// Whether an error of a stream is one of TLS. None is.
pub fn is_of_tls(_: &io::Error) -> bool {
    false
}

/// What there is in place of TLS: nothing.
#[derive(Clone, Debug, Default)]
pub struct Security(());

impl Security {
    /// There are no files to read.
    ///
    /// # Errors
    /// None.
    pub fn load(files: &TlsFiles) -> Result<Self, String> {
        debug_assert_eq!(files, &TlsFiles::default(), "the command line takes none");
        Ok(Self(()))
    }

    /// Whether who connects has to speak TLS.
    pub fn is_tls(&self) -> bool {
        false
    }

    /// Whether who connects has to show a certificate.
    pub fn checks_clients(&self) -> bool {
        false
    }

    /// What is wrong with what this side shows: it shows nothing.
    pub fn trouble(&self, _: SystemTime) -> Option<String> {
        None
    }

    /// Takes a connection as it is.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self, tcp: Async<TcpStream>, _: Duration) -> Result<Stream, Refused> {
        Ok(Stream::Plain(tcp))
    }

    /// Connects to `address`, a `host:port`. The caller sets a time limit.
    ///
    /// # Errors
    /// If nobody there can be reached.
    pub async fn dial(&self, address: &str, is_tls: bool) -> Result<Stream, DialError> {
        debug_assert!(!is_tls, "the command line takes no such address");
        connect(address).await.map(Stream::Plain)
    }
}
