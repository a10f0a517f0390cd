//! `midge-load`: puts load on a server that speaks the NATS protocol, checks every message, and
//! says what it cost.

mod assertion;
mod carrier;
mod cli;
mod compare;
mod connection;
mod error;
mod output;
mod pacer;
mod progress;
mod recorder;
mod result;
mod server;
mod suite;
mod sys;
mod wire;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    sys::signal::install();
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("midge-load: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
