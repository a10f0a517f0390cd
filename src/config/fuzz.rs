//! What the fuzz target of configuration files checks, also run over its corpus as a unit test.
#![allow(missing_docs, reason = "compiled for tests and fuzzing only")]
#![expect(clippy::panic, reason = "a panic is how a target reports")]

use std::io;

use super::effective::printed;
use super::file::load;
use super::findings::Findings;
use super::grammar::{GrammarError, Source};
use super::Options;

/// Files of which the first includes the others by their number. They are parts of the input,
/// which a line of three dashes parts.
struct Files<'a>(Vec<&'a str>);

impl Source for Files<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let number: usize = path.rsplit('/').next().and_then(|name| name.parse().ok()).unwrap_or(0);
        let file = self.0.get(number).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.as_bytes().to_vec())
    }

    fn environment(&self, name: &str) -> Option<String> {
        (name == "FUZZ").then(|| "7".to_owned())
    }
}

/// Checks: reading ends, says the same twice, and what is printed of a configuration that is taken
/// reads back as the same options, unless something of it is secret.
pub fn check_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Certificates would be read from the machine.
    if text.to_lowercase().contains("tls") {
        return;
    }
    let files = Files(text.split("\n---\n").collect());
    let outcome = read(&files);
    let again = read(&files);
    let (options, findings) = match (outcome, again) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.0, second.0);
            assert_eq!(first.1.to_string(), second.1.to_string());
            first
        }
        (Err(first), Err(second)) => return assert_eq!(first.to_string(), second.to_string()),
        _ => panic!("read once and refused once"),
    };
    if !findings.allow_start() || options.validate().is_err() {
        return;
    }
    let page = printed(&options, "0", &files);
    if page.contains("REDACTED") {
        return;
    }
    let (printed_options, complaints) =
        read(&Files(vec![&page])).unwrap_or_else(|error| panic!("{error}\n{page}"));
    assert!(complaints.allow_start(), "{complaints}\n{page}");
    assert_eq!(printed_options, options, "{page}");
}

fn read(files: &Files<'_>) -> Result<(Options, Findings), GrammarError> {
    let mut options = Options::default();
    let findings = load("0", files, &mut options)?;
    (options.config_file, options.config_digest) = (None, None);
    Ok((options, findings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_corpus::run;

    #[test]
    fn config_corpus_holds() {
        run("config", b"{}[]\"'#$\n0a", check_config);
    }

    // Goal: what is taken reads back whatever texts it has. Method: the worst of them.
    #[test]
    fn texts_of_any_kind_read_back() {
        for text in
            ["a\"b", "a\\b", "tab\\tnew\\nline", "é€", "$x", "{}", "#no", "-1", "1k", "true"]
        {
            let written = text.replace('\\', "\\\\").replace('"', "\\\"");
            let config = format!(
                "server_name: \"x\"\nserver_metadata {{ \"k{written}\": \"{written}\" }}\n\
                 client_advertise: \"{written}\"\npid_file: \"{written}\"\n"
            );
            check_config(config.as_bytes());
        }
    }
}
