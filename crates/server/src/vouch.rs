//! Whether a stored object is still what was uploaded: its bytes are read back and compared, and what comes of it is written down.
//!
//! Receipts, restorations of earlier versions and the scrub ask here. Damage is told once, as an error in the log, and stays known until the object is whole again or
//! purged; nothing is mended and nothing is removed.

use crate::Server;
use crate::objects::{Digest, Found, ObjectError, Progress};
use crate::store::StoreError;
use crate::store::checks::{Check, CheckableObject, Recorded};
use darkslide_protocol::ObjectKey;
use darkslide_protocol::limits::RECEIPT_BYTES;
use darkslide_protocol::receipt::Damage;

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum VouchError {
    /// The database failed.
    #[error("what was stored could not be looked up")]
    Store(#[from] StoreError),
    /// The disk failed in a way that says nothing of the bytes.
    #[error("what was stored could not be read back")]
    Objects(#[from] ObjectError),
}

/// Reads an object back; `pause` is awaited after each step, with the bytes that it read.
pub async fn read_back<P: Future<Output = ()>>(
    server: &Server,
    object: &CheckableObject,
    mut pause: impl FnMut(u64) -> P,
) -> Result<Found, ObjectError> {
    let stretches = match &object.stretches {
        Ok(stretches) => stretches.clone(),
        Err(damage) => return Ok(Found { outcome: Err(*damage), read: 0 }),
    };
    let mut reading = server.objects.read_back(stretches);
    loop {
        let before = reading.read();
        match reading.step().await? {
            Progress::Further(rest) => {
                pause(rest.read() - before).await;
                reading = rest;
            }
            Progress::Over(found) => {
                pause(found.read - before).await;
                return Ok(Found { outcome: compared(object, found.outcome), ..found });
            }
        }
    }
}

/// The first damage among these objects, for a request that waits: each is read back, but of one above [`RECEIPT_BYTES`] the disk is
/// only asked how long it is. What is found is written down. An object that is not kept is missing.
pub async fn damage_among(server: &Server, keys: &[ObjectKey]) -> Result<Option<Damage>, VouchError> {
    let mut checks = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(object) = server.store.checkable_object(key).await? else {
            return Ok(Some(Damage::Missing));
        };
        let _turn = server.objects.reading_turn().await?;
        let outcome = if object.length > RECEIPT_BYTES {
            let Err(damage) = lengths(server, &object).await? else { continue };
            Err(damage)
        } else {
            read_back(server, &object, |_| std::future::ready(())).await?.outcome
        };
        checks.push(Check { key: object.key, place: object.place, outcome, at: server.store.now() });
    }
    record(server, &checks).await?;
    Ok(checks.iter().find_map(|check| check.outcome.err()))
}

/// Whether the files that an object lies in are there and as long as they must be.
async fn lengths(server: &Server, object: &CheckableObject) -> Result<Result<(), Damage>, ObjectError> {
    let stretches = match &object.stretches {
        Ok(stretches) => stretches,
        Err(damage) => return Ok(Err(*damage)),
    };
    for stretch in stretches {
        let end = stretch.offset.saturating_add(stretch.length);
        match server.objects.length_of(&stretch.name).await? {
            None => return Ok(Err(Damage::Missing)),
            Some(length) if length < end => return Ok(Err(Damage::Shorter)),
            Some(length) if length > end && stretch.is_alone => return Ok(Err(Damage::Longer)),
            Some(_) => {}
        }
    }
    Ok(Ok(()))
}

/// The digest of an object in parts was taken when it was first read back: from then on its parts must also be in their places.
fn compared(object: &CheckableObject, outcome: Result<Digest, Damage>) -> Result<Digest, Damage> {
    match (outcome, object.digest) {
        (Ok(Digest::Blake3(found)), Some(Digest::Blake3(stored))) if found != stored => Err(Damage::Altered),
        (outcome, _) => outcome,
    }
}

/// Writes checks down; new damage is an error in the log.
pub async fn record(server: &Server, checks: &[Check]) -> Result<Vec<Recorded>, StoreError> {
    let recorded = server.store.record_checks(checks).await?;
    for (check, recorded) in checks.iter().zip(&recorded) {
        if let (Err(damage), Recorded::NewDamage) = (check.outcome, recorded) {
            let (object, blob) = (&check.key, &check.place.blob);
            tracing::error!(%object, %blob, damage = damage.name(), "a stored object is not what was uploaded");
        }
    }
    Ok(recorded)
}
