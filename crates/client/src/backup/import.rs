//! Flow 1 for an export of another program: its own plan and its own way of identifying, and the same lanes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use darkslide_media::probe::micros_of;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::identify::Identified;
use super::lanes::Lanes;
use super::run::{FOLDERS_IDENTIFIED_AHEAD, RECHECKED_AT_ONCE, Run};
use super::vault_clock::{Since, VaultClock};
use super::{BackupError, Settings};
use crate::catalog::{AssetRow, AssetState, Catalog};
use crate::event::{Event, Events, Outcome};
use crate::feed;
use crate::library::raw;
use crate::session::Session;
use crate::takeout::{Export, ExportPlan, FolderSteps, ImportReport, Item, Settled};

/// Imports an export. Its albums are those of the export, whatever `settings` say. Returns a report and fails as
/// [`backup`](super::backup) does.
pub async fn import(
    session: Arc<Session>,
    catalog: Catalog,
    mut export: Export,
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<ImportReport, BackupError> {
    let began = Instant::now();
    let _lock = catalog.lock_run(session.keys.key_pair.public_key())?;
    let settings = Settings { albums: export.rule(), ..settings.clone() };
    let now = micros_of(SystemTime::now());
    feed::pull(&session, &catalog).await?;
    let clock = VaultClock::read(&session, &catalog, micros_of(SystemTime::now())).await?;
    let run = Run::new(session, catalog, settings, events.clone(), stop, now);
    let run = Arc::new(run.by(clock, Since::Had));
    run.take_over(&export).await;
    if export.sources.is_empty() {
        // Whoever named it waits for no thumbnails of something else.
        let unmatched = export.unmatched().clone();
        return Ok(ImportReport { backup: run.report(began.elapsed()), unmatched, there_twice: 0 });
    }
    let plan = export.plan(&run.catalog).await?;
    run.expect_files(plan.to_read.files());
    events.send(Event::Planned { assets: plan.to_read.files(), bytes: plan.bytes }).await;
    if plan.has_work() {
        run.prepare_to_send().await?;
    }
    run.remember_sidecars(&export, &plan.new_sidecars).await?;
    let (unmatched, there_twice) = (export.unmatched().clone(), export.there_twice());
    let export = Arc::new(export);
    run.work(async |lanes| run.feed_export(lanes, &export, plan).await).await?;
    Ok(ImportReport { backup: run.report(began.elapsed()), unmatched, there_twice })
}

impl Run {
    /// What the listing of the export found out already.
    async fn take_over(&self, export: &Export) {
        for source in &export.sources {
            if let Some(archive) = &source.archive {
                self.archives.keep(source.root.to_path_buf(), Arc::clone(archive));
            }
        }
        for (path, reason) in &export.unreadable {
            self.cannot_read(path, reason.clone()).await;
        }
        for (path, reason) in &export.left_out {
            self.tally().count(path, &Outcome::Skipped(reason.clone()));
        }
    }

    /// Records sidecars that are new, or new as they are, before any picture is dealt with by them.
    async fn remember_sidecars(&self, export: &Export, sidecars: &[Item]) -> Result<(), BackupError> {
        let row = |item: &Item| AssetRow {
            root: raw(&export.source(item).root),
            path: raw(&item.path),
            fingerprint: item.fingerprint,
            motion: None,
            album: self.settings.albums.album_of(&export.source(item).root, &item.path).key,
            content_hash: None,
            file: None,
            state: AssetState::NotMedia,
            reason: Some("it is the sidecar of a picture, which was imported with what it says".to_owned()),
            first_seen: self.now,
            last_seen: self.now,
            failing: None,
        };
        Ok(self.catalog.put_assets(&sidecars.iter().map(row).collect::<Vec<_>>()).await?)
    }

    async fn feed_export(
        &self,
        lanes: &Lanes,
        export: &Arc<Export>,
        plan: ExportPlan,
    ) -> Result<(), BackupError> {
        let mut to_read = plan.to_read;
        let mut settling = futures_util::stream::iter(plan.settled)
            .map(|settled| async {
                self.is_dealt_with(&settled.root, &settled.step).await.map(|done| (done, settled))
            })
            .buffer_unordered(RECHECKED_AT_ONCE);
        while let Some(dealt_with) = settling.next().await {
            let (done, Settled { place, .. }) = dealt_with?;
            if self.halt.is_cancelled() {
                return Ok(());
            }
            if !done {
                to_read.add(place);
            }
        }
        drop(settling);
        self.lines.expect(to_read.items(export).map(|item| item.fingerprint.size));
        // What is another content in another export is another picture. What was backed up alone may be half of a Live Photo, which its file becomes.
        let again = to_read.take_again();
        let mut identified = futures_util::stream::iter(to_read.groups())
            .map(|steps| self.identified_in(export, steps))
            .buffered(FOLDERS_IDENTIFIED_AHEAD);
        while let Some(group) = identified.next().await {
            if !self.dispatch(lanes, group, &again).await? {
                break;
            }
        }
        Ok(())
    }

    async fn identified_in(&self, export: &Arc<Export>, steps: FolderSteps) -> Vec<(Arc<Path>, Identified)> {
        let (export, zone, now) = (Arc::clone(export), Arc::clone(&self.settings.zone), self.now);
        let buffers = self.buffers.clone();
        let identifying = tokio::task::spawn_blocking(move || export.identify(&steps, &*zone, now, &buffers));
        identifying.await.expect("identification does not panic")
    }
}
