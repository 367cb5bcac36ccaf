//! Whether the server still has what was uploaded, by its own word: it reads the bytes back and compares them, and nothing is downloaded.
//!
//! A receipt tells damage and loss on the server's disk in the time that the disk takes. It is no proof against a server that lies, nor that
//! the bytes open: that is [`verify`](crate::verify)'s.

use crate::catalog::{Catalog, GivenReceipt, LookedAt, Part, SAID_BY_THE_SERVER};
use crate::error::VaultError;
use crate::event::{Event, Events, Outcome};
use crate::session::Session;
use crate::verify::{Subject, VerifyFailure, VerifyScope, subjects};
use darkslide_media::probe::micros_of;
use darkslide_protocol::FileId;
use darkslide_protocol::limits::RECEIPT_BYTES;
use darkslide_protocol::receipt::{ObjectKind, ObjectReceipt, Receipt, ReceiptRequest, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// The most files of one call: few enough for progress to be seen.
const FILES_AT_ONCE: usize = 200;

/// Calls in a row that settle nothing after which the rest is given up.
const FRUITLESS_MAX: usize = 3;

/// What the server said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptSummary {
    /// Which proof this is: `serverReceipt`.
    pub proof: &'static str,
    /// Files whose bytes the server has just read back, and that are what was uploaded.
    pub vouched_for: u64,
    /// Bytes of their ciphertext, thumbnails included.
    pub bytes: u64,
    /// Files that are damaged or gone, or of which the server said nothing.
    pub failed: Vec<VerifyFailure>,
}

/// Asks the server for receipts. The catalog says which files there are: pull the feed first. `None` when the server gives none.
pub async fn ask_for_receipts(
    session: &Session,
    catalog: &Catalog,
    scope: VerifyScope,
    events: &Events,
) -> Result<Option<ReceiptSummary>, VaultError> {
    let subjects = subjects(session, catalog, scope).await?;
    Ok(receipts_of(session, catalog, subjects, events).await?.map(|(summary, _)| summary))
}

/// The same for these files; also tells which of them the server vouches for, and nothing is known against. What it says is kept for explanations,
/// and what of it is damaged until that is mended.
pub(crate) async fn receipts_of(
    session: &Session,
    catalog: &Catalog,
    subjects: Vec<Subject>,
    events: &Events,
) -> Result<Option<(ReceiptSummary, BTreeSet<FileId>)>, VaultError> {
    let mut left: BTreeMap<FileId, Subject> = subjects
        .into_iter()
        // The server speaks of the caller's own files only.
        .filter(|subject| subject.row.owner == session.account)
        .map(|subject| (subject.row.id, subject))
        .collect();
    let bytes = left.values().map(sealed_bytes).sum();
    events.send(Event::Planned { assets: left.len() as u64, bytes }).await;
    let mut vouched: BTreeSet<FileId> = left.keys().copied().collect();
    let mut summary = ReceiptSummary { proof: "serverReceipt", ..ReceiptSummary::default() };
    let mut fruitless = 0;
    while !left.is_empty() && fruitless < FRUITLESS_MAX {
        let request = ReceiptRequest { file_ids: next_files(&left), earlier: Vec::new() };
        let answer = match session.api.receipts(&request).await {
            Err(failure) if failure.is_missing() => return Ok(None),
            answer => answer?,
        };
        let before = left.len();
        let (mut given, mut looked) = (Vec::with_capacity(answer.receipts.len()), Vec::new());
        for receipt in answer.receipts {
            let Some(subject) = settle(&mut left, &receipt, &mut summary, events).await else { continue };
            given.push(given_receipt(&subject, &receipt));
            looked.extend(looked_at(&subject, &receipt));
        }
        catalog.record_receipts(&given).await?;
        catalog.record_said_by_server(&looked, micros_of(SystemTime::now())).await?;
        fruitless = if left.len() < before { 0 } else { fruitless + 1 };
    }
    for subject in left.into_values() {
        summary.failed.push(failure(&subject, "server", "the server did not say anything of it", false));
    }
    for failed in &summary.failed {
        vouched.remove(&failed.file);
    }
    // However whole the server says that it is: what was downloaded was not what had been backed up.
    for known in catalog.damaged_files().await?.iter().filter(|known| known.part == Part::Original) {
        vouched.remove(&known.file);
    }
    Ok(Some((summary, vouched)))
}

/// The first files that are left, no more than one call reads.
fn next_files(left: &BTreeMap<FileId, Subject>) -> Vec<FileId> {
    let mut bytes = 0;
    let fits = |(_, subject): &(&FileId, &Subject)| {
        let is_first = bytes == 0;
        bytes += sealed_bytes(subject).max(1);
        is_first || bytes <= RECEIPT_BYTES
    };
    left.iter().take(FILES_AT_ONCE).take_while(fits).map(|(id, _)| *id).collect()
}

