//! Goal: a service manager hears that the server is ready, alive and stopping. Method: a socket
//! that stands for the manager.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::server::{Server, BINARY, PATIENCE};

fn heard(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 512];
    let count = manager.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn the_service_manager_hears_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let address = folder.path().join("notify");
    let manager = UnixDatagram::bind(&address).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut server = Server::spawn(
        Command::new(BINARY)
            .args(["-a", "127.0.0.1", "-p", "-1", "--shards", "2"])
            .env("NOTIFY_SOCKET", &address)
            .env("WATCHDOG_USEC", "400000")
            .env_remove("WATCHDOG_PID"),
    );
    let ready = heard(&manager);
    assert!(ready.starts_with("READY=1\nSTATUS=Serving clients on 127.0.0.1:"), "{ready:?}");
    server.serves();
    for _ in 0..3 {
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
    }
    server.signal("TERM");
    let mut last = heard(&manager);
    while last == "WATCHDOG=1\n" {
        last = heard(&manager);
    }
    assert_eq!(last, "STOPPING=1\n");
    let (status, said) = server.wait_exit();
    assert!(status.success(), "{said}");
}

#[test]
fn a_manager_that_is_gone_is_no_reason_to_stop() {
    let mut server = Server::spawn(
        Command::new(BINARY)
            .args(["-a", "127.0.0.1", "-p", "-1", "--shards", "1"])
            .env("NOTIFY_SOCKET", "/nonexistent/notify"),
    );
    server.serves();
    server.signal("TERM");
    let (status, said) = server.wait_exit();
    assert!(status.success() && said.contains("the service manager does not listen"), "{said}");
}
