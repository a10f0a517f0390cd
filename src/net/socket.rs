//! The socket calls that are not ring operations: made once a listener or once a connection.
//!
//! Sockets are blocking and close-on-exec. A ring waits for blocking sockets by itself; on one that
//! is not, its operations would fail with `EAGAIN`.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Listens on an address. `[::]` takes IPv4 connections too, as nats-server's Go does, and
/// `0.0.0.0` only them. Without `SO_REUSEPORT`: a second broker on the port fails to start.
///
/// # Errors
/// That of the socket call that failed; `AddrInUse` if the port is taken.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: the call takes three integers.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    let socket = owned(descriptor)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    }
    bind(&socket, address)?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: the call takes two integers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// The address a socket is bound to.
///
/// # Errors
/// That of `getsockname`.
pub fn local_addr(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    as_stream(socket).local_addr().map(canonical)
}

/// The address of the other side. IPv4 peers of a dual-stack listener show as IPv4.
///
/// # Errors
/// That of `getpeername`: `NotConnected` if the peer is gone already.
pub fn peer_addr(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    as_stream(socket).peer_addr().map(canonical)
}

/// Sends small segments at once.
///
/// # Errors
/// That of `setsockopt`.
pub fn set_nodelay(socket: BorrowedFd<'_>) -> io::Result<()> {
    as_stream(socket).set_nodelay(true)
}

/// Ends both directions. A receive in the ring ends with it, which closing the descriptor alone
/// would not do: the ring keeps the socket open.
///
/// # Errors
/// That of `shutdown`: `NotConnected` if the peer is gone already.
pub fn shutdown(socket: BorrowedFd<'_>) -> io::Result<()> {
    as_stream(socket).shutdown(Shutdown::Both)
}

/// Blocks the signals for this thread and those it starts later, and returns a descriptor that
/// reads them. To be called from `main` before any thread is started. Read
/// [`SIGNAL_BYTES`] and decode them with [`decode_signal`].
///
/// # Errors
/// That of `pthread_sigmask` or `signalfd`.
pub fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: all zero is a valid `sigset_t`; it is initialised properly by the next call.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is that of a live local.
    check(unsafe { libc::sigemptyset(&raw mut set) })?;
    for &signal in signals {
        // SAFETY: the set is live and initialised; a bad number fails with EINVAL.
        check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    // SAFETY: the set is live and initialised, and the old mask is not asked for.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if blocked != 0 {
        return Err(io::Error::from_raw_os_error(blocked));
    }
    // SAFETY: the set is live and initialised; -1 asks for a new descriptor.
    owned(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) })
}

/// Size of one record of a signalfd.
pub const SIGNAL_BYTES: u32 = 128;

const _: () = assert!(size_of::<libc::signalfd_siginfo>() == SIGNAL_BYTES as usize);

/// The signal's number in a record read from a signalfd.
pub fn decode_signal(record: &[u8]) -> Option<i32> {
    // `ssi_signo` is the first field.
    let number = record.first_chunk::<4>().filter(|_| record.len() == SIGNAL_BYTES as usize)?;
    i32::try_from(u32::from_ne_bytes(*number)).ok()
}

fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: address.port().to_be(),
                // Octets are in network order already.
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            bind_raw(socket, &raw)
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            bind_raw(socket, &raw)
        }
    }
}

/// `T` is one of the `sockaddr` structures.
fn bind_raw<T>(socket: &OwnedFd, address: &T) -> io::Result<()> {
    let pointer = ptr::from_ref(address).cast::<libc::sockaddr>();
    // A socket address is a few dozen bytes.
    let bytes = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: pointer and length are those of a live, initialised socket address.
    check(unsafe { libc::bind(socket.as_raw_fd(), pointer, bytes) })
}

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let pointer = ptr::from_ref(&value).cast();
    let bytes = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: pointer and length are those of a live integer, which is what these options take.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, bytes) })
}

/// Borrows a socket as the standard library's stream; never closes it.
fn as_stream(socket: BorrowedFd<'_>) -> ManuallyDrop<TcpStream> {
    // SAFETY: the descriptor is open while it is borrowed, callers use the stream only within
    // that borrow, and `ManuallyDrop` keeps it from being closed.
    ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(socket.as_raw_fd()) })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    check(descriptor)?;
    // SAFETY: callers pass what a call that makes descriptors has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Address families are small numbers.
fn family(family: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    fn listening(address: &str) -> (TcpListener, SocketAddr) {
        let socket = listen(address.parse().unwrap(), 16).unwrap();
        let address = local_addr(socket.as_fd()).unwrap();
        (TcpListener::from(socket), address)
    }

    // Goal: `[::]` takes both families, and an IPv4 peer shows as one.
    #[test]
    fn wildcard_of_ipv6_takes_ipv4_connections_too() {
        let (listener, address) = listening("[::]:0");
        for host in ["127.0.0.1", "[::1]"] {
            let client = TcpStream::connect(format!("{host}:{}", address.port())).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let peer = peer_addr(accepted.as_fd()).unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(peer.is_ipv4(), host == "127.0.0.1");
            set_nodelay(accepted.as_fd()).unwrap();
            assert!(accepted.nodelay().unwrap());
        }
    }

    // Goal: a second broker on the port fails, and a restart over lingering connections does not.
    #[test]
    fn port_is_taken_while_somebody_listens_and_free_right_after() {
        let (listener, address) = listening("127.0.0.1:0");
        let error = listen(address, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        drop((accepted, listener));
        listen(address, 16).unwrap();
        drop(client);
    }

    #[test]
    fn shutdown_is_seen_by_the_peer() {
        let (listener, address) = listening("127.0.0.1:0");
        let mut client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        shutdown(accepted.as_fd()).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
    }

    // Goal: a blocked signal arrives through the descriptor. Method: raise it for this thread.
    #[test]
    fn signal_is_read_from_its_descriptor() {
        let descriptor = signal_fd(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        // SAFETY: raising a signal that is blocked in this thread, to which it goes.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        let mut record = [0; SIGNAL_BYTES as usize];
        std::fs::File::from(descriptor).read_exact(&mut record).unwrap();
        assert_eq!(decode_signal(&record), Some(libc::SIGUSR2));
        assert_eq!(decode_signal(&record[..8]), None);
    }
}
