//! Every word that means something in the place of flags, once: help, completions and the manual
//! page read this table.

/// A command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// What may stand behind it.
    pub(super) synopsis: &'static str,
    /// Flags that only it knows.
    pub(super) flags: &'static [&'static str],
    /// Words that may follow it.
    pub(super) words: &'static [&'static str],
    /// Whether flags of the server mean something to it.
    pub(super) takes_server_flags: bool,
    pub(super) help: &'static str,
}

const fn command(name: &'static str, synopsis: &'static str, help: &'static str) -> Command {
    Command { name, synopsis, flags: &[], words: &[], takes_server_flags: false, help }
}

/// The table.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["bash", "zsh", "fish"],
        ..command("completions", "bash|zsh|fish", "Print completions for a shell")
    },
    Command {
        flags: &["--json", "--table"],
        takes_server_flags: true,
        ..command("config", "[--json|--table]", "Print the configuration that would be run with")
    },
    command("help", "", "As --help"),
    command("man", "", "Print the manual page"),
    Command {
        words: &["check"],
        takes_server_flags: true,
        ..command("store", "check [<dir>]", "Verify a store that no server has open")
    },
    Command {
        flags: TOP_FLAGS,
        ..command("top", "[<url>]", "Show a running server's shards and connections, live")
    },
    Command {
        flags: &["--apply", "--revert", "--json", "--record"],
        takes_server_flags: true,
        ..command("tune", "[--apply|--revert]", "Check this machine")
    },
    command("version", "", "As --version"),
];

/// Those of `midge top`, which the module of that name reads.
const TOP_FLAGS: &[&str] = &[
    "--once",
    "--json",
    "--delay",
    "--sort",
    "--limit",
    "--subs",
    "--raw",
    "--rates",
    "--insecure",
    "--cacert",
];
