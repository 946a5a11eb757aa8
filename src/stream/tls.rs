//! A TLS stream (RFC 8446), and what its errors mean for the operator of a node.
//!
//! The state machine is that of rustls. This drives it over a socket. Written bytes wait in the machine until
//! the socket takes them: at most those of one write, since the next write waits for them.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Connection, Error};
use smol::Async;

/// How many reads of the socket make one turn. A record may be empty, or have no data.
const READS_A_TURN: u32 = 16;

/// A connection with its TLS session.
pub struct Tls {
    tcp: Async<TcpStream>,
    session: Connection,
    /// How many bytes are decrypted and not read.
    plaintext: usize,
    /// Whether the stream is at its end.
    is_at_end: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// Why TLS on a connection failed.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Whether an error of a stream comes from TLS.
pub fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Broken>())
}

impl Tls {
    /// A connection on which nothing was sent yet.
    pub fn new(tcp: Async<TcpStream>, session: Connection) -> Self {
        Self { tcp, session, plaintext: 0, is_at_end: false }
    }

    /// The TCP connection.
    pub fn tcp(&self) -> &Async<TcpStream> {
        &self.tcp
    }

    /// Makes the handshake.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_flush(context))?;
            if !self.session.is_handshaking() {
                break;
            }
            ready!(self.poll_receive(context))?;
            if self.is_at_end {
                let why =
                    "it closed the connection while hands were shaken: perhaps it speaks no TLS";
                return Poll::Ready(Err(broken(why)));
            }
        }
        self.poll_flush(context)
    }

    /// Ready if there is something to read.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plaintext > 0 || self.is_at_end {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_readable(context)
    }

    /// Ready if there is room for a write.
    pub fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        self.tcp.poll_writable(context)
    }

    /// Reads decrypted bytes.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS_A_TURN {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Ok(count) => {
                    self.plaintext -= count.min(self.plaintext);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let why = "the connection was cut: it ends, and not as TLS has it";
                    return Poll::Ready(Err(io::Error::new(error.kind(), why)));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_receive(context))?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Encrypts as much as there is room for, and sends what the socket takes.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        let count = write(&mut self.session.writer())?;
        // If this is pending, the next write or flush goes on with it.
        if let Poll::Ready(Err(error)) = self.poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    /// Sends the encrypted bytes.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp.get_ref()) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_writable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written.
    pub fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only the first call has an effect.
        self.session.send_close_notify();
        ready!(self.poll_flush(context))?;
        Poll::Ready(self.tcp.get_ref().shutdown(Shutdown::Write))
    }

    /// Takes in what the socket has.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.session.read_tls(&mut self.tcp.get_ref()) {
                Ok(0) => {
                    self.is_at_end = true;
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let processed = self.session.process_new_packets();
        // There may be an answer or an alert to send. If it cannot be sent now, the next write or flush sends
        // it; if it can never be sent, the next read returns the error.
        let _ = self.poll_flush(context);
        match processed {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.is_at_end = state.peer_has_closed();
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                let is_first = self.session.is_handshaking();
                Poll::Ready(Err(broken(&explained(&error, is_first, self.is_dialer()))))
            }
        }
    }

    fn is_dialer(&self) -> bool {
        matches!(self.session, Connection::Client(_))
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Broken(why.to_owned()))
}

/// What a TLS error means, and what to do about it. `it` is the other side.
fn explained(error: &Error, is_handshaking: bool, is_dialer: bool) -> String {
    match error {
        Error::InvalidCertificate(error) => of_their_certificate(error, is_dialer),
        Error::NoCertificatesPresented => {
            "it shows no certificate, and --tls-ca of this node asks for one: a node and patchmesh's commands \
             show that of --tls-cert and --tls-key"
                .to_owned()
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) if is_handshaking && is_dialer => {
            "it speaks no TLS: name it by ws:// or http://, or start it with --tls-cert".to_owned()
        }
        Error::InvalidMessage(_) if is_handshaking => "it speaks no TLS".to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

/// What is wrong with the other side's certificate.
fn of_their_certificate(error: &CertificateError, is_dialer: bool) -> String {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {}, but for {}: dial it by a name that it has, or give it a certificate \
             with this one in subjectAltName",
            expected.to_str(),
            if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") }
        ),
        CertificateError::UnknownIssuer if is_dialer => {
            "its certificate is not signed by a CA that this side trusts: those of --tls-ca, or without that \
             those of the system"
                .to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is not signed by a CA in --tls-ca of this node".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "its certificate expired at {}: it has to be started with a new one",
            date(*not_after)
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate is valid from {} on: that is to come, or the clock of this side is wrong",
            date(*not_before)
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            let purpose = if is_dialer { "serverAuth" } else { "clientAuth" };
            format!("its certificate is for other purposes: its extendedKeyUsage lacks {purpose}")
        }
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is a CA's own (CA:TRUE), and not one signed by a CA".to_owned()
        }
        error => format!("its certificate is not accepted: {error}"),
    }
}

/// What an alert of the other side means.
fn of_alert(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateRequired => {
            return "it asks for a certificate: give this side --tls-cert and --tls-key".to_owned();
        }
        AlertDescription::UnknownCA => "it is signed by no CA that the other side trusts",
        AlertDescription::CertificateExpired => {
            "it has expired, or the other side's clock is wrong"
        }
        AlertDescription::BadCertificate => {
            "it does not have the name by which it was dialed, or is broken"
        }
        AlertDescription::UnsupportedCertificate => "its extendedKeyUsage does not allow this use",
        AlertDescription::CertificateUnknown | AlertDescription::CertificateRevoked => {
            "the other side does not say more"
        }
        alert => return format!("the other side ended TLS: {alert:?}"),
    };
    format!("the certificate of this side is refused: {why}")
}

/// A time as it is shown.
pub fn date(time: UnixTime) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}
