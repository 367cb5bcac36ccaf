//! What the scrub finds is seen in the metrics and by the operator. The gauges belong to the whole process, so this test is alone in
//! its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::ObjectKey;
use darkslide_server::config::Config;
use darkslide_server::jobs::scrub::{self, AGAIN_MICROS, DAMAGED_AGAIN_MICROS, Pace, Scrubbed};
use darkslide_server::status::ServerStatus;
use darkslide_server::{Server, Shared, meter};
use support::TestServer;
use support::damage::{Harm, blobs_of, keys_of};
use support::vault::{Vault, noise};

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

/// A server that does nothing by itself, with eight files (16 objects), of which the second and the sixth were edited: 4 objects more.
/// With the keys of what the originals were at first.
async fn quiet_server() -> (tempfile::TempDir, Shared, Vec<ObjectKey>) {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let mut keys = Vec::new();
    for seed in 0..8 {
        let file = vault.file(album, seed).await;
        let [original, _] = keys_of(&server.shared.store, vault.person.id, file).await;
        keys.push(original);
        if seed % 4 == 1 {
            let mut body = vault.stored_pair(album, &noise(100 + seed, 1000), &noise(200 + seed, 100)).await;
            body["id"] = file.into();
            vault.put("/files/update", body).await.ok();
        }
    }
    let folder = server.stop().await;
    let shared = Server::open(Config::for_folder(folder.path())).await.unwrap();
    (folder, shared, keys)
}

#[tokio::test]
async fn every_kind_of_damage_is_found_counted_and_shown_until_it_is_mended() {
    let (folder, server, keys) = quiet_server().await;
    let whole = Scrubbed { objects: 20, bytes: 10 * 1100, newly_damaged: 0 };
    let first = now();
    assert_eq!(scrub_all(&server, first).await, whole);
    assert_eq!(scrub_all(&server, first).await, Scrubbed::default(), "nothing is due again");
    let status = ServerStatus::read(&server.store, &server.config).await.unwrap();
    assert!(status.is_whole() && status.not_whole.is_empty());
    assert_eq!((status.objects.verified_objects, status.objects.objects), (20, 20));
    assert_eq!(status.objects.earlier_objects, 4);
    assert_eq!((status.objects.verified_bytes, status.files, status.accounts), (11_000, 8, 1));
    assert!(status.objects.oldest.unwrap() >= first && status.disk.unwrap().free_bytes > 0);
    // Four of the eight are harmed, each in another way; the second and the sixth are what their files were before.
    let mut kept = Vec::new();
    for (key, harm) in keys.iter().zip(Harm::ALL) {
        let blob = blobs_of(folder.path(), key)[0].clone();
        kept.push((blob.clone(), std::fs::read(&blob).unwrap()));
        harm.do_to(&blob);
    }
    let second = now() + AGAIN_MICROS + 1;
    let found = scrub_all(&server, second).await;
    assert_eq!((found.objects, found.newly_damaged), (20, 4));
    let status = ServerStatus::read(&server.store, &server.config).await.unwrap();
    assert!(!status.is_whole());
    let mut listed: Vec<_> =
        status.not_whole.iter().map(|object| (&object.key, object.damage.name())).collect();
    listed.sort_unstable();
    let mut expected: Vec<_> = keys.iter().zip(Harm::ALL.map(Harm::name)).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let earlier: Vec<_> = status.not_whole.iter().filter(|object| object.is_earlier).collect();
    assert_eq!(earlier.iter().map(|object| &object.key).collect::<Vec<_>>(), [&keys[1]]);
    assert_eq!((status.objects.damaged, status.objects.missing), (3, 1));
    assert_eq!(status.objects.verified_objects, 16, "what is damaged is not vouched for");
    scrub::report(&server).await.unwrap();
    assert_eq!((gauge("darkslide_objects_damaged"), gauge("darkslide_objects_missing")), (3.0, 1.0));
    assert!(
        gauge("darkslide_scrub_objects_total") >= 40.0 && gauge("darkslide_scrub_bytes_total") >= 11_000.0
    );
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
    // No reading of what the database knows finds what it does not know.
    for key in [&keys[0], &keys[5]] {
        forget(&server, key).await;
    }
    assert_eq!(scrub_all(&server, third + 2 * DAMAGED_AGAIN_MICROS + AGAIN_MICROS).await.newly_damaged, 0);
    scrub::count_lost(&server).await.unwrap();
    scrub::report(&server).await.unwrap();
    assert_eq!((gauge("darkslide_objects_damaged"), gauge("darkslide_objects_missing")), (0.0, 2.0));
    let status = ServerStatus::read(&server.store, &server.config).await.unwrap();
    assert_eq!((status.is_whole(), status.objects.missing), (false, 2));
    let listed: Vec<_> = status
        .not_whole
        .iter()
        .map(|object| (&object.key, object.is_earlier, object.damage.name(), object.since))
        .collect();
    assert_eq!(listed, [(&keys[0], false, "missing", None), (&keys[5], true, "missing", None)]);
}

/// Removes an object's row behind the server's back.
async fn forget(server: &Server, key: &ObjectKey) {
    use sqlx::Connection as _;
    let url = server.config.effective_database_url();
    let mut connection = sqlx::AnyConnection::connect(url.expose()).await.unwrap();
    let statement = format!("DELETE FROM objects WHERE key = '{key}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
