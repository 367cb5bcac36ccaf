//! In which order work is done: what is new first, nothing last for ever.

use std::cmp::Reverse;

use super::conditions::Grant;
use super::{Work, World};
use crate::library::device::{AssetKind, DeviceAsset};

/// Every so many steps one goes to what has waited longest, so that no stream of newer pictures keeps it back.
pub(super) const AGING: usize = 4;

/// A grant with less time left is short, µs: small before large then, so that most is safe by its end.
const SHORT: i64 = 120_000_000;

/// Pictures taken since the last completed run come first, newest first; then the backlog, newest first as well.
pub(super) fn arrange(work: &mut Vec<(DeviceAsset, Work)>, world: &World) {
    let is_short = matches!(world.conditions.grant, Grant::Until(until) if until - world.now < SHORT);
    work.sort_by_cached_key(|(asset, _)| {
        let is_backlog = asset.taken <= world.last_completed;
        let is_late_video = world.photos_go_first() && asset.kind == AssetKind::Video;
        let size = if is_short && is_backlog { asset.fingerprint.size } else { 0 };
        (is_late_video, is_backlog, size, Reverse(asset.taken), asset.id.clone())
    });
    let waiting_since = |asset: &DeviceAsset| {
        let seen = world.known.get(&asset.id).map(|known| known.first_seen);
        seen.unwrap_or(i64::MAX).min(asset.taken)
    };
    let mut oldest: Vec<usize> = (0..work.len()).collect();
    oldest.sort_by_key(|at| work.get(*at).map(|(asset, _)| waiting_since(asset)));
    interleave(work, oldest);
}

/// Takes every [`AGING`]th step from `oldest`, the others in their own order.
fn interleave(work: &mut Vec<(DeviceAsset, Work)>, oldest: Vec<usize>) {
    let mut waiting: Vec<Option<(DeviceAsset, Work)>> = std::mem::take(work).into_iter().map(Some).collect();
    let (mut newest, mut oldest) = (0..waiting.len(), oldest.into_iter());
    for turn in 1..=waiting.len() {
        let mut take = |at: usize| waiting.get_mut(at)?.take();
        let taken = if turn % AGING == 0 { oldest.find_map(&mut take) } else { newest.find_map(&mut take) };
        work.extend(taken);
    }
}
