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
use support::stored::{QUOTA, account};
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
            let mut held = beside.begin().await.unwrap();
            let query = sqlx::query("SELECT 1 FROM objects WHERE key = $1 FOR UPDATE").bind(&keys[20]);
            query.fetch_one(&mut *held).await.unwrap();
            let (working, objects) = (store.clone(), objects.clone());
            let work = tokio::spawn(async move {
                if is_reaped {
                    working.forget_garbage(&garbage).await.unwrap();
                } else {
                    send(&working, owner, &objects).await;
                }
            });
            until("it waits for the one that is held", async || {
                let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
                sqlx::query(text).fetch_one(&beside).await.unwrap().get::<i64, _>(0) == 1
            })
            .await;
            // It has all that come before, and none that come behind.
            let text = "SELECT key FROM objects ORDER BY key COLLATE \"C\" FOR UPDATE SKIP LOCKED";
            let free = sqlx::query(text).fetch_all(&beside).await.unwrap();
            let free: Vec<String> = free.iter().map(|row| row.get(0)).collect();
            assert_eq!(free, keys[21..], "is reaped: {is_reaped}");
            held.rollback().await.unwrap();
            work.await.unwrap();
        }
        assert_eq!(store.due_garbage(i64::MAX).await.unwrap().keys, []);
    }
}
