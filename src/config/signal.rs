//! `--signal`: tell a running server to reload, reopen its log, or leave.

use std::io;
use std::path::Path;

use crate::host;

/// Why no signal was sent; nats-server's texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignalError {
    #[error("invalid signal parameters: [{0}]")]
    Parameters(String),
    #[error("unknown signal {0:?}")]
    Unknown(String),
    #[error("invalid pid: {0}")]
    Pid(String),
    #[error("no {0} processes running")]
    NoProcess(String),
    #[error("multiple {program} processes running:{pids}")]
    ManyProcesses { program: String, pids: String },
    #[error("\nsignal {command:?} {pid}: {}", host::go_error_text(error))]
    Refused { command: String, pid: i32, error: io::Error },
}

/// Carries out `command[=pid or path of a pid file]`. Without a pid it is meant for the only
/// other process that runs `program`.
pub(super) fn send(expression: &str, program: &str) -> Result<(), SignalError> {
    let mut parts = expression.split('=');
    let command = parts.next().unwrap_or_default();
    let target = parts.next().unwrap_or_default();
    let surplus: Vec<&str> = parts.collect();
    if !surplus.is_empty() {
        return Err(SignalError::Parameters(surplus.join(" ")));
    }
    let pid = if target.is_empty() { only_process(program)? } else { pid_of(target)? };
    let signal = signal_of(command).ok_or_else(|| SignalError::Unknown(command.to_owned()))?;
    host::send_signal(pid, signal).map_err(|error| SignalError::Refused {
        command: command.to_owned(),
        pid,
        error,
    })
}

fn signal_of(command: &str) -> Option<i32> {
    match command {
        "stop" => Some(libc::SIGKILL),
        "quit" => Some(libc::SIGINT),
        "term" => Some(libc::SIGTERM),
        "reopen" => Some(libc::SIGUSR1),
        "ldm" => Some(libc::SIGUSR2),
        "reload" => Some(libc::SIGHUP),
        _ => None,
    }
}

/// A number, or the path of a file that holds one.
#[expect(clippy::disallowed_methods, reason = "a command, not a server")]
fn pid_of(target: &str) -> Result<i32, SignalError> {
    let content = std::fs::read_to_string(target);
    let text = content.as_deref().map_or(target, str::trim);
    text.parse().map_err(|_| SignalError::Pid(text.to_owned()))
}

fn only_process(program: &str) -> Result<i32, SignalError> {
    match processes(program).as_slice() {
        [] => Err(SignalError::NoProcess(program.to_owned())),
        [pid] => Ok(*pid),
        pids => Err(SignalError::ManyProcesses {
            program: program.to_owned(),
            pids: pids.iter().map(|pid| format!("\n{pid}")).collect(),
        }),
    }
}

/// The other processes of that name. The kernel keeps the first 15 bytes of it.
#[expect(clippy::disallowed_methods, reason = "a command, not a server")]
fn processes(program: &str) -> Vec<i32> {
    let kept: String = program.chars().take(15).collect();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
        let is_other = u32::try_from(pid) != Ok(std::process::id());
        (is_other && name.ok()?.trim_end() == kept).then_some(pid)
    });
    let mut pids: Vec<i32> = pids.collect();
    pids.sort_unstable();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(expression: &str) -> String {
        send(expression, "midge-no-such").unwrap_err().to_string()
    }

    #[test]
    fn refusals_are_nats_servers() {
        assert_eq!(refusal("stop"), "no midge-no-such processes running");
        assert_eq!(refusal("foo"), "no midge-no-such processes running");
        assert_eq!(refusal("stop=abc"), "invalid pid: abc");
        assert_eq!(refusal("foo=99999999"), "unknown signal \"foo\"");
        assert_eq!(refusal("stop=1=2"), "invalid signal parameters: [2]");
        assert_eq!(refusal("term=99999999"), "\nsignal \"term\" 99999999: no such process");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests read the files they made")]
    fn a_pid_file_stands_for_its_number() {
        let path = std::env::temp_dir().join(format!("midge-pid-{}", std::process::id()));
        std::fs::write(&path, "99999999\n").unwrap();
        assert_eq!(pid_of(path.to_str().unwrap()).ok(), Some(99_999_999));
        std::fs::remove_file(path).unwrap();
    }
}
