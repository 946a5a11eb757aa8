//! Hosts at a switch. Each is a network namespace with one interface, and the switch is one with a bridge.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Borrowed, Node, Setup, node, skip};

/// The port of every node: each host has nothing else.
const PORT: u16 = 7001;

/// An address of the link layer that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

#[derive(Clone, Copy)]
pub enum Family {
    V4,
    V6,
}

pub struct Network {
    name: String,
    family: Family,
    _borrowed: Borrowed,
}

impl Network {
    /// Runs a test at the switch, from which it reaches all of so many hosts. If there can be no such network here,
    /// that is said, and the test is not run.
    pub fn run(hosts: usize, family: Family, test: impl FnOnce(&Self) + Send) {
        let Some(network) = Self::new(hosts, family) else {
            return skip(
                "it needs network namespaces with a bridge: root's right, and ip of iproute2",
            );
        };
        // A thread that is in a namespace stays there, so it is one that ends with the test.
        let ended = std::thread::scope(|scope| {
            let test = scope.spawn(|| {
                enter(&network.name);
                test(&network);
            });
            test.join()
        });
        // The network is removed in any case.
        drop(network);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    fn new(hosts: usize, family: Family) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("hosts{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut make = format!(
            "set -e
            ip netns add {name}
            ip -n {name} link add switch type bridge
            ip -n {name} addr add 10.0.0.254/24 dev switch
            ip -n {name} addr add fd00::fe/64 dev switch nodad
            ip -n {name} link set switch up\n"
        );
        let mut undo = format!("ip netns del {name}\n");
        for host in 0..hosts {
            let own = format!("{name}-{host}");
            let [v4, v6] = [Family::V4, Family::V6].map(|family| ip(host, family));
            make += &format!(
                "ip netns add {own}
                ip -n {name} link add port{host} type veth peer name eth0 netns {own}
                ip -n {name} link set port{host} master switch up
                ip -n {own} addr add {v4}/24 dev eth0
                ip -n {own} addr add {v6}/64 dev eth0 nodad
                ip -n {own} link set lo up
                ip -n {own} link set eth0 up\n"
            );
            undo += &format!("ip netns del {own}\n");
        }
        let borrowed = Borrowed::new(&[&["sh", "-c", &make]], &["sh", "-c", &undo]);
        Some(Self { name, family, _borrowed: borrowed? })
    }

    /// A node on each of so many hosts, with all others as its peers; all are connected.
    pub fn mesh(&self, hosts: usize) -> Vec<Node> {
        let start = |host| {
            let setup = self.node(host);
            let others = (0..hosts).filter(|other| *other != host);
            others.fold(setup, |setup, other| setup.peer(self.address(other))).start()
        };
        let nodes: Vec<Node> = (0..hosts).map(start).collect();
        nodes.iter().for_each(Node::wait_until_connected);
        nodes
    }

    fn node(&self, host: usize) -> Setup {
        node().inside(&self.host(host)).at(self.address(host))
    }

    pub fn address(&self, host: usize) -> SocketAddr {
        SocketAddr::new(ip(host, self.family), PORT)
    }

    /// Moves the calling thread to a host.
    pub fn enter(&self, host: usize) {
        enter(&self.host(host));
    }

    /// Nothing that a host sends to another one arrives there any more, and nobody is told.
    pub fn cut(&self, from: usize, to: usize) {
        let to = ip(to, self.family).to_string();
        self.ip(
            from,
            &["neigh", "replace", &to, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"],
        );
    }

    pub fn heal(&self, from: usize, to: usize) {
        self.ip(from, &["neigh", "del", &ip(to, self.family).to_string(), "dev", "eth0"]);
    }

    /// Pulls a host's cable.
    pub fn unplug(&self, host: usize) {
        self.ip(host, &["link", "set", "eth0", "down"]);
    }

    /// Puts it in again.
    pub fn plug(&self, host: usize) {
        self.ip(host, &["link", "set", "eth0", "up"]);
    }

    #[track_caller]
    fn ip(&self, host: usize, arguments: &[&str]) {
        let status = Command::new("ip").args(["-n", &self.host(host)]).args(arguments).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    }

    fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }
}

fn ip(host: usize, family: Family) -> IpAddr {
    let last = u8::try_from(host + 1).unwrap();
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

/// Moves the calling thread to a namespace.
#[track_caller]
fn enter(namespace: &str) {
    let link = File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}
