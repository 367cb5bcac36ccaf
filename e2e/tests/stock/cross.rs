//! Several kinds of client on one account: what one does, the others see, byte for byte.

use crate::scene::{
    PASSWORD, album, another, fresh_email, new_phone, new_web, normal, on_each_engine, on_sqlite,
    small_picture, upload,
};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::web::{self, DESKTOP, WEB};
use darkslide_e2e::stock::{CollectionKind, Device, Padding, command_line};
use darkslide_e2e::vault::Stretching;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn web_uploads_a_phone_edits_the_command_line_exports() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let summer = album(&mut web, "Summer").await;
        let (kept, _) = upload(&web, summer, "kept.jpg").await;
        let (archived, _) = upload(&web, summer, "archived.jpg").await;
        let (trashed, _) = upload(&web, summer, "trashed.jpg").await;
        let mut phone = another(server, &web, ANDROID).await;
        mobile::sync(&mut phone).await;
        for picture in [&kept, &archived, &trashed] {
            assert_eq!(
                mobile::download(&phone, &row(&phone, summer, picture)).await.content,
                picture.content
            );
        }
        edit_on_the_phone(&mut phone, summer, &archived, &trashed).await;
        web::pull(&mut web).await;
        assert_eq!(web.collection_name(summer), "Summer in Zürich");
        let seen = row(&web, summer, &archived);
        assert_eq!(web.private_of(&seen), json!({"visibility": 1}));
        assert_eq!(web.public_of(&seen)["editedName"], "renamed.jpg");
        assert_eq!(web.mirror.trash.len(), 1);

        let mut export = command_line::add_account(server, &web.account().email, PASSWORD).await;
        let (files, _) = command_line::export(&mut export).await;
        let contents: Vec<&Vec<u8>> = files.values().collect();
        assert_eq!(contents, [&archived.content, &kept.content], "archiving is the clients' own affair");
    })
    .await;
}

/// Archives one picture, renames it, trashes another, renames the album.
async fn edit_on_the_phone(
    phone: &mut Device,
    summer: i64,
    archived: &darkslide_e2e::vault::Picture,
    trashed: &darkslide_e2e::vault::Picture,
) {
    let target = row(phone, summer, archived);
    phone.set_visibility(&target, 0, 1).await.ok();
    let seen = target.public_magic.as_ref().unwrap();
    let keys = json!({"editedName": "renamed.jpg", "w": 4032});
    phone.set_public(&target, seen.version, &keys).await.ok();
    phone.trash(&[(row(phone, summer, trashed).id, summer)]).await.ok();
    phone.rename(summer, "Summer in Zürich").await.ok();
    mobile::sync(phone).await;
}

/// The row of a picture, found by its decrypted name as a person would.
fn row(
    device: &Device,
    album: i64,
    picture: &darkslide_e2e::vault::Picture,
) -> darkslide_e2e::stock::FileRow {
    let title = &picture.metadata["title"];
    let rows = device.mirror.live(album);
    rows.into_iter().find(|row| device.metadata(row)["title"] == *title).unwrap().clone()
}

/// With the password stretched as every account has it, twice.
#[tokio::test]
async fn a_new_password_is_noticed_by_the_other_devices() {
    let mut server = on_sqlite().await;
    let mut first = Device::new(&server.base(), WEB);
    first.stretching = Stretching::Real;
    let email = normal(&fresh_email());
    sign_up_again(&server, &mut first, &email).await;
    let mut second = another_real(&server, &email, PASSWORD).await;
    let salt = second.srp_attributes(&email).await.unwrap().kek_salt;
    first.change_password("new password 2", Padding::Full, Some(false)).await;
    web::check_session(&first).await;
    assert_ne!(second.srp_attributes(&email).await.unwrap().kek_salt, salt, "noticed by the salt");
    second.pull(darkslide_e2e::stock::PullRule::Unequal, None).await;
    let third = another_real(&server, &email, "new password 2").await;
    assert_eq!(third.account().keys, first.account().keys, "the keys stay");
    server.stop();
}

async fn another_real(server: &ServerProcess, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), DESKTOP);
    device.stretching = Stretching::Real;
    device.log_in_with_password(email, password).await;
    device
}

async fn sign_up_again(server: &ServerProcess, device: &mut Device, email: &str) {
    device.ask_for_code(email, Some("signup")).await.ok();
    let new = device.stretching.new_account(PASSWORD);
    let authorization = device.verify_email(email, &server.code_for(email)).await;
    device.http.token.clone_from(&authorization.token);
    device.put_attributes(&new.attributes).await;
    device.register_srp(&new.login_key, Padding::Full).await;
    device.enter_new(email, &authorization, new);
}

