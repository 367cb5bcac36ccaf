//! What a power cut could take: the order of system calls around one upload, one batch of many, and one resumable upload.
//!
//! The object is flushed, gets its name, the name is flushed, and only then is the upload acknowledged; the commit is
//! acknowledged only after the database flushed it. A batch does so once, however many pictures it has. strace (from Debian) watches the
//! real process.

use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::{ServerProcess, server_binary};
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{CollectionKind, Device};
use darkslide_e2e::strace;
use darkslide_e2e::vault::{Picture, seal_picture};
use darkslide_protocol::AccountId;
use darkslide_protocol::batch::{
    BATCH, BatchAnswer, CommitAnswer, FrameKind, object_head, object_key, record_head,
};
use std::process::Command;

/// The calls that matter, with paths in place of file descriptors.
const STRACE: [&str; 6] = [
    "-f",
    "-y",
    "-s",
    "32",
    "-e",
    "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev,sendto",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_durable_before_they_are_acknowledged() {
    if !strace::is_there("the order of flushes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut server = ServerProcess::start_at(folder.path(), &Engine::Sqlite, &[]).await;
    let mut phone = mobile::sign_up(&server, ANDROID, "order@example.org", "password").await;
    let album = phone.create_collection("Order", CollectionKind::Album).await;
    server.kill();
    let mut command = Command::new("strace");
    command.args(STRACE).arg("-o").arg(&trace).arg(server_binary());
    server.pass_everything(&mut command);
    server.adopt(command.spawn().unwrap());
    phone.http.reconnect();
    let sealed = seal_picture(&phone.collection_key(album), &Picture::generate("order.jpg", 30_000));
    let before = calls(&trace);
    let key = mobile::put_whole(&phone, &sealed.file).await;
    let put = calls(&trace);
    check_put(&put[before.len()..]);
    let thumbnail = mobile::put_whole(&phone, &sealed.thumbnail).await;
    let before = calls(&trace);
    phone.commit(phone.commit_body(album, &sealed, &key, &thumbnail)).await;
    check_commit(&calls(&trace)[before.len()..]);
    let before = calls(&trace);
    send_batch(&server, &phone, album).await;
    check_batch(&calls(&trace)[before.len()..]);
    let url = begin_resumable(&server, &phone).await;
    let before = calls(&trace);
    append_all(&phone, &url).await;
    check_resumable(&calls(&trace)[before.len()..], url.rsplit('/').next().unwrap());
    end_under_strace(&mut server);
}

/// Pictures of the batch.
const PICTURES: usize = 20;

/// Bytes of the resumable upload: more than are recorded at once.
const RESUMABLE_BYTES: usize = 6 << 20;

async fn send_batch(server: &ServerProcess, phone: &Device, album: i64) {
    let mut body = Vec::new();
    let mut commits = Vec::new();
    let key = phone.collection_key(album);
    for number in 0..PICTURES {
        let sealed = seal_picture(&key, &Picture::generate(&format!("{number}.jpg"), 20_000));
        let ids = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        for (id, object) in ids.iter().zip([&sealed.file, &sealed.thumbnail]) {
            body.extend(object_head(id.as_bytes(), object.bytes.len() as u64));
            body.extend(&object.bytes);
        }
        let keys = ids.map(|id| object_key(AccountId(phone.account().id), id.as_bytes()).0);
        commits.push(phone.commit_body(album, &sealed, &keys[0], &keys[1]).to_string());
    }
    for commit in commits {
        body.extend(record_head(FrameKind::Commit, commit.len() as u64));
        body.extend(commit.as_bytes());
    }
    let request = reqwest::Client::new().post(format!("{}/v1/batch", server.base()));
    let request = request.header("X-Auth-Token", token(phone)).header("Content-Type", BATCH).body(body);
    let answer: BatchAnswer =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let is_created = |commit: &CommitAnswer| matches!(commit, CommitAnswer::Created { .. });
    assert!(answer.commits.len() == PICTURES && answer.commits.iter().all(is_created), "{answer:?}");
}

fn token(phone: &Device) -> &str {
    phone.http.token.as_deref().unwrap()
}

async fn begin_resumable(server: &ServerProcess, phone: &Device) -> String {
    let request = reqwest::Client::new().post(format!("{}/v1/uploads", server.base()));
    let request = request.header("X-Auth-Token", token(phone)).header("Tus-Resumable", "1.0.0");
    let begun = request.header("Upload-Length", RESUMABLE_BYTES).send().await.unwrap();
    assert_eq!(begun.status(), 201);
    begun.headers()["location"].to_str().unwrap().to_owned()
}

async fn append_all(phone: &Device, url: &str) {
    let request = reqwest::Client::new().patch(url).header("X-Auth-Token", token(phone));
    let request = request.header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
    let request = request.header("Content-Type", "application/offset+octet-stream");
    assert_eq!(request.body(vec![7; RESUMABLE_BYTES]).send().await.unwrap().status(), 204);
}

/// strace passes no signal on: its child is asked, and strace ends with it.
fn end_under_strace(server: &mut ServerProcess) {
    let tracer = server.id();
    let children = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
    let child = children.split_whitespace().next().unwrap().parse().unwrap();
    server.end_with(child);
}

fn calls(trace: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(trace).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Where the first call is, at or after `from`, in which all words stand.
fn position(calls: &[String], from: usize, words: &[&str]) -> usize {
    let found = calls[from..].iter().position(|call| words.iter().all(|word| call.contains(word)));
    from + found.unwrap_or_else(|| panic!("no call with {words:?} after {from} in {calls:#?}"))
}

fn check_put(calls: &[String]) {
    let named = calls
        .iter()
        .position(|call| call.contains("rename") && call.contains("/incoming/") && call.contains("/objects/"))
        .unwrap_or_else(|| panic!("no object got its name in {calls:#?}"));
    let source = path_with(&calls[named], "/incoming/");
    let flushed = position(calls, 0, &["sync(", source]);
    assert!(flushed < named, "flushed before it has its name: {calls:#?}");
    let target = path_with(&calls[named], "/objects/");
    let folder = target.rsplit_once('/').unwrap().0;
    let name_flushed = position(calls, named, &["sync(", &format!("{folder}>")]);
    let answered = position(calls, name_flushed, &["HTTP/1.1 200"]);
    let first_answer = position(calls, named.min(flushed), &["HTTP/1.1 200"]);
    assert_eq!(first_answer, answered, "acknowledged before the name was flushed: {calls:#?}");
    // The row that makes the object known is flushed by then as well.
    let row = position(calls, name_flushed, &["sync(", "darkslide.db-wal"]);
    assert!(row < answered, "acknowledged before the database was flushed: {calls:#?}");
}

fn check_commit(calls: &[String]) {
    let written = position(calls, 0, &["darkslide.db-wal"]);
    let flushed = position(calls, written, &["sync(", "darkslide.db-wal"]);
    let answered = position(calls, 0, &["HTTP/1.1 200"]);
    assert!(flushed < answered, "acknowledged before the database was flushed: {calls:#?}");
}

/// One file for all, flushed once and named once, and one transaction: as for one picture, [`check_put`] and [`check_commit`].
fn check_batch(calls: &[String]) {
    check_put(calls);
    check_commit(calls);
    let count =
        |words: &[&str]| calls.iter().filter(|call| words.iter().all(|word| call.contains(word))).count();
    assert_eq!(count(&["sync(", "/incoming/"]), 1, "one flush for all bytes: {calls:#?}");
    assert_eq!(count(&["rename", "/objects/"]), 1, "one file for all bytes: {calls:#?}");
    // The one that names everything, and those of what may be due beside it: a block of ids, the session's last use.
    let flushes = count(&["sync(", "darkslide.db-wal"]);
    assert!((1..=3).contains(&flushes), "{flushes} flushes of the database for one batch: {calls:#?}");
}

/// Bytes are flushed before the database says that they are there, also while more come; at the end the file gets its name, the name is
/// flushed, the database says that it is an object, and only then is it acknowledged.
fn check_resumable(calls: &[String], id: &str) {
    let growing = format!("/uploads/{id}>");
    let recorded = position(calls, 0, &["sync(", "darkslide.db-wal"]);
    let taken = position(calls, recorded + 1, &["sync(", "darkslide.db-wal"]);
    let flushed = position(calls, 0, &["sync(", &growing]);
    assert!(flushed < taken, "recorded before it was flushed: {calls:#?}");
    let named = position(calls, 0, &["rename", &format!("/uploads/{id}"), "/objects/"]);
    let last_flush =
        calls.iter().rposition(|call| call.contains("sync(") && call.contains(&growing)).unwrap();
    assert!(last_flush < named, "named before it was flushed: {calls:#?}");
    let target = path_with(&calls[named], "/objects/");
    let folder = target.rsplit_once('/').unwrap().0;
    let name_flushed = position(calls, named, &["sync(", &format!("{folder}>")]);
    let row = position(calls, name_flushed, &["sync(", "darkslide.db-wal"]);
    let answered = position(calls, 0, &["HTTP/1.1 204"]);
    assert!(row < answered, "acknowledged before the database was flushed: {calls:#?}");
}

/// The quoted or bracketed path in a call that contains these words.
fn path_with<'a>(call: &'a str, words: &str) -> &'a str {
    call.split(['"', '<', '>'])
        .find(|text| text.contains(words))
        .unwrap_or_else(|| panic!("no path with {words} in {call}"))
}
