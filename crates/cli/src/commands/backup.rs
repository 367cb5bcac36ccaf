//! `darkslide backup`: pictures go in.

use super::asked::Asked;
use crate::Ending;
use crate::agent::control::{Line, Request};
use crate::arguments::{Albums, Backup, General, Reorganise};
use crate::output::{Output, counted, on_one_line};
use crate::profile::{self, own_folders};
use crate::progress::{Progress, rate};
use anyhow::Result;
use darkslide_client::backup::{self, BackupReport, Memory, Named, OtherFiles, Reorganised, Settings};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::library::AlbumRule;
use darkslide_client::library::selection::{Exclusions, Selection};
use darkslide_client::profile::Profile;
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::watch;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// So many files that are neither pictures nor videos are named; `--json` names [more](OtherFiles::NAMED_MAX). What failed or was skipped is
/// always named.
const NOT_MEDIA_NAMED: usize = 10;

/// Backs the paths up and reports.
pub(crate) async fn run(output: Output, general: &General, arguments: Backup) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = Arc::new(profile::session(general, &profile).await?);
    let settings = Settings {
        albums: rule(arguments.albums),
        thumbnailer: if arguments.no_thumbnails { Thumbnailer::off() } else { Thumbnailer::new() },
        memory: if arguments.little_memory { Memory::LITTLE } else { Memory::USUAL },
        ..settings()
    };
    let catalog = profile.catalog().await?;
    let asked = Asked::for_paths(&arguments.paths).await;
    let in_step = catalog.sync_folders().await?;
    // A path that is not there is the backup's to tell.
    for path in asked.paths.iter().filter_map(|path| path.canonicalize().ok()) {
        watch::outside_trashes(&path, &in_step)?;
    }
    let _turn = my_turn(output, &profile).await?;
    let report = carry_out(output, session, catalog, asked, &settings).await?;
    output.answer(&report, summary)?;
    Ok(Ending::unless(!report.is_complete()))
}

/// Files what was backed up into albums, and reports.
pub(crate) async fn reorganise(output: Output, general: &General, arguments: Reorganise) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = Arc::new(profile::session(general, &profile).await?);
    let settings = Settings { albums: rule(arguments.albums), ..settings() };
    let asked = Asked::for_paths(&arguments.paths).await;
    let settings = Settings { selection: asked.within(&settings.selection), ..settings };
    let _turn = my_turn(output, &profile).await?;
    let catalog = profile.catalog().await?;
    let mut report = under_way(output, "reorganising", async |events, stop| {
        let reorganising = backup::reorganise(session, catalog, &asked.paths, &settings, events, stop);
        asked.while_answered(Box::pin(reorganising)).await
    })
    .await?;
    let left_out = asked.all_left_out();
    let is_whole = report.interrupted.is_none() && left_out.is_empty();
    report.skipped.extend(left_out);
    output.answer(&report, what_was_filed)?;
    Ok(Ending::unless(!is_whole))
}

fn rule(albums: Albums) -> AlbumRule {
    match (albums.album, albums.album_per_folder) {
        (Some(name), _) => AlbumRule::Named(name),
        (None, true) => AlbumRule::PerFolder,
        (None, false) => AlbumRule::PerRoot,
    }
}

/// Asks a running agent to leave the profile to this process for as long as the line is held: it goes on by itself.
pub(super) async fn my_turn(output: Output, profile: &Profile) -> Result<Option<Line>> {
    let Some(mut line) = Line::call(profile.folder()).await? else { return Ok(None) };
    output.notice("The agent stands back while this runs, and goes on afterwards.");
    // One that is ending leaves the profile too; the run's lock has the last word.
    Ok(line.ask(Request::Yield).await.is_ok().then_some(line))
}

/// The defaults on this machine: dates that name no zone are in its zone, and what is ours is left alone.
pub(crate) fn settings() -> Settings {
    let zone = jiff::tz::TimeZone::system();
    let exclude = Exclusions::default().and_own(own_folders());
    let selection = Selection { exclude, ..Selection::default() };
    Settings { zone: Arc::new(move |local| offset_at(&zone, local)), selection, ..Settings::default() }
}

