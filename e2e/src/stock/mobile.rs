//! The phone app, Android and iOS.
//!
//! Numbers of the SRP registration are not padded; JSON is declared; ETags lose their quotes; uploads in parts resume
//! with the same URLs days later; large files are fetched in ranges from a redirect that is not followed.

use super::account::fresh_identity;
use super::reading::{read_details, read_feature_flags};
use super::{Committed, Device, FileRow, MultipartSession, OpenedFile, Padding, PullRule};
use crate::fields::Fields;
use crate::http::{Answer, Manners, Outgoing};
use crate::process::ServerProcess;
use crate::vault::{Sealed, SealedPicture, md5};
use darkslide_crypto::srp::EphemeralSecret;
use reqwest::Method;
use serde_json::{Value, json};

/// Every part but the last, in bytes of ciphertext.
pub const PART_LENGTH: usize = 20 * 1024 * 1024;

/// Files beyond this are fetched in ranges of this size.
pub const RANGE_LENGTH: usize = 40 * 1024 * 1024;

/// The Android app.
pub const ANDROID: Manners = Manners {
    package: Some("io.ente.photos.independent"),
    version: Some("1.3.58"),
    user_agent: "Ente Photos/1.3.58 (Android 15; Pixel 9)",
    origin: None,
    json_type: Some("application/json; charset=utf-8"),
    request_ids: Some("droid_"),
};

/// The iOS app.
pub const IOS: Manners = Manners {
    package: Some("io.ente.frame"),
    user_agent: "Ente Photos/1.3.58 (iOS 18.5; iPhone16,1)",
    request_ids: Some("ios_"),
    ..ANDROID
};

/// Signs up as phones do: SRP first, unpadded, then the attributes.
pub async fn sign_up(server: &ServerProcess, manners: Manners, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), manners);
    device.ping().await;
    device.ask_for_code(email, Some("signup")).await.ok();
    let authorization = device.verify_email(email, &server.code_for(&email.to_lowercase())).await;
    device.http.token.clone_from(&authorization.token);
    let new = device.stretching.new_account(password);
    let ephemeral = EphemeralSecret::generate();
    let registration =
        device.set_up_srp(&fresh_identity(), &new.login_key, &ephemeral, Padding::Minimal).await;
    device.complete_srp(&registration, Padding::Minimal).await;
    device.put_attributes(&new.attributes).await;
    device.enter_new(email, &authorization, new);
    choose_plan(&device).await;
    start_up(&mut device).await;
    device
}

/// The plan page: an endless spinner unless both calls succeed. Then the free plan.
pub async fn choose_plan(device: &Device) {
    let answer = device.http.call(Method::GET, "/users/details/v2?memoryCount=false", None).await.ok();
    read_details(&answer, &device.account().email, false);
    super::web::read_user_plans(&device.http.call(Method::GET, "/billing/user-plans/", None).await);
    let body = json!({"paymentProvider": "ente", "productID": "free", "verificationData": ""});
    let answer = device.http.call(Method::POST, "/billing/verify-subscription", Some(&body)).await.ok();
    Fields::of("verified", &answer).object("subscription").id("storage");
}

/// Signs in with the password, then starts up.
pub async fn log_in(server: &ServerProcess, manners: Manners, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), manners);
    device.log_in_with_password(email, password).await;
    start_up(&mut device).await;
    device
}

/// Everything that a phone calls when it starts: flags, the sync, entities, and the settings screen.
pub async fn start_up(device: &mut Device) {
    let flags = device.http.call(Method::GET, "/remote-store/feature-flags", None).await.ok();
    read_feature_flags(&flags);
    sync(device).await;
    for kind in ["location", "cgroup", "smart_album"] {
        let path = format!("/user-entity/entity/diff?type={kind}&sinceTime=0&limit=500");
        let answer = device.http.call(Method::GET, &path, None).await.ok();
        Fields::of("entities", &answer).list("diff");
    }
    if device.http.manners.package == IOS.package {
        let body = json!({"fcmToken": "a", "apnsToken": "b"});
        device.http.call(Method::POST, "/push/token", Some(&body)).await.ok();
    }
    let answer = device.http.call(Method::GET, "/users/two-factor/status", None).await.ok();
    assert!(!Fields::of("two-factor", &answer).boolean("status"));
    let answer = device.http.call(Method::GET, "/users/details/v2?memoryCount=true", None).await.ok();
    read_details(&answer, &device.account().email, true);
}

/// One sync up to the point where uploads may begin; a failure before it would prevent them.
pub async fn sync(device: &mut Device) -> usize {
    let asked = device.pull(PullRule::Later, Some("fg")).await;
    device.pull_trash().await;
    device.pull_pending_actions().await;
    let answer = device.http.call(Method::GET, "/comments-reactions/updated-at", None).await.ok();
    Fields::of("social", &answer).list("updates");
    let body = json!({"lastUpdatedAt": 0});
    let answer = device.http.call(Method::POST, "/files/data/status-diff", Some(&body)).await.ok();
    assert!(Fields::of("status", &answer).list("diff").is_empty());
    asked
}

/// `GET /files/upload-eligibility`, before each session of uploads.
pub async fn ask_eligibility(device: &Device) -> Answer {
    device.http.call(Method::GET, "/files/upload-eligibility", None).await
}

/// Uploads a picture: the thumbnail first, except when the file goes in parts.
pub async fn upload(device: &Device, collection: i64, picture: &SealedPicture) -> Committed {
    let body = upload_objects(device, collection, picture).await;
    device.commit(body).await
}

