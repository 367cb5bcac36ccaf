//! Packs of which most is waste: what is still needed moves together into a new one.
//!
//! The new pack is durable before a row names it, and the old one goes after no row names it any more; killed in between, one of
//! the two is an orphan, and is swept. A reader that was told of the old place asks again (`routes/downloads.rs`). A pack that has lost
//! objects stands in the database until this is done, also one that loses them while it is done, so that neither a full disk nor a kill leaves what was purged where it is.
//! What is damaged does not move: a copy would be vouched for, or be one of less than is left.

use super::expire::ExpireError;
use crate::objects::{BlobName, ObjectError, Segment, Stretch};
use crate::store::checks::{Check, Place};
use crate::store::packs::ObjectInPack;
use crate::{Server, vouch};
use bytes::Bytes;
use darkslide_protocol::ObjectKey;
use darkslide_protocol::limits::DAY_MICROS;
use futures_util::{StreamExt as _, pin_mut};
use std::error::Error as _;
use uuid::Uuid;

/// A pack is rewritten when less than one byte in so many of it is needed.
const WASTE_FACTOR: u64 = 2;

/// How long a pack that could not be rewritten is left alone: an hour.
const AGAIN_MICROS: i64 = DAY_MICROS / 24;

/// How many packs a round of the jobs looks at.
const ROUND_PACKS: i64 = 64;

/// Looks at packs that lost some of their objects some time ago, and could not be rewritten then: a round of them.
pub async fn compact_due(server: &Server, now: i64) -> Result<usize, ExpireError> {
    let packs = server.store.packs_to_compact(now, ROUND_PACKS).await?;
    compact(server, &packs, now).await
}

/// Looks at packs that have lost some of their objects. Returns how many were rewritten. One that cannot be, for what is wrong with
/// it or because the disk has no room for another, stays as it is, keeps nobody waiting, and is tried again an hour after `now` (µs since
/// the epoch). When there is no room the others wait for another round, and so do all of them while somebody else is at it: two would
/// write the same pack anew, the disk would hold it thrice for a moment, and whoever purges would wait for the packs of others.
pub async fn compact(server: &Server, packs: &[BlobName], now: i64) -> Result<usize, ExpireError> {
    let mut rewritten = 0;
    let Ok(_turn) = server.compacting.try_lock() else { return Ok(0) };
    for pack in packs {
        let noting = server.store.noting_of(pack).await?;
        match compact_one(server, pack).await {
            Err(ExpireError::Objects(error)) if !matches!(error, ObjectError::Stopping) => {
                tracing::error!(pack = pack.as_str(), error = %error, cause = ?error.source(), "a pack cannot be compacted");
                server.store.put_off(pack, now.saturating_add(AGAIN_MICROS)).await?;
                if error.is_disk_full() {
                    break;
                }
            }
            outcome => {
                rewritten += usize::from(outcome?);
                if let Some(noting) = noting {
                    server.store.was_looked_at(pack, &noting).await?;
                }
            }
        }
    }
    Ok(rewritten)
}

/// Whether the pack was rewritten. One that nothing names any more goes: rows name a pack when it is new, and never again once they do not.
async fn compact_one(server: &Server, pack: &BlobName) -> Result<bool, ExpireError> {
    let needed = server.store.objects_in(pack).await?;
    if needed.is_empty() {
        server.objects.remove(server.store.unnamed_blobs(std::slice::from_ref(pack)).await?).await?;
        return Ok(false);
    }
    let bytes = needed.iter().fold(0_u64, |sum, object| sum.saturating_add(object.length));
    let Some(length) = server.objects.length_of(pack).await? else { return Ok(false) };
    if bytes.saturating_mul(WASTE_FACTOR) >= length {
        return Ok(false);
    }
    match move_together(server, pack, &needed).await {
        Ok(false) => {}
        Err(ExpireError::Objects(error))
            if !matches!(error, ObjectError::Stopping) && !error.is_disk_full() => {}
        moved => return moved,
    }
    // What is damaged keeps nothing else from moving.
    let whole = whole_among(server, pack, needed).await?;
    if whole.is_empty() { Ok(false) } else { move_together(server, pack, &whole).await }
}

/// Writes objects of a pack into a new one, where they lie from then on. False, and nothing has happened, when one of them is not what it was.
async fn move_together(
    server: &Server,
    pack: &BlobName,
    objects: &[ObjectInPack],
) -> Result<bool, ExpireError> {
    let mut writer = server.objects.pack();
    for object in objects {
        // The id is not stored: only the place in the new pack counts.
        writer.begin(Uuid::nil());
        let segment = Segment { name: pack.clone(), offset: object.offset, length: object.length };
        let stream = server.objects.read(&[segment], 0..object.length).await?;
        pin_mut!(stream);
        while let Some(bytes) = stream.next().await {
            let bytes: Bytes = bytes?;
            writer.write(bytes).await?;
        }
        writer.end();
    }
    let mut written = writer.finish().await?;
    let places = std::mem::take(&mut written.objects);
    if objects.iter().zip(&places).any(|(object, place)| object.digest != place.digest) {
        return Ok(false);
    }
    let name = BlobName::generate(Uuid::new_v4(), 0);
    server.objects.place_pack(written, &name).await?;
    server.store.move_objects(pack, &name, objects, &places).await?;
    // Rows that were made or changed meanwhile still name it, as those of what is damaged do: then it stays.
    let unnamed = server.store.unnamed_blobs(&[pack.clone(), name]).await?;
    server.objects.remove(unnamed).await?;
    Ok(true)
}

/// Those of a pack's objects that are what they were. The others stay where they are, for what is left of them is all that there is; what is
/// wrong with them is written down.
async fn whole_among(
    server: &Server,
    pack: &BlobName,
    objects: Vec<ObjectInPack>,
) -> Result<Vec<ObjectInPack>, ExpireError> {
    let (mut whole, mut damaged) = (Vec::with_capacity(objects.len()), Vec::new());
    for object in objects {
        let ObjectInPack { offset, length, digest, .. } = object;
        let stretch = Stretch { name: pack.clone(), offset, length, digest, is_alone: false };
        match server.objects.read_back_whole(vec![stretch]).await?.outcome {
            Ok(_) => whole.push(object),
            Err(damage) => damaged.push(Check {
                key: ObjectKey(object.key),
                place: Place {
                    blob: pack.as_str().to_owned(),
                    offset: i64::try_from(offset).unwrap_or(i64::MAX),
                },
                outcome: Err(damage),
                at: server.store.now(),
            }),
        }
    }
    vouch::record(server, &damaged).await?;
    Ok(whole)
}