fn offset_at(zone: &jiff::tz::TimeZone, local: time::PrimitiveDateTime) -> time::UtcOffset {
    let narrow = |value: u8| i8::try_from(value).unwrap_or_default();
    let civil = i16::try_from(local.year()).ok().and_then(|year| {
        let (month, day) = (narrow(local.month().into()), narrow(local.day()));
        let (hour, minute, second) = (narrow(local.hour()), narrow(local.minute()), narrow(local.second()));
        jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
    });
    civil
        .and_then(|civil| zone.to_ambiguous_zoned(civil).compatible().ok())
        .and_then(|zoned| time::UtcOffset::from_whole_seconds(zoned.offset().seconds()).ok())
        .unwrap_or(time::UtcOffset::UTC)
}

/// One run with progress, without what is on network disks that do not answer. Ctrl-C stops it between two parts; a second one ends the process.
pub(crate) async fn carry_out(
    output: Output,
    session: Arc<Session>,
    catalog: Catalog,
    asked: Asked,
    settings: &Settings,
) -> Result<BackupReport> {
    let settings = Settings { selection: asked.within(&settings.selection), ..settings.clone() };
    let mut report = if asked.is_nothing() {
        BackupReport::default()
    } else {
        under_way(output, "backing up", async |events, stop| {
            let backing_up = backup::backup(session, catalog, &asked.paths, &settings, events, stop);
            asked.while_answered(Box::pin(backing_up)).await
        })
        .await?
    };
    report.failed.extend(asked.left_out);
    Ok(report)
}

/// Does something with progress, until it is done or stopped.
async fn under_way<T>(
    output: Output,
    what: &'static str,
    work: impl AsyncFnOnce(&Events, &CancellationToken) -> Result<T>,
) -> Result<T> {
    let stop = CancellationToken::new();
    let watching = tokio::spawn(stop_on_interrupt(output, stop.clone()));
    let progress = Progress::begin(output, what);
    let done = work(&progress.events, &stop).await;
    progress.end().await;
    watching.abort();
    done
}

