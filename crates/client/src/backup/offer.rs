//! Flow 1 for files of which it was decided already that the vault gets them: no plan, and the same lanes.
//!
//! Whoever keeps a folder in step with the vault has compared both sides before. So a picture that was deleted is restored, or sent again, and an
//! edit becomes a new version of its file. Each file is an asset of its own: a path is what both sides agree on, and a Live Photo has two.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use darkslide_crypto::ContentHash;
use darkslide_media::probe::micros_of;
use darkslide_protocol::{FileId, Version};
use tokio_util::sync::CancellationToken;

use super::identify::{Identified, Offered, Surroundings, identify};
use super::plan::ContentDecision;
use super::run::Run;
use super::settle::Job;
use super::vault_clock::{Since, VaultClock};
use super::{AssetError, BackupError, BackupReport, Settings};
use crate::catalog::{Catalog, TrashRow};
use crate::event::Events;
use crate::session::Session;

/// Files that are looked at in one go.
const LOOKED_AT_ONCE: usize = 32;

/// One file that the vault gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Below the root.
    pub path: PathBuf,
    /// The file of which it is a new version, as long as that has this content.
    pub replaces: Option<(FileId, ContentHash)>,
    /// The file that is taken out of the trash, as long as this is the version of its deletion.
    pub restores: Option<(FileId, Version)>,
    /// The vault has it, and damaged, so that it goes there again as the same file. What others deleted or edited since is left as they left it.
    pub mends: bool,
}

/// Sends, links or restores files. What became of each is in the catalog afterwards. The catalog says what the vault has: pull the feed first.
/// Returns a report and fails as [`backup`](super::backup) does.
pub async fn offer(
    session: Arc<Session>,
    catalog: Catalog,
    root: &Path,
    offers: Vec<Offer>,
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<BackupReport, BackupError> {
    let began = Instant::now();
    let _lock = catalog.lock_run(session.keys.key_pair.public_key())?;
    let now = micros_of(SystemTime::now());
    let clock = VaultClock::read(&session, &catalog, now).await?;
    let run = Run::new(session, catalog, settings.clone(), events.clone(), stop, now);
    let run = Arc::new(run.by(clock, Since::Seen));
    run.expect_files(offers.len() as u64);
    run.prepare_to_send().await?;
    let root: Arc<Path> = root.into();
    let none_changed = HashSet::new();
    run.work(async |lanes| {
        for offers in offers.chunks(LOOKED_AT_ONCE) {
            let identified = run.identified_alone(&root, offers.to_vec()).await;
            if !run.dispatch(lanes, identified, &none_changed).await? {
                break;
            }
        }
        Ok(())
    })
    .await?;
    Ok(run.report(began.elapsed()))
}

impl Run {
    /// What is done with what was offered: of deletions, only the one that it was offered to undo is undone. What is only to be mended goes nowhere
    /// else.
    pub(super) async fn as_offered(
        &self,
        job: &Job,
        decision: ContentDecision,
    ) -> Result<ContentDecision, AssetError> {
        let Some(offered) = job.asset().offered else { return Ok(decision) };
        match decision {
            ContentDecision::Present(_) => return Ok(decision),
            ContentDecision::Link(row) if offered.mends => return Ok(ContentDecision::Present(row.id)),
            _ if offered.mends => return Err(AssetError::Overtaken),
            ContentDecision::Untrash(_) => {}
            _ => return Ok(decision),
        }
        let trash = self.catalog.trashed_with_content(&job.content()).await?;
        let is_it = |row: &TrashRow| !row.purged && offered.restores == Some((row.file, row.version));
        let it = trash.into_iter().find(is_it).ok_or(AssetError::Overtaken)?;
        Ok(ContentDecision::Untrash(Box::new(it)))
    }

    /// What each file is, by itself.
    async fn identified_alone(&self, root: &Arc<Path>, offers: Vec<Offer>) -> Vec<(Arc<Path>, Identified)> {
        let (root, settings, now) = (Arc::clone(root), self.settings.clone(), self.now);
        let identifying = tokio::task::spawn_blocking(move || {
            let around = Surroundings { root: &root, zone: &*settings.zone, now };
            let alone = |offer: Offer| {
                let paths = std::slice::from_ref(&offer.path);
                let mut identified = identify(around, paths, |path| settings.albums.album_of(&root, path));
                let offered =
                    Offered { replaces: offer.replaces, restores: offer.restores, mends: offer.mends };
                for one in &mut identified {
                    if let Identified::Asset(asset) = one {
                        asset.offered = Some(offered);
                    }
                }
                identified
            };
            offers.into_iter().flat_map(alone).map(|one| (Arc::clone(&root), one)).collect()
        });
        identifying.await.expect("identification does not panic")
    }
}
