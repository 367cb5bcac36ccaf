//! In which order rows of objects are locked, on PostgreSQL: on SQLite only one writes.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::AccountId;
use darkslide_server::objects::{BlobName, Digest, Packed};
use darkslide_server::store::Store;
use darkslide_server::store::batch::{BatchRequest, NewObject};
use darkslide_server::store::uploads::ObjectAddress;
use sqlx::Row as _;
use sqlx::any::AnyPoolOptions;
use std::sync::Arc;
use support::database_urls;
use support::stored::{QUOTA, account, album, file};
use support::tus::until;
use uuid::Uuid;

/// Objects of a pack, whose rows lie in another order than their keys.
fn objects(account: AccountId) -> Vec<NewObject> {
    let blob = BlobName::generate(Uuid::new_v4(), 0);
    let digest = Digest::of(b"ten bytes.");
    let place = |n: u64| Packed { id: Uuid::new_v4(), offset: n * 10, length: 10, digest };
    (0..40_u64)
        .map(place)
        .map(|place| NewObject::packed(ObjectAddress { account, object: place.id }, &blob, &place))
        .collect()
}

async fn send(store: &Store, account: AccountId, objects: &[NewObject]) {
    let request = BatchRequest { objects, commits: &[], thumbnails: &[] };
    store.commit_batch(account, request, QUOTA).await.unwrap();
}

/// Each waited for what the other had, and PostgreSQL ended one of them.
#[tokio::test]
async fn a_batch_and_the_reaper_lock_the_same_objects_in_the_same_order() {
    for url in database_urls().await.into_iter().flatten() {
        let store = Arc::new(Store::open(&url).await.unwrap());
        let beside = AnyPoolOptions::new().max_connections(3).connect(&url).await.unwrap();
        let owner = account(&store, "anna@example.org").await;
        let objects = objects(owner);
        let mut keys: Vec<String> = objects.iter().map(|object| object.at.key().0).collect();
        keys.sort_unstable();
        send(&store, owner, &objects).await;
        for is_reaped in [false, true] {
            store.give_up_overdue(i64::MAX).await.unwrap();
            let garbage = store.due_garbage(i64::MAX).await.unwrap();
            assert_eq!(garbage.keys.len(), keys.len());
            let (working, objects) = (store.clone(), objects.clone());
            let work = async move {
                if is_reaped {
                    working.forget_garbage(&garbage).await.unwrap();
                } else {
                    send(&working, owner, &objects).await;
                }
            };
            are_locked_in_order(&beside, &keys, work, &format!("is reaped: {is_reaped}")).await;
        }
        assert_eq!(store.due_garbage(i64::MAX).await.unwrap().keys, []);
    }
}

/// The same, between a batch and what gives its objects up.
#[tokio::test]
async fn what_gives_objects_up_locks_them_in_the_same_order() {
    for is_purged in [false, true] {
        for url in database_urls().await.into_iter().flatten() {
            let store = Arc::new(Store::open(&url).await.unwrap());
            let beside = AnyPoolOptions::new().max_connections(3).connect(&url).await.unwrap();
            let owner = account(&store, "anna@example.org").await;
            send(&store, owner, &objects(owner)).await;
            let shelf = album(&store, owner).await;
            let trashed = file(&store, owner, shelf).await;
            store.trash_files(owner, &[(trashed, shelf)]).await.unwrap();
            let all = if is_purged { "file_id = $1" } else { "file_id = $1, state = 'stored'" };
            let text = format!("UPDATE objects SET {all}");
            sqlx::query(sqlx::AssertSqlSafe(text)).bind(trashed.0).execute(&beside).await.unwrap();
            let rows = sqlx::query("SELECT key FROM objects").fetch_all(&beside).await.unwrap();
            let mut keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            keys.sort_unstable();
            let working = store.clone();
            let work = async move {
                if is_purged {
                    assert_eq!(working.purge_files(owner, &[trashed]).await.unwrap(), 1);
                } else {
                    assert_eq!(working.give_up_overdue(i64::MAX).await.unwrap(), 42);
                }
            };
            are_locked_in_order(&beside, &keys, work, &format!("is purged: {is_purged}")).await;
            assert_eq!(store.due_garbage(i64::MAX).await.unwrap().keys.len(), 42);
        }
    }
}

/// Holds one of the objects, and sees what has those before it and none of those behind it while it waits.
async fn are_locked_in_order(
    beside: &sqlx::AnyPool,
    keys: &[String],
    work: impl Future<Output = ()> + Send + 'static,
    what: &str,
) {
    let (middle, behind) = keys.get(20..).and_then(<[_]>::split_first).unwrap();
    let mut held = beside.begin().await.unwrap();
    let query = sqlx::query("SELECT 1 FROM objects WHERE key = $1 FOR UPDATE").bind(middle.clone());
    query.fetch_one(&mut *held).await.unwrap();
    let work = tokio::spawn(work);
    until("it waits for the one that is held", async || {
        let text =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query(text).fetch_one(beside).await.unwrap().get::<i64, _>(0) == 1
    })
    .await;
    let text = "SELECT key FROM objects ORDER BY key COLLATE \"C\" FOR UPDATE SKIP LOCKED";
    let free = sqlx::query(text).fetch_all(beside).await.unwrap();
    let free: Vec<String> = free.iter().map(|row| row.get(0)).collect();
    assert_eq!(free, behind, "{what}");
    held.rollback().await.unwrap();
    work.await.unwrap();
}