/// Stops a run at the first Ctrl-C.
pub(super) async fn stop_on_interrupt(output: Output, stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        output.notice("Stopping; what was sent is safe, and the next run goes on from there.");
        stop.cancel();
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

/// The report for people.
pub(crate) fn summary(report: &BackupReport) -> String {
    let mut text = headline(report);
    let OtherFiles { files, some } = &report.not_media;
    section(&mut text, "Not pictures or videos, left alone", some.get(..NOT_MEDIA_NAMED).unwrap_or(some));
    if let Some(more) = files.checked_sub(NOT_MEDIA_NAMED as u64).filter(|&more| more > 0) {
        text += &format!("  … and {more} more; `darkslide explain FILE` tells of each\n");
    }
    section(&mut text, "Skipped", &report.skipped);
    section(&mut text, "Failed; the next run tries again", &report.failed);
    if let Some(reason) = &report.storage_full {
        text += &format!("\nNothing more is sent: {reason}. Then run it again.\n");
    }
    if let Some(reason) = &report.interrupted {
        text += &format!("\nEnded early: {reason}. Run it again to go on.\n");
    }
    if let Some(set_back) = &report.set_back {
        text += &format!("\nNote: {set_back}.\n");
    }
    text
}

fn what_was_filed(report: &Reorganised) -> String {
    let mut text =
        format!("{} filed, {} where they belong.\n", counted(report.filed, "file"), report.in_place);
    if report.left > 0 {
        let left = counted(report.left, "file");
        text +=
            &format!("{left} not in the vault as they are here: `darkslide backup` sends and files them.\n");
    }
    section(&mut text, "Skipped", &report.skipped);
    if let Some(reason) = &report.interrupted {
        text += &format!("\nEnded early: {reason}. Run it again to go on.\n");
    }
    text
}

fn headline(report: &BackupReport) -> String {
    let mut parts = vec![format!("{} uploaded", counted(report.uploaded, "file"))];
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    add(report.linked, "already in the vault");
    add(report.untrashed, "taken out of the trash");
    add(report.unchanged, "unchanged");
    add(report.skipped.len() as u64, "skipped");
    add(report.not_media.files, "not pictures or videos");
    add(report.without_room, "without room in the vault");
    add(report.failed.len() as u64, "failed");
    let mut text = format!("{}.\nSent {}.\n", parts.join(", "), rate(report.bytes_sent, report.duration));
    if report.mended > 0 {
        text += &format!("{} had been damaged on the server: sent again.\n", counted(report.mended, "file"));
    }
    if report.placeholders > 0 {
        text += &format!("{} got a placeholder for a thumbnail.\n", counted(report.placeholders, "file"));
    }
    if report.thumbnails_left > 0 {
        let left = counted(report.thumbnails_left, "thumbnail");
        text += &format!("{left} will be made by the next run; the originals are safe.\n");
    }
    text
}

fn section(text: &mut String, title: &str, named: &[Named]) {
    if named.is_empty() {
        return;
    }
    *text += &format!("\n{title}:\n");
    for entry in named {
        *text += &format!("  {}: {}\n", on_one_line(&entry.path), entry.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_without_a_zone_are_in_the_zone_of_the_machine() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let at = |month, hour| {
            let date = time::Date::from_calendar_date(2024, month, 15).unwrap();
            offset_at(&berlin, date.with_hms(hour, 0, 0).unwrap()).whole_hours()
        };
        assert_eq!((at(time::Month::January, 12), at(time::Month::July, 12)), (1, 2));
    }

    #[test]
    fn the_summary_names_everything_that_is_not_in_the_vault() {
        let named = |path: &str, reason: &str| Named { path: path.into(), reason: reason.into() };
        let report = BackupReport {
            uploaded: 2,
            linked: 1,
            not_media: OtherFiles { files: 1, some: vec![named("/p/a.xmp", "a sidecar")] },
            failed: vec![named("/p/b\n.jpg", "it may not be read")],
            bytes_sent: 1_500_000,
            ..BackupReport::default()
        };
        insta::assert_snapshot!(summary(&report), @r"
        2 files uploaded, 1 already in the vault, 1 not pictures or videos, 1 failed.
        Sent 1.50 MB in 0.0 s.

        Not pictures or videos, left alone:
          /p/a.xmp: a sidecar

        Failed; the next run tries again:
          /p/b�.jpg: it may not be read
        ");
    }

    #[test]
    fn a_full_vault_is_one_number_and_one_sentence() {
        let report = BackupReport {
            uploaded: 1,
            without_room: 39,
            storage_full: Some("the vault is full; free some space in the vault".into()),
            ..BackupReport::default()
        };
        insta::assert_snapshot!(summary(&report), @r"
        1 file uploaded, 39 without room in the vault.
        Sent 0 B in 0.0 s.

        Nothing more is sent: the vault is full; free some space in the vault. Then run it again.
        ");
    }

    #[test]
    fn of_many_that_are_no_media_a_screenful_is_named() {
        let named = |number| Named { path: format!("/p/{number:02}.xmp"), reason: "a sidecar".into() };
        let summary_of = |files| {
            let not_media = OtherFiles { files, some: (0..files.min(11)).map(named).collect() };
            summary(&BackupReport { not_media, ..BackupReport::default() })
        };
        assert!(!summary_of(10).contains("more") && summary_of(10).contains("/p/09.xmp"));
        let many = summary_of(300_000);
        assert!(many.contains("300000 not pictures or videos.") && !many.contains("/p/10.xmp"), "{many}");
        assert!(
            many.contains("  /p/09.xmp: a sidecar\n  … and 299990 more; `darkslide explain FILE`"),
            "{many}"
        );
    }
}
