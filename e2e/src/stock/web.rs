//! The web app, and the desktop app, which is the same in a shell of its own.
//!
//! A browser: JSON goes as plain text, every call is preceded by a preflight, downloads carry the token in the query
//! and follow redirects, ETags are passed on with their quotes.

use super::reading::{read_details, read_feature_flags};
use super::{Committed, Device, FileRow, MultipartSession, OpenedFile, Padding, PullRule};
use crate::fields::Fields;
use crate::http::{Answer, Manners, Outgoing, form};
use crate::process::ServerProcess;
use crate::vault::{Sealed, SealedPicture, md5, read_attributes};
use reqwest::Method;
use serde_json::json;

/// Five chunks of ciphertext.
pub const PART_LENGTH: usize = 5 * (4_194_304 + 17);

/// Uploads go in parts from this many bytes of ciphertext: five chunks.
const MULTIPART_FROM: usize = 4 * (4_194_304 + 17) + 1;

/// The web app.
pub const WEB: Manners = Manners {
    package: Some("io.ente.photos.web"),
    version: None,
    user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/138.0 Safari/537.36",
    origin: Some("https://photos.example.org"),
    json_type: Some("text/plain;charset=UTF-8"),
    request_ids: None,
};

/// The desktop app.
pub const DESKTOP: Manners = Manners {
    package: Some("io.ente.photos.desktop"),
    version: Some("1.7.26"),
    user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Electron/37.0",
    origin: Some("ente://app"),
    ..WEB
};

/// Signs up as the web app does: attributes first, then SRP.
pub async fn sign_up(server: &ServerProcess, manners: Manners, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), manners);
    device.ping().await;
    device.ask_for_code(email, Some("signup")).await.ok();
    let new = device.stretching.new_account(password);
    let authorization = device.verify_email(email, &server.code_for(&email.to_lowercase())).await;
    device.http.token.clone_from(&authorization.token);
    device.put_attributes(&new.attributes).await;
    device.register_srp(&new.login_key, Padding::Full).await;
    device.enter_new(email, &authorization, new);
    assert!(device.srp_attributes(email).await.is_some(), "sign-up breaks without it");
    open_gallery(&mut device).await;
    device
}

/// What the gallery asks for right after sign-up.
async fn open_gallery(device: &mut Device) {
    read_user_plans(&device.http.call(Method::GET, "/billing/user-plans", None).await);
    check_details(device).await;
    pull_everything(device).await;
}

/// Signs in with the password, as the web app does.
pub async fn log_in(server: &ServerProcess, manners: Manners, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), manners);
    device.log_in_with_password(email, password).await;
    pull_everything(&mut device).await;
    device
}

/// The whole pull, in its order: soft calls, details, validity, flags, then collections, files, trash.
pub async fn pull_everything(device: &mut Device) {
    let contact = device.http.call(Method::GET, "/user-entity/key?type=contact", None).await;
    assert!([200, 404].contains(&contact.status), "{contact:?}");
    let contacts = device.http.call(Method::GET, "/contacts/diff?sinceTime=0&limit=500", None).await.ok();
    Fields::of("contacts", &contacts).list("diff");
    check_details(device).await;
    check_session(device).await;
    let flags = device.http.call(Method::GET, "/remote-store/feature-flags", None).await.ok();
    read_feature_flags(&flags);
    if device.http.manners.package == DESKTOP.package {
        let path = "/remote-store?key=faceSearchEnabled&defaultValue=false";
        let answer = device.http.call(Method::GET, path, None).await.ok();
        assert_eq!(Fields::of("setting", &answer).text("value"), "false");
    }
    pull(device).await;
    pull_places(device).await;
}

/// Collections, files and trash alone: what a client does after each of its own writes.
pub async fn pull(device: &mut Device) -> usize {
    let asked = device.pull(PullRule::Unequal, None).await;
    device.pull_trash().await;
    device.pull_pending_actions().await;
    asked
}

/// `GET /users/session-validity/v2`: the keys must be those that the device has.
pub async fn check_session(device: &Device) {
    let answer = device.http.call(Method::GET, "/users/session-validity/v2", None).await.ok();
    let fields = Fields::of("validity", &answer);
    assert!(fields.boolean("hasSetKeys"));
    let attributes = read_attributes(&fields.object("keyAttributes"));
    assert_eq!(attributes, device.account().attributes, "kept byte for byte");
}

/// `GET /users/details/v2`; returns (usage, quota).
pub async fn check_details(device: &Device) -> (i64, i64) {
    let answer = device.http.call(Method::GET, "/users/details/v2", None).await.ok();
    let again = device.http.call(Method::GET, "/users/details/v2", None).await.ok();
    assert_eq!(answer["subscription"], again["subscription"], "a value that changes renders for ever");
    read_details(&answer, &device.account().email.to_lowercase(), true)
}

