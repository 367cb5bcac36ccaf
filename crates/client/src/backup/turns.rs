//! A library's pictures in their turns: begun in the order of the plan, photos and videos side by side, and counted as they end, so that the
//! next run goes on where this one was cut off.

use tokio::sync::{mpsc, watch};

use super::device::Hands;
use super::error::{AssetError, BackupError};
use super::lanes::Lanes;
use super::rules::{Work, World};
use super::run::Run;
use crate::catalog::CatalogError;
use crate::library::device::{AssetKind, DeviceAsset};
use crate::library::{LibraryError, path_of};

/// One asset of the plan.
type Planned = (DeviceAsset, Work);

impl Run {
    /// One of a library's pictures had its turn, however it ended.
    pub(super) async fn count_turn(&self) -> Result<(), CatalogError> {
        match &self.library {
            Some(library) => self.catalog.count_turn(library.id()).await,
            None => Ok(()),
        }
    }
}

impl Hands<'_> {
    /// Each kind in the order of the plan: fetching a long video keeps no photo waiting. Where photos go first, a video begins when those
    /// have that stand before it, and one that stands behind all of them when they are where they belong.
    pub(super) async fn feed(
        self,
        lanes: &Lanes,
        work: Vec<Planned>,
        world: &World,
    ) -> Result<(), BackupError> {
        let (mut photos, mut videos) = (Vec::new(), Vec::new());
        for planned in work {
            if planned.0.kind == AssetKind::Video {
                videos.push((photos.len(), planned));
            } else {
                photos.push(planned);
            }
        }
        let count = photos.len();
        let (begun, mut told_begun) = watch::channel(0);
        // Held for as long as a photo is worked on.
        let (busy, mut all_done) = mpsc::channel(1);
        let in_turn = async {
            let (begun, busy) = (begun, busy);
            for (number, planned) in (1..).zip(photos) {
                self.take_up(lanes, planned, world, &busy).await?;
                begun.send_replace(number);
            }
            Ok(())
        };
        let beside = async {
            let (busy, _) = mpsc::channel(1);
            for (photos_before, planned) in videos {
                if world.photos_go_first() {
                    // When there are no more photos, nobody tells any more.
                    let _ = told_begun.wait_for(|begun| *begun >= photos_before).await;
                    if photos_before == count {
                        all_done.recv().await;
                    }
                }
                self.take_up(lanes, planned, world, &busy).await?;
            }
            Ok(())
        };
        tokio::try_join!(in_turn, beside).map(drop)
    }

    /// Begins one, and deals with what could not be begun.
    async fn take_up(
        self,
        lanes: &Lanes,
        (asset, work): Planned,
        world: &World,
        busy: &mpsc::Sender<()>,
    ) -> Result<(), BackupError> {
        let run = self.run;
        if run.is_halted() {
            return Ok(());
        }
        // What is in the vault stays known as that, whatever else could not be done with it.
        let is_in_vault = matches!(work, Work::Place(..));
        match self.begin(lanes, &asset, work, world, busy).await {
            Ok(true) => run.count_turn().await?,
            // It is counted when it ends; of what is gone the next look at the library tells more.
            Ok(false) | Err(AssetError::Library(LibraryError::Gone)) => {}
            Err(AssetError::Held(wait)) => run.hold_id(path_of(&asset.id.0), wait),
            Err(error) if error.ends_the_run() => run.fail_with(error),
            Err(error) => {
                run.weigh(&error).await;
                run.block(self.library.id(), &asset, &error, is_in_vault).await?;
                run.count_turn().await?;
            }
        }
        Ok(())
    }
}
