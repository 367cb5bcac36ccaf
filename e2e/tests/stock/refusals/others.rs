//! Another account's ids, on every route that takes one: refused, and nothing changes.

use crate::scene::{album, another, new_web, on_each_engine, on_sqlite, small_picture, upload};
use darkslide_e2e::fields::Fields;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::ANDROID;
use darkslide_e2e::stock::{Device, FileRow, Mirror, web};
use darkslide_e2e::vault::to_text;
use reqwest::Method;
use serde_json::{Value, json};

/// Somebody with an album, a file in it and one in the trash.
struct Victim {
    device: Device,
    album: i64,
    file: FileRow,
    commit: Value,
    trashed: i64,
    uncommitted: [String; 2],
}

/// All that one account can see of itself.
#[derive(Debug, PartialEq)]
struct State {
    mirror: Mirror,
    usage: (i64, i64),
    sessions: usize,
    content: Vec<u8>,
}

async fn victim(server: &ServerProcess) -> Victim {
    let mut device = new_web(server).await;
    let album = album(&mut device, "Private").await;
    let (_, committed) = upload(&device, album, "private.jpg").await;
    let (_, row) = small_picture(&mut device, album, "trashed.jpg").await;
    device.trash(&[(row.id, album)]).await.ok();
    web::pull(&mut device).await;
    let file = device.mirror.files[&(album, committed.row.id)].clone();
    let [first, second] = [device.mint(b"first", "").await, device.mint(b"second", "").await];
    device.put(&first.url, b"first", &[]).await.accepted();
    device.put(&second.url, b"second", &[]).await.accepted();
    let uncommitted = [first.key, second.key];
    Victim { device, album, file, commit: committed.body, trashed: row.id, uncommitted }
}

impl Victim {
    async fn state(&mut self) -> State {
        self.device.mirror = Mirror::default();
        web::pull(&mut self.device).await;
        State {
            mirror: self.device.mirror.clone(),
            usage: web::check_details(&self.device).await,
            sessions: self.device.sessions().await.len(),
            content: web::download(&self.device, &self.file).await.content,
        }
    }
}

/// One attempt: what is tried, how, and with which statuses it may be refused.
type Attempt = (&'static str, Method, String, Option<Value>, &'static [u16]);

const NONE_OF_YOURS: &[u16] = &[403, 404];
const MALFORMED_OR_NOT_YOURS: &[u16] = &[400, 403, 404];

#[tokio::test]
async fn ids_of_another_account() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut victim = victim(server).await;
        let mut mallory = new_web(server).await;
        let own = album(&mut mallory, "Mine").await;
        let (_, own_file) = small_picture(&mut mallory, own, "mine.jpg").await;
        let before = victim.state().await;
        let mut attempts = on_collections(&victim, own, own_file.id);
        attempts.extend(on_files(&victim, own, own_file.id));
        for (what, method, path, body, refusals) in attempts {
            let answer = mallory.http.call(method, &path, body.as_ref()).await;
            assert!(refusals.contains(&answer.status), "{what}: {answer:?}");
        }
        assert_eq!(victim.state().await, before, "nothing changed");
        mallory.mirror = Mirror::default();
        web::pull(&mut mallory).await;
        assert_eq!(mallory.mirror.files.len(), 1, "and nothing was gained");
    })
    .await;
}

fn file_keys(collection: i64, file: i64) -> Value {
    json!({"collectionID": collection, "files": [{
        "id": file, "encryptedKey": to_text([1; 48]), "keyDecryptionNonce": to_text([2; 24]),
    }]})
}

fn moving(from: i64, to: i64, file: i64) -> Value {
    let mut body = file_keys(to, file);
    (body["fromCollectionID"], body["toCollectionID"]) = (from.into(), to.into());
    body
}

fn magic(id: i64) -> Value {
    json!({"id": id, "magicMetadata":
        {"version": 1, "count": 1, "data": "ZGF0YQ==", "header": to_text([3; 24])}})
}

fn on_collections(victim: &Victim, own: i64, own_file: i64) -> Vec<Attempt> {
    let (theirs, file, trashed) = (victim.album, victim.file.id, victim.trashed);
    let post = |what, path: &str, body, refusals| (what, Method::POST, path.to_owned(), Some(body), refusals);
    let get = |what, path| (what, Method::GET, path, None, &[404][..]);
    let name = json!({"collectionID": theirs, "encryptedName": "bmFtZQ==",
        "nameDecryptionNonce": to_text([2; 24])});
    vec![
        get("reading a collection", format!("/collections/{theirs}")),
        get("its diff", format!("/collections/v2/diff?collectionID={theirs}&sinceTime=0")),
        get("a file in it", format!("/collections/file?collectionID={theirs}&fileID={file}")),
        post("taking a file", "/collections/add-files", file_keys(own, file), MALFORMED_OR_NOT_YOURS),
        post("planting a file", "/collections/add-files", file_keys(theirs, own_file), NONE_OF_YOURS),
        post("moving out", "/collections/move-files", moving(theirs, own, file), MALFORMED_OR_NOT_YOURS),
        post("moving in", "/collections/move-files", moving(own, theirs, own_file), NONE_OF_YOURS),
        post("moving within", "/collections/move-files", moving(own, own + 1, file), MALFORMED_OR_NOT_YOURS),
        post("restoring", "/collections/restore-files", file_keys(theirs, trashed), MALFORMED_OR_NOT_YOURS),
        post(
            "restoring to oneself",
            "/collections/restore-files",
            file_keys(own, trashed),
            MALFORMED_OR_NOT_YOURS,
        ),
        post(
            "removing",
            "/collections/v3/remove-files",
            json!({"collectionID": theirs, "fileIDs": [file]}),
            NONE_OF_YOURS,
        ),
        post("renaming", "/collections/rename", name, NONE_OF_YOURS),
        (
            "deleting",
            Method::DELETE,
            format!("/collections/v3/{theirs}?collectionID={theirs}&keepFiles=false"),
            None,
            NONE_OF_YOURS,
        ),
        (
            "deleting under another id",
            Method::DELETE,
            format!("/collections/v3/{theirs}?collectionID={own}&keepFiles=false"),
            None,
            MALFORMED_OR_NOT_YOURS,
        ),
        (
            "private metadata",
            Method::PUT,
            "/collections/magic-metadata".to_owned(),
            Some(magic(theirs)),
            NONE_OF_YOURS,
        ),
        (
            "public metadata",
            Method::PUT,
            "/collections/public-magic-metadata".to_owned(),
            Some(magic(theirs)),
            NONE_OF_YOURS,
        ),
    ]
}

