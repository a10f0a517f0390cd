//! The file that tells others this process's id.

use std::io;
use std::path::Path;

/// Writes the id in decimal, without a line end, over what the file held. As in nats-server the
/// file stays when the process leaves.
#[expect(clippy::disallowed_methods, reason = "written once, when the server starts")]
pub fn write_pid_file(path: &Path) -> io::Result<()> {
    std::fs::write(path, std::process::id().to_string())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests read the files they made")]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_number_and_nothing_else() {
        let name = format!("midge-pid-file-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        write_pid_file(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        std::fs::remove_file(path).unwrap();
        assert!(write_pid_file(Path::new("/nonexistent/pid")).is_err());
    }
}
