//! A blocking HTTPS client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::certificates::{Authority, Own};
use crate::harness::{Node, PATIENCE, wait_for};

/// Whom it trusts, and what it shows.
pub struct Client {
    config: Arc<ClientConfig>,
}

/// A connection.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    pub fn new(authority: &Authority, own: Option<&Own>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&authority.certificate).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some(Own { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config: Arc::new(config) }
    }

    pub fn connect(&self, address: SocketAddr) -> Connection {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        StreamOwned::new(ClientConnection::new(self.config.clone(), name).unwrap(), tcp)
    }

    /// Sends one request and reads the whole answer.
    pub fn ask(&self, address: SocketAddr, head: &str, body: &[u8]) -> io::Result<String> {
        let mut connection = self.connect(address);
        let length = body.len();
        write!(
            connection,
            "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )?;
        connection.write_all(body)?;
        connection.flush()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The body of an answer that has to be 200.
    #[track_caller]
    pub fn body(&self, node: &Node, head: &str, body: &[u8]) -> String {
        let answer = self.ask(node.address, head, body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What `/peers` says of the first peer, when it says something is wrong with it.
    #[track_caller]
    pub fn trouble(&self, node: &Node) -> String {
        wait_for("a trouble", || {
            let peers: Value = serde_json::from_str(&self.body(node, "GET /peers", b"")).unwrap();
            peers["upstreams"][0]["error"].as_str().map(str::to_owned)
        })
    }
}
