//! In which order work is done: what is new first, nothing last for ever.

use std::cmp::Reverse;

use super::conditions::Grant;
use super::{Work, World};
use crate::catalog::AssetState;
use crate::library::device::{AssetKind, DeviceAsset};

/// Every so many turns one goes to what has waited longest, so that no stream of newer pictures keeps it back. Turns are counted from run to
/// run: no run need be long enough for so many.
pub(super) const AGING: u64 = 4;

/// How long a video waits behind the photos, where these go first, before it has its turns among them, µs: a day.
pub(super) const BEHIND_PHOTOS: i64 = 86_400_000_000;

/// A grant with less time left is short, µs: small before large then, so that most is safe by its end.
const SHORT: i64 = 120_000_000;

/// Pictures taken since the last completed run come first, newest first; then the backlog, newest first as well.
pub(super) fn arrange(work: &mut Vec<(DeviceAsset, Work)>, world: &World) {
    let is_short = matches!(world.conditions.grant, Grant::Until(until) if until - world.now < SHORT);
    work.sort_by_cached_key(|(asset, _)| {
        let is_backlog = asset.taken <= world.last_completed;
        let size = if is_short && is_backlog { asset.fingerprint.size } else { 0 };
        (is_late_video(asset, world), is_backlog, size, Reverse(asset.taken), asset.id.clone())
    });
    let mut oldest: Vec<(i64, i64, usize)> = Vec::with_capacity(work.len());
    for (at, (asset, _)) in work.iter().enumerate() {
        let is_kept_behind = is_late_video(asset, world)
            && world.now.saturating_sub(stands_behind_since(asset, world)) < BEHIND_PHOTOS;
        oldest.extend((!is_kept_behind).then_some((waits_since(asset, world), asset.taken, at)));
    }
    oldest.sort_unstable();
    interleave(work, oldest.into_iter().map(|(_, _, at)| at), world.turns);
}

fn is_late_video(asset: &DeviceAsset, world: &World) -> bool {
    world.photos_go_first() && asset.kind == AssetKind::Video
}

/// Since when it waits for its turn: since the library first told of it as something that had none, whenever it was taken, and however often it was
/// edited after that; of what had a turn as it is, since that. By the time that it was taken, scans of old pictures that keep coming would always be
/// those that have waited longest; by the time of its last edit, what is edited before each run would never be.
fn waits_since(asset: &DeviceAsset, world: &World) -> i64 {
    let known = world.known.get(&asset.id);
    let had_a_turn =
        known.filter(|known| known.fingerprint == asset.fingerprint).map(|known| known.last_seen);
    let told = || world.waiting.get(&asset.id).copied();
    had_a_turn.or_else(told).or_else(|| Some(known?.last_seen)).unwrap_or(asset.taken)
}

/// Since when a video stands behind the photos. What was tried in vain had its turn then.
fn stands_behind_since(asset: &DeviceAsset, world: &World) -> i64 {
    match world.known.get(&asset.id) {
        Some(known) if matches!(known.state, AssetState::Blocked | AssetState::NoRoom) => known.last_seen,
        Some(known) => known.first_seen.min(asset.taken),
        None => asset.taken,
    }
}

/// Gives every [`AGING`]th turn, counted on from those that were, to the next of `oldest`, the others in their own order.
fn interleave(work: &mut Vec<(DeviceAsset, Work)>, mut oldest: impl Iterator<Item = usize>, turns: u64) {
    let mut waiting: Vec<Option<(DeviceAsset, Work)>> = std::mem::take(work).into_iter().map(Some).collect();
    let mut newest = 0..waiting.len();
    for turn in (turns.wrapping_add(1)..).take(waiting.len()) {
        let mut take = |at: usize| waiting.get_mut(at)?.take();
        let aged = if turn % AGING == 0 { oldest.find_map(&mut take) } else { None };
        work.extend(aged.or_else(|| newest.find_map(&mut take)));
    }
}
