//! Goal: monitoring over HTTPS, with the certificates of the client port, also after they change.
//! Method: certificates made for the test, a TLS client that believes only their authority.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{Broker, PATIENCE};
use crate::http::Answer;

/// A certificate of its own authority, as files.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let certificate = Self { folder: tempfile::tempdir().unwrap() };
        certificate.renew();
        certificate
    }

    /// Another certificate in the same files.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(self.path("cert.pem"), pem).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn block(&self, more: &str) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        format!("tls {{ cert_file: '{cert}', key_file: '{key}', {more} }}\n")
    }
}

struct Secure {
    broker: Broker,
    address: SocketAddr,
    certificate: Certificate,
}

impl Secure {
    fn start(tls: &str, more: &str) -> Self {
        let certificate = Certificate::new();
        let text = format!("https: \"127.0.0.1:-1\"\n{more}\n{}", certificate.block(tls));
        let broker = crate::common::config(&text);
        let line = broker.wait_log("Starting https monitor on ");
        let address = line.rsplit_once(" on ").unwrap().1.trim().parse().unwrap();
        Self { broker, address, certificate }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(self.certificate.path("cert.pem")).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn session(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let name = "localhost".try_into().unwrap();
        StreamOwned::new(ClientConnection::new(self.config(), name).unwrap(), self.dial())
    }

    fn ask(&self, target: &str) -> std::io::Result<Answer> {
        let mut session = self.session();
        write!(session, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        session.read_to_string(&mut text)?;
        Ok(Answer::parse(&text))
    }

    fn json(&self, target: &str) -> serde_json::Value {
        let answer = self.ask(target).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }
}

#[test]
fn pages_are_served_over_tls_below_the_base_path() {
    let secure = Secure::start("verify: false", "http_base_path: /base");
    let varz = secure.json("/base/varz");
    assert_eq!((&varz["http_port"], &varz["https_port"]), (&0.into(), &(-1).into()));
    assert_eq!((&varz["http_host"], &varz["tls_required"]), (&"127.0.0.1".into(), &true.into()));
    assert_eq!(secure.ask("/varz").unwrap().status, 404);
    // Two requests in one session, the second page long.
    let mut session = secure.session();
    write!(session, "GET /base/healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    write!(session, "GET /base/varz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    session.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
}

#[test]
fn nobody_is_asked_for_a_certificate_there() {
    let certificate = Certificate::new();
    let authority = certificate.path("cert.pem");
    let secure = Secure::start(&format!("verify: true, ca_file: '{authority}'"), "");
    assert_eq!(secure.json("/varz")["tls_verify"], true);
}

#[test]
fn certificates_are_read_anew_by_a_reload() {
    let secure = Secure::start("timeout: 2", "");
    assert_eq!(secure.ask("/healthz").unwrap().status, 200);
    secure.certificate.renew();
    // The old one is still shown, and not believed any more.
    assert!(secure.ask("/healthz").is_err());
    let log = secure.broker.wait_log("monitoring: http: TLS handshake error from 127.0.0.1:");
    assert!(log.contains("[ERR]"), "{log}");
    secure.broker.signal("HUP");
    secure.broker.wait_log("Reloaded server configuration (sha256:");
    assert_eq!(secure.ask("/healthz").unwrap().status, 200);
}

#[test]
fn who_speaks_in_clear_is_told_so() {
    let secure = Secure::start("timeout: 2", "");
    let mut stream = secure.dial();
    stream.write_all(b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    let _reset_is_an_end = stream.read_to_string(&mut text);
    assert_eq!(
        text,
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    );
    let mut noise = secure.dial();
    noise.write_all(&[0x16, 3, 1, 0, 2, 9, 9, 9]).unwrap();
    let mut alert = Vec::new();
    let _reset_is_an_end = noise.read_to_end(&mut alert);
    assert_eq!(secure.ask("/healthz").unwrap().status, 200);
}

#[test]
fn the_ports_file_names_the_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let mut secure = Secure::start("timeout: 2", &format!("ports_file_dir: '{dir}'"));
    secure.ask("/healthz").unwrap();
    secure.broker.wait_log("Server is ready");
    let limit = std::time::Instant::now() + PATIENCE;
    let file = loop {
        let mut entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        if let Some(file) = entries.find(|path| path.extension().is_some_and(|e| e == "ports")) {
            break file;
        }
        assert!(std::time::Instant::now() < limit, "no ports file");
        std::thread::yield_now();
    };
    let content = std::fs::read_to_string(file).unwrap();
    let expected = format!("\"monitoring\":[\"https://{}\"]", secure.address);
    assert!(content.contains(&expected), "{content}");
    secure.broker.signal("TERM");
    assert!(secure.broker.wait_exit(PATIENCE).success());
}

#[test]
fn what_cannot_be_stops_the_start() {
    let certificate = Certificate::new();
    for (args, complaint) in [
        (vec!["-ms", "-1"], "[FTL] Can't start monitoring: TLS cert and key required for HTTPS"),
        (
            vec!["-m", "8222", "-ms", "8333"],
            "[FTL] Can't start monitoring: can't specify both HTTP (8222) and HTTPs (8333) ports",
        ),
    ] {
        let line = [&["-a", "127.0.0.1", "-p", "-1"][..], &args].concat();
        let mut broker = Broker::spawn(&line);
        let status = broker.wait_exit(PATIENCE);
        assert_eq!(status.code(), Some(1));
        assert!(broker.log().contains(complaint), "{}", broker.log());
    }
    let (cert, key) = (certificate.path("cert.pem"), certificate.path("key.pem"));
    let broker = Broker::start(&["--tls", "--tlscert", &cert, "--tlskey", &key, "-ms=-1"]);
    broker.wait_log("Starting https monitor on 127.0.0.1:");
}
