//! Web and desktop: sign-up, sign-in, and the way from an empty library to a restored picture.

use crate::scene::{PASSWORD, fresh_email, new_web, normal, on_each_engine};
use darkslide_e2e::fields::Fields;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::web::{self, DESKTOP, WEB};
use darkslide_e2e::stock::{CollectionKind, Device};
use darkslide_e2e::vault::{Picture, seal_picture};
use reqwest::Method;
use serde_json::json;

/// 15 chunks: 60,000,255 bytes of ciphertext in three parts.
const VIDEO_LENGTH: usize = 60_000_000;

#[tokio::test]
async fn signs_up_and_in_again() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = fresh_email();
        let first = web::sign_up(server, WEB, &normal(&email), PASSWORD).await;
        // What is typed later has other capitals, and the plus sign must survive the query.
        let second = web::log_in(server, DESKTOP, &email, PASSWORD).await;
        assert_eq!(first.account().keys, second.account().keys);
        assert_ne!(first.http.token, second.http.token);
        reopen(&second).await;
        ask_for_a_code_instead(server, &normal(&email)).await;
        second.http.call(Method::POST, "/users/logout", None).await.ok();
        second.http.call(Method::GET, "/users/session-validity/v2", None).await.refused(401);
        web::check_session(&first).await;
    })
    .await;
}

/// The page was closed and opened again: the password is checked on the device, the session at the server.
async fn reopen(device: &Device) {
    web::check_session(device).await;
    let attributes = device.srp_attributes(&device.account().email).await.unwrap();
    assert_eq!(attributes.salt, device.account().attributes.password.salt);
}

/// The other way in: a mailed code, and the password checked on the device alone.
async fn ask_for_a_code_instead(server: &ServerProcess, email: &str) {
    let mut device = Device::new(&server.base(), WEB);
    device.ask_for_code(email, Some("login")).await.ok();
    let authorization = device.verify_email(email, &server.code_for(email)).await;
    let (attributes, sealed) = authorization.keys.unwrap();
    let strength = attributes.password.strength;
    let key = device.stretching.derive(PASSWORD, &attributes.password.salt, strength);
    let keys = attributes.unlock(&key).unwrap();
    let token = keys.key_pair.open_session_token(&sealed).unwrap();
    device.http.token = Some(token.to_header_value().to_string());
    let answer = device.http.call(Method::GET, "/users/session-validity/v2", None).await.ok();
    assert!(Fields::of("validity", &answer).boolean("hasSetKeys"));
}

#[tokio::test]
async fn a_sign_up_cut_short_goes_on() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = normal(&fresh_email());
        let mut device = Device::new(&server.base(), WEB);
        device.ask_for_code(&email, Some("signup")).await.ok();
        let authorization = device.verify_email(&email, &server.code_for(&email)).await;
        device.http.token = authorization.token;
        // The browser lost its state: there are no keys yet, and nobody can sign in by password.
        let answer = device.http.call(Method::GET, "/users/session-validity/v2", None).await.ok();
        assert!(!Fields::of("validity", &answer).boolean("hasSetKeys"));
        assert!(device.srp_attributes(&email).await.is_none());
        device.ask_for_code(&email, Some("login")).await.refused_with(404, "USER_SIGNUP_INCOMPLETE");
        web::sign_up(server, WEB, &email, PASSWORD).await;
        device.ask_for_code(&email, Some("signup")).await.refused_with(409, "USER_ALREADY_REGISTERED");
    })
    .await;
}

#[tokio::test]
async fn an_empty_library_to_a_restored_picture() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        assert!(device.mirror.collections.is_empty() && device.mirror.trash.is_empty());
        let album = device.create_collection("Zürich 2023", CollectionKind::Album).await;
        let photo = Picture::generate("IMG_0001.HEIC", 3_000_000);
        let committed =
            web::upload(&device, album, &seal_picture(&device.collection_key(album), &photo)).await;
        web::pull(&mut device).await;
        let row = device.mirror.live(album)[0].clone();
        assert_eq!(row.id, committed.row.id);
        check_picture(&device, album, row.id, &photo).await;
        assert_eq!(device.collection_name(album), "Zürich 2023");

        let second = device.create_collection("Best of", CollectionKind::Album).await;
        device.add_to(second, &[&row]).await.ok();
        web::pull(&mut device).await;
        assert_eq!(device.mirror.albums_of(row.id), [album, second]);
        trash_and_restore(&mut device, row.id, album).await;
        check_picture(&device, album, row.id, &photo).await;
        check_usage(&device, &[&committed.row]).await;
    })
    .await;
}

async fn check_picture(device: &Device, album: i64, file: i64, picture: &Picture) {
    let opened = web::download(device, &device.mirror.files[&(album, file)]).await;
    assert_eq!(opened.content, picture.content);
    assert_eq!(opened.thumbnail, picture.thumbnail);
    assert_eq!(opened.metadata, picture.metadata);
}

/// Trashed from both albums, seen in the trash, restored to one of them.
async fn trash_and_restore(device: &mut Device, file: i64, album: i64) {
    device.trash(&[(file, album)]).await.ok();
    web::pull(device).await;
    assert!(device.mirror.albums_of(file).is_empty(), "trashing takes it out of every album");
    let item = device.mirror.trash[&file].clone();
    assert!(!item.restored && !item.purged && item.file.collection == album);
    let days_left = (item.delete_by - item.updated_at) as f64 / 86_400e6;
    assert!((29.99..30.01).contains(&days_left), "{days_left} days");
    web::download(device, &item.file).await;
    device.restore_to(album, &[&item.file]).await.ok();
    web::pull(device).await;
    assert_eq!(device.mirror.albums_of(file), [album], "the other album stays without it");
    let item = &device.mirror.trash[&file];
    assert!(item.restored && item.file.metadata.is_some());
}

