//! Names of a client's certificate, by which users are found.

/// What a certificate says of its owner, ready to be compared with the names of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// E-mail addresses, DNS names and URIs, in this order.
    pub alternatives: Vec<String>,
    /// The parts of the subject, normalised and sorted.
    parts: Vec<String>,
    /// The subject as Go writes it, without what Go does not know of.
    pub subject: String,
}

impl CertificateNames {
    /// The names of a certificate whose subject has these attributes, `NAME=value` each, in its
    /// order; values have what is reserved escaped.
    pub fn new(alternatives: Vec<String>, attributes: &[String]) -> Self {
        let mut parts: Vec<String> = attributes.iter().map(|part| normalised(part)).collect();
        parts.sort_unstable();
        Self { alternatives, parts, subject: go_subject(attributes) }
    }

    /// Whether `name` is the subject, its parts in whatever order.
    pub fn has_subject(&self, name: &str) -> bool {
        if self.parts.is_empty() || !name.contains('=') {
            return false;
        }
        let mut parts: Vec<String> = split(name).iter().map(|part| normalised(part)).collect();
        parts.sort_unstable();
        parts == self.parts
    }
}

/// Splits a distinguished name at the commas and pluses that are not escaped.
fn split(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_escaped = false;
    for c in name.chars() {
        if matches!(c, ',' | '+') && !is_escaped {
            parts.push(String::new());
            continue;
        }
        is_escaped = c == '\\' && !is_escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// `NAME=value` without blanks around, the name in capitals.
fn normalised(part: &str) -> String {
    match part.split_once('=') {
        Some((name, value)) => format!("{}={}", name.trim().to_ascii_uppercase(), value.trim()),
        None => part.trim().to_owned(),
    }
}

/// The subject as Go's `pkix.Name` writes it: attributes by kind, those of one kind joined, the
/// most specific first.
fn go_subject(attributes: &[String]) -> String {
    let of = |kind: &str| -> Vec<&str> {
        let is_of_kind = |part: &&str| {
            part.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case(kind))
        };
        attributes.iter().map(String::as_str).filter(is_of_kind).collect()
    };
    let mut parts = Vec::new();
    for kind in ["SERIALNUMBER", "CN"] {
        parts.extend(of(kind).last().map(|&part| part.to_owned()));
    }
    for kind in ["POSTALCODE", "STREET", "ST", "L", "OU", "O", "C"] {
        let joined = of(kind);
        if !joined.is_empty() {
            parts.push(joined.join("+"));
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(attributes: &[&str]) -> CertificateNames {
        let attributes: Vec<String> = attributes.iter().map(|&part| part.to_owned()).collect();
        CertificateNames::new(Vec::new(), &attributes)
    }

    #[test]
    fn a_subject_is_known_in_any_order() {
        let names = names(&["DC=com", "DC=example", "OU=NATS.io", "O=a\\,b", "CN=ann"]);
        assert!(names.has_subject("CN=ann,OU=NATS.io,O=a\\,b,DC=example,DC=com"));
        assert!(names.has_subject("dc=com, dc=example, o=a\\,b, cn=ann, ou=NATS.io"));
        for other in ["CN=ann", "CN=bob,OU=NATS.io,O=a\\,b,DC=example,DC=com", "", "ann"] {
            assert!(!names.has_subject(other), "{other}");
        }
    }

    #[test]
    fn a_subject_is_written_as_by_go() {
        let names = names(&["C=US", "O=Synadia", "OU=one", "OU=two", "DC=x", "CN=a", "CN=ann"]);
        assert_eq!(names.subject, "CN=ann,OU=one+OU=two,O=Synadia,C=US");
    }
}
