//! `POST /v1/receipts`: the server reads stored bytes back and says whether they are what was uploaded.
//!
//! What is damaged or missing is never vouched for, and neither is what was not read in this very call.

use super::super::request::{Body, StorageCaller};
use crate::error::{ApiError, ApiResult};
use crate::objects::Digest;
use crate::store::checks::{Check, FileObjects, Recorded};
use crate::vouch::{self, VouchError};
use crate::{Server, Shared};
use axum::Json;
use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkslide_protocol::limits::{BATCH_ITEMS_MAX, RECEIPT_BYTES};
use darkslide_protocol::receipt::{
    Damage, ObjectKind, ObjectReceipt, Receipt, ReceiptRequest, Receipts, Verdict,
};
use darkslide_protocol::{FileId, ObjectKey, Problem};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long one call goes on to further files: below what proxies wait for.
const CALL_AT_MOST: Duration = Duration::from_secs(20);

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(give))
}

/// Reads the stored bytes of files back from the disk and says whether they are what was uploaded.
///
/// At most 1000 ids. Files are read in the order of their ids in the request until 512 MiB or 20 seconds are used up, and at least
/// one; the others are `notChecked` and `more` is true. Files in the trash are read too.
#[utoipa::path(
    post, path = "/v1/receipts", request_body = ReceiptRequest, security(("session" = [])),
    responses(
        (status = 200, body = Receipts),
        (status = 400, body = Problem, description = "No list of ids, or an id twice"),
        (status = 413, body = Problem, description = "More than 1000 ids"),
        (status = 503, body = Problem, description = "The disk or the database is away")
    )
)]
async fn give(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<ReceiptRequest>,
) -> ApiResult<Json<Receipts>> {
    let files = request.file_ids;
    if files.len() > BATCH_ITEMS_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    if files.iter().collect::<BTreeSet<_>>().len() != files.len() {
        return Err(ApiError::BAD_REQUEST);
    }
    let known = server.store.objects_of_files(caller.account, &files).await?;
    let mut call = Call::begin();
    let mut read = Vec::with_capacity(files.len());
    for file in files {
        let looked = match known.get(&file) {
            None => Looked::Plainly(Verdict::Unknown),
            Some(objects) if objects.is_purged => Looked::Plainly(Verdict::Purged),
            Some(objects) if !call.has_room_for(objects) => Looked::Plainly(Verdict::NotChecked),
            Some(objects) => Looked::At(call.look(&server, file, objects).await?),
        };
        read.push((file, looked));
    }
    let recorded = vouch::record(&server, &call.checks).await?;
    let now = server.store.objects_of_files(caller.account, &call.files).await?;
    let receipts: Vec<Receipt> = read
        .into_iter()
        // What was changed or given up while it was read is something else now: to be asked again.
        .map(|(file, looked)| match looked {
            Looked::At(_) if now.get(&file) != known.get(&file) => {
                (file, Looked::Plainly(Verdict::NotChecked))
            }
            looked => (file, looked),
        })
        .map(|(file, looked)| receipt(file, looked, &call.checks, &recorded))
        .collect();
    let more = receipts.iter().any(|receipt| receipt.verdict == Verdict::NotChecked);
    Ok(Json(Receipts { receipts, more }))
}

/// What one call has done so far.
struct Call {
    began: Instant,
    read: u64,
    /// Whose objects were looked at.
    files: Vec<FileId>,
    checks: Vec<Check>,
}

/// How one file was looked at.
enum Looked {
    /// There was nothing to read.
    Plainly(Verdict),
    /// Both objects were looked for.
    At([LookedAt; 2]),
}

/// An object that was looked for.
struct LookedAt {
    kind: ObjectKind,
    size: i64,
    /// The number of its check in the call; `None` for one that is not kept.
    check: Option<usize>,
}

impl Call {
    fn begin() -> Self {
        Self { began: Instant::now(), read: 0, files: Vec::new(), checks: Vec::new() }
    }

    /// Whether a file is still begun. The first always is, whatever its size.
    fn has_room_for(&self, objects: &FileObjects) -> bool {
        let size = u64::try_from(objects.original_size + objects.thumbnail_size).unwrap_or(0);
        let fits = self.read.saturating_add(size) <= RECEIPT_BYTES && self.began.elapsed() < CALL_AT_MOST;
        fits || self.checks.is_empty()
    }

    async fn look(
        &mut self,
        server: &Server,
        file: FileId,
        objects: &FileObjects,
    ) -> ApiResult<[LookedAt; 2]> {
        self.files.push(file);
        let original = self.read(server, &objects.original).await?;
        let thumbnail = self.read(server, &objects.thumbnail).await?;
        let looked = |check, kind, size| LookedAt { kind, size, check };
        Ok([
            looked(original, ObjectKind::Original, objects.original_size),
            looked(thumbnail, ObjectKind::Thumbnail, objects.thumbnail_size),
        ])
    }

    async fn read(&mut self, server: &Server, key: &ObjectKey) -> Result<Option<usize>, VouchError> {
        let Some(object) = server.store.checkable_object(key).await? else { return Ok(None) };
        let _turn = server.objects.reading_turn().await?;
        let found = vouch::read_back(server, &object, |_| std::future::ready(())).await?;
        self.read += found.read;
        let at = server.store.now();
        self.checks.push(Check { key: object.key, place: object.place, outcome: found.outcome, at });
        Ok(Some(self.checks.len() - 1))
    }
}

/// What is said of a file that still is what it was. An object that was moved while it was read says nothing of it: to be asked again.
/// One that is not kept, though the file names it, is missing.
fn receipt(file_id: FileId, looked: Looked, checks: &[Check], recorded: &[Recorded]) -> Receipt {
    let nothing = |verdict| Receipt { file_id, verdict, objects: Vec::new() };
    let objects = match looked {
        Looked::Plainly(verdict) => return nothing(verdict),
        Looked::At(objects) => objects,
    };
    let mut said = Vec::with_capacity(2);
    for object in objects {
        let Some(check) = object.check else {
            tracing::error!(file = %file_id, "a file names an object that the database does not know");
            said.push(of_object(&object, Err(Damage::Missing), None));
            continue;
        };
        match (checks.get(check), recorded.get(check)) {
            (Some(check), Some(Recorded::Known | Recorded::NewDamage)) => {
                said.push(of_object(&object, check.outcome, Some(check.at)));
            }
            _ => return nothing(Verdict::NotChecked),
        }
    }
    let is_whole = said.iter().all(|object| object.damage.is_none());
    Receipt { file_id, verdict: if is_whole { Verdict::Verified } else { Verdict::Damaged }, objects: said }
}

fn of_object(object: &LookedAt, outcome: Result<Digest, Damage>, at: Option<i64>) -> ObjectReceipt {
    ObjectReceipt {
        kind: object.kind,
        size: object.size,
        digest: outcome.ok().map(digest_text),
        verified_at: at.filter(|_| outcome.is_ok()),
        damage: outcome.err(),
    }
}

/// A digest as it travels.
fn digest_text(digest: Digest) -> String {
    let (name, bytes) = match digest {
        Digest::Blake3(bytes) => ("blake3", bytes),
        Digest::Blake2b(bytes) => ("blake2b-256", bytes),
    };
    format!("{name} {}", STANDARD.encode(bytes))
}
