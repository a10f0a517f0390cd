//! `midge man`: the manual page, from the same table as everything else.

use std::fmt::Write as _;

use super::commands::COMMANDS;
use super::completions::spelled;
use super::flags::{Group, FLAGS};
use super::usage::{is_built, COMPATIBLE_VERSION, MIDGE_VERSION};

/// The page, for `man -l`.
pub(super) fn manual_page() -> String {
    let mut page = format!(
        ".TH MIDGE 1 \"\" \"midge {MIDGE_VERSION}\" \"User Commands\"\n\
         .SH NAME\nmidge \\- a message broker that speaks the NATS protocol\n\
         .SH SYNOPSIS\n.B midge\n[\\fIoptions\\fR] [\\fIcommand\\fR]\n\
         .SH DESCRIPTION\nMidge serves NATS clients in the place of nats\\-server \
         {COMPATIBLE_VERSION}: same protocol, same options, same configuration file, same log \
         lines. It runs one shard on each core it may use.\n.PP\n\
         One dash or two is the same; a value follows as the next word or behind =. What the \
         command line says counts more than the configuration file.\n"
    );
    for group in Group::ALL {
        let mut flags =
            FLAGS.iter().filter(|flag| flag.group == group && is_built(flag)).peekable();
        if flags.peek().is_some() {
            let _infallible = writeln!(page, ".SH {}", group.title().to_uppercase());
        }
        for flag in flags {
            let names: Vec<String> = flag.names.iter().map(|name| bold(&spelled(name))).collect();
            let value = match flag.value {
                "" => String::new(),
                value => format!(" \\fI{}\\fR", escaped(value)),
            };
            let _infallible =
                write!(page, ".TP\n{}{value}\n{}\n", names.join(", "), escaped(flag.help));
        }
    }
    page.push_str(".SH COMMANDS\n");
    for command in COMMANDS {
        let mut words = vec![bold(command.name)];
        if !command.synopsis.is_empty() {
            words.push(format!("\\fI{}\\fR", escaped(command.synopsis)));
        }
        let more = match command.flags {
            [] => String::new(),
            flags => format!(" Flags: {}.", escaped(&flags.join(", "))),
        };
        let _infallible =
            write!(page, ".TP\n{}\n{}.{more}\n", words.join(" "), escaped(command.help));
    }
    page.push_str(SIGNALS);
    page
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

const SIGNALS: &str = ".SH SIGNALS\n\
    .TP\nSIGINT, SIGTERM\nEnd the server.\n\
    .TP\nSIGUSR1\nOpen the log file anew.\n\
    .TP\nSIGUSR2\nLame duck mode: tell clients to go elsewhere, close them over time, end.\n\
    .TP\nSIGHUP\nRead the configuration file again.\n\
    .SH EXIT STATUS\n0 after a shutdown, 1 if the server did not start or could not go on.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_flag_that_works() {
        let page = manual_page();
        for name in FLAGS.iter().filter(|flag| is_built(flag)).flat_map(|flag| flag.names) {
            assert!(page.contains(&bold(&spelled(name))), "{name}");
        }
        for command in COMMANDS {
            assert!(page.contains(&bold(command.name)), "{}", command.name);
        }
        // A line that begins with a dot is a request to the formatter.
        let requests = page.lines().filter(|line| line.starts_with('.'));
        assert!(requests.clone().all(|line| [".TH", ".SH", ".TP", ".PP", ".B "]
            .iter()
            .any(|known| line.starts_with(known))));
        assert!(requests.count() > 40);
    }
}
