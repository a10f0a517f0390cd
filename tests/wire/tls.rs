//! Goal: TLS on the client port, in every form a client may ask for it. Method:
//! certificates made for the test, an unmodified client, and a bare session
//! driven by hand; each fact was checked against nats-server first.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use futures::StreamExt;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{Broker, Raw, PATIENCE};

/// An authority, a server's certificate and a client's, as files.
pub(super) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        std::fs::write(folder.path().join("ca.pem"), ca_pem).unwrap();
        for (name, names) in
            [("server", vec!["localhost".to_owned(), "127.0.0.1".to_owned()]), ("client", vec![])]
        {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names).unwrap();
            if name == "client" {
                params.distinguished_name = DistinguishedName::new();
                params.distinguished_name.push(DnType::OrganizationName, "acme");
                params.distinguished_name.push(DnType::CommonName, "ann");
                let email = "ann@example.com".try_into().unwrap();
                params.subject_alt_names.push(SanType::Rfc822Name(email));
                params.subject_alt_names.push(SanType::DnsName("ann.example".try_into().unwrap()));
            }
            let certificate = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}-key.pem")), key.serialize_pem())
                .unwrap();
        }
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn start(&self, more: &[&str]) -> Broker {
        let (cert, key) = (self.path("server.pem"), self.path("server-key.pem"));
        let mut arguments = vec!["--tls", "--tlscert", &cert, "--tlskey", &key];
        arguments.extend_from_slice(more);
        Broker::start(&arguments)
    }

    /// Starts on a configuration file whose `tls` block also says `more`.
    fn start_with(&self, more: &str, beside: &str) -> Broker {
        let (cert, key) = (self.path("server.pem"), self.path("server-key.pem"));
        let text = format!("tls {{ cert_file: '{cert}', key_file: '{key}', {more} }}\n{beside}\n");
        std::fs::write(self.path("conf"), text).unwrap();
        Broker::start(&["-c", &self.path("conf")])
    }

    fn client(&self) -> ConnectOptions {
        ConnectOptions::new().add_root_certificates(self.path("ca.pem").into()).require_tls(true)
    }

    /// A session by hand, over a socket from which INFO was read already, or not.
    pub(super) fn session(&self, stream: TcpStream, with_certificate: bool) -> Session {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if with_certificate {
            let chain = vec![CertificateDer::from_pem_file(self.path("client.pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(self.path("client-key.pem")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, stream)
    }
}

pub(super) type Session = StreamOwned<ClientConnection, TcpStream>;

/// Reads a line, whatever the transport.
fn line(stream: &mut impl Read) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_publishes_and_subscribes_over_tls() {
    let certificates = Certificates::new();
    let broker = certificates.start(&[]);
    let url = format!("tls://localhost:{}", broker.port());
    let one = certificates.client().connect(&url).await.unwrap();
    let two = certificates.client().connect(&url).await.unwrap();
    assert!(one.server_info().tls_required);
    let mut subscriber = one.subscribe("big.*").await.unwrap();
    one.request("nobody", "".into()).await.unwrap_err();
    for size in [0, 1, 100, 16_384, 16_385, 300_000, 1_048_576] {
        let payload: Vec<u8> = (0..size).map(|at: u32| (at * 31 % 251) as u8).collect();
        two.publish("big.one", payload.clone().into()).await.unwrap();
        let message = tokio::time::timeout(PATIENCE, subscriber.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, payload, "{size}");
    }
    for number in 0..20_000 {
        two.publish("big.many", number.to_string().into()).await.unwrap();
    }
    for number in 0..20_000 {
        let message = tokio::time::timeout(PATIENCE, subscriber.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, number.to_string());
    }
}

#[test]
fn info_comes_in_clear_and_asks_for_tls() {
    let certificates = Certificates::new();
    let broker = certificates.start(&[]);
    let mut stream = broker.dial();
    let info = line(&mut stream).unwrap();
    assert!(info.contains("\"tls_required\":true"), "{info}");
    assert!(!info.contains("tls_verify") && !info.contains("tls_available"), "{info}");
    let mut session = certificates.session(stream, false);
    session.write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "+OK");
    assert_eq!(line(&mut session).unwrap(), "PONG");
}

#[test]
fn who_speaks_in_clear_is_closed() {
    let certificates = Certificates::new();
    let broker = certificates.start(&[]);
    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    stream.write_all(b"CONNECT {}\r\nPING\r\n").unwrap();
    let rest = line(&mut stream).unwrap_or_default();
    assert!(!rest.contains("PONG"), "{rest}");
}

#[test]
fn a_client_certificate_is_asked_for_and_checked() {
    let certificates = Certificates::new();
    let ca = certificates.path("ca.pem");
    let broker = certificates.start(&["--tlsverify", "--tlscacert", &ca]);
    let mut stream = broker.dial();
    let info = line(&mut stream).unwrap();
    assert!(info.contains("\"tls_verify\":true"), "{info}");
    let mut session = certificates.session(stream, true);
    session.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "PONG");

    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    let mut session = certificates.session(stream, false);
    let refused = session
        .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
        .and_then(|()| line(&mut session))
        .unwrap_or_else(|error| error.to_string());
    assert!(refused.contains("CertificateRequired") || refused.is_empty(), "{refused}");
}

#[test]
fn a_certificate_names_the_user() {
    let certificates = Certificates::new();
    let tls = format!("ca_file: '{}', verify_and_map: true", certificates.path("ca.pem"));
    for name in ["ann@example.com", "ann.example", "CN=ann,O=acme", "O=acme, CN=ann"] {
        let users = format!(
            "authorization {{ users [ {{ user: \"{name}\", permissions {{ publish: a }} }}, \
             {{ user: bob, password: pw }} ] }}"
        );
        let broker = certificates.start_with(&tls, &users);
        let mut stream = broker.dial();
        line(&mut stream).unwrap();
        let mut session = certificates.session(stream, true);
        // What CONNECT says of a user counts for nothing.
        let connect = r#"CONNECT {"verbose":false,"user":"bob","pass":"pw"}"#;
        session.write_all(format!("{connect}\r\nPUB b 0\r\n\r\n").as_bytes()).unwrap();
        let refused = "-ERR 'Permissions Violation for Publish to \"b\"'";
        assert_eq!(line(&mut session).unwrap(), refused, "{name}");
    }
    let users = "authorization { users [ { user: bob, password: pw } ] }";
    let broker = certificates.start_with(&tls, users);
    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    let mut session = certificates.session(stream, true);
    session.write_all(b"CONNECT {\"user\":\"bob\",\"pass\":\"pw\"}\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "-ERR 'Authorization Violation'");
}

#[test]
fn connections_above_a_rate_are_turned_away() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("connection_rate_limit: 2", "");
    let mut answers = Vec::new();
    for _ in 0..6 {
        let mut stream = broker.dial();
        line(&mut stream).unwrap();
        answers.push(stream);
    }
    // Six in less than three seconds: at least one of them came too soon.
    let turned_away = answers.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        line(stream).ok()
    });
    let expected = "-ERR 'Connection throttling is active. Please try again later.'";
    assert!(turned_away.into_iter().any(|answer| answer == expected));
}

