//! The server with its listening socket given as standard input, so that a test can kill and restart it at one address.
//!
//! It adds nothing to the server and reads neither the environment nor a file: flags are all its settings.

use clap::Parser;
use darkslide_server::config::{Config, RawConfig};
use darkslide_server::logs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

/// The server's own settings.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: RawConfig,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Arguments::parse().settings;
    let config = Config::from_layers(settings, RawConfig::default(), RawConfig::default())?;
    logs::start(&config.log)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let shutdown = async move {
        end.recv().await;
    };
    darkslide_server::serve(config, TcpListener::from(socket), shutdown).await?;
    Ok(())
}
