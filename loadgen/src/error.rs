//! Why a run could not be made, and the exit code each reason has.

/// Everything that ends a run without figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{call}: {source}")]
    Os {
        /// The call's name.
        call: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The server could not be reached or closed a connection.
    #[error("connection to {address}: {reason}")]
    Connection {
        /// The server's address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The server sent an error of the protocol.
    #[error("server error: {0}")]
    Server(String),
    /// The server sent bytes that are not the protocol.
    #[error("not the NATS protocol: {0}")]
    Protocol(String),
    /// The server refused a request of its stream API, or did not answer it.
    #[error("{subject}: {reason}")]
    Api {
        /// The request's subject.
        subject: String,
        /// What the server said.
        reason: String,
    },
    /// A server we were asked to start did not come up.
    #[error("starting `{command}`: {reason}")]
    Start {
        /// The command line.
        command: String,
        /// What happened, with the end of the server's output.
        reason: String,
    },
    /// A file could not be written or read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A signal asked to stop.
    #[error("stopped by a signal")]
    Interrupted,
}

impl Error {
    /// Wraps the error of the system call that just failed.
    pub fn last_os(call: &'static str) -> Self {
        Self::Os { call, source: std::io::Error::last_os_error() }
    }

    /// 2 for wrong usage, 1 for everything else; 3 is kept for failed assertions.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
