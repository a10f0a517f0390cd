//! What a client's certificate says.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The names in a client's certificate, in the order in which a user is looked
/// for: e-mail addresses, DNS names, then the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// E-mail addresses of the alternative names.
    pub emails: Vec<String>,
    /// DNS names of the alternative names.
    pub dns_names: Vec<String>,
    /// URIs of the alternative names.
    pub uris: Vec<String>,
    /// The subject as RFC 2253 writes it, the last part first.
    pub subject: String,
    /// SHA-256 of the public key, in hexadecimal.
    pub key_sha256: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub certificate_sha256: String,
    /// The certificate itself.
    pub certificate: Vec<u8>,
    /// The attributes of the subject in the certificate's own order, `NAME=value` each with what
    /// RFC 2253 reserves escaped.
    pub attributes: Vec<String>,
}

impl PeerIdentity {
    /// Reads a certificate; `None` if it is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let parts = subject_parts(&parsed);
        let mut identity = Self {
            subject: distinguished_name(&parts),
            attributes: parts.concat(),
            key_sha256: hex_sha256(parsed.public_key().raw),
            certificate_sha256: hex_sha256(certificate),
            certificate: certificate.to_vec(),
            ..Self::default()
        };
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::RFC822Name(email) => identity.emails.push((*email).to_owned()),
                    GeneralName::DNSName(dns) => identity.dns_names.push((*dns).to_owned()),
                    GeneralName::URI(uri) => identity.uris.push((*uri).to_owned()),
                    _ => {}
                }
            }
        }
        Some(identity)
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        let text = data_encoding::BASE64.encode(&self.certificate);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let body = lines.join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }
}

/// The parts of the subject with their attributes, `NAME=value` each.
fn subject_parts(certificate: &X509Certificate<'_>) -> Vec<Vec<String>> {
    let parts = certificate.subject().iter_rdn();
    let attributes = parts.map(|part| {
        part.iter().map(|attribute| {
            let id = attribute.attr_type().to_id_string();
            let name = match id.as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.5" => "SERIALNUMBER",
                "2.5.4.6" => "C",
                "2.5.4.7" => "L",
                "2.5.4.8" => "ST",
                "2.5.4.9" => "STREET",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                "2.5.4.17" => "POSTALCODE",
                "0.9.2342.19200300.100.1.25" => "DC",
                "0.9.2342.19200300.100.1.1" => "UID",
                other => other,
            };
            format!("{name}={}", escaped(attribute.as_str().unwrap_or_default()))
        })
    });
    attributes.map(Iterator::collect).collect()
}

/// The subject as Go's `pkix.Name` prints it: RFC 2253, the most specific part first.
fn distinguished_name(parts: &[Vec<String>]) -> String {
    let parts: Vec<String> = parts.iter().rev().map(|part| part.join("+")).collect();
    parts.join(",")
}

/// A value with what RFC 2253 reserves escaped.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let reserved = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == ' ' && (at == 0 || at == last))
            || (c == '#' && at == 0);
        if reserved {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn hex_sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
