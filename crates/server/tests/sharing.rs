//! Albums shared between accounts over HTTP, as stock clients play it: given, seen, added to, taken back, left; and refused.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::{Opaque, Version};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::TestServer;
use support::mirror::Mirror;
use support::vault::{Vault, keys};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const EVE: &str = "eve@example.org";

fn time(value: &Value) -> i64 {
    value["updationTime"].as_i64().unwrap()
}

/// What shares an album; the server cannot tell what is sealed.
fn share(album: i64, email: &str, role: &str) -> Value {
    json!({ "collectionID": album, "email": email, "encryptedKey": Opaque::encode([5; 80]), "role": role })
}

fn envelope(version: i64) -> Value {
    json!({ "version": version, "count": 1, "data": "ZA==", "header": "aA==" })
}

/// Ada has an album with two files, which Bob sees in this role; Eve is on the same server.
struct Family<'s> {
    ada: Vault<'s>,
    bob: Vault<'s>,
    eve: Vault<'s>,
    album: i64,
    files: [i64; 2],
}

impl<'s> Family<'s> {
    async fn new(server: &'s TestServer, role: &str) -> Self {
        let ada = Vault::new(server, ADA).await;
        let (bob, eve) = (Vault::new(server, BOB).await, Vault::new(server, EVE).await);
        let album = ada.album().await;
        let files = [ada.file(album, 1).await, ada.file(album, 2).await];
        ada.post("/collections/share", share(album, BOB, role)).await.ok();
        Self { ada, bob, eve, album, files }
    }

    /// That what Bob makes of the ordered feed is what the base API shows him, and Ada likewise.
    async fn must_agree(&self) {
        let store = &self.ada.server.shared.store;
        for vault in [&self.ada, &self.bob, &self.eve] {
            let mut mirror = Mirror::after(vault.person.id, Version(0));
            while mirror.read(store, 2).await {}
            mirror.must_be_what_the_base_says(store).await;
        }
    }
}

async fn must_be_without(vault: &Vault<'_>, album: i64, files: &[i64]) {
    vault.get(&format!("/collections/{album}")).await.failed(404, None);
    vault.get(&format!("/collections/v2/diff?collectionID={album}")).await.failed(404, None);
    vault.get(&format!("/collections/sharees?collectionID={album}")).await.failed(404, None);
    for file in files {
        let path = format!("/collections/file?collectionID={album}&fileID={file}");
        vault.get(&path).await.failed(404, Some("FILE_NOT_FOUND_IN_ALBUM"));
        vault.get(&format!("/files/download/{file}")).await.failed(404, None);
        vault.get(&format!("/files/preview/{file}")).await.failed(404, None);
    }
}

#[tokio::test]
async fn an_album_is_seen_by_whom_it_is_shared_with() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, files, .. } = &family;
    let listed = bob.collection(*album).await;
    assert_eq!(listed["encryptedKey"], json!(Opaque::encode([5; 80])));
    assert!(listed.get("keyDecryptionNonce").is_none() && listed["sharedAt"].as_i64().unwrap() > 0);
    assert_eq!(listed["owner"], json!({ "id": ada.person.id.0, "email": ADA, "name": "", "role": "OWNER" }));
    assert_eq!(listed["attributes"], json!({ "version": 0 }));
    assert_eq!(listed["isDeleted"], false);
    let sharees = json!([{ "id": bob.person.id.0, "email": BOB, "name": "", "role": "VIEWER" }]);
    for vault in [ada, bob] {
        let all = vault.get(&format!("/collections/sharees?collectionID={album}")).await.ok();
        assert_eq!(all, json!({ "sharees": sharees }));
        assert_eq!(vault.collection(*album).await["sharees"], sharees);
        let one = vault.get(&format!("/collections/{album}")).await.ok();
        assert_eq!(one["collection"]["sharees"], sharees);
        assert_eq!(one["collection"]["owner"]["email"], ADA);
    }
    assert_eq!(ada.collection(*album).await["owner"]["email"], "");
    assert_eq!(time(&ada.collection(*album).await), time(&listed), "one number in both lists");
    assert_eq!(bob.live(*album).await, files);
    assert_eq!(bob.download(files[0]).await, ada.download(files[0]).await);
    bob.location(&format!("/files/preview/{}", files[0])).await;
    let found = bob.get(&format!("/collections/file?collectionID={album}&fileID={}", files[0])).await.ok();
    assert_eq!(found["file"]["collectionOwnerID"], ada.person.id.0);
    let paged = bob.get("/collections/v3").await.ok();
    assert_eq!((&paged["owned"], &paged["shared"][0]["id"]), (&json!([]), &json!(album)));
    let end = bob.get(&format!("/collections/v3?sharedSinceTime={}", time(&listed))).await.ok();
    assert_eq!(end, json!({ "owned": [], "shared": [] }));
    family.must_agree().await;
}

