//! `darkslide server`: how a server is, asked on the machine where its data is. The server may be running; nothing is changed.

use super::serve::{self, settings};
use crate::Ending;
use crate::arguments::{ServerAction, ServerCommand};
use crate::output::{Output, bytes, counted, date, table};
use anyhow::Result;
use darkslide_server::config::Config;
use darkslide_server::status::ServerStatus;
use darkslide_server::store::checks::DamagedObject;
use darkslide_server::store::{Engine, Store};

/// The most damaged objects that are shown to people; `--json` has more.
const SHOWN_MAX: usize = 50;

/// Opens the database that the settings name and looks.
pub(crate) async fn run(output: Output, arguments: ServerCommand) -> Result<Ending> {
    let config = settings(&arguments.server)?;
    match arguments.action {
        ServerAction::Status => status(output, &config).await,
    }
}

async fn status(output: Output, config: &Config) -> Result<Ending> {
    serve::expect_server(config)?;
    let store = Store::open(config.effective_database_url().expose()).await?;
    let status = ServerStatus::read(&store, config).await;
    store.close().await;
    let status = status?;
    output.answer(&status, human)?;
    Ok(Ending::unless(!status.is_whole()))
}

fn human(status: &ServerStatus) -> String {
    let engine = match status.database {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
    };
    let mut lines = vec![
        format!("Darkslide {} on {engine}", status.version),
        format!(
            "{}, {}, {} stored",
            counted(unsigned(status.accounts), "account"),
            counted(unsigned(status.files), "file"),
            size(status.stored_bytes)
        ),
    ];
    if let Some(disk) = status.disk {
        lines.push(format!("disk: {} of {} free", bytes(disk.free_bytes), bytes(disk.total_bytes)));
    }
    lines.push(format!(
        "waiting for a commit: {} ({})",
        counted(unsigned(status.uncommitted.objects), "object"),
        size(status.uncommitted.bytes)
    ));
    lines.push(scrubbed(status));
    lines.push(verdict(status));
    let mut text = lines.join("\n") + "\n";
    if !status.not_whole.is_empty() {
        text += &damage(status);
    }
    text
}

fn scrubbed(status: &ServerStatus) -> String {
    let objects = &status.objects;
    let Some(oldest) = objects.oldest else { return "read back: there is nothing to read yet".to_owned() };
    format!(
        "read back: {} of {}, earlier versions' {} included ({} of {}); the least recent on {}",
        objects.verified_objects,
        counted(unsigned(objects.objects), "object"),
        objects.earlier_objects,
        size(objects.verified_bytes),
        size(objects.bytes),
        date(oldest)
    )
}

fn verdict(status: &ServerStatus) -> String {
    if status.is_whole() {
        return "Nothing is known to be damaged or missing.".to_owned();
    }
    format!(
        "{} DAMAGED and {} MISSING: bring these blobs back from your backup.",
        counted(unsigned(status.objects.damaged), "object"),
        counted(unsigned(status.objects.missing), "object")
    )
}

fn damage(status: &ServerStatus) -> String {
    let heads = ["object", "file", "of", "damage", "known since", "blob"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(status.not_whole.iter().take(SHOWN_MAX).map(|object| {
        let file = object.file.map(|file| file.to_string()).unwrap_or_default();
        let of = if object.is_earlier { "an earlier version" } else { "the file as it is" };
        // What the database does not know, it cannot have known since a day.
        let since = object.since.map_or_else(|| "not in the database".to_owned(), date);
        let damage = object.damage.name().to_owned();
        vec![object.key.to_string(), file, of.to_owned(), damage, since, blob(object)]
    }));
    let left = status.not_whole.len().saturating_sub(SHOWN_MAX);
    let more = if left > 0 { format!("… and {left} more: see --json\n") } else { String::new() };
    table(&rows) + &more
}

/// Where it lies, for whoever looks for it in a backup.
fn blob(object: &DamagedObject) -> String {
    let in_parts = || if object.since.is_some() { "several, one a part".to_owned() } else { String::new() };
    object.blob.clone().unwrap_or_else(in_parts)
}

fn size(count: i64) -> String {
    bytes(unsigned(count))
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
