use super::values::MOST_DAYS;
use super::*;
use crate::source::MAX_NAME_BYTES;

/// Parses without an environment.
fn read(arguments: &[&str]) -> Result<Command, UsageError> {
    parse(arguments, |_| None)
}

/// Parses in an environment with these variables.
fn read_in(variables: &[(&str, &str)], arguments: &[&str]) -> Result<Command, UsageError> {
    parse(arguments, |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.into())
    })
}

fn run(arguments: &[&str]) -> Config {
    run_in(&[], arguments)
}

fn run_in(variables: &[(&str, &str)], arguments: &[&str]) -> Config {
    match read_in(variables, arguments) {
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
    let connections = run(&["a:1", "--max-connections", "9"]).connections;
    assert_eq!((config.connections, connections), (1024, 9));
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
    assert_eq!(read(&["--token", "t", "get", "a:1"]), read(&["get", "a:1", "--token=t"]));
    for (arguments, command) in
        [(&["a:1", "-h"][..], ""), (&["-h", "get"], "get"), (&["get", "--help"], "get")]
    {
        let entry = COMMANDS.iter().find(|entry| entry.name == command).unwrap();
        assert_eq!(read(arguments), Ok(Command::Help(help(entry))));
    }
    assert_eq!(read(&["--version"]), Ok(Command::Version));
}

#[test]
fn the_environment_says_what_the_command_line_does_not() {
    let variables = [
        ("PATCHMESH_ADDRESS", "a:1"),
        ("PATCHMESH_PEERS", "b:1, c:2"),
        ("PATCHMESH_SOURCE", "edge"),
        ("PATCHMESH_DATA", "d"),
        ("PATCHMESH_TOKEN", "secret"),
        ("PATCHMESH_ALLOW_ORIGIN", "http://x,http://y"),
        ("PATCHMESH_LOG_FORMAT", "json"),
        ("PATCHMESH_THREADS", "2"),
        ("PATCHMESH_PRIMARY", "true"),
        ("PATCHMESH_KEEP", "1s"),
        ("PATCHMESH_HORIZON", "2s"),
        // Flags of other commands.
        ("PATCHMESH_TIMEOUT", "never"),
        ("PATCHMESH_URL", "nowhere"),
    ];
    let said = [
        "a:1",
        "b:1,c:2",
        "--source=edge",
        "--data=d",
        "--token=secret",
        "--threads=2",
        "--primary",
    ];
    let more = [
        "--allow-origin=http://x",
        "--allow-origin=http://y",
        "--log-format=json",
        "--keep=1s",
        "--horizon=2s",
    ];
    assert_eq!(read_in(&variables, &[]), read(&[&said[..], &more].concat()));
    let config =
        run_in(&variables, &["z:1", "--source", "other", "--token-file", "f", "--allow-origin=*"]);
    assert_eq!((config.address.as_str(), config.peers.len()), ("z:1", 2));
    assert_eq!(config.name.as_deref(), Some("other"));
    assert_eq!((config.token, config.token_file), (None, Some("f".into())));
    assert_eq!(config.origins, Origins::All);
    assert_eq!(run_in(&variables, &["z:1", "y:1"]).peers, ["y:1".parse().unwrap()]);
    // An empty variable counts as absent.
    assert_eq!(
        run_in(&[("PATCHMESH_TOKEN", ""), ("PATCHMESH_PRIMARY", "false")], &["a:1"]),
        run(&["a:1"])
    );
    let node = remote("a:1", Some("secret"));
    assert_eq!(read_in(&variables, &["promote", "http://a:1"]), Ok(Command::Promote { node }));
    // A variable for the node that runs does not matter for a directory that is only checked.
    assert_eq!(read_in(&variables, &["verify", "d"]), read(&["verify", "d"]));
}

#[test]
fn what_is_wrong_in_the_environment_is_told_by_its_name() {
    for (variables, arguments, why) in [
        (
            &[("PATCHMESH_ADDRESS", "8080")][..],
            &[][..],
            "PATCHMESH_ADDRESS: \"8080\" is not an address",
        ),
        (&[("PATCHMESH_PEERS", "b:1,c")], &["a:1"], "PATCHMESH_PEERS: \"c\" is not an address"),
        (&[("PATCHMESH_KEEP", "1")], &["a:1"], "PATCHMESH_KEEP wants a duration"),
        (&[("PATCHMESH_TOKEN", "a b")], &["promote", "http://a:1"], "PATCHMESH_TOKEN: a token has"),
        (&[("PATCHMESH_PRIMARY", "1")], &["a:1"], "PATCHMESH_PRIMARY is true or false"),
        (&[("PATCHMESH_PRIMARY", "true")], &["a:1"], "PATCHMESH_PRIMARY needs --data"),
        (&[("PATCHMESH_THREADS", "0")], &["a:1"], "PATCHMESH_THREADS wants 1 to 64"),
        (&[("PATCHMESH_SOURCE", "a~b")], &["a:1"], "PATCHMESH_SOURCE: \"a~b\" cannot name"),
        (&[("PATCHMESH_LOG_FORMAT", "xml")], &["a:1"], "PATCHMESH_LOG_FORMAT is text or json"),
        (
            &[("PATCHMESH_ALLOW_ORIGIN", "http://x,y")],
            &["a:1"],
            "PATCHMESH_ALLOW_ORIGIN: \"y\" is no origin",
        ),
        (
            &[("PATCHMESH_TOKEN", "t"), ("PATCHMESH_TOKEN_FILE", "f")],
            &["a:1"],
            "PATCHMESH_TOKEN and PATCHMESH_TOKEN_FILE exclude each other",
        ),
        (&[("PATCHMESH_TIMEOUT", "1w")], &["get", "a:1"], "PATCHMESH_TIMEOUT wants a duration"),
    ] {
        let error = read_in(variables, arguments).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    }
}

#[test]
fn the_first_token_of_a_file_is_shown() {
    for (text, token) in [
        ("secret", Some("secret")),
        ("# who may read\n\n  r1 read # the page\nw1 write", Some("r1")),
        ("#none\na#b peer", Some("a#b")),
        ("", None),
        ("# none", None),
        ("ä read", None),
    ] {
        assert_eq!(first_token(text).ok().as_deref(), token, "{text:?}");
    }
    let node = Remote { token_file: Some("f".into()), ..remote("a:1", None) };
    let mut command = read(&["promote", "http://a:1", "--token-file=f"]).unwrap();
    assert_eq!(command, Command::Promote { node: node.clone() });
    assert_eq!(command.remotes_mut(), [node]);
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
    let table: [(&[&str], Command); 10] = [
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
        (&["peers", "list", "a:1"], peers_of("a:1", None, PeersOrder::List)),
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
        assert_eq!(read(arguments), Ok(command), "{arguments:?}");
    }
}

#[test]
fn client_commands_say_what_is_to_be_done_at_which_nodes() {
    let value = || Input::Text("-1".into());
    let write = |pointer: &str, change, is_committed| {
        ClientOrder::Write(Write { pointer: pointer.into(), change, is_committed })
    };
    let get = |pointer: &str, is_committed, form| ClientOrder::Get {
        pointer: pointer.into(),
        is_committed,
        form,
    };
    let transaction = Some(("phone~k3x9q2pd".to_owned(), 7));
    let part = || "/a".to_owned();
    let table: [(&[&str], ClientOrder); 21] = [
        (&["get", "a:1"], get("", false, PrintForm::Compact)),
        (&["get", "a:1", "/a/0", "--committed", "--raw"], get("/a/0", true, PrintForm::Raw)),
        (&["get", "a:1", "", "--pretty"], get("", false, PrintForm::Pretty)),
        (&["set", "a:1", "", "-1"], write("", WriteKind::Set(value()), false)),
        (&["set", "a:1", "/a", "--committed", "-1"], write("/a", WriteKind::Set(value()), true)),
        (&["merge", "a:1", "/a", "-"], write("/a", WriteKind::Merge(Input::Stdin), false)),
        (
            &["patch", "a:1", "/a", "f.json"],
            write("/a", WriteKind::Patch(Input::File("f.json".into())), false),
        ),
        (
            &["patch", "a:1", "/a", "@f"],
            write("/a", WriteKind::Patch(Input::File("f".into())), false),
        ),
        (&["remove", "a:1", "/~0~1"], write("/~0~1", WriteKind::Remove, false)),
        (&["edit", "a:1"], ClientOrder::Edit { pointer: String::new(), is_committed: false }),
        (&["watch", "a:1", "/a"], ClientOrder::Watch { pointer: part(), form: PrintForm::Compact }),
        (
            &["import", "a:1", "/a", "f"],
            ClientOrder::Import {
                pointer: part(),
                input: Input::File("f".into()),
                is_committed: false,
            },
        ),
        (
            &["import", "a:1", "/a", "-", "--committed"],
            ClientOrder::Import { pointer: part(), input: Input::Stdin, is_committed: true },
        ),
        (
            &["export", "a:1"],
            ClientOrder::Export {
                pointer: String::new(),
                file: None,
                is_committed: false,
                form: PrintForm::Compact,
            },
        ),
        (
            &["export", "a:1", "/a", "-", "--pretty"],
            ClientOrder::Export {
                pointer: part(),
                file: None,
                is_committed: false,
                form: PrintForm::Pretty,
            },
        ),
        (
            &["export", "a:1", "/a", "f", "--committed"],
            ClientOrder::Export {
                pointer: part(),
                file: Some("f".into()),
                is_committed: true,
                form: PrintForm::Compact,
            },
        ),
        (&["status", "a:1"], ClientOrder::Status { is_json: false }),
        (&["status", "a:1", "--json"], ClientOrder::Status { is_json: true }),
        (&["wait", "a:1"], ClientOrder::Wait { transaction: None, is_committed: false }),
        (
            &["wait", "a:1", "--committed"],
            ClientOrder::Wait { transaction: None, is_committed: true },
        ),
        (
            &["wait", "a:1", "--transaction", "phone~k3x9q2pd/7"],
            ClientOrder::Wait { transaction, is_committed: false },
        ),
    ];
    let command = |order, nodes: &[&str], seconds| {
        let nodes = nodes.iter().map(|address| remote(address, None)).collect();
        Ok(Command::Client(ClientCommand { nodes, order, timeout: Duration::from_secs(seconds) }))
    };
    for (arguments, order) in table {
        assert_eq!(read(arguments), command(order, &["a:1"], 30), "{arguments:?}");
    }
    let urls = ["watch", "http://a:1/,b:1, http://[::1]:3", "--timeout", "5s"];
    let order = || ClientOrder::Watch { pointer: String::new(), form: PrintForm::Compact };
    assert_eq!(read(&urls), command(order(), &["a:1", "b:1", "[::1]:3"], 5));
    let urls = ["status", "http://a:1,b:1", "c:1"];
    assert_eq!(
        read(&urls),
        command(ClientOrder::Status { is_json: false }, &["a:1", "b:1", "c:1"], 30)
    );
}

#[test]
fn help_fits_a_terminal_and_has_an_example_that_is_right() {
    for command in COMMANDS {
        let text = help(command);
        let most_lines = if command.name.is_empty() { 48 } else { 24 };
        assert!(text.lines().count() <= most_lines, "{}\n{text}", text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() < 80 && line.is_ascii(), "{line}");
        }
        for flag in command.flags() {
            assert!(text.contains(&format!("--{} ", flag.name)), "{}: {text}", flag.name);
        }
        // Split as a shell does: a variable before the command, and quotes around arguments.
        let words = command.example.split(" patchmesh ").last().unwrap();
        let words = words.strip_prefix("patchmesh ").unwrap_or(words);
        let words = words.split(' ').map(|word| word.trim_matches('\''));
        let words: Vec<_> = words.collect();
        let Ok(read) = read(&words) else { panic!("{}: {:?}", command.example, read(&words)) };
        assert_eq!(matches!(read, Command::Run(_)), command.name.is_empty());
        assert_eq!(command.name, if command.name.is_empty() { "" } else { words[0] });
    }
}