fn sealed_bytes(subject: &Subject) -> u64 {
    u64::try_from(subject.row.object_size.saturating_add(subject.row.thumbnail_size)).unwrap_or(0)
}

/// Takes a file off the list, and gives it back, when the server has said what it is.
async fn settle(
    left: &mut BTreeMap<FileId, Subject>,
    receipt: &Receipt,
    summary: &mut ReceiptSummary,
    events: &Events,
) -> Option<Subject> {
    if receipt.verdict == Verdict::NotChecked {
        return None;
    }
    let subject = left.remove(&receipt.file_id)?;
    let (name, bytes) = (subject.name(), sealed_bytes(&subject));
    events.send(Event::Started { name: name.clone(), bytes }).await;
    events.send(Event::Moved { name: name.clone(), bytes }).await;
    let outcome = match found(&subject, receipt) {
        Ok(()) => {
            summary.vouched_for += 1;
            summary.bytes += bytes;
            Outcome::Verified
        }
        Err((problem, reason, damaged)) => {
            summary.failed.push(failure(&subject, problem, &reason, damaged));
            Outcome::Failed(reason)
        }
    };
    events.send(Event::Finished { name, outcome }).await;
    Some(subject)
}

fn given_receipt(subject: &Subject, receipt: &Receipt) -> GivenReceipt {
    let verified_at = receipt.objects.iter().filter_map(|object| object.verified_at).min();
    GivenReceipt {
        file: subject.row.id,
        object_header: subject.row.object_header.clone(),
        verified_at: verified_at.filter(|_| found(subject, receipt).is_ok()),
    }
}

/// What the server says of the bytes, where it has looked at them: none where it does not know the file, or gave it up.
fn looked_at(subject: &Subject, receipt: &Receipt) -> Option<LookedAt> {
    let is_damaged =
        |kind| receipt.objects.iter().any(|object| object.kind == kind && object.damage.is_some());
    let part = match receipt.verdict {
        Verdict::Verified if is_complete(subject, receipt) => None,
        Verdict::Damaged if is_damaged(ObjectKind::Original) => Some(Part::Original),
        Verdict::Damaged if is_damaged(ObjectKind::Thumbnail) => Some(Part::Thumbnail),
        _ => return None,
    };
    Some(subject.looked_at(part.map(|part| (part, SAID_BY_THE_SERVER))))
}

/// What a receipt says: nothing against the file, or the problem, the same for people, and whether the server's copy is at fault.
fn found(subject: &Subject, receipt: &Receipt) -> Result<(), (&'static str, String, bool)> {
    match receipt.verdict {
        Verdict::Verified if is_complete(subject, receipt) => Ok(()),
        Verdict::Verified => {
            Err(("truncated", "the server vouches for other sizes than it lists".to_owned(), true))
        }
        Verdict::Damaged => Err(("damaged", damage(&receipt.objects), true)),
        Verdict::Purged => Err(("missing", "it was purged from the vault".to_owned(), false)),
        Verdict::Unknown => Err(("missing", "the server does not know it".to_owned(), true)),
        Verdict::NotChecked | Verdict::Other => {
            Err(("server", "the server's answer is not understood".to_owned(), false))
        }
    }
}

/// Whether both objects were read whole, each as long as the file's entry says.
fn is_complete(subject: &Subject, receipt: &Receipt) -> bool {
    let is_whole = |kind: ObjectKind, size: i64| {
        receipt.objects.iter().any(|object| {
            object.kind == kind
                && object.size == size
                && object.damage.is_none()
                && object.verified_at.is_some()
                && object.digest.is_some()
        })
    };
    is_whole(ObjectKind::Original, subject.row.object_size)
        && is_whole(ObjectKind::Thumbnail, subject.row.thumbnail_size)
}

fn damage(objects: &[ObjectReceipt]) -> String {
    let said = objects.iter().filter_map(|object| {
        let which = match object.kind {
            ObjectKind::Original => "original",
            ObjectKind::Thumbnail => "thumbnail",
        };
        object.damage.map(|damage| format!("the {which} is {} on the server", damage.name()))
    });
    said.collect::<Vec<_>>().join(", ")
}

fn failure(subject: &Subject, problem: &'static str, reason: &str, damaged: bool) -> VerifyFailure {
    VerifyFailure {
        file: subject.row.id,
        name: subject.row.title.clone(),
        album: subject.album.clone(),
        problem,
        reason: reason.to_owned(),
        damaged,
    }
}
