//! `darkslide restore` and `darkslide verify`: pictures come back, or are shown to be able to.

use super::vault::filter;
use crate::Ending;
use crate::arguments::{FileFilter, General, Restore, Verify};
use crate::output::{Output, bytes, counted};
use crate::profile;
use crate::progress::Progress;
use anyhow::{Result, bail};
use darkslide_client::FileId;
use darkslide_client::albums::find_album;
use darkslide_client::catalog::Catalog;
use darkslide_client::list::list_files;
use darkslide_client::receipt::{ReceiptSummary, ask_for_receipts};
use darkslide_client::restore::{RestoreScope, RestoreSummary, restore};
use darkslide_client::session::Session;
use darkslide_client::verify::{VerifyFailure, VerifyScope, VerifySummary, verify};

/// `restore`.
pub(crate) async fn run(output: Output, general: &General, arguments: Restore) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    let scope = scope(&session, &catalog, &arguments).await?;
    let progress = Progress::begin(output, "restoring");
    let summary = restore(&session, &catalog, &scope, &arguments.to, &progress.events).await;
    progress.end().await;
    let summary = summary?;
    output.answer(&summary, |summary| restored(summary, &arguments.to))?;
    Ok(Ending::unless(!summary.failed.is_empty()))
}

/// Everything, whole albums, or the files that match.
async fn scope(session: &Session, catalog: &Catalog, arguments: &Restore) -> Result<RestoreScope> {
    let FileFilter { album, from, before, kind, name } = &arguments.filter;
    let narrowed = from.is_some() || before.is_some() || kind.is_some() || name.is_some();
    if !arguments.files.is_empty() {
        return Ok(RestoreScope::Files(arguments.files.iter().copied().map(FileId).collect()));
    }
    if narrowed {
        let files = list_files(session, catalog, &filter(session, catalog, &arguments.filter).await?).await?;
        return Ok(RestoreScope::Files(files.into_iter().map(|file| file.id).collect()));
    }
    Ok(match album {
        Some(name) => RestoreScope::Collections(vec![find_album(session, catalog, name).await?.id]),
        None => RestoreScope::Everything,
    })
}

fn restored(summary: &RestoreSummary, target: &std::path::Path) -> String {
    let mut text = format!(
        "{} restored into {} ({}), {} there already.\n",
        counted(summary.restored, "file"),
        target.display(),
        bytes(summary.bytes),
        summary.already_there
    );
    for renamed in &summary.renamed {
        text += &format!("  {} is {} now: its name was taken\n", renamed.name, renamed.path.display());
    }
    for failure in &summary.failed {
        text += &failed(failure.file, failure.name.as_deref(), &failure.reason);
    }
    text
}

/// `verify`.
pub(crate) async fn check(output: Output, general: &General, arguments: Verify) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    let scope = match (arguments.sample, &arguments.album) {
        (Some(count), _) => VerifyScope::Sample(count),
        (None, Some(name)) => VerifyScope::Collection(find_album(&session, &catalog, name).await?.id),
        (None, None) => VerifyScope::Everything,
    };
    if arguments.server {
        return check_by_receipts(output, &session, &catalog, scope).await;
    }
    let progress = Progress::begin(output, "verifying");
    let summary = verify(&session, &catalog, scope, &progress.events).await;
    progress.end().await;
    let summary = summary?;
    output.answer(&summary, verified)?;
    Ok(Ending::unless(!summary.failed.is_empty()))
}

/// `verify --server`.
async fn check_by_receipts(
    output: Output,
    session: &Session,
    catalog: &Catalog,
    scope: VerifyScope,
) -> Result<Ending> {
    let progress = Progress::begin(output, "having the server read back");
    let summary = ask_for_receipts(session, catalog, scope, &progress.events).await;
    progress.end().await;
    let Some(summary) = summary? else {
        bail!("this server gives no receipts; `darkslide verify` downloads and compares instead");
    };
    output.answer(&summary, vouched)?;
    Ok(Ending::unless(!summary.failed.is_empty()))
}

fn vouched(summary: &ReceiptSummary) -> String {
    let text = format!(
        "{} read back by the server and as they were uploaded ({}).\nThis is the server's word for its own disk; nothing was downloaded. \
         `darkslide verify` downloads, decrypts and compares.\n",
        counted(summary.vouched_for, "file"),
        bytes(summary.bytes)
    );
    text + &checked(&summary.failed)
}

fn verified(summary: &VerifySummary) -> String {
    let mut text = format!(
        "{} downloaded, decrypted and as they were backed up ({}).\n",
        counted(summary.intact, "file"),
        bytes(summary.bytes)
    );
    if summary.without_hash > 0 {
        text += &format!(
            "{} without a content hash: they open, and cannot be compared.\n",
            counted(summary.without_hash, "file")
        );
    }
    text + &checked(&summary.failed)
}

/// What is not whole, and what becomes of it.
fn checked(failures: &[VerifyFailure]) -> String {
    let mut text: String = failures
        .iter()
        .map(|failure| failed(failure.file, failure.name.as_deref(), &failure.reason))
        .collect();
    if failures.iter().any(|failure| failure.damaged) {
        text += "What is damaged on the server and still on this computer is sent again by the next backup; `darkslide status` lists it.\n";
    }
    text
}

fn failed(file: FileId, name: Option<&str>, reason: &str) -> String {
    format!("  {} (file {file}): {reason}\n", name.unwrap_or("a file whose name does not open"))
}
