//! What a power cut could take: the order of system calls around one upload.
//!
//! The object is flushed, gets its name, the name is flushed, and only then is the upload acknowledged; the commit is
//! acknowledged only after the database flushed it. strace (from Debian) watches the real process.

use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::{ServerProcess, server_binary};
use darkslide_e2e::stock::CollectionKind;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::strace;
use darkslide_e2e::vault::{Picture, seal_picture};
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
    end_under_strace(&mut server);
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

/// The quoted or bracketed path in a call that contains these words.
fn path_with<'a>(call: &'a str, words: &str) -> &'a str {
    call.split(['"', '<', '>'])
        .find(|text| text.contains(words))
        .unwrap_or_else(|| panic!("no path with {words} in {call}"))
}
