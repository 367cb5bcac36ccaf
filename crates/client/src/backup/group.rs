//! Small assets go together: a group is hashed in one go, what is new of it is sealed in one go and handed in, and each asset is then
//! seen through by itself. What is not new, or may be an edit, is dealt with one by one from its hash on.
//!
//! A group saves what waking threads, taking turns and handing over cost for each file; it waits for nobody.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;

use super::batch::OnItsWay;
use super::claims::Claim;
use super::error::AssetError;
use super::hash::{Hashed, hash_kept, is_kept};
use super::identify::Asset;
use super::memory::room_of;
use super::packing::pack_together;
use super::run::Run;
use super::settle::Job;
use crate::event::Event;
use crate::together::Most;

/// Larger files are worth a thread's while by themselves.
const SMALL_BYTES_MAX: u64 = 256 << 10;

/// Bytes of an asset that goes together with others; none of one that goes alone.
pub(super) fn small_bytes(asset: &Asset) -> Option<u64> {
    (is_kept(asset) && asset.size() <= SMALL_BYTES_MAX).then(|| asset.size())
}

/// What comes, in its order, in groups that go together: what is small as far as the bounds allow, everything else alone. Pure.
pub(super) fn grouped<T>(all: Vec<T>, most: Most, small_bytes: impl Fn(&T) -> Option<u64>) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    // Bytes of the last group, if more may come to it.
    let mut open = None;
    for one in all {
        let small = small_bytes(&one);
        let together = open.zip(small).map(|(bytes, more): (u64, u64)| bytes.saturating_add(more));
        match groups.last_mut() {
            Some(group) if group.len() < most.count && together.is_some_and(|bytes| bytes <= most.bytes) => {
                group.push(one);
                open = together;
            }
            _ => {
                groups.push(vec![one]);
                open = small;
            }
        }
    }
    groups
}

impl Run {
    /// Room in memory for some assets.
    pub(super) async fn room_for(&self, group: &[Asset]) -> Option<OwnedSemaphorePermit> {
        let room = group.iter().map(room_of).fold(0, u32::saturating_add);
        let room = room.min(self.settings.memory.room_units);
        Arc::clone(&self.room_in_memory).acquire_many_owned(room).await.ok()
    }

    /// Takes a group all the way, and with it what turns out to have the same content.
    pub(super) async fn process_group(&self, group: Vec<Asset>, mut room: Option<OwnedSemaphorePermit>) {
        if self.halt.is_cancelled() {
            return;
        }
        let mut worth_reading = Vec::with_capacity(group.len());
        for asset in group {
            worth_reading.extend(self.worth_reading(asset).await);
        }
        let group = worth_reading;
        for asset in &group {
            self.events.send(Event::Started { name: asset.name(), bytes: asset.size() }).await;
        }
        let mut hashed = self.hashed_group(group).await;
        for (asset, _, share) in &mut hashed {
            *share = room.as_mut().and_then(|room| room.split(usize::try_from(room_of(asset)).unwrap_or(0)));
        }
        let (fresh, others): (Vec<_>, Vec<_>) =
            self.claimed(hashed).await.into_iter().partition(Job::is_surely_new);
        drop(room);
        let others = join_all(others.into_iter().map(|job| self.see_through(job, None)));
        tokio::join!(self.send_group(fresh), others);
    }

    /// Each with its hash, and with no room yet.
    async fn hashed_group(&self, mut group: Vec<Asset>) -> Vec<Claim> {
        let _turn = self.hashing_small_turn.acquire().await.expect("the semaphore is never closed");
        let buffers = self.buffers.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = hash_kept(&mut group, &buffers);
            let claim =
                |(asset, hashed): (Asset, Result<Hashed, _>)| (asset, hashed.map_err(AssetError::from), None);
            group.into_iter().zip(hashed).map(claim).collect()
        });
        hashing.await.expect("hashing does not panic")
    }

    /// Sends what is surely new.
    async fn send_group(&self, group: Vec<Job>) {
        let (mut jobs, mut packings) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for mut job in group {
            match self.packing_of(&mut job).await {
                Ok(packing) => {
                    jobs.push((job, packing.thumbnail_is_due));
                    packings.push(packing);
                }
                Err(error) => self.see_through(job, Some(Err(error))).await,
            }
        }
        if packings.is_empty() {
            return;
        }
        let sealing = {
            let _turn = self.sealing_turns.acquire().await.expect("the semaphore is never closed");
            let buffers = self.buffers.clone();
            tokio::task::spawn_blocking(move || pack_together(packings, &buffers)).await
        };
        let counter = self.counter();
        let mut on_their_way = Vec::with_capacity(jobs.len());
        for parcel in sealing.expect("sealing does not panic") {
            on_their_way.push(counter.hand_in(parcel).await);
        }
        for ((job, thumbnail_is_due), handed_in) in jobs.into_iter().zip(on_their_way) {
            let delivered = match handed_in {
                Ok(on_its_way) => OnItsWay::wait(on_its_way).await,
                Err(error) => Err(error),
            };
            self.account_for(&job, &delivered, thumbnail_is_due);
            // What alone was too much for one request goes once more, in pieces.
            let is_anew = delivered.as_ref().is_err_and(AssetError::is_too_large_a_request);
            self.see_through(job, (!is_anew).then_some(delivered)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Nothing is lost or overtakes, no group has more than it may, what is not small is alone, and no two groups could be one.
        #[test]
        fn groups_are_as_large_as_they_may_be(
            all in prop::collection::vec(prop::option::weighted(0.8, 0_u64..40), 0..60),
            count in 1_usize..8,
            bytes in 1_u64..100,
        ) {
            let most = Most { count, bytes };
            let groups = grouped(all.clone(), most, |small| *small);
            prop_assert_eq!(groups.concat(), all);
            let sum = |group: &[Option<u64>]| group.iter().flatten().sum::<u64>();
            for group in &groups {
                prop_assert!(group.len() == 1 || group.iter().all(Option::is_some));
                prop_assert!(group.len() == 1 || (group.len() <= count && sum(group) <= bytes));
            }
            for (group, next) in groups.iter().zip(groups.iter().skip(1)) {
                let fits = group.len() < count && sum(group) + next[0].unwrap_or(0) <= bytes;
                prop_assert!(group[0].is_none() || next[0].is_none() || !fits);
            }
        }
    }
}
