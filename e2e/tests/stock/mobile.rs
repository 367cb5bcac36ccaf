//! Phones: sign-up, start-up, a backup of a device folder that is interrupted, large downloads, edits.

use crate::scene::{PASSWORD, album, fresh_email, new_phone, normal, on_each_engine, small_picture};
use darkslide_e2e::fields::Fields;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID, IOS};
use darkslide_e2e::stock::{CollectionKind, Device};
use darkslide_e2e::vault::{Picture, seal_picture, seal_picture_under};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn signs_up_starts_up_and_signs_in() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = normal(&fresh_email());
        let first = mobile::sign_up(server, ANDROID, &email, PASSWORD).await;
        let second = mobile::log_in(server, IOS, &email, PASSWORD).await;
        assert_eq!(first.account().keys, second.account().keys);
        let answer = second.http.call(Method::POST, "/users/logout", None).await.ok();
        Fields::of("logout", &answer);
        second.http.call(Method::GET, "/collections/v2?sinceTime=0&source=fg", None).await.refused(401);
        first.http.call(Method::GET, "/collections/v2?sinceTime=0&source=bg", None).await.ok();
    })
    .await;
}

#[tokio::test]
async fn a_device_folder_is_backed_up() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut phone = new_phone(server).await;
        let folder = phone.create_collection("Camera", CollectionKind::Folder).await;
        mobile::ask_eligibility(&phone).await.ok();
        let pictures: Vec<Picture> =
            (0..3).map(|index| Picture::generate(&format!("IMG_{index}.jpg"), 200_000 + index)).collect();
        let mut ids = Vec::new();
        for picture in &pictures {
            let sealed = seal_picture(&phone.collection_key(folder), picture);
            ids.push(mobile::upload(&phone, folder, &sealed).await.row.id);
        }
        mobile::sync(&mut phone).await;
        for (picture, id) in pictures.iter().zip(ids) {
            check_picture(&phone, folder, id, picture).await;
        }
        check_sizes(&phone, folder).await;
    })
    .await;
}

async fn check_picture(phone: &Device, folder: i64, file: i64, picture: &Picture) {
    let opened = mobile::download(phone, &phone.mirror.files[&(folder, file)]).await;
    assert!(opened.content == picture.content && opened.thumbnail == picture.thumbnail);
    assert_eq!(opened.metadata, picture.metadata);
}

/// `POST /files/info`, with which phones fill sizes in.
async fn check_sizes(phone: &Device, folder: i64) {
    let rows = phone.mirror.live(folder);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let answer = phone.http.call(Method::POST, "/files/info", Some(&json!({"fileIDs": ids}))).await.ok();
    let entries = Fields::of("info", &answer).objects("filesInfo");
    assert_eq!(entries.len(), ids.len(), "one entry a requested id");
    for entry in entries {
        let info = entry.object("fileInfo");
        let row = rows.iter().find(|row| row.id == entry.id("id")).unwrap();
        assert_eq!(row.sizes, Some((info.id("fileSize"), info.id("thumbSize"))));
    }
}

/// The app is killed after the first part, the server right after; days later the same URLs go on.
#[tokio::test]
async fn an_interrupted_video_goes_on_with_the_same_urls() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut phone = new_phone(server).await;
        let folder = phone.create_collection("Camera", CollectionKind::Folder).await;
        let video = Picture::generate("VID_0001.mp4", 60_000_000);
        let sealed = seal_picture(&phone.collection_key(folder), &video);
        let bytes = &sealed.file.bytes;
        let mut session = phone.mint_parts(bytes, mobile::PART_LENGTH, "").await;
        assert_eq!(session.part_urls.len(), 3);
        mobile::put_part(&phone, &mut session, bytes, 0).await;
        server.kill();
        server.restart();
        phone.http.reconnect();
        mobile::sync(&mut phone).await;
        mobile::resume(&phone, &mut session, bytes).await;
        // Killed again after Complete was answered and before that was written down.
        server.kill();
        server.restart();
        phone.http.reconnect();
        let answer = phone.post_xml(&session.complete_url, &mobile::complete_xml(&session)).await;
        answer.accepted();
        let thumbnail = mobile::put_whole(&phone, &sealed.thumbnail).await;
        let committed = phone.commit(phone.commit_body(folder, &sealed, &session.key, &thumbnail)).await;
        let again = phone.commit(committed.body.clone()).await;
        assert_eq!(again.row.id, committed.row.id, "a commit sent twice makes one file");
        mobile::sync(&mut phone).await;
        // Larger than 40 MiB: fetched in ranges from a redirect that is not followed.
        check_picture(&phone, folder, committed.row.id, &video).await;
    })
    .await;
}

