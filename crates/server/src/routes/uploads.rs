//! Where uploads begin: quota and rate are checked, and signed URLs are handed out. Nothing is stored yet.

use super::grant::{Grant, Purpose};
use super::origin::origin_of;
use super::parameters::Parameters;
use super::request::{Body, StorageCaller};
use crate::auth::rates::Route;
use crate::error::{ApiError, ApiResult};
use crate::objects::checksum::parse_md5;
use crate::store::mending::Incoming;
use crate::store::uploads::ObjectAddress;
use crate::{Server, Shared};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use darkslide_protocol::limits::{
    MINT_COUNT_MAX, OBJECT_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX,
};
use darkslide_protocol::upload::{
    MintPartsRequest, MintRequest, PartUrls, UploadUrl, UploadUrls, WrappedPartUrls,
};
use darkslide_protocol::{AccountId, FileId};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/files/upload-eligibility", get(eligibility))
        .route("/files/upload-url", post(mint))
        .route("/files/upload-urls", get(mint_many))
        .route("/files/multipart-upload-url", post(mint_parts))
        .route("/files/multipart-upload-urls", get(mint_parts_unsized))
}

async fn eligibility(State(server): State<Shared>, caller: StorageCaller) -> ApiResult<StatusCode> {
    check_quota(&server, caller.account, 0).await?;
    Ok(StatusCode::OK)
}

async fn mint(
    State(server): State<Shared>,
    caller: StorageCaller,
    headers: HeaderMap,
    Body(request): Body<MintRequest>,
) -> ApiResult<Json<UploadUrl>> {
    server.rates.check(Route::Mint, caller.account)?;
    let length = object_length(request.content_length)?;
    let md5 = parse_md5(&request.content_md5).ok_or(ApiError::BAD_REQUEST)?;
    check_quota(&server, caller.account, request.content_length).await?;
    let address = ObjectAddress::generate(caller.account);
    let grant = Grant {
        length: Some(length),
        md5: Some(md5),
        ..Grant::new(address, Purpose::Whole, server.store.now())
    };
    Ok(Json(upload_url(&server, &headers, &grant)))
}

async fn mint_many(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
    headers: HeaderMap,
) -> ApiResult<Json<UploadUrls>> {
    server.rates.check(Route::Mint, caller.account)?;
    check_quota(&server, caller.account, 0).await?;
    let count = parameters.number("count").unwrap_or(1).clamp(1, MINT_COUNT_MAX.into());
    let now = server.store.now();
    let urls = (0..count).map(|_| {
        let address = ObjectAddress::generate(caller.account);
        upload_url(&server, &headers, &Grant::new(address, Purpose::Whole, now))
    });
    Ok(Json(UploadUrls { urls: urls.collect() }))
}

async fn mint_parts(
    State(server): State<Shared>,
    caller: StorageCaller,
    headers: HeaderMap,
    Body(request): Body<MintPartsRequest>,
) -> ApiResult<Json<PartUrls>> {
    server.rates.check(Route::Mint, caller.account)?;
    let total = object_length(request.content_length)?;
    let lengths = part_lengths(total, request.part_length)?;
    let md5s: Option<Vec<[u8; 16]>> = request.part_md5s.iter().map(|md5| parse_md5(md5)).collect();
    let md5s = md5s.filter(|md5s| md5s.len() == lengths.len()).ok_or(ApiError::BAD_REQUEST)?;
    check_quota(&server, caller.account, request.content_length).await?;
    let agreed = lengths.into_iter().zip(md5s).map(|(length, md5)| (Some(length), Some(md5)));
    Ok(Json(part_urls(&server, &headers, caller.account, &agreed.collect::<Vec<_>>())))
}

async fn mint_parts_unsized(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
    headers: HeaderMap,
) -> ApiResult<Json<WrappedPartUrls>> {
    server.rates.check(Route::Mint, caller.account)?;
    let count: u64 = parameters.required("count")?;
    if !(1..=PARTS_MAX).contains(&count) {
        return Err(ApiError::BAD_REQUEST);
    }
    check_quota(&server, caller.account, 0).await?;
    let agreed: Vec<_> = (0..count).map(|_| (None, None)).collect();
    Ok(Json(WrappedPartUrls { urls: part_urls(&server, &headers, caller.account, &agreed) }))
}

