//! Whether a stored object is still what was uploaded: its bytes are read back and compared, and what comes of it is written down.
//!
//! Receipts and the scrub both ask here. Damage is told once, as an error in the log, and stays known until the object is whole again or
//! purged; nothing is mended and nothing is removed.

use crate::Server;
use crate::objects::{Digest, Found, ObjectError, Progress};
use crate::store::StoreError;
use crate::store::checks::{Check, CheckableObject, Recorded};
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
            tracing::error!(object = %check.key, damage = damage.name(), "a stored object is not what was uploaded");
        }
    }
    Ok(recorded)
}