/// A phone asks for a new URL for every attempt; what the earlier ones left is nobody's.
#[tokio::test]
async fn every_attempt_has_a_url_of_its_own() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut phone = new_phone(server).await;
        let folder = album(&mut phone, "Attempts").await;
        let picture = Picture::generate("retry.jpg", 100_000);
        let sealed = seal_picture(&phone.collection_key(folder), &picture);
        let first = mobile::put_whole(&phone, &sealed.file).await;
        let second = mobile::put_whole(&phone, &sealed.file).await;
        assert_ne!(first, second);
        let committed = mobile::upload(&phone, folder, &sealed).await;
        mobile::sync(&mut phone).await;
        check_picture(&phone, folder, committed.row.id, &picture).await;
        let usage = usage(&phone).await;
        assert_eq!(usage, sealed.file.bytes.len() + sealed.thumbnail.bytes.len());
    })
    .await;
}

/// A wrong sum makes a phone drop the upload and encrypt anew; a vanished session makes it forget the record.
#[tokio::test]
async fn trap_05_refused_parts_say_why() {
    on_each_engine(async |server: &mut ServerProcess| {
        let phone = new_phone(server).await;
        let bytes = vec![1_u8; 10_000];
        let mint = phone.mint(&bytes, "").await;
        let says = |answer: &darkslide_e2e::http::Answer, word: &str| {
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(String::from_utf8_lossy(&answer.body).contains(word), "{answer:?}");
        };
        let other = darkslide_e2e::vault::md5(b"something else");
        says(&phone.put(&mint.url, &bytes, &[("content-md5", other)]).await, "BadDigest");
        says(&phone.put(&mint.url, &bytes, &[("content-md5", "?".to_owned())]).await, "InvalidDigest");
        phone.put(&mint.url, &bytes[1..], &[]).await.refused(400);
        phone.put(&mint.url, &vec![2; 10_000], &[]).await.refused(400);
        phone.put(&mint.url, &bytes, &mobile::put_headers(&bytes)).await.accepted();
        phone.put(&mint.url, &bytes, &mobile::put_headers(&bytes)).await.accepted();
    })
    .await;
}

/// An edited photo replaces its content under the same key; every album of it hears of that.
#[tokio::test]
async fn an_edited_photo_is_backed_up_again() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut phone = new_phone(server).await;
        let folder = album(&mut phone, "Camera").await;
        let (_, row) = small_picture(&mut phone, folder, "edited.jpg").await;
        let second = album(&mut phone, "Second").await;
        phone.add_to(second, &[&row]).await.ok();
        mobile::sync(&mut phone).await;
        let edited = Picture::generate("edited.jpg", 70_000);
        let key = phone.file_key(&row);
        let sealed = seal_picture_under(&key, &phone.collection_key(folder), &edited);
        let version = mobile::update(&phone, row.id, &sealed).await;
        assert_eq!(mobile::sync(&mut phone).await, 2, "both albums changed");
        check_picture(&phone, folder, row.id, &edited).await;
        check_picture(&phone, second, row.id, &edited).await;
        assert!(version > row.time && phone.mirror.files[&(folder, row.id)].time > row.time);
        let usage = usage(&phone).await;
        assert_eq!(usage, sealed.file.bytes.len() + sealed.thumbnail.bytes.len(), "the difference counts");
    })
    .await;
}

/// What the settings screen shows as used.
async fn usage(phone: &Device) -> usize {
    let answer = phone.http.call(Method::GET, "/users/details/v2?memoryCount=true", None).await.ok();
    usize::try_from(Fields::of("details", &answer).integer("usage")).unwrap()
}
