//! What `-h` and `-v` print.

use std::fmt::Write as _;

use super::commands::{Command, COMMANDS};
use super::completions::spelled;
use super::flags::{Flag, Group, Setting, FLAGS};

/// The nats-server release whose behaviour and wire protocol Midge follows.
pub const COMPATIBLE_VERSION: &str = "2.15.1";

/// Midge's own release.
pub const MIDGE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `-v` prints. Harnesses read `nats-server: vX.Y.Z` from the first line, whatever the
/// binary is called, and skip tests by it; so that line comes first and is exactly nats-server's.
/// Under the name `nats-server` it is the only one.
pub fn version_text(program: &str) -> String {
    let compatible = format!("nats-server: v{COMPATIBLE_VERSION}\n");
    if program == "nats-server" {
        compatible
    } else {
        format!("{compatible}midge: v{MIDGE_VERSION}\n")
    }
}

/// What `-h` prints: the flags that work, by group. Flags of nats-server that stop the start are
/// known but not advertised.
pub fn help_text() -> String {
    let mut text = String::from("\nUsage: midge [options]\n");
    for group in Group::ALL {
        let mut heading_due = true;
        for flag in FLAGS.iter().filter(|flag| flag.group == group && is_built(flag)) {
            if heading_due {
                let _infallible = write!(text, "\n{}:\n", group.title());
                heading_due = false;
            }
            let _infallible = writeln!(text, "    {:<33}{}", synopsis(flag), flag.help);
        }
    }
    text.push_str("\nCommands:\n");
    for Command { name, synopsis, help, .. } in COMMANDS {
        let _infallible = writeln!(text, "    {:<33}{help}", format!("{name} {synopsis} "));
    }
    text.push_str("\nFlags of nats-server whose feature is not built yet stop the start.\n\n");
    text
}

/// What `--help_tls` prints.
pub(super) fn help_tls_text() -> String {
    String::from(
        "\nTLS is configured with the tls block of the configuration file, or with\n\
         --tlscert, --tlskey, --tlsverify and --tlscacert, which go over it.\n\n",
    )
}

/// Flags of a cluster are taken, but there is none to be had.
pub(super) fn is_built(flag: &Flag) -> bool {
    flag.group != Group::Cluster && !matches!(flag.setting, Setting::NotBuilt(_) | Setting::HelpTls)
}

fn synopsis(flag: &Flag) -> String {
    let mut text = String::new();
    for name in flag.names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // One dash or two is the same to the parser; help shows the usual form.
        text.push_str(&spelled(name));
    }
    if !flag.value.is_empty() {
        text.push(' ');
        text.push_str(flag.value);
    }
    // A long synopsis still keeps one blank before its help.
    text.push(' ');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_starts_with_the_line_harnesses_read() {
        assert_eq!(version_text("nats-server"), "nats-server: v2.15.1\n");
        assert!(version_text("midge").starts_with("nats-server: v2.15.1\nmidge: v"));
    }

    #[test]
    fn help_lists_what_works_and_nothing_else() {
        let help = help_text();
        assert!(help.contains("-a, --addr, --net <host>"));
        assert!(help.contains("--shards <number>"));
        assert!(help.contains("--tlscert"));
        assert!(!help.contains("--cluster"));
        assert!(!help.contains("Cluster Options"));
        assert!(help.contains("    tune [--apply|--revert]          Check this machine\n"));
    }
}
