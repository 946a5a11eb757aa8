//! The command: its arguments, what it says, and its exit status.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Client, Port, binary, node, run, wait_for};

/// The exit status, standard output and standard error.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = run(command);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn check_one_line(text: &str, contains: &str) {
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.ends_with('\n') && text.starts_with("patchmesh: "), "{text}");
    assert!(text.contains(contains), "{text:?} does not say {contains:?}");
}

#[test]
fn a_bad_argument_is_one_line_on_standard_error_and_status_2() {
    let long = "n".repeat(200);
    let table: [(&[&str], &str); 19] = [
        (&[], "address to listen on is missing"),
        (&["8080"], "8080"),
        (&["127.0.0.1:http"], "127.0.0.1:http"),
        (&["127.0.0.1:99999"], "99999"),
        (&["127.0.0.1:0", "nowhere"], "nowhere"),
        (&["127.0.0.1:0", "127.0.0.1:1,nowhere"], "nowhere"),
        (&["127.0.0.1:0", "https://node:1"], "https://"),
        (&["127.0.0.1:0", "--frobnicate"], "--frobnicate"),
        (&["127.0.0.1:0", "--source"], "--source"),
        (&["127.0.0.1:0", "--source", &long], "200 bytes"),
        (&["127.0.0.1:0", "--source", "two\nlines"], "control"),
        (&["127.0.0.1:0", "--source", "a~b"], "no '~'"),
        (&["127.0.0.1:0", "--source", "a^b"], "no '^'"),
        (&["[fe80::1%]:0"], "no zone"),
        (&["127.0.0.1:0", "--token", ""], "token"),
        (&["127.0.0.1:0", "--primary"], "--primary needs --data"),
        (&["127.0.0.1:0", "--keep", "24"], "s, m, h or d"),
        (&["frob"], "no command"),
        (&["get", "127.0.0.1:0", "list"], "JSON Pointer"),
    ];
    for (arguments, contains) in table {
        let (status, stdout, stderr) = outcome(binary().args(arguments));
        assert_eq!(status, Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
        check_one_line(&stderr, contains);
    }
}

#[test]
#[cfg(unix)]
fn an_argument_that_is_not_utf_8_is_a_bad_argument() {
    use std::os::unix::ffi::OsStrExt;
    let argument = std::ffi::OsStr::from_bytes(b"127.0.0.1:\xff");
    let (status, _, stderr) = outcome(binary().arg(argument));
    assert_eq!(status, Some(2));
    check_one_line(&stderr, "UTF-8");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    for (address, contains) in [
        (taken.1.as_str(), "in use"),
        // Of no machine (RFC 5737) and of no name (RFC 6761).
        ("192.0.2.1:0", "192.0.2.1:0"),
        ("nobody.invalid:0", "nobody.invalid:0"),
    ] {
        let (status, stdout, stderr) = outcome(binary().arg(address));
        assert_eq!(status, Some(1), "{address}: {stderr}");
        assert_eq!(stdout, "");
        check_one_line(&stderr, contains);
        assert!(stderr.contains(address), "{stderr}");
    }
}

#[test]
fn help_and_version_are_on_standard_output() {
    for argument in ["--help", "-h"] {
        let (status, stdout, stderr) = outcome(binary().args(["127.0.0.1:0", argument]));
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        for word in ["Usage: patchmesh ADDRESS", "--source", "--token", "PATCHMESH_TOKEN"] {
            assert!(stdout.contains(word), "{word}: {stdout}");
        }
    }
    let (status, stdout, _) = outcome(binary().args(["verify", "-h"]));
    assert_eq!(status, Some(0));
    assert!(stdout.starts_with("patchmesh verify: "), "{stdout}");
    for argument in ["--version", "-V"] {
        let (status, stdout, stderr) = outcome(binary().arg(argument));
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        assert_eq!(stdout, format!("patchmesh {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_container_needs_no_command_line() {
    let (status, _, stderr) = outcome(binary().env("PATCHMESH_ADDRESS", "127.0.0.1"));
    assert_eq!(status, Some(2));
    check_one_line(&stderr, "PATCHMESH_ADDRESS");
    let node =
        node().environment("PATCHMESH_THREADS", "2").environment("PATCHMESH_PEERS", "127.0.0.1:1");
    let node = node.environment("PATCHMESH_SOURCE", "boxed").start();
    assert!(node.start_line.contains(", source boxed~"), "{}", node.start_line);
    assert!(node.start_line.contains("peers: 127.0.0.1:1,"), "{}", node.start_line);
}

#[test]
fn a_token_is_read_from_a_file() {
    let node = node().token("secret").start();
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tokens-{}", std::process::id()));
    let list = |binary: &mut Command| {
        let url = format!("http://{}", node.address);
        outcome(binary.args(["peers", "list", &url, "--token-file"]).arg(&file))
    };
    let (status, _, stderr) = list(&mut binary());
    assert_eq!(status, Some(1));
    check_one_line(&stderr, &file.display().to_string());
    std::fs::write(&file, "# Ours\nsecret peer\nother read\n").unwrap();
    let (status, stdout, _) = list(binary().env("PATCHMESH_TOKEN", "ignored"));
    assert_eq!((status, stdout), (Some(0), format!("{} has no peers\n", node.address)));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_start_line_says_all_that_one_wants_to_know() {
    let (first, second) = (Port::reserve(), Port::reserve());
    let peers = format!("ws://{first}/ws,{second}");
    let named = node().source("edge").peer(peers).start();
    let line = &named.start_line;
    let (address, source) = (named.address, &named.source);
    assert!(line.starts_with(&format!("patchmesh listens on {address}, source edge~")), "{line}");
    assert_eq!(source.len(), "edge~12345678".len());
    for part in [
        format!("peers: {first}, {second}, "),
        "journal in memory".to_owned(),
        format!("http://{address}/test"),
    ] {
        assert!(line.contains(&part), "{line} does not say {part}");
    }
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{}", std::process::id()));
    let kept = node().argument("--data").argument(data.display()).start();
    let journal = format!("journal in {} (0 transactions)", data.display());
    assert!(kept.start_line.contains(&journal), "{}", kept.start_line);
    drop(kept);
    std::fs::remove_dir_all(data).unwrap();
    // Without a name it is the address; and the line is there before anything is dialed or logged.
    let unnamed = node().start();
    assert!(unnamed.source.starts_with(&format!("{}~", unnamed.address)), "{}", unnamed.source);
    assert!(unnamed.start_line.contains("peers: none"), "{}", unnamed.start_line);
    assert_eq!(unnamed.log_lines(""), Vec::<String>::new());
}

#[test]
fn as_json_every_line_is_an_object() {
    let object = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let members: Vec<_> = object.as_object().unwrap().keys().collect();
        assert_eq!(members, ["level", "message", "target", "time"], "{line}");
        let time = object["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
        object
    };
    let node = node().at("0.0.0.0:0").argument("--log-format").argument("json").start();
    let begun = object(&node.start_line);
    assert_eq!(begun["level"], "INFO");
    assert!(begun["message"].as_str().unwrap().starts_with("patchmesh listens on 0.0.0.0:"));
    let warning = object(&node.wait_for_log("no --token was given"));
    assert_eq!(
        (&warning["level"], &warning["target"]),
        (&"WARN".into(), &"patchmesh::node".into())
    );
    let taken = format!("0.0.0.0:{}", node.address.port());
    for (arguments, contains) in
        [([taken.as_str(), "--threads=1"], "in use"), (["127.0.0.1:0", "--no"], "--no")]
    {
        let (_, _, stderr) = outcome(binary().args(arguments).arg("--log-format=json"));
        let error = object(stderr.strip_suffix('\n').unwrap());
        assert_eq!(error["level"], "ERROR");
        assert!(error["message"].as_str().unwrap().contains(contains), "{stderr}");
    }
}

#[test]
fn a_node_is_not_its_own_peer() {
    let port = Port::reserve();
    let other = node().start();
    let peers = format!("{port},{}", other.address);
    let node = node().at(&port).peer(peers).start();
    assert_eq!(node.peers()["upstreams"].as_array().unwrap().len(), 1);
    assert_eq!(node.upstream()["address"], other.address.to_string());
}

#[test]
fn beyond_loopback_a_node_without_a_token_warns() {
    let warning = "everyone who reaches 0.0.0.0:";
    let open = node().at("0.0.0.0:0").start();
    assert!(open.wait_for_log(warning).contains("--token"));
    assert!(open.start_line.contains(&format!("http://{}/test", open.address)));
    for closed in [node().at("0.0.0.0:0").token("secret").start(), node().start()] {
        assert_eq!(closed.get("/vclock").status, 200);
        assert_eq!(closed.log_lines("everyone"), Vec::<String>::new());
    }
}

#[test]
fn a_node_without_a_token_that_lets_all_pages_in_warns() {
    let all = || node().argument("--allow-origin").argument("*");
    all().start().wait_for_log("WARN  every web page that a browser opens");
    let one = node().argument("--allow-origin").argument("https://app.example").start();
    for closed in [all().token("secret").start(), one] {
        assert_eq!(closed.get("/vclock").status, 200);
        assert_eq!(closed.log_lines("every web page"), Vec::<String>::new());
    }
}

#[test]
fn it_listens_on_ipv6_and_on_names() {
    let by_name = node().at("localhost:0").start();
    assert_eq!(by_name.get("/get").status, 200);
    // Not every machine has IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        // The loopback interface has number 1.
        let zoned = node().at("[::1%1]:0").start();
        assert_eq!(zoned.get("/get").status, 200);
        let reader = node().at("[::1]:0").peer(format!("[::1%1]:{}", zoned.address.port())).start();
        let mut stream = reader.stream();
        assert_eq!(zoned.post_patch("[]"), stream.next());
        let over_6 = node().at("[::1]:0").start();
        let reader = node().at("[::1]:0").peer(over_6.address).start();
        let mut stream = reader.stream();
        assert_eq!(over_6.post_patch("[]"), stream.next());
    }
}

#[test]
#[cfg(unix)]
fn nobody_has_to_read_what_it_says() {
    // If a reader has gone, writing fails; if a stream was never open, so does every use of it.
    for redirection in ["", ">&-", "2>&-", ">&- 2>&-"] {
        let (port, nobody) = (Port::reserve(), Port::reserve());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")])
            .arg(binary().get_program())
            // A peer that is not there, so that it has something to say.
            .args([port.address.to_string(), nobody.to_string()])
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let address = port.address;
        let host = [("Host", address.to_string())];
        wait_for("the node to listen", || std::net::TcpStream::connect(address).ok());
        for patch in ["[]", "[]"] {
            let answer =
                Client::connect(address).request("POST", "/replace", &host, patch.as_bytes());
            assert_eq!(answer.status, 200, "{redirection}");
        }
        // Until it has had something to say.
        wait_for("a trouble with the peer", || {
            let answer = Client::connect(address).request("GET", "/peers", &host, b"");
            (answer.json()["upstreams"][0]["error"] != serde_json::Value::Null).then_some(())
        });
        let answer = Client::connect(address).request("GET", "/healthz", &host, b"");
        assert_eq!(answer.status, 200, "{redirection}");
        assert_eq!(child.try_wait().unwrap(), None, "{redirection}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Nor does a run that only prints fall over.
    for (argument, status) in [("--help", 0), ("--frobnicate", 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = binary();
        command.arg(argument).stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(status), "{argument}");
    }
}
