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
    Damage, EarlierId, EarlierReceipt, ObjectKind, ObjectReceipt, Receipt, ReceiptRequest, Receipts, Verdict,
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

/// Reads the stored bytes of files, and of earlier versions, back from the disk and says whether they are what was uploaded.
///
/// At most 1000 files, and as many earlier versions; one of these that is named twice is answered once. Files are read in the order of
/// their ids in the request, then earlier versions in theirs, until 512 MiB or 20 seconds are used up, and at least one; the others are
/// `notChecked` and `more` is true. Files in the trash are read too.
#[utoipa::path(
    post, path = "/v1/receipts", request_body = ReceiptRequest, security(("session" = [])),
    responses(
        (status = 200, body = Receipts),
        (status = 400, body = Problem, description = "No list of ids, or a file twice"),
        (status = 413, body = Problem, description = "More than 1000 files, or earlier versions"),
        (status = 503, body = Problem, description = "The disk or the database is away")
    )
)]
async fn give(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<ReceiptRequest>,
) -> ApiResult<Json<Receipts>> {
    let ReceiptRequest { file_ids: files, mut earlier } = request;
    if files.len() > BATCH_ITEMS_MAX || earlier.len() > BATCH_ITEMS_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    if files.iter().collect::<BTreeSet<_>>().len() != files.len() {
        return Err(ApiError::BAD_REQUEST);
    }
    let mut named = BTreeSet::new();
    earlier.retain(|id| named.insert(*id));
    let known = server.store.objects_of_files(caller.account, &files).await?;
    let mut call = Call::begin();
    let mut read = Vec::with_capacity(files.len());
    for file in files {
        read.push((file, call.look(&server, known.get(&file)).await?));
    }
    let mut read_earlier = Vec::with_capacity(earlier.len());
    for id in earlier {
        let objects = server.store.objects_of_version(caller.account, id.file_id, id.version).await?;
        let looked = call.look(&server, objects.as_ref()).await?;
        read_earlier.push((id, objects, looked));
    }
    let recorded = vouch::record(&server, &call.checks).await?;
    let is_looked_at = |(file, looked): &(FileId, Looked)| looked.is_at().then_some(*file);
    let files: Vec<FileId> = read.iter().filter_map(is_looked_at).collect();
    let now = server.store.objects_of_files(caller.account, &files).await?;
    let mut said = Receipts::default();
    for (file_id, looked) in read {
        let looked = looked.unless_changed(known.get(&file_id), now.get(&file_id));
        let (verdict, objects) = say(file_id, looked, &call.checks, &recorded);
        said.receipts.push(Receipt { file_id, verdict, objects });
    }
    for (EarlierId { file_id, version }, objects, mut looked) in read_earlier {
        if looked.is_at() {
            let now = server.store.objects_of_version(caller.account, file_id, version).await?;
            looked = looked.unless_changed(objects.as_ref(), now.as_ref());
        }
        let (verdict, objects) = say(file_id, looked, &call.checks, &recorded);
        said.earlier.push(EarlierReceipt { file_id, version, verdict, objects });
    }
    let verdicts = said.receipts.iter().map(|receipt| receipt.verdict);
    let of_earlier = said.earlier.iter().map(|receipt| receipt.verdict);
    said.more = verdicts.chain(of_earlier).any(|verdict| verdict == Verdict::NotChecked);
    // It may have read for long, and its device may be revoked since.
    server.store.still_signed_in().await?;
    Ok(Json(said))
}

/// What one call has done so far.
struct Call {
    began: Instant,
    read: u64,
    checks: Vec<Check>,
}

/// How one file, or what it was, was looked at.
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

impl Looked {
    fn is_at(&self) -> bool {
        matches!(self, Self::At(_))
    }

    /// What was changed or given up while it was read is something else now: to be asked again.
    fn unless_changed(self, before: Option<&FileObjects>, now: Option<&FileObjects>) -> Self {
        if self.is_at() && before != now { Self::Plainly(Verdict::NotChecked) } else { self }
    }
}

impl Call {
    fn begin() -> Self {
        Self { began: Instant::now(), read: 0, checks: Vec::new() }
    }

    /// Whether a file is still begun. The first always is, whatever its size.
    fn has_room_for(&self, objects: &FileObjects) -> bool {
        let size = u64::try_from(objects.original_size + objects.thumbnail_size).unwrap_or(0);
        let fits = self.read.saturating_add(size) <= RECEIPT_BYTES && self.began.elapsed() < CALL_AT_MOST;
        fits || self.checks.is_empty()
    }

    /// Reads both objects back, where there are any and the call still begins some.
    async fn look(&mut self, server: &Server, objects: Option<&FileObjects>) -> ApiResult<Looked> {
        let objects = match objects {
            None => return Ok(Looked::Plainly(Verdict::Unknown)),
            Some(objects) if objects.is_purged => return Ok(Looked::Plainly(Verdict::Purged)),
            Some(objects) if !self.has_room_for(objects) => return Ok(Looked::Plainly(Verdict::NotChecked)),
            Some(objects) => objects,
        };
        let original = self.read(server, &objects.original).await?;
        let thumbnail = self.read(server, &objects.thumbnail).await?;
        let looked = |check, kind, size| LookedAt { kind, size, check };
        Ok(Looked::At([
            looked(original, ObjectKind::Original, objects.original_size),
            looked(thumbnail, ObjectKind::Thumbnail, objects.thumbnail_size),
        ]))
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
fn say(
    file: FileId,
    looked: Looked,
    checks: &[Check],
    recorded: &[Recorded],
) -> (Verdict, Vec<ObjectReceipt>) {
    let objects = match looked {
        Looked::Plainly(verdict) => return (verdict, Vec::new()),
        Looked::At(objects) => objects,
    };
    let mut said = Vec::with_capacity(2);
    for object in objects {
        let Some(check) = object.check else {
            tracing::error!(%file, "a file names an object that the database does not know");
            said.push(of_object(&object, Err(Damage::Missing), None));
            continue;
        };
        match (checks.get(check), recorded.get(check)) {
            (Some(check), Some(Recorded::Known | Recorded::NewDamage)) => {
                said.push(of_object(&object, check.outcome, Some(check.at)));
            }
            _ => return (Verdict::NotChecked, Vec::new()),
        }
    }
    let is_whole = said.iter().all(|object| object.damage.is_none());
    (if is_whole { Verdict::Verified } else { Verdict::Damaged }, said)
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