async fn check_usage(device: &Device, rows: &[&darkslide_e2e::stock::FileRow]) {
    let sum: i64 = rows.iter().filter_map(|row| row.sizes).map(|(file, thumbnail)| file + thumbnail).sum();
    assert_eq!(web::check_details(device).await.0, sum, "usage is the ciphertext of both objects");
}

#[tokio::test]
async fn a_video_goes_up_in_parts() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = device.create_collection("Videos", CollectionKind::Album).await;
        let video = Picture::generate("VID_0001.MOV", VIDEO_LENGTH);
        let sealed = seal_picture(&device.collection_key(album), &video);
        assert_eq!(sealed.file.bytes.len(), 60_000_255);
        let committed = web::upload(&device, album, &sealed).await;
        web::pull(&mut device).await;
        check_picture(&device, album, committed.row.id, &video).await;
    })
    .await;
}

/// More than 16 MiB of plaintext, less than a part: one part, as long as the whole.
#[tokio::test]
async fn trap_25_a_multipart_upload_with_one_part() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = device.create_collection("Videos", CollectionKind::Album).await;
        let picture = Picture::generate("PANO.JPG", 17 << 20);
        let committed =
            web::upload(&device, album, &seal_picture(&device.collection_key(album), &picture)).await;
        web::pull(&mut device).await;
        check_picture(&device, album, committed.row.id, &picture).await;
        // Shorter than S3's least part, which does not matter when it is the only one.
        let bytes = vec![7; 1000];
        let mut session = device.mint_parts(&bytes, bytes.len(), "").await;
        let answer = device.put(&session.part_urls[0], &bytes, &[]).await;
        session.etags[0] = Some(device.etag_of(&answer));
        let answer = device.post_xml(&session.complete_url, &web::complete_xml(&session)).await;
        answer.accepted();
    })
    .await;
}

/// The desktop's worker sends 96 MiB parts as a stream without MD5; here one of 6 MiB and the rest.
#[tokio::test]
async fn the_desktop_worker_sends_no_md5() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = web::sign_up(server, DESKTOP, &normal(&fresh_email()), PASSWORD).await;
        let bytes = Picture::generate("video.ts", 8 << 20).content;
        let mut session = device.mint_parts(&bytes, 6 << 20, "").await;
        for (index, part) in bytes.chunks(6 << 20).enumerate() {
            let answer = device.put(&session.part_urls[index], part, &[]).await;
            session.etags[index] = Some(device.etag_of(&answer));
        }
        let parts: String = session.etags.iter().enumerate().fold(String::new(), |xml, (index, etag)| {
            let etag = etag.as_ref().unwrap();
            format!("{xml}<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", index + 1)
        });
        let xml = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let answer = device.post_xml(&session.complete_url, &xml).await;
        answer.accepted();
    })
    .await;
}

/// What older web apps call, and new ones until their settings are loaded.
#[tokio::test]
async fn legacy_mints_take_any_body() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = device.create_collection("Old", CollectionKind::Album).await;
        let picture = Picture::generate("old.jpg", 5_000_000);
        let sealed = seal_picture(&device.collection_key(album), &picture);
        let mints = device.mint_legacy(2).await;
        device.put(&mints[1].url, &sealed.thumbnail.bytes, &[]).await.accepted();
        let mut session = device.mint_parts_legacy(1, sealed.file.bytes.len()).await;
        let answer = device.put(&session.part_urls[0], &sealed.file.bytes, &[]).await;
        session.etags[0] = Some(device.etag_of(&answer));
        let answer = device.post_xml(&session.complete_url, &web::complete_xml(&session)).await;
        answer.accepted();
        let body = device.commit_body(album, &sealed, &session.key, &mints[1].key);
        let committed = device.commit(body).await;
        web::pull(&mut device).await;
        check_picture(&device, album, committed.row.id, &picture).await;
    })
    .await;
}

/// The stubs that web asks for beside the transcript: none of them may be HTML, or missing its CORS headers.
#[tokio::test]
async fn unknown_routes_and_stubs_are_json_with_cors() {
    let mut server = crate::scene::on_sqlite().await;
    let device = new_web(&server).await;
    for (path, status) in
        [("/discount/claim", 404), ("/no/such/route", 404), ("/passkeys", 404), ("/family/members", 501)]
    {
        device.http.call(Method::GET, path, None).await.refused(status);
    }
    let body = json!({"fileIDs": [], "type": "mldata"});
    let answer = device.http.call(Method::POST, "/files/data/fetch", Some(&body)).await.ok();
    let fields = Fields::of("data", &answer);
    for list in ["data", "pendingIndexFileIDs", "errFileIDs"] {
        fields.list(list);
    }
    let answer = device.http.call(Method::GET, "/emergency-contacts/info", None).await.ok();
    let fields = Fields::of("emergency", &answer);
    for list in ["contacts", "recoverSessions", "othersEmergencyContact", "othersRecoverySession"] {
        fields.list(list);
    }
    let answer = device.http.call(Method::GET, "/users/two-factor/recovery-status", None).await.ok();
    let fields = Fields::of("status", &answer);
    fields.boolean("allowAdminReset");
    fields.boolean("isPasskeyRecoveryEnabled");
    server.stop();
}
