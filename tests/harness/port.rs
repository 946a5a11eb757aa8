//! A port that is free and stays so.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A port of this machine that a node can listen on, now or later and again.
///
/// It is held by a socket that is bound and does not listen: the system gives such a port to nobody who
/// asks for any, a node that asks for this one gets it (Linux allows that if both allow the reuse of
/// the address, as Rust's listeners do), and until then connections to it are refused.
pub struct Port {
    pub address: SocketAddr,
    _held: OwnedFd,
}

impl Port {
    pub fn reserve() -> Self {
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let flags = SocketFlags::CLOEXEC;
        let held = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        sockopt::set_socket_reuseaddr(&held, true).unwrap();
        bind(&held, &any).unwrap();
        let address = SocketAddr::try_from(getsockname(&held).unwrap()).unwrap();
        Self { address, _held: held }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
