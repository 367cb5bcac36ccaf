//! The scrub: in which order it reads, that it goes on after a restart, and that one process does it.

mod support;

use darkslide_protocol::limits::DAY_MICROS;
use darkslide_server::Server;
use darkslide_server::config::{Config, RawConfig};
use darkslide_server::jobs::scrub::{self, Pace, Scrubbed};
use darkslide_server::store::checks::Check;
use darkslide_server::vouch;
use serde_json::json;
use std::cell::RefCell;
use std::time::Duration;
use support::damage::{execute, keys_of};
use support::tus::now;
use support::vault::{Vault, noise};
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
    let early = store.due_for_check(at, at, i64::MAX, 8).await.unwrap();
    for key in &early {
        let object = store.checkable_object(key).await.unwrap().unwrap();
        let found = vouch::read_back(&server, &object, |_| std::future::ready(())).await.unwrap();
        let check = Check { key: key.clone(), place: object.place, outcome: found.outcome, at };
        store.record_checks(&[check]).await.unwrap();
    }
    drop(server);
    let server = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let late = server.store.due_for_check(at, at, i64::MAX, 100).await.unwrap();
    assert_eq!(late.len(), 8);
    assert!(late.iter().all(|key| !early.contains(key)));
    let all = server.store.due_for_check(at + 1, at + 1, i64::MAX, 100).await.unwrap();
    assert_eq!(all.len(), 16);
    assert!(all[..8].iter().all(|key| late.contains(key)), "those that were never read come first");
}

/// The clock was years ahead when they were read: they were never due again.
#[tokio::test]
async fn what_was_read_in_the_future_is_read_again() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    vault.file(album, 1).await;
    let years = 10 * 365 * DAY_MICROS;
    let now = now();
    for (clock, objects) in [(now + years, 2), (now + years, 0), (now, 2), (now, 0)] {
        let scrubbed = scrub::round(&server.shared, Pace::Unbounded, clock).await.unwrap();
        assert_eq!(scrubbed.objects, objects, "{clock}");
    }
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

/// Rows that were altered behind the server's back: nobody can say what those objects were, and the others are read as ever.
#[tokio::test]
async fn rows_that_make_no_sense_are_damage_and_stop_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let mut files = Vec::new();
    for (seed, nonsense) in
        (1..).zip(["blob = 'nonsense'", "blob_offset = -1", "length = -1", "digest = digest"])
    {
        let file = vault.file(album, seed).await;
        let [original, _] = keys_of(&server.shared.store, vault.person.id, file).await;
        execute(&server, &format!("UPDATE objects SET {nonsense} WHERE key = '{original}'")).await;
        files.push(file);
    }
    let scrubbed = scrub::round(&server.shared, Pace::Unbounded, i64::MAX / 2).await.unwrap();
    assert_eq!((scrubbed.objects, scrubbed.newly_damaged), (8, 3));
    let said = vault.post("/v1/receipts", json!({ "fileIDs": files })).await.ok();
    let said = said["receipts"].as_array().unwrap();
    for (number, receipt) in said.iter().enumerate() {
        let expected =
            if number < 3 { (json!("damaged"), json!("unknown")) } else { (json!("verified"), json!(null)) };
        assert_eq!((receipt["verdict"].clone(), receipt["objects"][0]["damage"].clone()), expected);
        assert_eq!(receipt["objects"][1]["damage"], json!(null));
    }
    assert_eq!(server.shared.store.objects_health().await.unwrap().damaged, 3);
}

/// The clock stands still while the scrub reads, so all the time that passes is that of its pauses.
#[tokio::test]
async fn a_round_never_reads_faster_than_its_pace() {
    const RATE: u64 = 1 << 20;
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let sizes = [3_000_000, 1 << 20, 20_000, 5];
    for (seed, size) in (1..).zip(sizes) {
        vault.commit(album, &noise(seed, size), &noise(100 + seed, 100)).await;
    }
    let folder = server.stop().await;
    let server = Server::open(Config::for_folder(folder.path())).await.unwrap();
    let pace = Pace::of_rate(RATE).unwrap();
    let pauses = RefCell::new(Vec::new());
    let sleep = |pause: Duration| {
        pauses.borrow_mut().push(pause);
        std::future::ready(())
    };
    let scrubbed = scrub::paced_round(&server, pace, i64::MAX / 2, sleep).await.unwrap();
    let bytes: u64 = sizes.iter().map(|size| *size as u64 + 100).sum();
    assert_eq!((scrubbed.objects, scrubbed.bytes), (8, bytes));
    let pauses = pauses.into_inner();
    let second = Duration::from_secs(1);
    assert!(pauses.iter().all(|pause| *pause <= second), "no more than a step is read at a time: {pauses:?}");
    assert_eq!(pauses.iter().filter(|pause| **pause == second).count(), 3, "three whole steps");
    // A small object costs what opening it does: the thumbnails, and the one of 5 bytes.
    let cost: u64 = sizes.iter().flat_map(|size| [*size as u64, 100]).map(|size| size.max(16 * 1024)).sum();
    let passed: Duration = pauses.iter().sum();
    let least = Duration::from_micros(cost * 1_000_000 / RATE);
    let rounding = Duration::from_micros(pauses.len() as u64);
    assert!(passed <= least && passed + rounding >= least, "{passed:?} for {cost} bytes");
    // The next round has nothing to read, and takes no time.
    let none = scrub::paced_round(&server, pace, i64::MAX / 2, |_| std::future::ready(())).await.unwrap();
    assert_eq!(none, Scrubbed::default());
}
