//! A CA, and what it signs, as files in PEM.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};

use crate::harness::{Scratch, Setup};

/// A CA, whose files live as long as it does.
pub struct Authority {
    scratch: Scratch,
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub certificate: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Own {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a certificate of the tests says, unless a test wants something else.
pub fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// What one says that expired long ago.
pub fn expired(names: &[&str]) -> CertificateParams {
    let mut parameters = parameters(names);
    parameters.not_before = date_time_ymd(2001, 1, 1);
    parameters.not_after = date_time_ymd(2002, 1, 1);
    parameters
}

/// What one says that is for servers only.
pub fn for_servers(names: &[&str]) -> CertificateParams {
    let mut parameters = parameters(names);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let scratch = Scratch::new();
        let mut parameters = parameters(&[]);
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        let Own { certificate, .. } = write(&scratch, name, &signed, &key);
        Self { scratch, issuer: Issuer::new(parameters, key), certificate }
    }

    /// What is signed for these names.
    pub fn sign(&self, file: &str, parameters: &CertificateParams) -> Own {
        let key = KeyPair::generate().unwrap();
        let signed = parameters.signed_by(&key, &self.issuer).unwrap();
        write(&self.scratch, file, &signed, &key)
    }

    /// What is signed for the address at which the tests' nodes listen.
    pub fn sign_loopback(&self) -> Own {
        self.sign("loopback", &parameters(&["127.0.0.1", "::1"]))
    }

    /// A file of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }
}

fn write(scratch: &Scratch, name: &str, signed: &Certificate, key: &KeyPair) -> Own {
    let certificate = scratch.path(format!("{name}.pem"));
    let key_file = scratch.path(format!("{name}.key"));
    std::fs::write(&certificate, signed.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    Own { certificate, key: key_file }
}

impl Own {
    /// The arguments that name it.
    pub fn arguments(&self) -> [String; 4] {
        [
            "--tls-cert".to_owned(),
            self.certificate.display().to_string(),
            "--tls-key".to_owned(),
            self.key.display().to_string(),
        ]
    }

    /// A node that shows it.
    pub fn shown_by(&self, setup: Setup) -> Setup {
        self.arguments().into_iter().fold(setup, |setup, argument| setup.argument(argument))
    }
}

/// A node that checks others by a CA.
pub fn checked_by(setup: Setup, certificate: &Path) -> Setup {
    setup.argument("--tls-ca").argument(certificate.display())
}
