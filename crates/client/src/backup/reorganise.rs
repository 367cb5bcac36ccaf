//! Reorganise: what was backed up earlier goes into the albums that its folders stand for now.
//!
//! It is the plan of a backup without what would have to be read: no picture is opened, and nothing is sent but keys. What the owner took out
//! of an album in the vault is not put back, and no picture leaves the albums that it is in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use darkslide_media::probe::micros_of;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::plan::Step;
use super::run::{RECHECKED_AT_ONCE, Run};
use super::survey::{Survey, survey};
use super::{BackupError, Named, Settings};
use crate::catalog::Catalog;
use crate::event::{Event, Events};
use crate::feed;
use crate::session::Session;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reorganised {
    /// Files that are in the album of their folder now, and were not known to be.
    pub filed: u64,
    /// Files that were known to be there.
    pub in_place: u64,
    /// Files that are not in the vault as they are here: a backup sends them, and files them.
    pub left: u64,
    /// What the owner deleted from the vault.
    pub skipped: Vec<Named>,
    /// Why it ended before it was through.
    pub interrupted: Option<String>,
}

/// Files what was backed up from these folders into the albums that `settings` name for them.
pub async fn reorganise(
    session: Arc<Session>,
    catalog: Catalog,
    roots: &[PathBuf],
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Reorganised, BackupError> {
    let began = Instant::now();
    let _lock = catalog.lock_run(session.keys.key_pair.public_key())?;
    let now = micros_of(SystemTime::now());
    let run = Arc::new(Run::new(session, catalog, settings.clone(), events.clone(), stop, now));
    feed::pull(&run.session, &run.catalog).await?;
    let (mut plans, mut left) = (Vec::new(), 0);
    for root in roots {
        let Survey { root, unchanged, to_read, steps, .. } = survey(&run, root).await?;
        run.tally().unchanged += unchanged;
        left += to_read.total().0;
        plans.push((Arc::from(root), steps));
    }
    let assets = plans.iter().map(|(_, steps)| steps.len() as u64).sum();
    events.send(Event::Planned { assets, bytes: 0 }).await;
    for (root, steps) in plans {
        left += file(&run, &root, steps).await?;
    }
    let report = run.report(began.elapsed());
    Ok(Reorganised {
        filed: report.linked + report.untrashed,
        in_place: report.unchanged,
        left,
        skipped: report.skipped,
        interrupted: report.interrupted,
    })
}

/// Deals with what need not be read; says how many files that leaves.
async fn file(run: &Run, root: &Arc<Path>, steps: Vec<Step>) -> Result<u64, BackupError> {
    let mut dealing = futures_util::stream::iter(steps)
        .map(|step| async move { run.is_dealt_with(root, &step).await })
        .buffer_unordered(RECHECKED_AT_ONCE);
    let mut left = 0;
    while let Some(is_dealt_with) = dealing.next().await {
        left += u64::from(!is_dealt_with?);
        if run.is_halted() {
            break;
        }
    }
    Ok(left)
}
