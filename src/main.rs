//! `midge`: the command line to options, options to shards.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use midge::config::{parse_command_line, print_effective, Exit, Invocation, Options};
use midge::log::{Log, LogOptions};
use midge::{inspect, shard, top, tune};

fn main() -> ExitCode {
    if let Some(exit) = command(std::env::args_os().skip(1)) {
        say(&exit);
        return ExitCode::from(exit.status);
    }
    match parse_command_line(std::env::args_os()) {
        Invocation::Run { options, warnings } => {
            say(&Exit { stderr: warnings, ..Exit::default() });
            serve(&options)
        }
        Invocation::Exit(exit) => {
            say(&exit);
            ExitCode::from(exit.status)
        }
    }
}

/// What a first argument that is a word does instead of serving.
fn command(mut words: impl Iterator<Item = OsString>) -> Option<Exit> {
    match words.next()?.to_str()? {
        "config" => Some(print_effective(words.collect())),
        "top" => Some(top::run(words.collect())),
        "tune" => Some(tune::run(words.collect(), &mut tune::LocalSystem)),
        "store" => Some(inspect::run(words.collect())),
        _ => None,
    }
}

fn serve(options: &Options) -> ExitCode {
    let log = match Log::start(&log_options(options)) {
        Ok(log) => log,
        Err(error) => {
            let exit = Exit::failure(error);
            say(&exit);
            return ExitCode::from(exit.status);
        }
    };
    match shard::run(options, &log) {
        Ok(()) => {
            log.info(format_args!("Server Exiting.."));
            log.flush(std::time::Duration::from_secs(1));
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.fatal(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn log_options(options: &Options) -> LogOptions {
    LogOptions {
        target: shard::log_target(options),
        debug: options.debug,
        trace: options.trace,
        time: options.log_time,
        utc: options.log_time_utc,
        json: options.log_json,
    }
}

/// Prints what the command line asked for. A reader that is gone does not
/// change the exit status.
fn say(exit: &Exit) {
    drop(std::io::stdout().write_all(exit.stdout.as_bytes()));
    drop(std::io::stderr().write_all(exit.stderr.as_bytes()));
}
