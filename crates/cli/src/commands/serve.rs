//! `darkslide serve`: the server, in the foreground, until it is told to stop.

use crate::arguments::{Serve, ServerConfig};
use crate::output::Output;
use anyhow::{Context, Result};
use darkslide_server::config::{Config, RawConfig};
use std::path::Path;

/// Serves until SIGINT or SIGTERM, or prints the settings.
pub(crate) async fn run(output: Output, arguments: Serve) -> Result<()> {
    let config = settings(&arguments.config)?;
    if arguments.print_config {
        return print(output, &arguments.config);
    }
    darkslide_server::logs::start(&config.log)?;
    let listener = std::net::TcpListener::bind(config.listen).with_context(|| {
        format!("cannot listen on {}: choose another address with --listen", config.listen)
    })?;
    output.notice(format!(
        "darkslide serves on {} with its data in {}",
        config.listen,
        config.data_dir.display()
    ));
    darkslide_server::serve(config, listener, stop_signal()).await?;
    Ok(())
}

/// The settings that are in force: flag over environment over file over default.
pub(crate) fn settings(arguments: &ServerConfig) -> Result<Config> {
    let file = raw_file(arguments.config.as_deref())?;
    Ok(Config::from_layers(arguments.flags.clone(), raw_environment()?, file)?)
}

fn print(output: Output, arguments: &ServerConfig) -> Result<()> {
    let config = settings(arguments)?;
    output.answer(&config.to_raw(), |_| config.print())
}

fn raw_environment() -> Result<RawConfig> {
    Ok(RawConfig::from_environment(|variable| std::env::var(variable).ok())?)
}

fn raw_file(path: Option<&Path>) -> Result<RawConfig> {
    let Some(path) = path else { return Ok(RawConfig::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    RawConfig::from_toml(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}

/// Resolves when the process is asked to stop, by Ctrl-C or by its supervisor.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            let _interrupted = interrupt.await;
            return;
        };
        tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
    }
    #[cfg(not(unix))]
    let _interrupted = interrupt.await;
}
