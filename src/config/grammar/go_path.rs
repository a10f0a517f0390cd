//! Paths joined as Go's `path/filepath` joins them, which decides what an `include` finds.

/// The directory of a file: what stands before the last slash, `.` without one.
pub(super) fn directory(file: &str) -> String {
    match file.rfind('/') {
        Some(at) => clean(&file[..=at]),
        None => String::from("."),
    }
}

/// Both parts with a slash between, cleaned. An absolute second part stays below the first.
pub(super) fn join(directory: &str, path: &str) -> String {
    clean(&format!("{directory}/{path}"))
}

/// Resolves `.`, `..` and doubled slashes in the text alone.
fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", _) if is_absolute => {}
            (part, _) => parts.push(part),
        }
    }
    match (is_absolute, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => String::from("."),
        (false, joined) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_relative_to_their_file() {
        assert_eq!(join(&directory("a.conf"), "b.conf"), "b.conf");
        assert_eq!(join(&directory("x/a.conf"), "b.conf"), "x/b.conf");
        assert_eq!(join(&directory("/etc/x/a.conf"), "../b.conf"), "/etc/b.conf");
        assert_eq!(join(&directory("a.conf"), "/etc/b.conf"), "etc/b.conf");
        assert_eq!(join(&directory("/a.conf"), "../../b.conf"), "/b.conf");
        assert_eq!(join(&directory("x/a.conf"), "../../b.conf"), "../b.conf");
    }
}
