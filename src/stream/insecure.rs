//! A build without TLS: the same interface, with TCP only.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use smol::Async;

use super::dial::{DialError, connect};
use super::{Refused, Stream};
use crate::config::TlsFiles;

/// Whether an error of a stream comes from TLS. It never does.
pub fn is_of_tls(_: &io::Error) -> bool {
    false
}

/// Nothing, in place of TLS.
#[derive(Clone, Debug, Default)]
pub struct Security(());

impl Security {
    /// Nothing is read.
    ///
    /// # Errors
    /// None.
    pub fn load(files: &TlsFiles) -> Result<Self, String> {
        debug_assert_eq!(files, &TlsFiles::default(), "the command line takes none");
        Ok(Self(()))
    }

    /// Whether clients must speak TLS.
    pub fn is_tls(&self) -> bool {
        false
    }

    /// Whether clients must show a certificate.
    pub fn checks_clients(&self) -> bool {
        false
    }

    /// What is wrong with the certificate of this side: it has none.
    pub fn trouble(&self, _: SystemTime) -> Option<String> {
        None
    }

    /// Accepts a connection.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self, tcp: Async<TcpStream>, _: Duration) -> Result<Stream, Refused> {
        Ok(Stream::Plain(tcp))
    }

    /// Connects to `address`, a `host:port`. The caller sets a time limit.
    ///
    /// # Errors
    /// If the host cannot be reached.
    pub async fn dial(&self, address: &str, is_tls: bool) -> Result<Stream, DialError> {
        debug_assert!(!is_tls, "the command line takes no such address");
        connect(address).await.map(Stream::Plain)
    }
}
