//! The log: structured lines on standard output, as text or JSON. Nothing secret is ever given to it.

use crate::config::{LogFormat, LogSettings};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log_level` is no filter.
    #[error("log_level is not a usable filter")]
    Filter(#[from] ParseError),
    /// Something else in this process logs already.
    #[error("logging was set up twice")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Starts logging for this process, on standard output.
pub fn start(settings: &LogSettings) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(subscriber(settings, std::io::stdout)?)?;
    Ok(())
}

/// A subscriber that writes as the settings say.
pub fn subscriber<W>(settings: &LogSettings, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        // It would be told on standard error; where that is on a full disk too, telling it would end the request.
        .log_internal_errors(false);
    Ok(match settings.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}