/// Both objects, and the commit's body.
pub async fn upload_objects(device: &Device, collection: i64, picture: &SealedPicture) -> Value {
    if picture.file.bytes.len() > PART_LENGTH {
        let mut session = device.mint_parts(&picture.file.bytes, PART_LENGTH, "").await;
        resume(device, &mut session, &picture.file.bytes).await;
        let thumbnail = put_whole(device, &picture.thumbnail).await;
        return device.commit_body(collection, picture, &session.key, &thumbnail);
    }
    let thumbnail = put_whole(device, &picture.thumbnail).await;
    let file = put_whole(device, &picture.file).await;
    device.commit_body(collection, picture, &file, &thumbnail)
}

/// One object whole; every attempt has a URL of its own.
pub async fn put_whole(device: &Device, sealed: &Sealed) -> String {
    let mint = device.mint(&sealed.bytes, "").await;
    let answer = device.put(&mint.url, &sealed.bytes, &put_headers(&sealed.bytes)).await;
    answer.accepted();
    mint.key
}

/// What goes with a whole object.
pub fn put_headers(bytes: &[u8]) -> Vec<(&'static str, String)> {
    vec![("content-md5", md5(bytes)), ("content-length", bytes.len().to_string())]
}

/// Puts the parts that have no stored ETag, and completes: what a phone does in the first run and in every later one.
pub async fn resume(device: &Device, session: &mut MultipartSession, bytes: &[u8]) {
    for index in 0..session.part_urls.len() {
        if session.etags[index].is_none() {
            put_part(device, session, bytes, index).await;
        }
    }
    let answer = device.post_xml(&session.complete_url, &complete_xml(session)).await;
    answer.accepted();
}

/// One part; its ETag is kept without quotes.
pub async fn put_part(device: &Device, session: &mut MultipartSession, bytes: &[u8], index: usize) {
    let part = bytes.chunks(session.part_length).nth(index).unwrap();
    let mut headers = put_headers(part);
    headers.push(("content-type", "application/octet-stream".to_owned()));
    let answer = device.put(&session.part_urls[index], part, &headers).await;
    session.etags[index] = Some(device.etag_of(&answer).replace('"', ""));
}

/// The list of parts as phones write it: indented by four, ETags bare.
pub fn complete_xml(session: &MultipartSession) -> String {
    let part = |(index, etag): (usize, &Option<String>)| {
        let (number, etag) = (index + 1, etag.as_ref().unwrap());
        format!(
            "    <Part>\n        <PartNumber>{number}</PartNumber>\n        <ETag>{etag}</ETag>\n    </Part>\n"
        )
    };
    let parts: String = session.etags.iter().enumerate().map(part).collect();
    format!("<CompleteMultipartUpload>\n{parts}</CompleteMultipartUpload>")
}

/// `PUT /files/update`: an edited picture under the key that it has. Returns the new version.
pub async fn update(device: &Device, file: i64, picture: &SealedPicture) -> i64 {
    let mut body = upload_objects(device, 0, picture).await;
    let members = body.as_object_mut().unwrap();
    for member in ["collectionID", "encryptedKey", "keyDecryptionNonce"] {
        members.remove(member);
    }
    members.insert("id".to_owned(), file.into());
    let answer = device.http.call(Method::PUT, "/files/update", Some(&body)).await.ok();
    let again = device.http.call(Method::PUT, "/files/update", Some(&body)).await.ok();
    assert_eq!(answer["id"], again["id"], "an exact repetition succeeds");
    let fields = Fields::of("update", &answer);
    assert_eq!(fields.id("id"), file);
    fields.micros("updationTime")
}

/// Downloads and decrypts a file and its thumbnail.
pub async fn download(device: &Device, row: &FileRow) -> OpenedFile {
    let thumbnail = follow(device, "preview", row.id).await;
    let (file_size, _) = row.sizes.unwrap();
    let file_size = usize::try_from(file_size).unwrap();
    let original = if file_size > RANGE_LENGTH {
        download_in_ranges(device, row.id, file_size).await
    } else {
        follow(device, "download", row.id).await.body.to_vec()
    };
    device.open_file(row, &original, &thumbnail.body)
}

/// With the token in the header, the redirect followed without it; the last status must be exactly 200.
async fn follow(device: &Device, route: &str, file: i64) -> Answer {
    let url = redirect_of(device, route, file).await;
    let headers = device.http.usual_headers();
    let answer = device.http.send(Outgoing { method: Method::GET, url, headers, body: None }).await.unwrap();
    super::web::check_blob(&answer);
    answer
}

/// The redirect itself: a 3xx with an absolute location, whatever the size.
pub async fn redirect_of(device: &Device, route: &str, file: i64) -> String {
    let answer = device.http.call(Method::GET, &format!("/files/{route}/{file}"), None).await;
    assert!((300..400).contains(&answer.status), "only a redirect is accepted: {answer:?}");
    let url = answer.header("location").unwrap().to_owned();
    url::Url::parse(&url).expect("the location is absolute");
    url
}

/// Ranges of 40 MiB from one redirect, without any header of the app's.
async fn download_in_ranges(device: &Device, file: i64, size: usize) -> Vec<u8> {
    let url = redirect_of(device, "download", file).await;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let last = (bytes.len() + RANGE_LENGTH).min(size) - 1;
        let headers = vec![("range", format!("bytes={}-{last}", bytes.len()))];
        let request = Outgoing { method: Method::GET, url: url.clone(), headers, body: None };
        let answer = device.http.send(request).await.unwrap();
        assert_eq!(answer.status, 206, "{answer:?}");
        let range = format!("bytes {}-{last}/{size}", bytes.len());
        assert_eq!(answer.header("content-range"), Some(range.as_str()));
        assert_eq!(answer.body.len(), last + 1 - bytes.len());
        bytes.extend_from_slice(&answer.body);
    }
    bytes
}
