//! `darkslide import`: what another service exported goes in.

use crate::Ending;
use crate::arguments::{General, Import, ImportFrom, Takeout};
use crate::commands::backup::{self, my_turn, stop_on_interrupt};
use crate::output::{Output, bytes, counted, on_one_line, table};
use crate::profile;
use crate::progress::Progress;
use anyhow::Result;
use darkslide_client::backup::{Settings, import};
use darkslide_client::event::Events;
use darkslide_client::micros_of;
use darkslide_client::takeout::{Export, ImportOptions, ImportReport, Preview, Previewed, Unmatched};
use darkslide_client::thumbnail::Thumbnailer;
use std::sync::Arc;
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// So many files of a kind that could not be matched are named; `--json` names them all.
const NAMED: usize = 100;

/// Imports what the arguments name.
pub(crate) async fn run(output: Output, general: &General, arguments: Import) -> Result<Ending> {
    match arguments.from {
        ImportFrom::Takeout(arguments) if arguments.dry_run => preview(output, general, arguments).await,
        ImportFrom::Takeout(arguments) => takeout(output, general, arguments).await,
    }
}

async fn takeout(output: Output, general: &General, arguments: Takeout) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = Arc::new(profile::session(general, &profile).await?);
    let catalog = profile.catalog().await?;
    let settings = Settings {
        thumbnailer: if arguments.no_thumbnails { Thumbnailer::off() } else { Thumbnailer::new() },
        ..backup::settings()
    };
    let _turn = my_turn(output, &profile).await?;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(stop_on_interrupt(output, stop.clone()));
    let progress = Progress::begin(output, "importing");
    let export = open(arguments, progress.events.clone()).await;
    let report = import(session, catalog, export, &settings, &progress.events, &stop).await;
    progress.end().await;
    watching.abort();
    let report = report?;
    output.answer(&report, summary)?;
    Ok(Ending::unless(!report.backup.is_complete()))
}

/// Asks no server, and changes nothing.
async fn preview(output: Output, general: &General, arguments: Takeout) -> Result<Ending> {
    let catalog = profile::open(general)?.catalog().await?;
    let now = micros_of(SystemTime::now());
    let preview = open(arguments, Events::silent()).await.preview(&catalog, now).await?;
    output.answer(&preview, previewed)?;
    Ok(Ending::unless(!preview.failed.is_empty()))
}

async fn open(arguments: Takeout, events: Events) -> Export {
    let options = ImportOptions { album: arguments.album };
    let opening = tokio::task::spawn_blocking(move || Export::open(&arguments.paths, &options, &events));
    opening.await.expect("listing an export does not panic")
}

/// The report for people.
fn summary(report: &ImportReport) -> String {
    backup::summary(&report.backup) + &there_twice(report.there_twice) + &unmatched(&report.unmatched)
}

fn there_twice(copies: u64) -> String {
    if copies == 0 {
        return String::new();
    }
    let copies = counted(copies, "file");
    format!("\nThere twice, with the same content, and counted once: {copies}.\n")
}

fn unmatched(unmatched: &Unmatched) -> String {
    let Unmatched { without_sidecar, sidecars_without_media, other_json } = unmatched;
    let mut text = String::new();
    let without = "No sidecar was found for these; they have the dates and places that are in the files";
    section(&mut text, without, without_sidecar, NAMED);
    let alone = "Sidecars without their picture; an archive may be missing";
    section(&mut text, alone, sidecars_without_media, NAMED);
    section(&mut text, "Neither pictures nor sidecars, left alone", other_json, NAMED);
    text
}

fn section(text: &mut String, title: &str, paths: &[String], most: usize) {
    if paths.is_empty() {
        return;
    }
    *text += &format!("\n{title}:\n");
    for path in paths.iter().take(most) {
        *text += &format!("  {}\n", on_one_line(path));
    }
    if let Some(more) = paths.len().checked_sub(most).filter(|&more| more > 0) {
        *text += &format!("  … and {more} more; --json names them all\n");
    }
}

