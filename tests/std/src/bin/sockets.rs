//! The network, which does not exist: an error is returned at once.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

fn main() {
    TcpStream::connect("127.0.0.1:80").unwrap_err();
    TcpListener::bind("127.0.0.1:0").unwrap_err();
    UdpSocket::bind("127.0.0.1:0").unwrap_err();
    assert!("localhost:80".to_socket_addrs().is_err());
}