#[test]
fn the_tables_hold_together() {
    for flag in flags() {
        let excluded = |other: &str| flags().find(|flag| flag.name == other).unwrap();
        assert!(flag.excludes.is_none_or(|other| excluded(other).excludes == Some(flag.name)));
        assert!(!flag.help.is_empty() && flag.name.is_ascii());
    }
    for command in COMMANDS {
        let is_first = |name| COMMANDS.iter().filter(|other| other.name == name).count() == 1;
        assert!(is_first(command.name), "{}", command.name);
        let counts: Vec<_> = command.arguments.iter().map(|argument| argument.count).collect();
        for (count, next) in counts.iter().zip(counts.iter().skip(1)) {
            let is_well = match count {
                Count::One => true,
                Count::Optional => *next == Count::Optional,
                Count::Some | Count::Any => false,
            };
            assert!(is_well, "{}", command.name);
        }
    }
}

#[test]
fn a_peer_to_rebuild_from_is_an_address_or_a_url() {
    for peer in ["a:1", "http://a:1", "http://a:1/", "ws://a:1", "ws://a:1/ws"] {
        let arguments = ["verify", "d", "--rebuild-from", peer, "--token", "t", "--new-life"];
        let peer_of = remote("a:1", Some("t"));
        let mend = Mend::RebuildFrom { peer: peer_of, name: None, despite_loss: true };
        let expected = Command::Verify { data: "d".into(), mend: Some(mend) };
        assert_eq!(read(&arguments), Ok(expected), "{peer}");
    }
}

