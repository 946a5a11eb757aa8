//! Files that cannot be used: the node does not start, and says which it is and what is wrong.

use std::fs::write;

use crate::certificates::{Authority, Own};
use crate::harness::{binary, run};

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
    let other = authority.sign("other", &crate::certificates::parameters(&["other"]));
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
