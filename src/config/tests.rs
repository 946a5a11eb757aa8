use super::options::MOST_DAYS;
use super::*;
use crate::source::MAX_NAME_BYTES;

fn run(arguments: &[&str]) -> Config {
    match parse(arguments, None) {
        Ok(Command::Run(config)) => config,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}

fn remote(address: &str, token: Option<&str>) -> Remote {
    let (address, token) = (address.into(), token.map(str::to_owned));
    Remote { address, is_tls: false, token, token_file: None, tls: TlsFiles::default() }
}

fn peers_of(address: &str, token: Option<&str>, order: PeersOrder) -> Command {
    Command::Peers { node: remote(address, token), order }
}

fn peers(arguments: &[&str]) -> Vec<String> {
    run(arguments).peers.iter().map(Peer::to_string).collect()
}

#[test]
fn an_address_is_enough() {
    let config = run(&["127.0.0.1:8080"]);
    assert_eq!(config.address, "127.0.0.1:8080");
    assert_eq!((config.peers, config.name, config.token), (vec![], None, None));
    assert_eq!((config.threads, run(&["a:1", "--threads", "2"]).threads), (1, 2));
}

#[test]
fn peers_are_arguments_or_separated_by_commas() {
    let expected = ["b:1", "c:2", "[::1]:3"];
    assert_eq!(peers(&["a:1", "b:1", "c:2", "[::1]:3"]), expected);
    assert_eq!(peers(&["a:1", "b:1,c:2, [::1]:3,"]), expected);
    assert_eq!(peers(&["a:1", "ws://b:1", "ws://c:2/", "ws://[::1]:3/ws"]), expected);
    assert_eq!(peers(&["a:1", "ws://b:1/mesh/ws"]), ["b:1/mesh/ws"]);
}

#[test]
fn an_address_has_a_host_a_port_and_perhaps_a_zone() {
    let longest = "n".repeat(MAX_NAME_BYTES);
    assert_eq!(run(&["a:1", "--source", &longest]).name.as_deref(), Some(longest.as_str()));
    for (address, host, authority) in [
        ("node.lan:80", "node.lan", "node.lan:80"),
        ("127.0.0.1:80", "127.0.0.1", "127.0.0.1:80"),
        ("[::1]:80", "::1", "[::1]:80"),
        ("[fe80::1%1]:80", "fe80::1%1", "[fe80::1]:80"),
        ("[fe80::1%eth0.7]:80", "fe80::1%eth0.7", "[fe80::1]:80"),
    ] {
        assert_eq!(run(&[address]).address, address);
        assert_eq!(peers(&["a:1", address]), [address]);
        assert_eq!(host_and_port(address), (host, 80));
        assert_eq!(super::authority(address), authority);
    }
    // In a URL the sign before the zone is percent-encoded (RFC 6874), or not (RFC 9844).
    for url in ["ws://[fe80::1%25eth0]:80", "ws://[fe80::1%eth0]:80/ws"] {
        assert_eq!(peers(&["a:1", url]), ["[fe80::1%eth0]:80"]);
    }
}

#[test]
fn a_node_is_not_its_own_peer_and_none_is_dialed_twice() {
    assert_eq!(peers(&["a:1", "a:1", "b:1", "ws://b:1/ws"]), ["b:1"]);
}

#[test]
fn options_stand_anywhere() {
    let config = run(&["--source", "edge", "a:1", "--token=secret", "b:2"]);
    assert_eq!(config.name.as_deref(), Some("edge"));
    assert_eq!(config.token.as_deref(), Some("secret"));
    assert_eq!(config.peers.len(), 1);
    assert_eq!(parse(["a:1", "-h"], None), Ok(Command::Help));
    assert_eq!(parse(["--version"], None), Ok(Command::Version));
}

#[test]
fn the_environment_gives_a_token_that_an_option_overrides() {
    let token = |arguments: &[&str], environment: &str| match parse(
        arguments,
        Some(environment.to_owned()),
    )
    .unwrap()
    {
        Command::Run(config) => config.token,
        other => panic!("{other:?}"),
    };
    assert_eq!(token(&["a:1"], "env").as_deref(), Some("env"));
    assert_eq!(token(&["a:1", "--token", "flag"], "env").as_deref(), Some("flag"));
    assert_eq!(token(&["a:1"], ""), None);
}

#[test]
fn a_file_takes_the_place_of_a_token() {
    let token = Some("env".to_owned());
    let Ok(Command::Run(config)) = parse(["a:1", "--token-file", "f"], token.clone()) else {
        panic!("it is well")
    };
    assert_eq!((config.token, config.token_file), (None, Some("f".into())));
    let node = Remote { token_file: Some("f".into()), ..remote("a:1", None) };
    let arguments = ["promote", "http://a:1", "--token-file=f"];
    assert_eq!(parse(arguments, token), Ok(Command::Promote { node }));
}

#[test]
fn origins_are_as_browsers_write_them() {
    let origins = |arguments: &[&str]| run(arguments).origins;
    assert_eq!(origins(&["a:1"]), Origins::These(vec![]));
    for (given, expected) in [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]", "http://[::1]"),
        ("http://[::1]:80", "http://[::1]"),
        ("app+1://x:80", "app+1://x:80"),
    ] {
        let expected = Origins::These(vec![expected.into()]);
        assert_eq!(origins(&["a:1", "--allow-origin", given]), expected);
    }
    let two = ["a:1", "--allow-origin", "http://b", "--allow-origin", "http://c"];
    assert_eq!(origins(&two), Origins::These(vec!["http://b".into(), "http://c".into()]));
    assert_eq!(origins(&[&two[..], &["--allow-origin", "*"]].concat()), Origins::All);
}