/// `GET /billing/user-plans`.
pub fn read_user_plans(answer: &Answer) {
    let answer = answer.ok();
    let fields = Fields::of("plans", &answer);
    fields.list("plans");
    let free = fields.object("freePlan");
    free.id("storage");
    free.id("duration");
    free.words("period");
}

/// The key of places: made when there is none; then the places themselves.
async fn pull_places(device: &Device) {
    let answer = device.http.call(Method::GET, "/user-entity/key?type=location", None).await;
    if answer.status == 404 {
        let body = json!({"type": "location", "encryptedKey": "a2V5", "header": "bm9uY2U="});
        device.http.call(Method::POST, "/user-entity/key", Some(&body)).await.ok();
    } else {
        let answer = answer.ok();
        let fields = Fields::of("entity key", &answer);
        fields.id("userID");
        fields.words("type");
        fields.micros("createdAt");
        fields.base64("encryptedKey");
        fields.base64("header");
    }
    let path = "/user-entity/entity/diff?type=location&sinceTime=0&limit=500";
    let answer = device.http.call(Method::GET, path, None).await.ok();
    Fields::of("entities", &answer).list("diff");
}

/// Uploads a picture: the file, then the thumbnail, then the commit.
pub async fn upload(device: &Device, collection: i64, picture: &SealedPicture) -> Committed {
    let file = if picture.file.bytes.len() >= MULTIPART_FROM {
        put_in_parts(device, &picture.file.bytes).await
    } else {
        put_whole(device, &picture.file).await
    };
    let thumbnail = put_whole(device, &picture.thumbnail).await;
    let mut body = device.commit_body(collection, picture, &file, &thumbnail);
    body["pubMagicMetadata"] = json!({
        "version": 1, "count": 2, "data": picture_data(picture), "header": picture.metadata.header,
    });
    device.commit(body).await
}

/// Any ciphertext will do for metadata that a test does not read back.
fn picture_data(picture: &SealedPicture) -> String {
    crate::vault::to_text(&picture.metadata.bytes)
}

/// One object whole, with its MD5 and no content type.
pub async fn put_whole(device: &Device, sealed: &Sealed) -> String {
    let mint = device.mint(&sealed.bytes, "?ts=1700000000000").await;
    let answer = device.put(&mint.url, &sealed.bytes, &[("content-md5", md5(&sealed.bytes))]).await;
    answer.accepted();
    mint.key
}

/// One object in parts, completed.
pub async fn put_in_parts(device: &Device, bytes: &[u8]) -> String {
    let mut session = device.mint_parts(bytes, PART_LENGTH, "?ts=1700000000000").await;
    for (index, part) in bytes.chunks(PART_LENGTH).enumerate() {
        let headers = [("content-md5", md5(part))];
        let answer = device.put(&session.part_urls[index], part, &headers).await;
        session.etags[index] = Some(device.etag_of(&answer));
    }
    let answer = device.post_xml(&session.complete_url, &complete_xml(&session)).await;
    answer.accepted();
    session.key
}

/// The list of parts as the web app writes it: one element a line, ETags with their quotes.
pub fn complete_xml(session: &MultipartSession) -> String {
    let mut lines = vec!["<CompleteMultipartUpload>".to_owned()];
    for (index, etag) in session.etags.iter().enumerate() {
        let etag = etag.as_ref().unwrap();
        lines.push(format!("<Part>\n<PartNumber>{}</PartNumber>\n<ETag>{etag}</ETag>\n</Part>", index + 1));
    }
    lines.push("</CompleteMultipartUpload>".to_owned());
    lines.join("\n")
}

/// Downloads and decrypts a file and its thumbnail.
pub async fn download(device: &Device, row: &FileRow) -> OpenedFile {
    let thumbnail = download_object(device, "preview", row.id).await;
    let original = download_object(device, "download", row.id).await;
    device.open_file(row, &original.body, &thumbnail.body)
}

/// `GET /files/{download,preview}/:id?token=…`: the token in the query, a preflight on both hops, the redirect followed.
pub async fn download_object(device: &Device, route: &str, file: i64) -> Answer {
    let token = form(device.http.token.as_ref().unwrap());
    let url = format!("{}/files/{route}/{file}?token={token}", device.http.base);
    let headers = device.http.usual_headers();
    let request = Outgoing { method: Method::GET, url, headers: headers.clone(), body: None };
    device.http.preflight(&request).await.unwrap();
    let redirect = device.http.send(request).await.unwrap();
    assert_eq!(redirect.status, 307, "{redirect:?}");
    let url = redirect.header("location").unwrap().to_owned();
    assert!(url.starts_with(&device.http.base), "another origin would make the browser hide its own: {url}");
    let request = Outgoing { method: Method::GET, url, headers, body: None };
    device.http.preflight(&request).await.unwrap();
    let answer = device.http.send(request).await.unwrap();
    check_blob(&answer);
    answer
}

/// What every blob says of itself.
pub fn check_blob(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()), "progress needs it");
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert!(answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
}
