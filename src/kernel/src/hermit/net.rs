//! The network, which does not exist: a socket cannot be created, so that no other function has one to work on.

use core::ffi::c_int;

use asphodel_core::errno::Errno;

use super::call::{entered, failure};
use super::symbol::Symbol;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_socket", no_network as *const ()),
    Symbol::new("sys_accept", no_socket as *const ()),
    Symbol::new("sys_bind", no_socket as *const ()),
    Symbol::new("sys_connect", no_socket as *const ()),
    Symbol::new("sys_getpeername", no_socket as *const ()),
    Symbol::new("sys_getsockname", no_socket as *const ()),
    Symbol::new("sys_getsockopt", no_socket as *const ()),
    Symbol::new("sys_listen", no_socket as *const ()),
    Symbol::new("sys_recv", no_bytes as *const ()),
    Symbol::new("sys_recvfrom", no_bytes as *const ()),
    Symbol::new("sys_send", no_bytes as *const ()),
    Symbol::new("sys_sendto", no_bytes as *const ()),
    Symbol::new("sys_setsockopt", no_socket as *const ()),
    Symbol::new("sys_shutdown", no_socket as *const ()),
    Symbol::new("sys_getaddrinfo", no_name as *const ()),
    Symbol::new("sys_freeaddrinfo", free_addresses as *const ()),
];

/// Refuses to create a socket, of whatever family.
extern "C" fn no_network() -> c_int {
    entered();
    failure(Errno::EAFNOSUPPORT)
}

/// Fails, because no descriptor is a socket.
extern "C" fn no_socket() -> c_int {
    entered();
    failure(Errno::ENOTSOCK)
}

/// Same as [`no_socket`], for functions that return a number of bytes.
extern "C" fn no_bytes() -> isize {
    entered();
    failure(Errno::ENOTSOCK) as isize
}

/// The result of getaddrinfo without a resolver (EAI_FAIL).
const NOBODY_TO_ASK: c_int = 4;

/// Fails, because no name can be resolved.
extern "C" fn no_name() -> c_int {
    entered();
    NOBODY_TO_ASK
}

/// Does nothing: there is never a list of addresses to free.
extern "C" fn free_addresses() {
    entered();
}
