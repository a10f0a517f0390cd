//! Operating system errors in the words Go prints, which nats-server's log lines carry.

use std::io;

/// The error in Go's words: `no such file or directory`, `address already in use`. The C
/// library's words are the same but for the capital letter, and Rust adds the number.
pub fn go_error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(number) = error.raw_os_error() else { return text };
    let words = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        for (number, text) in [
            (libc::ENOENT, "no such file or directory"),
            (libc::EADDRINUSE, "address already in use"),
            (libc::EACCES, "permission denied"),
            (libc::ESRCH, "no such process"),
            (libc::EPERM, "operation not permitted"),
        ] {
            assert_eq!(go_error_text(&io::Error::from_raw_os_error(number)), text);
        }
        assert_eq!(go_error_text(&io::Error::other("plain")), "plain");
    }
}