#[test]
fn a_primary_has_a_directory_and_durations_have_units() {
    let days = |days| Duration::from_secs(days * 24 * 3600);
    let config = run(&["a:1"]);
    assert_eq!((config.is_primary, config.keep, config.horizon), (false, days(1), days(30)));
    let config = run(&["a:1", "--primary", "--data", "d", "--keep", "10s", "--horizon=1s"]);
    let seconds = Duration::from_secs;
    assert_eq!((config.is_primary, config.keep, config.horizon), (true, seconds(10), seconds(1)));
    for (text, expected) in [
        ("1s", seconds(1)),
        ("090s", seconds(90)),
        ("30m", seconds(1800)),
        ("24h", days(1)),
        ("7d", days(7)),
        ("36500d", days(MOST_DAYS)),
    ] {
        assert_eq!(run(&["a:1", "--keep", text]).keep, expected, "{text}");
        assert_eq!(run(&["a:1", "--horizon", text]).horizon, expected, "{text}");
    }
}

#[test]
fn directories_are_looked_after_by_commands_of_their_own() {
    let table: [(&[&str], Command); 9] = [
        (&["verify", "d"], Command::Verify { data: "d".into(), mend: None }),
        (
            &["verify", "d", "--new-life"],
            Command::Verify { data: "d".into(), mend: Some(Mend::NewLife) },
        ),
        (
            &["backup", "d", "f"],
            Command::Backup { from: BackupFrom::Directory("d".into()), file: "f".into() },
        ),
        (
            &["backup", "http://a:1/", "f", "--token", "t"],
            Command::Backup { from: BackupFrom::Node(remote("a:1", Some("t"))), file: "f".into() },
        ),
        (
            &["restore", "f", "d", "--source", "n"],
            Command::Restore { file: "f".into(), data: "d".into(), name: Some("n".into()) },
        ),
        (
            &["promote", "http://[::1]:8080/", "--token", "t"],
            Command::Promote { node: remote("[::1]:8080", Some("t")) },
        ),
        (&["peers", "list", "http://a:1"], peers_of("a:1", None, PeersOrder::List)),
        (
            &["peers", "add", "http://a:1/", "ws://b:1/", "--token", "t"],
            peers_of("a:1", Some("t"), PeersOrder::Add("b:1".parse().unwrap())),
        ),
        (
            &["peers", "remove", "http://a:1", "[::1]:8080"],
            peers_of("a:1", None, PeersOrder::Remove("[::1]:8080".parse().unwrap())),
        ),
    ];
    for (arguments, command) in table {
        assert_eq!(parse(arguments, None), Ok(command), "{arguments:?}");
    }
}

