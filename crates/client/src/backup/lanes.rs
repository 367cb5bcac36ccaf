//! Three lanes, so that a big file never holds up the small ones, nor a film the photos. In the small one groups go together, as soon as there
//! is room for them.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::group::{grouped, small_bytes};
use super::identify::Asset;
use super::memory::Memory;
use super::run::Run;
use super::upload::WHOLE_OBJECT_MAX;
use crate::library::device::AssetKind;

/// Where assets wait for their turn.
pub(super) struct Lanes {
    pub(super) small: mpsc::Sender<Vec<Asset>>,
    pub(super) large_photos: mpsc::UnboundedSender<Box<Asset>>,
    pub(super) large_videos: mpsc::UnboundedSender<Box<Asset>>,
}

impl Lanes {
    /// Each to its lane.
    pub(super) async fn send_all(&self, assets: Vec<Asset>, memory: &Memory, halt: &CancellationToken) {
        let (large, small): (Vec<_>, Vec<_>) =
            assets.into_iter().partition(|asset| asset.size() > WHOLE_OBJECT_MAX);
        for asset in large {
            let lane = if asset.kind() == AssetKind::Video { &self.large_videos } else { &self.large_photos };
            lane.send(Box::new(asset)).expect("the lane is open until all is sent");
        }
        for group in grouped(small, memory.sealed_together, small_bytes) {
            tokio::select! {
                () = halt.cancelled() => return,
                sent = self.small.send(group) => sent.expect("the lane is open until all is sent"),
            }
        }
    }
}

/// What goes together, and the room that it has.
struct Admitted {
    group: Vec<Asset>,
    places: OwnedSemaphorePermit,
    room: Option<OwnedSemaphorePermit>,
}

/// Each group is a task of its own, so that all processors see to small files.
pub(super) async fn small_lane(run: Arc<Run>, mut waiting: mpsc::Receiver<Vec<Asset>>) {
    let places = Arc::new(Semaphore::new(run.settings.memory.small_in_flight));
    let mut under_way = JoinSet::new();
    while let Some(group) = waiting.recv().await {
        for group in at_once(group, run.gate.memory_is_tight()) {
            if let Some(admitted) = admit(&run, &places, group).await {
                under_way.spawn(see_to(Arc::clone(&run), admitted));
            }
            while let Some(ended) = under_way.try_join_next() {
                ended.expect("seeing to a group does not panic");
            }
        }
    }
    under_way.join_all().await;
}

async fn see_to(run: Arc<Run>, admitted: Admitted) {
    let Admitted { mut group, places, room } = admitted;
    match group.pop() {
        Some(only) if group.is_empty() => run.process(only, room).await,
        last => {
            group.extend(last);
            Box::pin(run.process_group(group, room)).await;
        }
    }
    drop(places);
}

/// What of a group goes together: where memory is tight, each by itself. Pure.
fn at_once<T>(group: Vec<T>, memory_is_tight: bool) -> Vec<Vec<T>> {
    if memory_is_tight { group.into_iter().map(|one| vec![one]).collect() } else { vec![group] }
}

/// The places that a group takes: where memory is tight, all there are, so that nothing goes beside it. Pure.
fn places_of(group: usize, all: usize, memory_is_tight: bool) -> u32 {
    let places = if memory_is_tight { all } else { group.min(all) };
    u32::try_from(places).unwrap_or(u32::MAX)
}

/// A group, as soon as there is room for it.
async fn admit(run: &Run, places: &Arc<Semaphore>, group: Vec<Asset>) -> Option<Admitted> {
    let count = places_of(group.len(), run.settings.memory.small_in_flight, run.gate.memory_is_tight());
    let places = Arc::clone(places).acquire_many_owned(count).await.ok()?;
    let room = run.room_for(&group).await;
    Some(Admitted { group, places, room })
}

pub(super) async fn large_lane(run: Arc<Run>, mut waiting: mpsc::UnboundedReceiver<Box<Asset>>) {
    let assets = futures_util::stream::poll_fn(move |context| waiting.poll_recv(context));
    let most = run.settings.memory.large_in_flight;
    let each = |asset: Box<Asset>| async {
        let room = run.room_for(std::slice::from_ref(&asset)).await;
        run.process(*asset, room).await;
    };
    assets.for_each_concurrent(most, each).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_memory_is_tight_each_goes_by_itself_and_alone() {
        assert_eq!(at_once(vec![1, 2, 3], false), [vec![1, 2, 3]]);
        assert_eq!(at_once(vec![1, 2, 3], true), [vec![1], vec![2], vec![3]]);
        for (group, all, memory_is_tight, expected) in [
            (3, 64, false, 3),
            (64, 64, false, 64),
            (65, 64, false, 64),
            (1, 64, true, 64),
            (3, 64, true, 64),
        ] {
            assert_eq!(places_of(group, all, memory_is_tight), expected, "{group} {memory_is_tight}");
        }
    }
}
