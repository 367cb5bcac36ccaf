//! The scrub: in which order it reads, that it goes on after a restart, and that one process does it.

mod support;

use darkslide_server::Server;
use darkslide_server::config::{Config, RawConfig};
use darkslide_server::store::checks::Check;
use darkslide_server::vouch;
use support::vault::Vault;
use support::{TestServer, raw_config};

#[tokio::test]
async fn what_was_read_least_recently_comes_first_also_after_a_restart() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for seed in 0..8 {
        vault.file(album, seed).await;
    }
    let folder = server.stop().await;
    let server = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let store = &server.store;
    // Later than anything that the server will write down.
    let at = i64::MAX / 2;
    // Half of them are read, and then the process is gone.
    let early = store.due_for_check(at, at, 8).await.unwrap();
    for key in &early {
        let object = store.checkable_object(key).await.unwrap().unwrap();
        let found = vouch::read_back(&server, &object, |_| std::future::ready(())).await.unwrap();
        let check = Check { key: key.clone(), place: object.place, outcome: found.outcome, at };
        store.record_checks(&[check]).await.unwrap();
    }
    drop(server);
    let server = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let late = server.store.due_for_check(at, at, 100).await.unwrap();
    assert_eq!(late.len(), 8);
    assert!(late.iter().all(|key| !early.contains(key)));
    let all = server.store.due_for_check(at + 1, at + 1, 100).await.unwrap();
    assert_eq!(all.len(), 16);
    assert!(all[..8].iter().all(|key| late.contains(key)), "those that were never read come first");
}

#[tokio::test]
async fn one_process_scrubs_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let one = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let other = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let lock = one.objects.try_scrub_lock().unwrap();
    assert!(lock.is_some() && other.objects.try_scrub_lock().unwrap().is_none());
    drop(lock);
    assert!(other.objects.try_scrub_lock().unwrap().is_some());
}

#[tokio::test]
async fn a_serving_process_scrubs_what_it_stores() {
    let raw = || RawConfig { scrub_rate: None, ..raw_config() };
    let server = TestServer::start_with(raw()).await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    vault.file(album, 1).await;
    let folder = server.stop().await;
    // The next one finds two objects that nobody has read yet.
    let server = TestServer::start_in(folder, raw()).await;
    while server.shared.store.objects_health().await.unwrap().verified_objects < 2 {
        tokio::task::yield_now().await;
    }
}