#[tokio::test]
async fn what_the_owner_does_is_news_to_all() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, files: [one, two], .. } = &family;
    let seen = time(&bob.collection(*album).await);
    let magic = json!({ "metadataList": [{ "id": one, "magicMetadata": envelope(1) }] });
    ada.put("/files/magic-metadata", magic).await.ok();
    let diff = bob.diff(*album, seen).await;
    assert_eq!((diff.len(), &diff[0]["id"]), (1, &json!(one)));
    assert!(diff[0].get("magicMetadata").is_none(), "the owner's alone");
    ada.put("/collections/magic-metadata", json!({ "id": album, "magicMetadata": envelope(1) })).await.ok();
    ada.put("/collections/public-magic-metadata", json!({ "id": album, "magicMetadata": envelope(1) }))
        .await
        .ok();
    let name = json!({ "collectionID": album, "encryptedName": "bmV3", "nameDecryptionNonce": "bm4=" });
    ada.post("/collections/rename", name).await.ok();
    let listed = bob.collections(seen).await;
    assert_eq!((listed.len(), &listed[0]["encryptedName"]), (1, &json!("bmV3")));
    assert!(listed[0].get("magicMetadata").is_none());
    assert_eq!(listed[0]["pubMagicMetadata"]["version"], 2);
    ada.trash(&[(*one, *album)]).await.ok();
    assert_eq!(bob.live(*album).await, [*two]);
    bob.get(&format!("/files/download/{one}")).await.failed(404, None);
    assert_eq!(bob.trash_diff(0).await.len(), 0, "another's trash is not shown");
    ada.post("/collections/restore-files", keys(*album, &[*one])).await.ok();
    assert_eq!(bob.live(*album).await.len(), 2);
    ada.trash(&[(*one, *album)]).await.ok();
    ada.post("/trash/delete", json!({ "fileIDs": [one] })).await.ok();
    assert_eq!(bob.live(*album).await, [*two]);
    family.must_agree().await;
    ada.delete(&format!("/collections/v3/{album}?collectionID={album}&keepFiles=false")).await.ok();
    must_be_without(bob, *album, &[*one, *two]).await;
    let gone = bob.collection(*album).await;
    assert_eq!((&gone["isDeleted"], &gone["sharees"]), (&json!(true), &json!([])));
    family.must_agree().await;
}

#[tokio::test]
async fn what_is_taken_back_is_a_tombstone_that_learns_nothing_more() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, files, .. } = &family;
    let seen = time(&bob.collection(*album).await);
    let unshare = json!({ "collectionID": album, "email": BOB });
    for _ in 0..2 {
        assert_eq!(ada.post("/collections/unshare", unshare.clone()).await.ok(), json!({ "sharees": [] }));
    }
    let name = json!({ "collectionID": album, "encryptedName": "bmV3", "nameDecryptionNonce": "bm4=" });
    ada.post("/collections/rename", name).await.ok();
    let listed = bob.collections(seen).await;
    assert_eq!((listed.len(), &listed[0]["isDeleted"]), (1, &json!(true)));
    assert_eq!((&listed[0]["sharees"], &listed[0]["owner"]["email"]), (&json!([]), &json!("")));
    assert_eq!(listed[0]["encryptedName"], "bmFtZQ==", "what it is called since is not for him");
    assert!(bob.collections(time(&listed[0])).await.is_empty());
    must_be_without(bob, *album, files).await;
    family.must_agree().await;
    ada.trash(&[(files[0], *album)]).await.ok();
    ada.post("/collections/share", share(*album, BOB, "VIEWER")).await.ok();
    assert_eq!(bob.live(*album).await, [files[1]]);
    let again = bob.collections(time(&listed[0])).await;
    assert_eq!((&again[0]["isDeleted"], &again[0]["encryptedName"]), (&json!(false), &json!("bmV3")));
    assert!(bob.diff(*album, time(&listed[0])).await.len() == 2, "all of it is numbered anew");
    family.must_agree().await;
}

