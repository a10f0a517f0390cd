//! `midge completions SHELL`: what a shell needs to complete the command line.

use std::fmt::Write as _;

use super::commands::COMMANDS;
use super::flags::{Flag, FLAGS};
use super::usage::is_built;

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(super) fn find(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    /// The script that it reads.
    pub(super) fn script(self) -> String {
        match self {
            Self::Bash => bash(),
            Self::Zsh => zsh(),
            Self::Fish => fish(),
        }
    }
}

/// One letter, or letters of which the last is a value to people: one dash.
pub(super) fn spelled(name: &str) -> String {
    let is_short = name.len() == 1 || name.chars().all(|c| c.is_ascii_uppercase()) || name == "sl";
    format!("{}{name}", if is_short { "-" } else { "--" })
}

fn flags() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| is_built(flag))
}

fn spellings(flags: impl Iterator<Item = &'static Flag>) -> Vec<String> {
    flags.flat_map(|flag| flag.names.iter().map(|name| spelled(name))).collect()
}

fn takes_path(flag: &Flag) -> bool {
    ["<file>", "<dir>"].contains(&flag.value)
}

fn bash() -> String {
    let all = spellings(flags()).join(" ");
    let paths = spellings(flags().filter(|flag| takes_path(flag))).join("|");
    let values =
        spellings(flags().filter(|flag| !flag.value.is_empty() && !takes_path(flag))).join("|");
    let mut cases = String::new();
    for command in COMMANDS.iter().filter(|command| !command.flags.is_empty()) {
        let flags = command.flags.join(" ");
        let more = if command.takes_server_flags { " $all" } else { "" };
        let _infallible = writeln!(
            cases,
            "        {}) COMPREPLY=($(compgen -W \"{flags}{more}\" -- \"$word\")); return ;;",
            command.name
        );
    }
    format!(
        "_midge() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         local all=\"{all}\"\n    case $before in\n        {paths}) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n        \
         --signal|-sl) COMPREPLY=($(compgen -W \"{SIGNALS}\" -- \"$word\")); return ;;\n        \
         {values}) return ;;\n        \
         completions) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$word\")); return ;;\n    esac\n    \
         case ${{COMP_WORDS[1]}} in\n{cases}    esac\n    \
         COMPREPLY=($(compgen -W \"$all {words}\" -- \"$word\"))\n}}\n\
         complete -F _midge midge\n",
        words = words(),
    )
}

fn zsh() -> String {
    let mut script = String::from("#compdef midge\nlocal state line\n_arguments -C \\\n");
    for flag in flags() {
        let help = flag.help.replace('\'', "'\\''").replace(['[', ']', ':'], " ");
        for name in flag.names {
            let name = spelled(name);
            let value = match flag.value {
                "" => String::new(),
                _ if takes_path(flag) => String::from(":path:_files"),
                "<signal>[=<pid>]" => format!(":signal:({SIGNALS})"),
                value => format!(":{}:", value.trim_matches(['<', '>'])),
            };
            let _infallible = writeln!(script, "  '{name}[{help}]{value}' \\");
        }
    }
    let _infallible = write!(
        script,
        "  '1:command:({})' \\\n  '*::rest:->rest'\n[[ $state == rest ]] && case $line[1] in\n",
        words()
    );
    for command in COMMANDS {
        let following = [command.words, command.flags].concat().join(" ");
        if !following.is_empty() {
            let _infallible = writeln!(script, "  {}) compadd -- {following} ;;", command.name);
        }
    }
    script.push_str("esac\n");
    script
}

fn fish() -> String {
    let mut script = String::from("complete -c midge -f\n");
    for flag in flags() {
        let help = flag.help.replace('\'', "\\'");
        script.push_str("complete -c midge");
        for name in flag.names {
            let option = match spelled(name) {
                long if long.starts_with("--") => "-l",
                _ if name.len() == 1 => "-s",
                _ => "-o",
            };
            let _infallible = write!(script, " {option} {name}");
        }
        match flag.value {
            "" => {}
            _ if takes_path(flag) => script.push_str(" -r -F"),
            "<signal>[=<pid>]" => {
                let _infallible = write!(script, " -x -a '{SIGNALS}'");
            }
            _ => script.push_str(" -x"),
        }
        let _infallible = writeln!(script, " -d '{help}'");
    }
    for command in COMMANDS {
        let (name, help) = (command.name, command.help.replace('\'', "\\'"));
        let _infallible =
            writeln!(script, "complete -c midge -n __fish_use_subcommand -a {name} -d '{help}'");
        let seen = format!("complete -c midge -n '__fish_seen_subcommand_from {name}'");
        if !command.words.is_empty() {
            let _infallible = writeln!(script, "{seen} -a '{}'", command.words.join(" "));
        }
        for flag in command.flags {
            let _infallible = writeln!(script, "{seen} -l {}", flag.trim_start_matches('-'));
        }
    }
    script
}

/// The commands.
fn words() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    names.join(" ")
}

const SIGNALS: &str = "ldm stop quit term reopen reload";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_that_works_is_completed_by_every_shell() {
        for shell in ["bash", "zsh", "fish"] {
            let script = Shell::find(shell).unwrap().script();
            for name in flags().flat_map(|flag| flag.names) {
                let shown = if shell == "fish" { format!(" {name} ") } else { spelled(name) };
                assert!(script.contains(&shown), "{shell}: {name}");
            }
            assert!(!script.contains("cluster_name"), "{shell}");
        }
        assert_eq!(Shell::find("csh"), None);
    }

    #[test]
    fn every_command_is_completed_by_every_shell() {
        for shell in ["bash", "zsh", "fish"] {
            let script = Shell::find(shell).unwrap().script();
            for command in COMMANDS {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
                for flag in command.flags {
                    let shown = if shell == "fish" { flag.trim_start_matches('-') } else { flag };
                    assert!(script.contains(shown), "{shell}: {} {flag}", command.name);
                }
            }
        }
    }

    #[test]
    fn bash_reads_its_script() {
        for (line, expected) in [
            ("--http_p", "--http_port"),
            ("tun", "tune"),
            ("tune --app", "--apply"),
            ("config --ta", "--table"),
            ("config --tlsc", "--tlscert --tlscacert"),
            ("completions f", "fish"),
        ] {
            let at = line.split(' ').count();
            let script = bash();
            let run = std::process::Command::new("bash")
                .args(["-c", &format!(
                    "set -e; {script}\nCOMP_WORDS=(midge {line}); COMP_CWORD={at}; _midge; echo ${{COMPREPLY[*]}}"
                )])
                .output();
            let Ok(output) = run else { return };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(text.trim(), expected, "{line}: {error}");
        }
    }
}