/// Refuses with 426 when the account is over its quota, or these bytes would take it there.
pub(crate) async fn check_quota(server: &Server, account: AccountId, bytes: i64) -> ApiResult<()> {
    if has_room(server, account, bytes).await? { Ok(()) } else { Err(ApiError::QUOTA) }
}

/// The same for an object that may mend a damaged file; says which, where that alone lets it in.
pub(crate) async fn check_quota_or_damage(
    server: &Server,
    account: AccountId,
    bytes: i64,
) -> ApiResult<Option<FileId>> {
    if has_room(server, account, bytes).await? {
        return Ok(None);
    }
    server.store.mendable(account, Incoming::Object(bytes)).await?.map(Some).ok_or(ApiError::QUOTA)
}

/// How many bytes there is room for, where it is not for so many.
pub(crate) async fn room_for(server: &Server, account: AccountId, bytes: i64) -> ApiResult<Option<i64>> {
    let room = server.store.usage_of(account).await?.room(default_quota(server));
    Ok((room < bytes).then_some(room))
}

async fn has_room(server: &Server, account: AccountId, bytes: i64) -> ApiResult<bool> {
    let usage = server.store.usage_of(account).await?;
    Ok(usage.admits(bytes, default_quota(server)))
}

/// Bytes for accounts without a quota of their own.
pub(crate) fn default_quota(server: &Server) -> i64 {
    i64::try_from(server.config.default_quota).unwrap_or(i64::MAX)
}

fn object_length(said: i64) -> ApiResult<u64> {
    u64::try_from(said)
        .ok()
        .filter(|length| (1..=OBJECT_BYTES_MAX).contains(length))
        .ok_or(ApiError::BAD_REQUEST)
}

/// The length of each part: all alike but the last, which is the remainder.
fn part_lengths(total: u64, part: i64) -> ApiResult<Vec<u64>> {
    let part = u64::try_from(part)
        .ok()
        .filter(|part| (1..=PART_BYTES_MAX).contains(part))
        .ok_or(ApiError::BAD_REQUEST)?;
    let count = total.div_ceil(part);
    if (count > 1 && part < PART_BYTES_MIN) || count > PARTS_MAX {
        return Err(ApiError::BAD_REQUEST);
    }
    Ok((0..count).map(|index| part.min(total - index * part)).collect())
}

fn upload_url(server: &Server, headers: &HeaderMap, grant: &Grant) -> UploadUrl {
    let origin = origin_of(server, headers);
    UploadUrl { object_key: grant.at.key(), url: grant.url(&server.signer, &origin) }
}

/// URLs for an object of as many parts as are agreed, each with its length and MD5 when these are known.
fn part_urls(
    server: &Server,
    headers: &HeaderMap,
    account: AccountId,
    agreed: &[(Option<u64>, Option<[u8; 16]>)],
) -> PartUrls {
    let origin = origin_of(server, headers);
    let address = ObjectAddress::generate(account);
    let now = server.store.now();
    let count = u32::try_from(agreed.len()).ok();
    let part = |(number, (length, md5)): (u32, &(Option<u64>, Option<[u8; 16]>))| {
        let grant =
            Grant { length: *length, md5: *md5, count, ..Grant::new(address, Purpose::Part(number), now) };
        grant.url(&server.signer, &origin)
    };
    let complete = Grant { count, ..Grant::new(address, Purpose::Complete, now) };
    PartUrls {
        object_key: address.key(),
        part_urls: (1..).zip(agreed).map(part).collect(),
        complete_url: complete.url(&server.signer, &origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_long_as_their_client_reckons() {
        let check = |total, part, expected: Option<&[u64]>| {
            assert_eq!(part_lengths(total, part).ok().as_deref(), expected, "{total} in {part}");
        };
        check(60_000_255, 20_971_605, Some(&[20_971_605, 20_971_605, 18_057_045]));
        check(60_000_255, 20_971_520, Some(&[20_971_520, 20_971_520, 18_057_215]));
        check(41_943_040, 20_971_520, Some(&[20_971_520, 20_971_520]));
        check(100, 100, Some(&[100]));
        check(100, 99, None);
        check(100, 0, None);
        check(100, -1, None);
    }
}