#[tokio::test]
async fn who_leaves_is_gone_and_owners_cannot() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, eve, album, files } = &family;
    let path = format!("/collections/leave/{album}");
    ada.post(&path, json!({})).await.failed(403, None);
    eve.post(&path, json!({})).await.ok();
    for _ in 0..2 {
        bob.post(&path, json!({})).await.ok();
    }
    must_be_without(bob, *album, files).await;
    assert_eq!(ada.collection(*album).await["sharees"], json!([]));
    assert_eq!(ada.live(*album).await, files);
    family.must_agree().await;
}

#[tokio::test]
async fn only_what_can_be_shared_is_shared_and_only_with_others() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, album, .. } = &family;
    let uncategorized = ada.create("uncategorized").await["id"].as_i64().unwrap();
    let favorites = ada.create("favorites").await["id"].as_i64().unwrap();
    ada.post("/collections/share", share(favorites, BOB, "VIEWER")).await.ok();
    let short = json!({ "collectionID": album, "email": BOB, "encryptedKey": Opaque::encode([5; 48]) });
    for (body, status) in [
        (share(*album, "nobody@example.org", "VIEWER"), 404),
        (share(*album, ADA, "VIEWER"), 400),
        (share(uncategorized, BOB, "VIEWER"), 400),
        (share(*album, BOB, "OWNER"), 400),
        (share(*album, BOB, "king"), 400),
        (share(1 << 40, BOB, "VIEWER"), 404),
        (short, 400),
    ] {
        let answer = ada.post("/collections/share", body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    let none = json!({ "collectionID": album, "email": EVE, "encryptedKey": Opaque::encode([5; 80]) });
    let sharees = ada.post("/collections/share", none).await.ok();
    assert_eq!(sharees["sharees"][1]["role"], "VIEWER");
    let nobody = json!({ "collectionID": album, "email": "nobody@example.org" });
    ada.post("/collections/unshare", nobody).await.failed(404, None);
    let sharees = ada.post("/collections/share", share(*album, " Eve@Example.org ", "ADMIN")).await.ok();
    assert_eq!(sharees["sharees"][1]["role"], "ADMIN", "given again, it is another role");
}

/// What neither a stranger nor a viewer may do to an album and its files; `own` is an album of theirs.
async fn must_be_refused(vault: &Vault<'_>, album: i64, file: i64, own: i64) {
    let mine = vault.file(own, 77).await;
    let name = json!({ "collectionID": album, "encryptedName": "bmV3", "nameDecryptionNonce": "bm4=" });
    let files = |from: i64, to: i64, id: i64| {
        let files = keys(to, &[id])["files"].clone();
        json!({ "fromCollectionID": from, "toCollectionID": to, "files": files })
    };
    for (path, body) in [
        ("/collections/share", share(album, EVE, "VIEWER")),
        ("/collections/unshare", json!({ "collectionID": album, "email": BOB })),
        ("/collections/rename", name),
        ("/collections/add-files", keys(album, &[mine])),
        ("/collections/add-files", keys(own, &[file])),
        ("/collections/move-files", files(album, own, file)),
        ("/collections/move-files", files(own, album, mine)),
        ("/collections/restore-files", keys(album, &[mine])),
        ("/collections/v3/remove-files", json!({ "collectionID": album, "fileIDs": [file] })),
        ("/files/trash", json!({ "items": [{ "fileID": file, "collectionID": album }] })),
        ("/files/trash", json!({ "items": [{ "fileID": mine, "collectionID": album }] })),
    ] {
        let answer = vault.post(path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {body}");
    }
    for path in ["/collections/magic-metadata", "/collections/public-magic-metadata"] {
        vault.put(path, json!({ "id": album, "magicMetadata": envelope(1) })).await.failed(403, None);
    }
    for path in ["/files/magic-metadata", "/files/public-magic-metadata"] {
        let magic = json!({ "metadataList": [{ "id": file, "magicMetadata": envelope(1) }] });
        vault.put(path, magic).await.failed(403, None);
    }
    let commit = vault.stored_pair(album, b"an original", b"a thumbnail").await;
    vault.post("/files", commit.clone()).await.failed(403, None);
    let mut update = commit;
    update["id"] = json!(file);
    vault.put("/files/update", update).await.failed(403, None);
    let path = format!("/collections/v3/{album}?collectionID={album}&keepFiles=false");
    vault.delete(&path).await.failed(403, None);
    vault.post("/trash/delete", json!({ "fileIDs": [file] })).await.ok();
    vault.get(&format!("/v1/files/{file}/versions")).await.failed(404, Some("NOT_FOUND"));
}

#[tokio::test]
async fn a_stranger_may_nothing_and_a_viewer_only_look() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, eve, album, files } = &family;
    must_be_without(eve, *album, files).await;
    let magic = json!({ "id": album, "magicMetadata": envelope(1) });
    eve.put("/collections/sharee-magic-metadata", magic.clone()).await.failed(403, None);
    ada.put("/collections/sharee-magic-metadata", magic).await.failed(403, None);
    for vault in [eve, bob] {
        let own = vault.album().await;
        must_be_refused(vault, *album, files[0], own).await;
    }
    assert_eq!(ada.live(*album).await, files);
    assert_eq!(ada.collection(*album).await["sharees"].as_array().unwrap().len(), 1);
    family.must_agree().await;
}

