//! The host as the checks see it: files that hold one value each.

use std::io;
use std::path::Path;

use crate::net::{Ring, RingConfig};

/// A host: this machine, or a table in a test.
pub trait System {
    /// The content of a file; `None` if there is none or it cannot be read.
    fn read(&self, path: &str) -> Option<String>;

    /// The names in a directory, sorted; none if it cannot be read.
    fn list(&self, directory: &str) -> Vec<String>;

    /// Replaces the content of a file, making it and its directory if they are missing.
    ///
    /// # Errors
    /// The system's.
    fn write(&mut self, path: &str, content: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&mut self, path: &str) -> io::Result<()>;

    /// Makes a ring and drops it; the text says what is in the way.
    ///
    /// # Errors
    /// Why there is no ring for this process.
    fn probe_ring(&self) -> Result<(), String>;

    /// The one value of a file: without blanks around it, and of a list of choices
    /// (`always [madvise] never`) the chosen one.
    fn value(&self, path: &str) -> Option<String> {
        self.read(path).map(|content| chosen(&content).to_owned())
    }

    /// The value of a file as a number.
    fn number(&self, path: &str) -> Option<u64> {
        self.value(path)?.parse().ok()
    }
}

fn chosen(content: &str) -> &str {
    let content = content.trim();
    let inside = content.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(content, |(chosen, _)| chosen)
}

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSystem;

#[expect(clippy::disallowed_methods, reason = "a command of its own, no shard is near")]
impl System for LocalSystem {
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn write(&mut self, path: &str, content: &str) -> io::Result<()> {
        if let Some(directory) = Path::new(path).parent().filter(|directory| !directory.exists()) {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, content)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn probe_ring(&self) -> Result<(), String> {
        let config = RingConfig { receive_buffers: 2, ..RingConfig::default() };
        Ring::new(&config).map(drop).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_trimmed_and_chosen() {
        for (content, value) in [
            ("tsc\n", "tsc"),
            ("always [madvise] never\n", "madvise"),
            ("[none] mq-deadline", "none"),
            ("", ""),
            ("a [b", "a [b"),
        ] {
            assert_eq!(chosen(content), value);
        }
    }

    #[test]
    fn this_machine_has_files_and_directories() {
        let system = LocalSystem;
        assert!(system.read("/proc/self/status").is_some());
        assert!(system.list("/proc/self").contains(&"status".to_owned()));
        assert!(system.read("/nonexistent").is_none() && system.list("/nonexistent").is_empty());
    }
}
