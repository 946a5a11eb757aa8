//! Nodes that reach each other over a link of their own, in network namespaces: by addresses of one link only, and
//! by names with several addresses of which one leads nowhere. Without the right to make namespaces, and that is
//! without root, these tests say that they are skipped.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
mod harness;

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Borrowed, node, skip, wait_until_equal};

/// A namespace, and a link that joins this one and that one.
struct Link {
    namespace: String,
    /// The names of its two ends.
    here: String,
    there: String,
    _borrowed: Borrowed,
}

impl Link {
    /// None if that cannot be made here.
    fn new() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("pm{}-{number}", std::process::id());
        let (here, there) = (format!("{namespace}a"), format!("{namespace}b"));
        let undo =
            format!("ip link del {here}; ip netns del {namespace}; rm -rf /etc/netns/{namespace}");
        let script = format!(
            "set -e
            ip netns add {namespace}
            inside=\"ip netns exec {namespace}\"
            ip link add {here} type veth peer name {there} netns {namespace}
            ip link set {here} addrgenmode none
            $inside ip link set {there} addrgenmode none
            ip addr add fe80::1/64 dev {here} nodad
            $inside ip addr add fe80::2/64 dev {there} nodad
            ip addr add 198.18.{number}.1/24 dev {here}
            $inside ip addr add 198.18.{number}.2/24 dev {there}
            $inside ip addr add 2001:db8:0:{number}::2/64 dev {there} nodad
            ip link set {here} up
            $inside ip link set lo up
            $inside ip link set {there} up
            $inside ip neigh add 2001:db8:0:{number}::1 lladdr 02:00:00:00:00:01 dev {there} nud permanent
            mkdir -p /etc/netns/{namespace}
            echo 198.18.{number}.1 two >/etc/netns/{namespace}/hosts
            echo 2001:db8:0:{number}::1 two >>/etc/netns/{namespace}/hosts"
        );
        let borrowed = Borrowed::new(&[&["sh", "-c", &script]], &["sh", "-c", &undo]);
        if borrowed.is_none() {
            skip("network namespaces cannot be made here");
        }
        Some(Self { namespace, here, there, _borrowed: borrowed? })
    }

    /// The index of this side's end.
    fn index(&self) -> u32 {
        let path = format!("/sys/class/net/{}/ifindex", self.here);
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    /// An address of this link, with a port, as this side names it.
    fn address(&self, last: u16, port: u16) -> SocketAddrV6 {
        SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last), port, 0, self.index())
    }
}

/// The port is the same on both sides of the link: neither is used by anything else there.
const PORT: u16 = 7001;

#[test]
fn nodes_reach_each_other_by_addresses_of_one_link() {
    let Some(link) = Link::new() else { return };
    let (here, there) = (&link.here, &link.there);
    let one = node().at(format!("[fe80::1%{here}]:{PORT}"));
    let one = one.peer(format!("ws://[fe80::2%25{here}]:{PORT}")).start();
    let other = node().inside(&link.namespace).at(format!("[fe80::2%{there}]:{PORT}"));
    let mut other = other.peer(format!("[fe80::1%{there}]:{PORT}")).start();
    // It says by which number its own side knows the link.
    other.address = link.address(2, PORT).into();
    one.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    other.post_patch(r#"[{"op":"add","path":"/b","value":2}]"#);
    one.wait_until_connected();
    other.wait_until_connected();
    wait_until_equal(&[&one, &other]);
    assert_eq!(one.document(), "{\"a\":1,\"b\":2}");
    assert_eq!(one.upstream()["address"], format!("[fe80::2%{here}]:{PORT}"));
}

#[test]
fn what_a_peer_is_told_of_its_host_has_no_interface() {
    let Some(link) = Link::new() else { return };
    let listener = TcpListener::bind(link.address(1, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = node().inside(&link.namespace).at("127.0.0.1:0");
    let _dialer = dialer.peer(format!("[fe80::1%{}]:{port}", link.there)).start();
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.contains(&format!("\r\nHost: [fe80::1]:{port}\r\n")), "{request}");
}

#[test]
fn a_name_with_an_address_that_leads_nowhere_is_reached_by_the_other_one() {
    let Some(link) = Link::new() else { return };
    // The IPv6 address, which comes first (RFC 6724), is nobody's, and nothing ever says so.
    let number = link.namespace.rsplit('-').next().unwrap();
    let peer = node().at(format!("198.18.{number}.1:0")).start();
    peer.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    let port = peer.address.port();
    let dialer = node().inside(&link.namespace).at(format!("[fe80::2%{}]:{PORT}", link.there));
    let mut dialer = dialer.peer(format!("two:{port}")).start();
    dialer.address = link.address(2, PORT).into();
    dialer.wait_for_log(&format!("peer two:{port}: connected"));
    assert_eq!(dialer.log_lines("trying again"), [""; 0], "it is the first try");
    wait_until_equal(&[&peer, &dialer]);
}