#[tokio::test]
async fn what_somebody_keeps_about_an_album_of_others_is_theirs_alone() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, .. } = &family;
    let seen = time(&bob.collection(*album).await);
    let magic = json!({ "id": album, "magicMetadata": envelope(3) });
    bob.put("/collections/sharee-magic-metadata", magic).await.ok();
    let listed = bob.collections(seen).await;
    assert_eq!(listed[0]["sharedMagicMetadata"], envelope(3), "as it was sent");
    assert!(ada.collection(*album).await.get("sharedMagicMetadata").is_none());
}

#[tokio::test]
async fn a_collaborator_adds_own_files_and_takes_them_away() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "COLLABORATOR").await;
    let Family { ada, bob, album, files, .. } = &family;
    let home = bob.album().await;
    let (first, second) = (bob.file(home, 3).await, bob.file(home, 4).await);
    bob.post("/collections/add-files", keys(*album, &[first, second])).await.ok();
    assert_eq!(ada.live(*album).await, [files[0], files[1], first, second]);
    assert_eq!(ada.download(first).await, bob.download(first).await);
    family.must_agree().await;
    let remove = |ids: &[i64]| json!({ "collectionID": album, "fileIDs": ids });
    bob.post("/collections/v3/remove-files", remove(&[files[0]])).await.failed(403, None);
    bob.post("/collections/v3/remove-files", remove(&[first])).await.ok();
    ada.post("/collections/v3/remove-files", remove(&[files[0]])).await.failed(400, Some("BAD_REQUEST"));
    ada.get(&format!("/files/download/{first}")).await.failed(404, None);
    // What its owner trashes leaves the albums of others too; what the album's owner deletes stays where else it is.
    bob.trash(&[(second, home)]).await.ok();
    assert_eq!(ada.live(*album).await, files);
    bob.post("/collections/restore-files", keys(home, &[second])).await.ok();
    bob.post("/collections/add-files", keys(*album, &[first, second])).await.ok();
    ada.post("/collections/v3/remove-files", remove(&[second])).await.ok();
    ada.delete(&format!("/collections/v3/{album}?collectionID={album}&keepFiles=false")).await.ok();
    let mut mine = bob.live(home).await;
    mine.sort_unstable();
    assert_eq!(mine, [first, second]);
    assert_eq!(ada.trash_diff(0).await.len(), 2, "only her own");
    ada.get(&format!("/files/download/{first}")).await.failed(404, None);
    family.must_agree().await;
}

#[tokio::test]
async fn who_is_sent_away_takes_their_files_along() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "ADMIN").await;
    let Family { ada, bob, eve, album, files } = &family;
    let home = bob.album().await;
    let his = bob.file(home, 3).await;
    bob.post("/collections/add-files", keys(*album, &[his])).await.ok();
    bob.post("/collections/share", share(*album, EVE, "COLLABORATOR")).await.ok();
    let hers = eve.file(eve.album().await, 4).await;
    eve.post("/collections/add-files", keys(*album, &[hers])).await.ok();
    let remove = |id: i64| json!({ "collectionID": album, "fileIDs": [id] });
    bob.post("/collections/v3/remove-files", remove(files[0])).await.failed(403, None);
    bob.post("/collections/v3/remove-files", remove(hers)).await.ok();
    ada.post("/collections/unshare", json!({ "collectionID": album, "email": BOB })).await.ok();
    assert_eq!(eve.live(*album).await, files);
    assert_eq!(bob.live(home).await, [his]);
    let version = bob.diff(home, 0).await[0]["updationTime"].clone();
    let item = json!({ "fileID": his, "collectionID": home, "ifVersion": version });
    bob.post("/files/trash", json!({ "items": [item] })).await.ok();
    family.must_agree().await;
}

