//! The files of TLS: certificates and keys in PEM. Errors name the file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use crate::config::OwnFiles;

/// This side's certificate, with its key.
pub fn own(files: &OwnFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let OwnFiles { certificate, key } = files;
    let wrong = |file: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let chain = certificates(certificate)?;
    let signing = provider.key_provider.load_private_key(private_key(key)?);
    let signing =
        signing.map_err(|error| wrong(key, &format!("the key cannot be used: {error}")))?;
    let own = CertifiedKey::new(chain, signing);
    match own.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(own)),
        Err(Error::InconsistentKeys(_)) => {
            let why =
                format!("this is not the key of the certificate in {}", certificate.display());
            Err(wrong(key, &why))
        }
        Err(error) => Err(wrong(certificate, &format!("the certificate cannot be used: {error}"))),
    }
}

/// What others that trust these CAs find wrong with the certificate at this time. If the CAs are not known,
/// only its time of validity is checked.
pub fn flaw(
    own: &CertifiedKey,
    authorities: Option<&Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
    time: UnixTime,
) -> Option<CertificateError> {
    let (own, intermediates) = own.cert.split_first()?;
    let roots = authorities.cloned().or_else(|| {
        let mut itself = RootCertStore::empty();
        itself.add(own.clone()).ok()?;
        Some(Arc::new(itself))
    });
    let verifier = WebPkiClientVerifier::builder_with_provider(roots?, provider).build().ok()?;
    match verifier.verify_client_cert(own, intermediates, time) {
        Err(Error::InvalidCertificate(flaw)) if authorities.is_some() || is_of_time(&flaw) => {
            Some(flaw)
        }
        _ => None,
    }
}

fn is_of_time(flaw: &CertificateError) -> bool {
    use CertificateError::{ExpiredContext, NotValidYetContext};
    matches!(flaw, ExpiredContext { .. } | NotValidYetContext { .. })
}

/// The CAs that sign the certificates of others.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            format!("{}: certificate {} cannot be used: {error}", file.display(), number + 1)
        })?;
    }
    Ok(roots)
}

/// The CAs that the system trusts. Those that cannot be read are left out.
pub fn of_the_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this system trusts no CA{why}: give those that sign the nodes' certificates by --tls-ca"
        ));
    }
    Ok(roots)
}

/// At least one certificate.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{}: there is no certificate in PEM in it", file.display())),
        Err(error) => Err(told(file, &error)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        PemError::NoItemsFound => {
            let text = fs::read_to_string(file).unwrap_or_default();
            let shown = file.display();
            if text.contains("ENCRYPTED PRIVATE KEY") {
                format!(
                    "{shown}: the key is encrypted; `openssl pkey -in {shown}` shows it decrypted"
                )
            } else {
                format!("{shown}: there is no private key in PEM in it")
            }
        }
        error => told(file, &error),
    })
}

fn told(file: &Path, error: &PemError) -> String {
    match error {
        PemError::Io(error) => format!("{}: {error}", file.display()),
        error => format!("{}: it is not in PEM: {error}", file.display()),
    }
}
