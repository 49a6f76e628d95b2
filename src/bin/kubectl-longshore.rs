//! The kubectl plugin.

use std::process::ExitCode;

use clap::Parser;
use longshore::cli::{
    self,
    terminal::{lines, tell},
};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("kubectl longshore: a TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kubectl longshore: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_told() {
                tell(&format!("kubectl longshore: {}", lines(&error.to_string())));
            }
            ExitCode::from(error.code())
        }
    }
}
