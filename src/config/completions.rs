//! `midge completions SHELL`: what a shell needs to complete the command line.

use std::fmt::Write as _;

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
    format!(
        "_midge() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         case $before in\n        {paths}) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n        \
         --signal|-sl) COMPREPLY=($(compgen -W \"{SIGNALS}\" -- \"$word\")); return ;;\n        \
         {values}) return ;;\n        \
         completions) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$word\")); return ;;\n    esac\n    \
         COMPREPLY=($(compgen -W \"{all} {WORDS}\" -- \"$word\"))\n}}\n\
         complete -F _midge midge\n"
    )
}

fn zsh() -> String {
    let mut script = String::from("#compdef midge\n_arguments \\\n");
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
    let _infallible = write!(script, "  '1:command:({WORDS})' \\\n  '2:shell:(bash zsh fish)'\n");
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
    let _infallible = write!(
        script,
        "complete -c midge -n __fish_use_subcommand -a '{WORDS}'\n\
         complete -c midge -n '__fish_seen_subcommand_from completions' -a 'bash zsh fish'\n"
    );
    script
}

/// Words that mean something behind the flags.
const WORDS: &str = "help version completions man";

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
    fn bash_reads_its_script() {
        let run = std::process::Command::new("bash")
            .args(["-c", &format!(
                "set -e; {}\nCOMP_WORDS=(midge --http); COMP_CWORD=1; _midge; echo ${{COMPREPLY[*]}}",
                bash()
            )])
            .output();
        let Ok(output) = run else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.trim(), "--http_port", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