#[test]
fn a_bad_argument_is_one_clear_line() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let allowed = format!("{MAX_NAME_BYTES} are allowed");
    let table: [(&[&str], &str); 87] = [
        (&[], "address to listen on is missing"),
        (&["8080"], "no command, and no address: it has no port"),
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
        (&["a:1", "--max-connections", "0"], "1 to 1000000"),
        (&["verify", "d", "--threads", "2"], "a node that is to run"),
        (&["a:1", "--source", "a~b"], "no '~'"),
        (&["a:1", "--source", "a^1"], "no '^'"),
        (&["restore", "f", "d", "--source", "a~b"], "no '~'"),
        (&["[fe80::1%]:80"], "no zone"),
        (&["[fe80::1]:80"], "needs its interface"),
        (&["a:1", "ws://[febf::1]:80"], "needs its interface"),
        (&["[fe80::1%a%b]:80"], "no zone"),
        (&["a:1", "--token", "with space"], "visible ASCII"),
        (&["verify"], "verify: DIR is missing"),
        (&["verify", "d", "--source", "n"], "belongs to --rebuild-from"),
        (&["a:1", "--new-life"], "belongs to verify"),
        (&["verify", "d", "--rebuild-from", "a"], "has no port"),
        (&["verify", "d", "--rebuild-from", "ws://a:1/b/ws"], "without a path"),
        (&["backup", "d"], "backup: FILE is missing"),
        (&["backup", "http://a", "f"], "has no port"),
        (&["backup", "http://a:1/b", "f"], "without a path"),
        (&["promote", "ws://a:1/b/ws"], "without a path"),
        (&["promote", "ftp://a:1"], "the URL of a node"),
        (&["restore", "f", "d", "e"], "restore takes FILE DIR, and \"e\" is one argument too many"),
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
        (&["promote", "a"], "\"a\" is not an address: it has no port"),
        (&["promote"], "promote: URL is missing"),
        (&["peers", "list", "http://a:1", "b:1"], "list takes no PEER"),
        (&["peers", "add", "http://a:1"], "PEER is missing"),
        (&["peers", "add", "http://a:1", "b"], "\"b\" is not an address: it has no port"),
        (&["peers", "remove", "http://a:1", "b:1", "c:1"], "\"c:1\" is one argument too many"),
        (&["peers", "show", "http://a:1"], "not \"show\""),
        (&["peers"], "list|add|remove is missing"),
        (&["get"], "get: URL is missing"),
        (&["get", ","], "URL of a node is empty"),
        (&["get", "ftp://a:1"], "not the URL of a node"),
        (&["get", "a:1", "list"], "\"list\" is not a JSON Pointer: it begins with /"),
        (&["get", "a:1", "/a~"], "behind ~"),
        (&["get", "a:1", "/a~2"], "behind ~"),
        (&["get", "a:1", "--pretty", "--raw"], "--pretty and --raw exclude each other"),
        (&["get", "a:1", "--primary"], "--primary belongs to a node"),
        (&["get", "a:1", "--timeout", "0s"], "at least 1s"),
        (&["set", "a:1", ""], "set: VALUE is missing"),
        (&["set", "a:1", "", "hello"], "\"hello\" is not JSON"),
        (&["set", "a:1", "", "{\"a.b\":}"], "is not JSON"),
        (&["set", "a:1", "", "@"], "wants a file"),
        (&["wait", "a:1", "--transaction", "a~12345678"], "wants SOURCE/ID"),
        (&["wait", "a:1", "--transaction", "/1"], "wants SOURCE/ID"),
        (&["status", "a:1", "b"], "\"b\" is not an address"),
        (&["-x"], "-x"),
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
        let error = read(arguments).unwrap_err().to_string();
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
        let error = read(arguments).unwrap_err().to_string();
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
        let arguments = [&["promote", url][..], &files].concat();
        assert_eq!(read(&arguments), Ok(Command::Promote { node: node.clone() }));
    }
    for (arguments, why) in [
        (["a:1", "--tls-cert", "c"], "needs --tls-key"),
        (["a:1", "--tls-key", "k"], "needs --tls-cert"),
        (["a:1", "--tls-ca", ""], "--tls-ca wants a file"),
    ] {
        let error = read(&arguments).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    }
}