#[test]
fn the_handshake_may_come_first() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("handshake_first: true", "");
    let mut session = certificates.session(broker.dial(), false);
    let info = line(&mut session).unwrap();
    assert!(info.starts_with("INFO {") && info.contains("\"tls_required\":true"), "{info}");
    session.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "PONG");
    // Who waits for INFO gets nothing.
    let mut stream = broker.dial();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err());
}

#[test]
fn a_silent_client_is_greeted_after_the_fallback_delay() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("handshake_first: 50ms", "");
    let mut stream = broker.dial();
    assert!(line(&mut stream).unwrap().starts_with("INFO {"));
    let mut session = certificates.session(stream, false);
    session.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "PONG");
    let mut session = certificates.session(broker.dial(), false);
    assert!(line(&mut session).unwrap().starts_with("INFO {"));
}

#[test]
fn tls_may_be_left_to_the_client() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("timeout: 2", "allow_non_tls: true");
    let mut raw = Raw::connect(&broker);
    assert_eq!(raw.info()["tls_available"], true);
    assert!(raw.info().get("tls_required").is_none());
    raw.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
    assert_eq!(raw.line(), "PONG");
    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    let mut session = certificates.session(stream, false);
    session.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "PONG");
}

#[test]
fn an_error_reaches_the_client_before_its_end() {
    let certificates = Certificates::new();
    let broker = certificates.start(&["--user", "ada", "--pass", "secret"]);
    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    let mut session = certificates.session(stream, false);
    session.write_all(b"CONNECT {\"user\":\"ada\",\"pass\":\"wrong\"}\r\n").unwrap();
    assert_eq!(line(&mut session).unwrap(), "-ERR 'Authorization Violation'");
}

#[test]
fn a_handshake_that_is_never_made_ends() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("timeout: 0.2", "");
    let mut stream = broker.dial();
    line(&mut stream).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
}

#[test]
fn a_reload_takes_new_certificates_and_keeps_connections() {
    let certificates = Certificates::new();
    let broker = certificates.start_with("timeout: 2", "");
    let open = |certificates: &Certificates| {
        let mut stream = broker.dial();
        line(&mut stream).unwrap();
        certificates.session(stream, false)
    };
    let ping = |session: &mut Session| {
        session.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").and_then(|()| line(session))
    };
    let mut before = open(&certificates);
    assert_eq!(ping(&mut before).unwrap(), "PONG");
    let others = Certificates::new();
    for name in ["server.pem", "server-key.pem"] {
        std::fs::copy(others.path(name), certificates.path(name)).unwrap();
    }
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration");
    assert_eq!(ping(&mut open(&others)).unwrap(), "PONG");
    assert!(ping(&mut open(&certificates)).is_err(), "another authority");
    before.write_all(b"PING\r\n").unwrap();
    assert_eq!(line(&mut before).unwrap(), "PONG");
}
