//! What a command line asks for.

use super::Options;

/// What the process does after its command line and configuration file have been read.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// Serve with these options.
    Run {
        /// Validated options.
        options: Box<Options>,
        /// Lines for standard error that do not stop the start, line ends included.
        warnings: String,
    },
    /// Print and leave.
    Exit(Exit),
}

/// Last words and exit status of a process that does not serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Text for standard output, line ends included.
    pub stdout: String,
    /// Text for standard error, line ends included.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

impl Exit {
    /// Prints `text` on standard output and succeeds.
    pub fn success(text: impl Into<String>) -> Self {
        Self { stdout: text.into(), stderr: String::new(), status: 0 }
    }

    /// Says why the start stops, as nats-server does: its name, a colon, the reason; status 1.
    pub fn failure(reason: impl std::fmt::Display) -> Self {
        Self { stdout: String::new(), stderr: format!("nats-server: {reason}\n"), status: 1 }
    }
}
