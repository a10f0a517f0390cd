//! The levels and how a line shows them.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The process is about to leave.
    Fatal,
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know; only with `debug`.
    Debug,
    /// Protocol lines; only with `trace`.
    Trace,
}

impl Level {
    /// The three letters between the brackets.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Fatal => "FTL",
            Self::Error => "ERR",
            Self::Warning => "WRN",
            Self::Info => "INF",
            Self::Debug => "DBG",
            Self::Trace => "TRC",
        }
    }

    /// The word that JSON has for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The terminal attributes of those letters.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Fatal | Self::Error => "31",
            Self::Warning => "0;93",
            Self::Info => "32",
            Self::Debug => "36",
            Self::Trace => "33",
        }
    }
}