#[tokio::test]
async fn another_address_is_news_to_all_who_see_it() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, .. } = &family;
    let store = &server.shared.store;
    for (vault, email) in [(ada, "ida@example.org"), (bob, "rob@example.org")] {
        let (seen, read) = (time(&ada.collection(*album).await), time(&bob.collection(*album).await));
        store.change_email(vault.person.id, email).await.unwrap();
        let sharee = ada.collections(seen).await[0]["sharees"][0]["email"].clone();
        let owner = bob.collections(read).await[0]["owner"]["email"].clone();
        assert!([sharee, owner].contains(&json!(email)));
    }
    family.must_agree().await;
}

#[tokio::test]
async fn a_deleted_account_shares_nothing_and_sees_nothing() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "COLLABORATOR").await;
    let Family { ada, bob, eve, album, files } = &family;
    let home = bob.album().await;
    let his = bob.file(home, 3).await;
    bob.post("/collections/add-files", keys(*album, &[his])).await.ok();
    bob.post("/collections/share", share(home, EVE, "VIEWER")).await.ok();
    ada.post("/collections/share", share(*album, EVE, "VIEWER")).await.ok();
    // Restored, so that the row of its trash stays and names his album.
    bob.post("/files/trash", json!({"items": [{"fileID": his, "collectionID": home}]})).await.ok();
    bob.post("/collections/restore-files", keys(home, &[his])).await.ok();
    bob.post("/collections/add-files", keys(*album, &[his])).await.ok();
    let store = &server.shared.store;
    assert!(store.delete_account(bob.person.id).await.unwrap());
    for _ in 0..2 {
        assert_eq!(ada.live(*album).await, files);
        assert_eq!(eve.live(*album).await, files);
        let sharees = ada.collection(*album).await["sharees"].clone();
        assert_eq!((sharees.as_array().unwrap().len(), &sharees[0]["email"]), (1, &json!(EVE)));
        let gone = eve.collection(home).await;
        assert_eq!((&gone["isDeleted"], &gone["owner"]["email"]), (&json!(true), &json!("")));
        must_be_without(eve, home, &[his]).await;
        ada.get(&format!("/files/download/{his}")).await.failed(404, None);
        for vault in [ada, eve] {
            let mut mirror = Mirror::after(vault.person.id, Version(0));
            while mirror.read(store, 2).await {}
            mirror.must_be_what_the_base_says(store).await;
        }
        // The same once what he left has been removed.
        while store.remove_deleted_rows(2).await.unwrap() > 0 {}
    }
}

#[tokio::test]
async fn what_left_an_album_is_not_told_to_those_who_come_later() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, eve, album, files } = &family;
    let gone = files[0];
    ada.post("/files/trash", json!({"items": [{"fileID": gone, "collectionID": album}]})).await.ok();
    ada.post("/collections/share", share(*album, EVE, "VIEWER")).await.ok();
    for vault in [bob, eve] {
        let path = format!("/collections/v2/diff?collectionID={album}&sinceTime=0");
        let diff = vault.get(&path).await.ok();
        let entry = diff["diff"].as_array().unwrap().iter().find(|entry| entry["id"] == json!(gone)).cloned();
        let entry = entry.unwrap();
        assert_eq!(entry["isDeleted"], true);
        assert!(entry["metadata"]["encryptedData"].as_str().unwrap_or_default().is_empty(), "{entry}");
        assert!(entry["pubMagicMetadata"].is_null() && entry["info"].is_null(), "{entry}");
    }
}

#[tokio::test]
async fn an_album_is_taken_back_from_an_account_that_is_shut_out() {
    let server = TestServer::start().await;
    let family = Family::new(&server, "VIEWER").await;
    let Family { ada, bob, album, .. } = &family;
    darkslide_server::operator::disable(&server.shared.store, BOB).await.unwrap();
    ada.post("/collections/share", share(*album, BOB, "COLLABORATOR")).await.failed(404, None);
    ada.post("/collections/unshare", json!({"collectionID": album, "email": BOB})).await.ok();
    darkslide_server::operator::enable(&server.shared.store, BOB).await.unwrap();
    bob.get(&format!("/files/download/{}", family.files[0])).await.failed(401, None);
    assert_eq!(ada.collection(*album).await["sharees"], json!([]));
}
