//! `darkslide serve`: the server, in the foreground, until it is told to stop.

use crate::arguments::{Serve, ServerConfig};
use crate::output::Output;
use anyhow::{Context, Result, bail};
use darkslide_server::config::{Config, Layers, RawConfig};
use std::path::Path;

/// Serves until SIGINT or SIGTERM, or prints the settings.
pub(crate) async fn run(output: Output, arguments: Serve) -> Result<()> {
    let layers = layers(&arguments.config)?;
    let config = layers.config()?;
    if arguments.print_config {
        let text = layers.print()?;
        return output.answer(&config.to_raw(), |_| text);
    }
    darkslide_server::logs::start(&config.log)?;
    let listener = std::net::TcpListener::bind(config.listen).with_context(|| {
        format!("cannot listen on {}: choose another address with --listen", config.listen)
    })?;
    let address = listener.local_addr()?;
    output.notice(format!("darkslide starts on {address} with its data in {}", config.data_dir.display()));
    darkslide_server::serve(config, listener, stop_signal()).await?;
    Ok(())
}

/// The settings that are in force: flag over environment over file over default.
pub(crate) fn settings(arguments: &ServerConfig) -> Result<Config> {
    Ok(layers(arguments)?.config()?)
}

/// Whoever asks about a server that never ran here has named the wrong folder.
pub(crate) fn expect_server(config: &Config) -> Result<()> {
    let missing = config.sqlite_file().filter(|file| !file.is_file());
    let folder = config.data_dir.display();
    match missing {
        Some(file) => bail!(
            "there is no server's data in {folder} ({} is not there): name its folder with --data-dir, or start `darkslide serve` there first",
            file.display()
        ),
        None => Ok(()),
    }
}

fn layers(arguments: &ServerConfig) -> Result<Layers> {
    let file = raw_file(arguments.config.as_deref())?;
    Ok(Layers { flags: arguments.flags.clone(), environment: raw_environment()?, file })
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