#[test]
fn a_peer_to_rebuild_from_is_an_address_or_a_url() {
    for peer in ["a:1", "http://a:1", "http://a:1/", "ws://a:1", "ws://a:1/ws"] {
        let arguments = ["verify", "d", "--rebuild-from", peer, "--token", "t", "--new-life"];
        let peer_of = remote("a:1", Some("t"));
        let mend = Mend::RebuildFrom { peer: peer_of, name: None, despite_loss: true };
        let expected = Command::Verify { data: "d".into(), mend: Some(mend) };
        assert_eq!(parse(arguments, None), Ok(expected), "{peer}");
    }
}

#[test]
fn a_bad_argument_is_one_clear_line() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let allowed = format!("{MAX_NAME_BYTES} are allowed");
    let table: [(&[&str], &str); 70] = [
        (&[], "address to listen on is missing"),
        (&["8080"], "has no port"),
        (&[":8080"], "has no host"),
        (&["a:http"], "not a number"),
        (&["a:65536"], "not a number"),
        (&["::1:80"], "in brackets"),
        (&["[::g]:80"], "not an IPv6"),
        (&["a b:80"], "no host name has"),
        (&["a:1", "http://b:1"], "not http://"),
        (&["a:1", "ws://b:1/ws?x"], "no query"),
        (&["a:1", "--frob"], "--frob"),
        (&["a:1", "--source"], "--source"),
        (&["a:1", "--source", &long], &allowed),
        (&["a:1", "--source", ""], "empty"),
        (&["a:1", "--data", ""], "wants a directory"),
        (&["a:1", "--threads", "0"], "1 to 64"),
        (&["a:1", "--threads", "two"], "1 to 64"),
        (&["verify", "d", "--threads", "2"], "a node that is to run"),
        (&["a:1", "--source", "a~b"], "no '~'"),
        (&["a:1", "--source", "a^1"], "no '^'"),
        (&["restore", "f", "d", "--source", "a~b"], "no '~'"),
        (&["[fe80::1%]:80"], "no zone"),
        (&["[fe80::1]:80"], "needs its interface"),
        (&["a:1", "ws://[febf::1]:80"], "needs its interface"),
        (&["[fe80::1%a%b]:80"], "no zone"),
        (&["a:1", "--token", "with space"], "visible ASCII"),
        (&["verify"], "one argument"),
        (&["verify", "d", "--source", "n"], "belongs to --rebuild-from"),
        (&["a:1", "--new-life"], "belong to verify"),
        (&["verify", "d", "--rebuild-from", "a"], "has no port"),
        (&["verify", "d", "--rebuild-from", "ws://a:1/b/ws"], "without a path"),
        (&["backup", "d"], "two arguments"),
        (&["backup", "http://a", "f"], "has no port"),
        (&["backup", "http://a:1/b", "f"], "without a path"),
        (&["promote", "ws://a:1/b/ws"], "without a path"),
        (&["promote", "ftp://a:1"], "the URL of a node"),
        (&["restore", "f", "d", "e"], "two arguments"),
        (&["a:1", "--primary"], "--primary needs --data"),
        (&["a:1", "--keep", ""], "--keep wants a duration"),
        (&["a:1", "--keep", "10"], "s, m, h or d"),
        (&["a:1", "--keep", "10ü"], "s, m, h or d"),
        (&["a:1", "--keep", "d"], "a whole number"),
        (&["a:1", "--keep", "1.5h"], "a whole number"),
        (&["a:1", "--keep", "+1h"], "a whole number"),
        (&["a:1", "--keep", "0d"], "at least 1s"),
        (&["a:1", "--horizon", "36501d"], "--horizon wants a duration"),
        (&["a:1", "--horizon", "99999999999999999999d"], "at most 36500d"),
        (&["a:1", "--horizon", "18446744073709551615d"], "at most 36500d"),
        (&["backup", "d", "f", "--keep", "1h"], "--keep belongs to a node"),
        (&["promote", "http://a:1", "--primary"], "--primary belongs to a node"),
        (&["promote", "a:1"], "the URL of a node"),
        (&["promote"], "one argument"),
        (&["peers", "list", "a:1"], "peers wants the URL of a node"),
        (&["peers", "list", "http://a:1", "b:1"], "peers list takes one argument"),
        (&["peers", "add", "http://a:1"], "take two arguments"),
        (&["peers", "add", "http://a:1", "b"], "\"b\" is not an address: it has no port"),
        (&["peers", "remove", "http://a:1", "b:1", "c:1"], "take two arguments"),
        (&["peers", "show", "http://a:1"], "not \"show\""),
        (&["peers"], "list, add or remove"),
        (&["a:1", "--token", "t", "--token-file", "f"], "exclude each other"),
        (&["a:1", "--token-file", ""], "wants a file"),
        (&["a:1", "--log-format", "xml"], "text or json"),
        (&["promote", "http://a:1", "--log-format", "json"], "--log-format belongs"),
        (&["a:1", "--allow-origin", "app.example"], "no scheme"),
        (&["a:1", "--allow-origin", "://app.example"], "scheme is none"),
        (&["a:1", "--allow-origin", "https://app.example/"], "a \"/\""),
        (&["a:1", "--allow-origin", "https://app.example:x"], "not a number"),
        (&["a:1", "--allow-origin", "https://"], "no host"),
        (&["a:1", "--allow-origin", "https://user@app.example"], "a \"@\""),
        (&["peers", "list", "http://a:1", "--keep", "1h"], "--keep belongs to a node"),
    ];
    for (arguments, why) in table {
        let error = parse(arguments, None).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    for arguments in [
        &["a:1", "wss://b:1"][..],
        &["a:1", "--tls-cert", "c"],
        &["a:1", "--tls-key", "k"],
        &["a:1", "--tls-ca", "c"],
        &["promote", "https://a:1"],
        &["backup", "wss://a:1", "f"],
    ] {
        let error = parse(arguments, None).unwrap_err().to_string();
        assert!(error.ends_with("this build has no TLS; build with --features tls"), "{error}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_has_a_certificate_a_key_and_urls() {
    let own = Some(OwnFiles { certificate: "c".into(), key: "k".into() });
    assert_eq!(run(&["a:1"]).tls, TlsFiles::default());
    let config = run(&["a:1", "--tls-cert", "c", "--tls-key", "k", "wss://b:1", "b:1"]);
    assert_eq!(config.tls, TlsFiles { own: own.clone(), ca: None });
    assert_eq!(
        peers(&["a:1", "wss://b:1/ws,wss://[::1]:3/mesh", "b:1"]),
        ["wss://b:1", "wss://[::1]:3/mesh", "b:1"]
    );
    for peer in ["wss://b:1", "wss://[::1]:3/mesh"] {
        assert_eq!(peer.parse::<Peer>().unwrap().to_string(), peer);
    }
    let tls = TlsFiles { own, ca: Some("a".into()) };
    let node = Remote { is_tls: true, tls, ..remote("b:1", None) };
    for url in ["https://b:1", "https://b:1/", "wss://b:1/ws"] {
        let files = ["--tls-ca", "a", "--tls-cert", "c", "--tls-key", "k"];
        let arguments = ["promote", url].into_iter().chain(files);
        assert_eq!(parse(arguments, None), Ok(Command::Promote { node: node.clone() }));
    }
    for (arguments, why) in [
        (["a:1", "--tls-cert", "c"], "needs --tls-key"),
        (["a:1", "--tls-key", "k"], "needs --tls-cert"),
        (["a:1", "--tls-ca", ""], "--tls-ca wants a file"),
    ] {
        let error = parse(arguments, None).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    }
}