fn previewed(preview: &Preview) -> String {
    let row = |file: &Previewed| {
        let taken = file.taken.as_deref().map_or("date of the file", |taken| taken);
        vec![taken.to_owned(), file.album.clone(), file.path.clone()]
    };
    let mut text = table(&preview.files.iter().map(row).collect::<Vec<_>>());
    let total = preview.files.iter().map(|file| file.size).sum();
    let files = counted(preview.files.len() as u64, "file");
    text += &format!("\nWould import {files}, {} at most; {} unchanged.\n", bytes(total), preview.unchanged);
    text += &there_twice(preview.there_twice);
    section(&mut text, "Not pictures or videos by their names", &preview.not_media, NAMED);
    text += &unmatched(&preview.unmatched);
    let skipped = preview.skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
    section(&mut text, "Would be left out", &skipped.collect::<Vec<_>>(), NAMED);
    let failed = preview.failed.iter().map(|failed| format!("{}: {}", failed.path, failed.reason));
    section(&mut text, "Cannot be read", &failed.collect::<Vec<_>>(), usize::MAX);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_client::backup::{BackupReport, Named};

    fn nothing_matched() -> Unmatched {
        Unmatched {
            without_sidecar: vec!["/t.zip/Takeout/a.jpg".into()],
            sidecars_without_media: vec!["/t.zip/Takeout/b\n.jpg.json".into()],
            other_json: vec!["/t.zip/Takeout/print-subscriptions.json".into()],
        }
    }

    #[test]
    fn the_summary_names_what_could_not_be_matched() {
        let failed = vec![Named { path: "/u.zip".into(), reason: "it is encrypted".into() }];
        let backup = BackupReport { uploaded: 2, linked: 1, failed, ..BackupReport::default() };
        insta::assert_snapshot!(summary(&ImportReport { backup, unmatched: nothing_matched(), there_twice: 1 }), @r"
        2 files uploaded, 1 already in the vault, 1 failed.
        Sent 0 B in 0.0 s.

        Failed; the next run tries again:
          /u.zip: it is encrypted

        There twice, with the same content, and counted once: 1 file.

        No sidecar was found for these; they have the dates and places that are in the files:
          /t.zip/Takeout/a.jpg

        Sidecars without their picture; an archive may be missing:
          /t.zip/Takeout/b�.jpg.json

        Neither pictures nor sidecars, left alone:
          /t.zip/Takeout/print-subscriptions.json
        ");
    }

    #[test]
    fn the_preview_names_every_file() {
        let file = |path: &str, taken: Option<&str>| Previewed {
            path: path.into(),
            size: 1_500_000,
            album: "Paris".into(),
            sidecar: None,
            taken: taken.map(str::to_owned),
        };
        let preview = Preview {
            files: vec![file("/t.zip/a.jpg", Some("2023-11-14T22:13:20Z")), file("/t.zip/b.jpg", None)],
            unchanged: 3,
            not_media: vec!["/t.zip/archive_browser.html".into()],
            skipped: vec![Named { path: "/t.zip/Trash/c.jpg".into(), reason: "it is in the trash".into() }],
            failed: vec![Named { path: "/u.zip".into(), reason: "it is encrypted".into() }],
            unmatched: nothing_matched(),
            there_twice: 2,
        };
        insta::assert_snapshot!(previewed(&preview), @r"
        2023-11-14T22:13:20Z  Paris  /t.zip/a.jpg
        date of the file      Paris  /t.zip/b.jpg

        Would import 2 files, 3.00 MB at most; 3 unchanged.

        There twice, with the same content, and counted once: 2 files.

        Not pictures or videos by their names:
          /t.zip/archive_browser.html

        No sidecar was found for these; they have the dates and places that are in the files:
          /t.zip/Takeout/a.jpg

        Sidecars without their picture; an archive may be missing:
          /t.zip/Takeout/b�.jpg.json

        Neither pictures nor sidecars, left alone:
          /t.zip/Takeout/print-subscriptions.json

        Would be left out:
          /t.zip/Trash/c.jpg: it is in the trash

        Cannot be read:
          /u.zip: it is encrypted
        ");
    }
}
