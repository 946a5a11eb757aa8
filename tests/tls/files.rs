//! Files that cannot be used: the node does not start, and says which it is and what is wrong.

use std::fs::write;
use std::time::{Duration, SystemTime};

use patchmesh::internals::config::{OwnFiles, TlsFiles};
use patchmesh::internals::stream::Security;
use rcgen::{CertificateParams, date_time_ymd};

use crate::certificates::{Authority, Own, checked_by, expired, for_servers, parameters};
use crate::harness::{binary, node, run};

#[track_caller]
fn refused(own: &Own, ca: &std::path::Path) -> String {
    let mut command = binary();
    command.arg("127.0.0.1:0").args(own.arguments()).arg("--tls-ca").arg(ca);
    let ended = run(&mut command);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let authority = Authority::new("mesh");
    let ca = authority.certificate.clone();
    let own = authority.sign_loopback();
    let other = authority.sign("other", &parameters(&["other"]));
    let absent = authority.path("absent");
    let (empty, garbage) = (authority.path("empty"), authority.path("garbage"));
    let (broken, encrypted) = (authority.path("broken"), authority.path("encrypted"));
    write(&empty, "").unwrap();
    write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    write(&broken, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(&encrypted, text).unwrap();
    let with = |certificate: &std::path::Path, key: &std::path::Path| {
        refused(&Own { certificate: certificate.into(), key: key.into() }, &ca)
    };
    let cases = [
        (with(&absent, &own.key), &absent, "No such file"),
        (with(&empty, &own.key), &empty, "no certificate in PEM"),
        (with(&own.key, &own.key), &own.key, "no certificate in PEM"),
        (with(&broken, &own.key), &broken, "not in PEM"),
        (with(&garbage, &own.key), &garbage, "the certificate cannot be used"),
        (with(&own.certificate, &absent), &absent, "No such file"),
        (with(&own.certificate, &own.certificate), &own.certificate, "no private key in PEM"),
        (with(&own.certificate, &encrypted), &encrypted, "the key is encrypted"),
        (with(&own.certificate, &other.key), &other.key, "not the key of the certificate in"),
        (refused(&own, &absent), &absent, "No such file"),
        (refused(&own, &own.key), &own.key, "no certificate in PEM"),
        (refused(&own, &garbage), &garbage, "certificate 1 cannot be used"),
    ];
    for (said, file, why) in cases {
        assert!(said.contains(&file.display().to_string()), "{said} does not name {file:?}");
        assert!(said.contains(why), "{said} does not say {why}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// A certificate that is valid in this time, in days from now.
fn valid(from: i64, to: i64) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let at =
        |days: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs((now + days * 86_400) as u64);
    let mut parameters = parameters(&["127.0.0.1"]);
    (parameters.not_before, parameters.not_after) = (at(from), at(to));
    parameters
}

#[test]
fn a_node_knows_what_others_find_wrong_with_its_certificate() {
    let (authority, other) = (Authority::new("mesh"), Authority::new("other"));
    // By its own CA, by none, and by one that has not signed it.
    for (name, parameters, [own, none, others]) in [
        ("valid", valid(-1, 100), ["", "", "not signed by a CA in --tls-ca"]),
        ("soon", valid(-1, 13), ["expires at", "expires at", "not signed"]),
        ("expired", valid(-2, -1), ["expired at", "expired at", "expired at"]),
        ("early", valid(1, 100), ["is valid from", "is valid from", "is valid from"]),
        ("server", for_servers(&["127.0.0.1"]), ["has a flaw", "", "has a flaw"]),
    ] {
        let Own { certificate, key } = authority.sign(name, &parameters);
        let trouble = |ca: Option<&Authority>| {
            let own = Some(OwnFiles { certificate: certificate.clone(), key: key.clone() });
            let ca = ca.map(|authority| authority.certificate.clone());
            let security = Security::load(&TlsFiles { own, ca }).unwrap();
            security.trouble(SystemTime::now()).unwrap_or_default()
        };
        for (trouble, expected) in [
            (trouble(Some(&authority)), own),
            (trouble(None), none),
            (trouble(Some(&other)), others),
        ] {
            assert!(trouble.contains(expected), "{name}: {trouble}");
            assert_eq!(trouble.is_empty(), expected.is_empty(), "{name}: {trouble}");
        }
    }
    assert_eq!(Security::load(&TlsFiles::default()).unwrap().trouble(SystemTime::now()), None);
}

#[test]
fn a_node_says_so_when_it_starts() {
    let authority = Authority::new("mesh");
    let own = authority.sign("old", &expired(&["127.0.0.1"]));
    let node = checked_by(own.shown_by(node()), &authority.certificate).start();
    let told = node.wait_for_log("the certificate of this node expired at Tue, 01 Jan 2002");
    assert!(told.contains("WARN"), "{told}");
}