fn on_files(victim: &Victim, own: i64, own_file: i64) -> Vec<Attempt> {
    let (theirs, file) = (victim.album, victim.file.id);
    let post = |what, path: &str, body, refusals| (what, Method::POST, path.to_owned(), Some(body), refusals);
    let get = |what, path| (what, Method::GET, path, None, &[404][..]);
    let put = |what, path: &str, body, refusals| (what, Method::PUT, path.to_owned(), Some(body), refusals);
    let item = |file, collection| json!({"items": [{"fileID": file, "collectionID": collection}]});
    let metadata = json!({"metadataList": [magic(file)]});
    let replay = victim.commit.clone();
    let with = |collection: i64, keys: Option<&[String; 2]>| {
        let mut body = replay.clone();
        body["collectionID"] = collection.into();
        if let Some([first, second]) = keys {
            (body["file"]["objectKey"], body["file"]["size"]) = (first.as_str().into(), 5.into());
            (body["thumbnail"]["objectKey"], body["thumbnail"]["size"]) = (second.as_str().into(), 6.into());
        }
        body
    };
    let mut update = replay.clone();
    update["id"] = file.into();
    let mut own_update = replay.clone();
    own_update["id"] = own_file.into();
    vec![
        get("downloading", format!("/files/download/{file}")),
        get("a thumbnail", format!("/files/preview/{file}")),
        get("something in the trash", format!("/files/download/{}", victim.trashed)),
        put("private metadata", "/files/magic-metadata", metadata.clone(), MALFORMED_OR_NOT_YOURS),
        put("public metadata", "/files/public-magic-metadata", metadata, MALFORMED_OR_NOT_YOURS),
        post("trashing", "/files/trash", item(file, theirs), MALFORMED_OR_NOT_YOURS),
        post("trashing from oneself", "/files/trash", item(file, own), MALFORMED_OR_NOT_YOURS),
        post("trashing into theirs", "/files/trash", item(own_file, theirs), MALFORMED_OR_NOT_YOURS),
        post("sizes", "/files/info", json!({"fileIDs": [file]}), MALFORMED_OR_NOT_YOURS),
        post("replaying a commit", "/files", with(theirs, None), MALFORMED_OR_NOT_YOURS),
        post("replaying it to oneself", "/files", with(own, None), MALFORMED_OR_NOT_YOURS),
        post(
            "committing their objects",
            "/files",
            with(own, Some(&victim.uncommitted)),
            MALFORMED_OR_NOT_YOURS,
        ),
        post("updating by commit", "/files", update.clone(), MALFORMED_OR_NOT_YOURS),
        put("updating", "/files/update", update, MALFORMED_OR_NOT_YOURS),
        put("their objects under one's own file", "/files/update", own_update, MALFORMED_OR_NOT_YOURS),
    ]
}

/// Calls that answer 200 whatever they are given: strangers' ids are passed over.
#[tokio::test]
async fn ids_that_are_passed_over() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut victim = victim(server).await;
        let before = victim.state().await;
        let mallory = new_web(server).await;
        mallory.purge(&[victim.trashed, victim.file.id]).await.ok();
        mallory.empty_trash(i64::MAX / 4).await.ok();
        let token = victim.device.http.token.clone().unwrap();
        let answer = mallory.revoke(&token).await;
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        for (listed, _) in victim.device.sessions().await {
            mallory.revoke(&listed).await;
        }
        assert_eq!(victim.state().await, before, "nothing changed");
    })
    .await;
}

/// The challenge of one account does not delete another, nor does half a challenge.
#[tokio::test]
async fn somebody_elses_deletion() {
    let server = on_sqlite().await;
    let mut victim = victim(&server).await;
    let before = victim.state().await;
    let mallory = another(&server, &new_web(&server).await, ANDROID).await;
    let answer = mallory.http.call(Method::GET, "/users/delete-challenge", None).await.ok();
    let sealed = Fields::of("challenge", &answer).base64("encryptedChallenge");
    let pair = &mallory.account().keys.key_pair;
    let open = darkslide_crypto::sealed_box::open(pair, &sealed).unwrap();
    let challenge = String::from_utf8(open.to_vec()).unwrap();
    for text in [challenge.as_str(), &challenge[1..], ""] {
        let body = json!({"challenge": text, "feedback": "", "reason": ""});
        let answer = victim.device.http.call(Method::DELETE, "/users/delete", Some(&body)).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert_eq!(victim.state().await, before, "nothing changed");
}
