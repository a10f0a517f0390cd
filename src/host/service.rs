//! What a service manager such as systemd is told: ready, stopping, alive.
//!
//! The protocol is a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names
//! (`sd_notify(3)`). Without that variable nothing is sent. The variables are left as they are:
//! this process starts no other that could mistake them for its own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A line for the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState<'a> {
    /// Clients are served; the text says where.
    Ready(&'a str),
    /// The end has begun, be it at once or over the time of lame duck mode.
    Stopping,
    /// Every shard has turned since the last of these.
    Alive,
}

impl std::fmt::Display for ServiceState<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // A line end in the text would begin another line of the protocol.
            Self::Ready(status) => {
                write!(f, "READY=1\nSTATUS={}\n", status.replace(['\n', '\r'], " "))
            }
            Self::Stopping => f.write_str("STOPPING=1\n"),
            Self::Alive => f.write_str("WATCHDOG=1\n"),
        }
    }
}

/// The service manager that started this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names; `None` if nobody wants to know.
    ///
    /// # Errors
    /// The address is none, or there is no socket to send from.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let variable = |name| std::env::var_os(name);
        let watchdog = watchdog_interval(
            variable("WATCHDOG_USEC"),
            variable("WATCHDOG_PID"),
            std::process::id(),
        );
        Self::new(&name, watchdog).map(Some)
    }

    fn new(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = address(name)?;
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold the broker up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, watchdog })
    }

    /// Tells the manager.
    ///
    /// # Errors
    /// It does not listen, or its queue is full; both are no reason to stop serving.
    pub fn tell(&self, state: ServiceState<'_>) -> io::Result<()> {
        let text = state.to_string();
        self.socket.send_to_addr(text.as_bytes(), &self.address).map(drop)
    }

    /// How often it wants [`ServiceState::Alive`], if at all: half of what it waits.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }
}

/// A path, or a name behind `@` that is in no file system.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET is no address")),
    }
}

/// Half of `WATCHDOG_USEC`, if that is meant for this process.
fn watchdog_interval(usec: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    if pid.is_some_and(|pid| number(pid) != Some(own.into())) {
        return None;
    }
    let usec = usec.and_then(number).filter(|usec| *usec > 1)?;
    Some(Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_protocol() {
        assert_eq!(ServiceState::Ready("a\nb").to_string(), "READY=1\nSTATUS=a b\n");
        assert_eq!(ServiceState::Stopping.to_string(), "STOPPING=1\n");
        assert_eq!(ServiceState::Alive.to_string(), "WATCHDOG=1\n");
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let text = |text: &str| Some(OsString::from(text));
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_interval(text("2000000"), None, 7), second);
        assert_eq!(watchdog_interval(text("2000000"), text("7"), 7), second);
        assert_eq!(watchdog_interval(text("2000000"), text("8"), 7), None);
        assert_eq!(watchdog_interval(text("2000000"), text("x"), 7), None);
        for nonsense in ["", "0", "1", "-5", "x", "99999999999999999999"] {
            assert_eq!(watchdog_interval(text(nonsense), None, 7), None, "{nonsense:?}");
        }
        assert_eq!(watchdog_interval(None, None, 7), None);
    }

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        assert!(address(OsStr::new("/run/x")).unwrap().as_pathname().is_some());
        let name = address(OsStr::new("@x")).unwrap();
        assert_eq!(name.as_abstract_name(), Some(&b"x"[..]));
        for nonsense in ["", "x", "vsock:1:2"] {
            assert!(address(OsStr::new(nonsense)).is_err(), "{nonsense:?}");
        }
        assert!(address(OsStr::new(&format!("/{}", "x".repeat(200)))).is_err());
    }

    #[test]
    fn a_manager_hears_what_it_is_told() {
        let name = format!("midge-service-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let service = ServiceManager::new(OsStr::new(&format!("@{name}")), None).unwrap();
        service.tell(ServiceState::Ready("here")).unwrap();
        let mut heard = [0; 64];
        let bytes = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..bytes], b"READY=1\nSTATUS=here\n");
        drop(manager);
        assert!(service.tell(ServiceState::Alive).is_err());
    }
}
