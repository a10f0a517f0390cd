//! Lines to a syslog daemon, this machine's or another's, as Go's `log/syslog`
//! sends them, which is what nats-server uses.
#![expect(clippy::disallowed_methods, reason = "read once, on the writer's way to its sink")]

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use super::line::{CivilTime, Line};
use super::Level;

/// The connection, and what every line begins with.
#[derive(Debug)]
pub(super) struct Syslog {
    /// Where it goes; `None` is this machine's daemon.
    remote: Option<String>,
    socket: Socket,
    header: Header,
}

/// What stands before the text of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    /// Named for a daemon elsewhere only.
    hostname: Option<String>,
    program: String,
    pid: u32,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Syslog {
    /// Connects to `udp://host:port`, `tcp://host:port` or `unix:///path`, or
    /// to this machine's daemon.
    pub(super) fn open(remote: Option<&str>) -> io::Result<Self> {
        let socket = connect(remote)?;
        let program = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = remote.map(|_| hostname.trim().to_owned());
        let header = Header { hostname, program, pid: std::process::id() };
        Ok(Self { remote: remote.map(str::to_owned), socket, header })
    }

    /// Sends one line; a connection that is gone is made anew once.
    pub(super) fn send(&mut self, line: &Line, offset_s: fn(i64) -> i64) -> io::Result<()> {
        let message = self.header.message(line, offset_s);
        if self.socket.send(message.as_bytes()).is_ok() {
            return Ok(());
        }
        self.socket = connect(self.remote.as_deref())?;
        self.socket.send(message.as_bytes())
    }
}

impl Header {
    fn message(&self, line: &Line, offset_s: fn(i64) -> i64) -> String {
        let mut message = format!("<{}>", severity(line.level));
        let time = CivilTime::new(line.at, offset_s);
        match &self.hostname {
            Some(hostname) => {
                time.write_rfc3339(&mut message, offset_s(unix_s(line.at)));
                let _infallible = write!(message, " {hostname}");
            }
            None => time.write_stamp(&mut message),
        }
        let Self { program, pid, .. } = self;
        let _infallible = write!(message, " {program}[{pid}]: {}", line.text);
        if !message.ends_with('\n') {
            message.push('\n');
        }
        message
    }
}

impl Socket {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(|_| ()),
            Self::Datagram(socket) => socket.send(message).map(|_| ()),
            Self::Tcp(stream) => stream.write_all(message),
            Self::Stream(stream) => stream.write_all(message),
        }
    }
}

fn unix_s(at: Duration) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}

/// The numbers nats-server sends: no facility.
fn severity(level: Level) -> u8 {
    match level {
        Level::Fatal => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info | Level::Trace => 5,
        Level::Debug => 7,
    }
}

fn connect(remote: Option<&str>) -> io::Result<Socket> {
    let Some(url) = remote else { return connect_here() };
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    match url.split_once("://") {
        Some(("udp", address)) => {
            let to = resolve(address)?;
            let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            Ok(Socket::Udp(socket))
        }
        Some(("tcp", address)) => {
            let stream = TcpStream::connect_timeout(&resolve(address)?, TIME_MAX)?;
            stream.set_write_timeout(Some(TIME_MAX))?;
            Ok(Socket::Tcp(stream))
        }
        Some(("unix" | "unixgram", path)) => connect_path(path),
        Some((scheme, _)) => Err(invalid(format!("invalid network type: {scheme:?}"))),
        None => Err(invalid("invalid network type: \"\"".to_owned())),
    }
}

fn resolve(address: &str) -> io::Result<std::net::SocketAddr> {
    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    address.to_socket_addrs()?.next().ok_or_else(none)
}

fn connect_here() -> io::Result<Socket> {
    let found = PATHS.iter().find_map(|path| connect_path(path).ok());
    found.ok_or_else(|| io::Error::other("Unix syslog delivery error"))
}

/// Datagrams if the daemon takes them, a stream otherwise.
fn connect_path(path: &str) -> io::Result<Socket> {
    let socket = UnixDatagram::unbound()?;
    if socket.connect(path).is_ok() {
        socket.set_write_timeout(Some(TIME_MAX))?;
        return Ok(Socket::Datagram(socket));
    }
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    Ok(Socket::Stream(stream))
}

/// Where daemons listen.
const PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// How long the writer waits for a daemon; lines queue and are dropped then.
const TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, text: &str) -> Line {
        Line { level, at: Duration::new(1_795_262_400, 5), text: text.to_owned() }
    }

    #[test]
    fn messages_are_those_of_go() {
        let here = Header { hostname: None, program: "midge".to_owned(), pid: 7 };
        assert_eq!(
            here.message(&line(Level::Info, "Server is ready"), |_| 0),
            "<5>Nov 21 12:00:00 midge[7]: Server is ready\n"
        );
        let there = Header { hostname: Some("vm".to_owned()), ..here };
        assert_eq!(
            there.message(&line(Level::Error, "x\n"), |_| 0),
            "<3>2026-11-21T12:00:00Z vm midge[7]: x\n"
        );
        assert_eq!(
            there.message(&line(Level::Debug, "x"), |_| -5400),
            "<7>2026-11-21T10:30:00-01:30 vm midge[7]: x\n"
        );
    }

    #[test]
    fn lines_reach_a_daemon_over_every_transport() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("udp://{}", udp.local_addr().unwrap());
        let mut syslog = Syslog::open(Some(&url)).unwrap();
        syslog.send(&line(Level::Warning, "one"), |_| 0).unwrap();
        let mut buffer = [0; 200];
        let length = udp.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"<4>2026-11-21T12:00:00Z "));

        let dir = std::env::temp_dir().join(format!("midge-syslog-{}", std::process::id()));
        let _missing_is_fine = std::fs::remove_file(&dir);
        let unix = UnixDatagram::bind(&dir).unwrap();
        let mut syslog = Syslog::open(Some(&format!("unix://{}", dir.display()))).unwrap();
        syslog.send(&line(Level::Info, "two"), |_| 0).unwrap();
        let length = unix.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b": two\n"));
        std::fs::remove_file(dir).unwrap();

        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", tcp.local_addr().unwrap());
        let mut syslog = Syslog::open(Some(&url)).unwrap();
        let (mut accepted, _) = tcp.accept().unwrap();
        syslog.send(&line(Level::Info, "three"), |_| 0).unwrap();
        drop(syslog);
        let mut text = String::new();
        io::Read::read_to_string(&mut accepted, &mut text).unwrap();
        assert!(text.ends_with(": three\n"));
    }

    #[test]
    fn addresses_that_are_none_are_told() {
        for (url, text) in [
            ("foo", "invalid network type: \"\""),
            ("http://x:1", "invalid network type: \"http\""),
        ] {
            assert_eq!(Syslog::open(Some(url)).unwrap_err().to_string(), text);
        }
        assert!(Syslog::open(Some("udp://127.0.0.1")).is_err());
        assert!(Syslog::open(Some("unix:///nonexistent/log")).is_err());
    }
}
