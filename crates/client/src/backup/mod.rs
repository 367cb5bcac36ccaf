//! Flow 1: scan, plan, identify, hash, encrypt, upload, commit, catalog.
//!
//! Each step is a file of this folder; this one says in which order they go and how much goes on at once. Killed at
//! any line, the next run plans again from the catalog, into which everything is written after the effect that it
//! records. Deleting on the device never deletes in the vault: nothing here can delete anything there.

pub mod again;
pub mod albums;
mod also;
pub mod batch;
mod claims;
pub mod commit;
mod companions;
pub mod describe;
pub mod device;
pub mod encrypt;
pub mod error;
pub mod explain;
mod folders;
pub mod follow;
pub mod gate;
mod group;
mod halves;
pub mod hash;
mod head_start;
mod hold;
mod holders;
pub mod identify;
mod import;
mod in_flight;
mod lanes;
mod line;
mod listing;
mod magic;
pub mod marks;
mod memory;
mod mend;
mod names;
pub mod offer;
mod opening;
mod packing;
pub mod patience;
pub mod plan;
mod portions;
mod purged;
mod reorganise;
mod replaced;
pub mod report;
mod request_limit;
mod resumable;
pub mod rules;
mod run;
mod send;
mod settle;
mod settled;
mod sift;
pub mod standing;
mod sums;
mod superseded;
mod survey;
pub mod temporary;
mod thumbnails;
mod to_read;
mod told;
mod turns;
mod unopened;
mod update;
pub mod upload;
mod vault_clock;
mod vault_room;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use darkslide_media::dates::ZoneRule;
use darkslide_media::probe::micros_of;
use tokio_util::sync::CancellationToken;

pub use error::{AssetError, BackupError};
pub use explain::explain;
pub use import::import;
pub use memory::Memory;
pub use reorganise::{Reorganised, reorganise};
pub use report::{BackupReport, Named, OtherFiles, Waiting};
pub use vault_room::fitting;

use crate::catalog::Catalog;
use crate::event::{Event, Events};
use crate::feed;
use crate::library::AlbumRule;
use crate::library::selection::Selection;
use crate::library::settle::Settling;
use crate::session::Session;
use crate::thumbnail::Thumbnailer;
use run::Run;
use survey::{Survey, survey};
use vault_clock::{Since, VaultClock};

/// How a run is to be done.
#[derive(Clone)]
pub struct Settings {
    /// Which album a file goes to.
    pub albums: AlbumRule,
    /// The zone of dates that name none.
    pub zone: Arc<ZoneRule>,
    /// How long the network or the server may fail before the run gives up.
    pub patience: Duration,
    /// Who makes the thumbnails.
    pub thumbnailer: Thumbnailer,
    /// How much memory it may take.
    pub memory: Memory,
    /// Which part of the folders is looked at.
    pub selection: Selection,
    /// Whether its owner asked for the run: then what failed is tried whether or not it has its [pause](again).
    pub is_asked: bool,
    /// How long files are left alone after they arrived or changed; none where nobody writes meanwhile.
    pub settling: Option<Settling>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            albums: AlbumRule::PerRoot,
            zone: Arc::new(darkslide_media::dates::utc),
            patience: Duration::from_mins(10),
            thumbnailer: Thumbnailer::new(),
            memory: Memory::USUAL,
            selection: Selection::default(),
            is_asked: true,
            settling: None,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("albums", &self.albums)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Backs folders up. Returns a report also when single files failed, when the storage is full and when `stop` ended
/// it early; fails when nothing could be done at all.
pub async fn backup(
    session: Arc<Session>,
    catalog: Catalog,
    roots: &[PathBuf],
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<BackupReport, BackupError> {
    let began = Instant::now();
    let _lock = catalog.lock_run(session.keys.key_pair.public_key())?;
    let now = micros_of(SystemTime::now());
    let run = Run::new(session, catalog, settings.clone(), events.clone(), stop, now);
    // What the vault has must be known before anything is sent to it.
    let pulled = stop.run_until_cancelled(feed::pull(&run.session, &run.catalog)).await;
    if pulled.transpose()?.is_none() {
        return Ok(run.report(began.elapsed()));
    }
    let clock = VaultClock::read(&run.session, &run.catalog, micros_of(SystemTime::now())).await?;
    let run = Arc::new(run.by(clock, Since::Arrival));
    let mut surveys = Vec::new();
    let (mut missing, mut has_found) = (Vec::new(), false);
    let folders = folders::whole(roots);
    for root in &folders {
        run.follow_folders(root).await.map_err(BackupError::Asset)?;
    }
    for root in roots {
        match survey(&run, root).await {
            Ok(mut survey) => {
                has_found |= !survey.found_nothing();
                run.pass_over(&std::mem::take(&mut survey.passed_over)).await;
                let mut tally = run.tally();
                tally.unchanged += survey.unchanged;
                tally.not_media.add(std::mem::take(&mut survey.not_media));
                tally.waiting.append(&mut survey.waiting);
                surveys.push(survey);
            }
            Err(error @ BackupError::Root { .. }) => missing.push((root, error)),
            Err(error) => return Err(error),
        }
    }
    // One that is not there never stops the others.
    if surveys.is_empty() && !missing.is_empty() {
        return Err(missing.swap_remove(0).1);
    }
    for (root, error) in missing {
        run.cannot_read(root, error.to_string()).await;
    }
    if !has_found {
        // Whoever named it waits for no thumbnails of something else.
        return Ok(run.report(began.elapsed()));
    }
    let totals = surveys.iter().map(|survey| survey.to_read.total());
    let waiting = run.tally().waiting.clone();
    events.send(Event::Unsettled(waiting)).await;
    let (files, bytes) = totals.fold((0, 0), |total, read| (total.0 + read.0, total.1 + read.1));
    run.expect_files(files);
    events.send(Event::Planned { assets: files, bytes }).await;
    if surveys.iter().any(Survey::has_work) {
        run.prepare_to_send().await?;
    }
    run.carry_out(surveys).await?;
    for root in &folders {
        run.remember_folders(root).await?;
    }
    let set_back = run.catalog.last_set_back(now).await?;
    Ok(BackupReport { set_back, ..run.report(began.elapsed()) })
}
