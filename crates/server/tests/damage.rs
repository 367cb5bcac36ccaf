//! What the scrub finds is seen in the metrics and by the operator. The gauges belong to the whole process, so this test is alone in
//! its own.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::ObjectKey;
use darkslide_server::config::Config;
use darkslide_server::jobs::scrub::{self, AGAIN_MICROS, DAMAGED_AGAIN_MICROS, Pace, Scrubbed};
use darkslide_server::status::ServerStatus;
use darkslide_server::{Server, Shared, meter};
use support::TestServer;
use support::damage::{Harm, blobs_of, keys_of};
use support::vault::Vault;

/// Scrubs until nothing is due at a moment.
async fn scrub_all(server: &Server, now: i64) -> Scrubbed {
    let mut sum = Scrubbed::default();
    loop {
        let round = scrub::round(server, Pace::Unbounded, now).await.unwrap();
        if round.objects == 0 {
            return sum;
        }
        sum.objects += round.objects;
        sum.bytes += round.bytes;
        sum.newly_damaged += round.newly_damaged;
    }
}

fn gauge(name: &str) -> f64 {
    let text = meter::start().render();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// A server that does nothing by itself, with eight files (16 objects), and their originals' keys.
async fn quiet_server() -> (tempfile::TempDir, Shared, Vec<ObjectKey>) {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let mut keys = Vec::new();
    for seed in 0..8 {
        let file = vault.file(album, seed).await;
        let [original, _] = keys_of(&server.shared.store, vault.person.id, file).await;
        keys.push(original);
    }
    let folder = server.stop().await;
    let shared = Server::open(Config::for_folder(folder.path())).await.unwrap();
    (folder, shared, keys)
}

#[tokio::test]
async fn every_kind_of_damage_is_found_counted_and_shown_until_it_is_mended() {
    let (folder, server, keys) = quiet_server().await;
    let whole = Scrubbed { objects: 16, bytes: 8 * 1100, newly_damaged: 0 };
    let first = now();
    assert_eq!(scrub_all(&server, first).await, whole);
    assert_eq!(scrub_all(&server, first).await, Scrubbed::default(), "nothing is due again");
    let status = ServerStatus::read(&server.store, &server.config).await.unwrap();
    assert!(status.is_whole() && status.not_whole.is_empty());
    assert_eq!((status.objects.verified_objects, status.objects.objects), (16, 16));
    assert_eq!((status.objects.verified_bytes, status.files, status.accounts), (8800, 8, 1));
    assert!(status.objects.oldest.unwrap() >= first && status.disk.unwrap().free_bytes > 0);
    // Four of the eight are harmed, each in another way.
    let mut kept = Vec::new();
    for (key, harm) in keys.iter().zip(Harm::ALL) {
        let blob = blobs_of(folder.path(), key)[0].clone();
        kept.push((blob.clone(), std::fs::read(&blob).unwrap()));
        harm.do_to(&blob);
    }
    let second = now() + AGAIN_MICROS + 1;
    let found = scrub_all(&server, second).await;
    assert_eq!((found.objects, found.newly_damaged), (16, 4));
    let status = ServerStatus::read(&server.store, &server.config).await.unwrap();
    assert!(!status.is_whole());
    let mut listed: Vec<_> =
        status.not_whole.iter().map(|object| (&object.key, object.damage.name())).collect();
    listed.sort_unstable();
    let mut expected: Vec<_> = keys.iter().zip(Harm::ALL.map(Harm::name)).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!((status.objects.damaged, status.objects.missing), (3, 1));
    assert_eq!(status.objects.verified_objects, 12, "what is damaged is not vouched for");
    scrub::report(&server).await.unwrap();
    assert_eq!((gauge("darkslide_objects_damaged"), gauge("darkslide_objects_missing")), (3.0, 1.0));
    assert!(gauge("darkslide_scrub_objects_total") >= 32.0 && gauge("darkslide_scrub_bytes_total") >= 8800.0);
    // Damage is looked at again within the hour, and is no news.
    let third = second + DAMAGED_AGAIN_MICROS + 1;
    let again = scrub_all(&server, third).await;
    assert_eq!((again.objects, again.newly_damaged), (4, 0));
    for (blob, bytes) in kept {
        std::fs::write(blob, bytes).unwrap();
    }
    assert_eq!(scrub_all(&server, third + DAMAGED_AGAIN_MICROS + 1).await.objects, 4);
    scrub::report(&server).await.unwrap();
    assert_eq!((gauge("darkslide_objects_damaged"), gauge("darkslide_objects_missing")), (0.0, 0.0));
    assert!(ServerStatus::read(&server.store, &server.config).await.unwrap().is_whole());
}
