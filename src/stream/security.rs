//! How streams are protected: by TLS, or not at all.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
};
use smol::future::FutureExt;
use smol::io::AsyncReadExt;
use smol::{Async, Timer};

use super::certificates::{authorities, flaw, of_the_system, own};
use super::dial::{DialError, connect};
pub use super::tls::is_of_tls;
use super::tls::{Tls, date};
use super::{Refused, Stream};
use crate::blocking::unblock;
use crate::config::{TlsFiles, host_and_port};

/// How long a refused client may go on sending, so that it can read why.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// How many bytes it may send in that time.
const FAREWELL_BYTES: u64 = 1 << 20;

/// How long before its certificate expires a node begins to warn.
const WARNING_TIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// The type of the record with which a TLS client begins (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// The certificate of this side, and the CAs by which others are checked. A clone is the same.
#[derive(Clone, Default)]
pub struct Security(Arc<Rules>);

#[derive(Default)]
struct Rules {
    /// For clients. `None` if they connect without TLS.
    server: Option<Arc<ServerConfig>>,
    own: Option<Arc<CertifiedKey>>,
    /// `None` if the CAs of the system are trusted.
    authorities: Option<Arc<RootCertStore>>,
    /// For dialing. It is made at the first dial, since reading the CAs of the system takes time and memory.
    client: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").field("is_tls", &self.is_tls()).finish_non_exhaustive()
    }
}

impl Security {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn load(files: &TlsFiles) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let own = files.own.as_ref().map(|files| own(files, &provider)).transpose()?;
        let authorities = files.ca.as_deref().map(authorities).transpose()?.map(Arc::new);
        let server = match &own {
            Some(own) => Some(Arc::new(server(own, authorities.as_ref(), provider)?)),
            None => None,
        };
        Ok(Self(Arc::new(Rules { server, own, authorities, client: OnceLock::new() })))
    }

    /// Whether clients must speak TLS.
    pub fn is_tls(&self) -> bool {
        self.0.server.is_some()
    }

    /// Whether clients must show a certificate.
    pub fn checks_clients(&self) -> bool {
        self.is_tls() && self.0.authorities.is_some()
    }

    /// What is wrong with the certificate of this side, or will be soon.
    pub fn trouble(&self, now: SystemTime) -> Option<String> {
        let Rules { own, authorities, .. } = &*self.0;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let flaw_at = |time| {
            let (time, provider) = (UnixTime::since_unix_epoch(time), ring::default_provider());
            flaw(own.as_ref()?, authorities.as_ref(), Arc::new(provider), time)
        };
        let what = match (flaw_at(now), flaw_at(now + WARNING_TIME)) {
            (None, Some(CertificateError::ExpiredContext { not_after, .. })) => {
                return Some(format!(
                    "the certificate of this node expires at {}: start it with a new one before that",
                    date(not_after)
                ));
            }
            (Some(CertificateError::ExpiredContext { not_after, .. }), _) => {
                format!("expired at {}", date(not_after))
            }
            (Some(CertificateError::NotValidYetContext { not_before, .. }), _) => {
                format!("is valid from {} on, unless the clock is wrong", date(not_before))
            }
            (Some(CertificateError::UnknownIssuer), _) => {
                "is not signed by a CA in --tls-ca".to_owned()
            }
            (Some(flaw), _) => format!("has a flaw ({flaw})"),
            (None, _) => return None,
        };
        Some(format!(
            "the certificate of this node {what}: others refuse it; start it with a new one"
        ))
    }

    /// Makes the handshake with a client, within a time limit.
    ///
    /// # Errors
    /// If it fails. The client has been told why then, if it listens.
    pub async fn accept(&self, tcp: Async<TcpStream>, limit: Duration) -> Result<Stream, Refused> {
        let Some(server) = &self.0.server else { return Ok(Stream::Plain(tcp)) };
        let late = async {
            Timer::after(limit).await;
            Err(Refused::Failed(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("hands were not shaken within {limit:?}"),
            )))
        };
        let accepted = async {
            let mut first = [0];
            match tcp.peek(&mut first).await {
                Ok(0) => return Err(Refused::Failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) if first != [HANDSHAKE] => return Err(Refused::NoTls(Stream::Plain(tcp))),
                Ok(_) => (),
                Err(error) => return Err(Refused::Failed(error)),
            }
            let session = ServerConnection::new(server.clone()).map_err(io::Error::other);
            let session = session.map_err(Refused::Failed)?;
            shake_hands(tcp, session.into()).await.map_err(Refused::Failed)
        };
        accepted.or(late).await
    }

    /// Connects to `address`, a `host:port`, with a TLS handshake if `is_tls`. The caller sets a time limit.
    ///
    /// # Errors
    /// If the host cannot be reached, or has not shown who it is.
    pub async fn dial(&self, address: &str, is_tls: bool) -> Result<Stream, DialError> {
        let tcp = connect(address).await?;
        if !is_tls {
            return Ok(Stream::Plain(tcp));
        }
        let host = host_and_port(address).0;
        let bare = host.split('%').next().unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| DialError::Tls(format!("no certificate can have the name {bare:?}")))?;
        let config = self.client().await.map_err(DialError::Tls)?;
        let session = ClientConnection::new(config, name);
        let session = session.map_err(|error| DialError::Tls(error.to_string()))?;
        shake_hands(tcp, session.into()).await.map_err(|error| DialError::Tls(error.to_string()))
    }

    async fn client(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.0.client.get() {
            return Ok(config.clone());
        }
        let (own, authorities) = (self.0.own.clone(), self.0.authorities.clone());
        let config = unblock(move || client_config(own, authorities)).await?;
        Ok(self.0.client.get_or_init(|| config).clone())
    }
}

fn server(
    own: &Arc<CertifiedKey>,
    authorities: Option<&Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, String> {
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match authorities {
        None => config.with_no_client_auth(),
        Some(authorities) => {
            let clients =
                WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider);
            config.with_client_cert_verifier(clients.build().map_err(|error| error.to_string())?)
        }
    };
    Ok(config.with_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone()))))
}

fn client_config(
    own: Option<Arc<CertifiedKey>>,
    authorities: Option<Arc<RootCertStore>>,
) -> Result<Arc<ClientConfig>, String> {
    let authorities = match authorities {
        Some(authorities) => authorities,
        None => Arc::new(of_the_system()?),
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities);
    Ok(Arc::new(match own {
        Some(own) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => config.with_no_client_auth(),
    }))
}

async fn shake_hands(tcp: Async<TcpStream>, session: rustls::Connection) -> io::Result<Stream> {
    let mut tls = Box::new(Tls::new(tcp, session));
    match poll_fn(|context| tls.poll_handshake(context)).await {
        Ok(()) => Ok(Stream::Tls(tls)),
        Err(error) => {
            let_go(&mut tls).await;
            Err(error)
        }
    }
}

/// Lets the other side read why it is refused. If a socket is closed while something is unread, the
/// connection is reset, and a reset takes away what the other side has not read yet.
async fn let_go(tls: &mut Tls) {
    let farewell = async {
        if poll_fn(|context| tls.poll_close(context)).await.is_ok() {
            let mut rest = tls.tcp().take(FAREWELL_BYTES);
            let mut dropped = [0; 4096];
            while let Ok(1..) = rest.read(&mut dropped).await {}
        }
    };
    let limit = async {
        Timer::after(FAREWELL_LIMIT).await;
    };
    farewell.or(limit).await;
}