#[tokio::test]
async fn a_new_password_logs_the_others_out_unless_told_otherwise() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut first = new_phone(server).await;
        let second = another(server, &first, WEB).await;
        first.change_password("another password", Padding::Minimal, None).await;
        second.http.call(Method::GET, "/users/session-validity/v2", None).await.refused(401);
        mobile::sync(&mut first).await;
    })
    .await;
}

/// A forgotten password: a mailed code, the 24 words, and a new password.
#[tokio::test]
async fn the_words_bring_an_account_back() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let summer = album(&mut web, "Summer").await;
        let (picture, _) = small_picture(&mut web, summer, "kept.jpg").await;
        let email = web.account().email.clone();
        let mut phone = Device::new(&server.base(), ANDROID);
        phone.ask_for_code(&email, Some("")).await.ok();
        let code = server.code_for(&email);
        phone.log_in_with_words(&email, &code, &web.account().words).await;
        phone.change_password("remembered this time", Padding::Minimal, None).await;
        mobile::sync(&mut phone).await;
        let row = row(&phone, summer, &picture);
        assert_eq!(mobile::download(&phone, &row).await.content, picture.content);
        let mut other = Device::new(&server.base(), WEB);
        other.log_in_with_password(&email, "remembered this time").await;
        assert_eq!(other.account().keys, web.account().keys);
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed_and_revoked() {
    on_each_engine(async |server: &mut ServerProcess| {
        let phone = new_phone(server).await;
        let web = another(server, &phone, WEB).await;
        let sessions = phone.sessions().await;
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions.iter().filter(|(_, own)| *own).count(), 1, "the caller finds itself");
        let (other, _) = sessions.iter().find(|(_, own)| !own).unwrap();
        phone.revoke(other).await.ok();
        // At once, and only that one.
        web.http.call(Method::GET, "/users/session-validity/v2", None).await.refused(401);
        assert_eq!(phone.sessions().await.len(), 1);
        phone.revoke(phone.http.token.as_ref().unwrap()).await.ok();
        phone.http.call(Method::GET, "/collections/v2?sinceTime=0", None).await.refused(401);
    })
    .await;
}

#[tokio::test]
async fn an_account_is_deleted_and_its_address_is_free_again() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let summer = album(&mut web, "Summer").await;
        let (_, row) = small_picture(&mut web, summer, "gone.jpg").await;
        let url = mobile::redirect_of(&another(server, &web, ANDROID).await, "download", row.id).await;
        let email = web.account().email.clone();
        let other = another(server, &web, ANDROID).await;
        web.delete_account().await;
        for device in [&web, &other] {
            device.http.call(Method::GET, "/collections/v2?sinceTime=0", None).await.refused(401);
        }
        let stranger = Device::new(&server.base(), ANDROID);
        stranger.ask_for_code(&email, Some("login")).await.refused_with(404, "USER_NOT_REGISTERED");
        let blob = reqwest::get(url).await.unwrap();
        assert_eq!(blob.status(), 404, "what was given out before leads nowhere");
        let again = web::sign_up(server, WEB, &email, PASSWORD).await;
        assert!(again.mirror.collections.is_empty());
        assert_ne!(again.account().id, other.account().id);
    })
    .await;
}

#[tokio::test]
async fn an_address_is_changed_and_the_others_learn_it() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let phone = another(server, &web, ANDROID).await;
        let taken = new_phone(server).await.account().email.clone();
        web.ask_for_code(&taken, Some("change")).await.refused(403);
        let new = normal(&fresh_email());
        web.ask_for_code(&new, Some("change")).await.ok();
        let body = json!({"email": new, "ott": server.code_for(&new)});
        web.http.call(Method::POST, "/users/change-email", Some(&body)).await.ok();
        web.account.as_mut().unwrap().email.clone_from(&new);
        web::check_details(&web).await;
        let answer = phone.http.call(Method::GET, "/users/details/v2", None).await.ok();
        assert_eq!(answer["email"], new.as_str());
        another(server, &web, DESKTOP).await;
    })
    .await;
}

/// Two devices make their Favorites at the same time: there is one.
#[tokio::test]
async fn trap_37_favorites_exist_once() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let mut phone = another(server, &web, ANDROID).await;
        for kind in [CollectionKind::Favorites, CollectionKind::Uncategorized] {
            let first = web.create_collection("Favorites", kind).await;
            let body = phone.collection_body("F", kind);
            let second = phone.http.call(Method::POST, "/collections", Some(&body)).await.ok();
            assert_eq!(second["collection"]["id"], first, "the existing one, with 200");
            mobile::sync(&mut phone).await;
            assert_eq!(phone.collection_name(first), "Favorites");
            web.delete_collection(first, false).await.refused(400);
        }
    })
    .await;
}
