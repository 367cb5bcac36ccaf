//! The ordered feed on both engines: whoever writes meanwhile, a reader that pages from any cursor misses nothing and sees nothing
//! out of order.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::change::Change;
use darkslide_protocol::{AccountId, CollectionId, Version};
use darkslide_server::store::Store;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::sync::Arc;
use support::family::{Dice, FAMILY, Family, Tally, WRITERS};
use support::mirror::Mirror;
use support::stored::{account, album, file, key, share_with};
use support::stores;

/// Sets the accounts' clocks ahead of the wall, each by another time, as they are when that was set back.
async fn set_clocks_ahead(url: &str) {
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let text = "UPDATE accounts SET version = version + 1000000000 * (4 - id % 3)";
    sqlx::query(text).execute(&pool).await.unwrap();
    pool.close().await;
}

/// Servers of one database. In each, those who write queue for its one connection, as requests do; between them they are kept apart by the database's
/// locks alone.
const SERVERS: usize = 3;

/// Writers and readers of a family, all at the same time, on servers of their own. Some readers begin where others have been already.
async fn check(seed: u64, tally: Arc<Tally>) {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let mut stores = Vec::new();
        for _ in 0..SERVERS {
            stores.push(Arc::new(Store::open(&url).await.unwrap()));
        }
        let first = Arc::clone(stores.first().unwrap());
        let mut turns = stores.iter().cycle().cloned();
        let mut next_store = || turns.next().unwrap();
        let mut tasks = Vec::new();
        let mut dice = Dice(seed | 1);
        let family = Family::new(&first, &tally).await;
        set_clocks_ahead(&url).await;
        for account in family.accounts.clone() {
            let middle = first.version_of(account).await.unwrap();
            for start in [Version(0), middle] {
                let (family, store, seed) = (family.clone(), next_store(), dice.throw(1 << 30) as u64);
                let mirror = Mirror::after(account, start);
                tasks.push(tokio::spawn(async move { family.read(&store, mirror, seed).await }));
            }
            let (reading, from) = (family.clone(), next_store());
            tasks.push(tokio::spawn(async move { reading.read_as_stock(&from, account).await }));
            for _ in 0..WRITERS {
                let (family, store, seed) = (family.clone(), next_store(), dice.throw(1 << 30) as u64);
                tasks.push(tokio::spawn(async move { family.write(&store, account, seed).await }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        for store in stores {
            store.close().await;
        }
    }
}

#[test]
fn beside_any_writers_no_change_is_skipped_and_none_is_seen_out_of_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    // What happens when is not the seed's to say, so a failure cannot be shrunk.
    let config = ProptestConfig {
        cases: 3,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let tally = Arc::new(Tally::default());
    TestRunner::new(config)
        .run(&any::<u64>(), |seed| {
            let outcome = runtime.block_on(async { tokio::spawn(check(seed, Arc::clone(&tally))).await });
            outcome.map_err(|panic| TestCaseError::fail(panic.to_string()))
        })
        .unwrap();
    tally.must_be_full();
}

#[tokio::test]
async fn a_new_device_is_complete_after_one_pass_and_an_idle_one_reads_nothing() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let (one, two) = (album(&store, owner).await, album(&store, owner).await);
        let mut files = Vec::new();
        for round in 0..30 {
            files.push(file(&store, owner, if round % 2 == 0 { one } else { two }).await);
        }
        store.trash_files(owner, &[(files[0], one), (files[2], one), (files[4], one)]).await.unwrap();
        store.restore_files(owner, two, &[key(files[2])]).await.unwrap();
        store.purge_files(owner, &[files[4]]).await.unwrap();
        for limit in [1, 2, 7, 5000] {
            let mut mirror = Mirror::after(owner, Version(0));
            while mirror.read(&store, limit).await {}
            mirror.must_be_what_the_base_says(&store).await;
            let end = store.changes(owner, mirror.cursor, limit).await.unwrap();
            assert_eq!(
                (end.changes, end.ahead, end.next, end.has_more),
                (vec![], vec![], mirror.cursor, false)
            );
        }
        let all = store.changes(owner, Version(0), 5000).await.unwrap();
        // 2 collections, 31 memberships, 3 places in the trash.
        assert_eq!((all.changes.len(), all.ahead.len()), (36, 0));
        let purged = all.changes.iter().find_map(|change| match change {
            Change::Trash { item, .. } if item.is_deleted => Some(item),
            _ => None,
        });
        let purged = purged.unwrap();
        assert_eq!((purged.file.id, &purged.file.metadata.encrypted_data), (files[4], &None));
    }
}

/// A file's metadata may be a thousand times as long as those of others.
#[tokio::test]
async fn a_page_ends_where_it_becomes_large_and_nothing_is_lost_between_pages() {
    for (_folder, store) in stores().await {
        let (ada, bob) = (account(&store, FAMILY[0]).await, account(&store, FAMILY[1]).await);
        let (own, shared) = (album(&store, ada).await, album(&store, bob).await);
        store.share_collection(bob, &share_with(shared, FAMILY[0], "VIEWER")).await.unwrap();
        let mut files = Vec::new();
        for _ in 0..6 {
            files.push(file(&store, ada, own).await);
            file(&store, bob, shared).await;
        }
        store.trash_files(ada, &[(files[1], own), (files[2], own)]).await.unwrap();
        let whole = store.changes(ada, Version(0), 5000).await.unwrap();
        assert!(!whole.has_more && whole.changes.len() == 16, "12 memberships, 2 trash items, 2 albums");
        for bytes in [0, 2000, 5000] {
            let (mut read, mut cursor, mut pages) = (Vec::new(), Version(0), 0);
            loop {
                let page = store.changes_within(ada, cursor, 5000, bytes).await.unwrap();
                assert!(!page.changes.is_empty() && page.changes.len() <= bytes / 700 + 1, "{bytes}");
                (cursor, pages) = (page.next, pages + 1);
                read.extend(page.changes);
                if !page.has_more {
                    break;
                }
            }
            assert_eq!((read, cursor), (whole.changes.clone(), whole.next), "{bytes}");
            assert!(pages > 1 && (bytes > 0 || pages == 16), "{bytes}: {pages}");
        }
    }
}

#[tokio::test]
async fn an_album_s_key_comes_with_the_first_page_that_mentions_it() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        for _ in 0..3 {
            file(&store, owner, shelf).await;
        }
        // The album itself is last, for each of its files has moved it on.
        let page = store.changes(owner, Version(0), 3).await.unwrap();
        assert!(
            page.has_more && page.changes.iter().all(|change| matches!(change, Change::Membership { .. }))
        );
        let ahead: Vec<CollectionId> = page.ahead.iter().map(|collection| collection.id).collect();
        assert_eq!(ahead, [shelf]);
        let last = store.changes(owner, page.next, 3).await.unwrap();
        assert_eq!((last.changes.len(), last.ahead.len(), last.has_more), (1, 0, false));
    }
}

#[tokio::test]
async fn nobody_s_feed_has_what_is_somebody_else_s() {
    for (_folder, store) in stores().await {
        let (ada, bob) = (account(&store, "a@example.org").await, account(&store, "b@example.org").await);
        let shelf = album(&store, ada).await;
        file(&store, ada, shelf).await;
        let page = store.changes(bob, Version(0), 10).await.unwrap();
        assert_eq!((page.changes, page.ahead), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_commit_wakes_who_waits_and_a_rollback_does_not() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let seen = store.version_of(owner).await.unwrap();
        let mut watch = store.watch(owner).unwrap();
        let missing = store.move_files(owner, CollectionId(1), CollectionId(2), &[]).await;
        assert!(missing.is_err());
        let shelf = album(&store, owner).await;
        let made = watch.later_than(seen).await.unwrap();
        assert_eq!(made, store.version_of(owner).await.unwrap());
        file(&store, owner, shelf).await;
        assert_eq!(watch.later_than(made).await.unwrap(), store.version_of(owner).await.unwrap());
    }
}

#[tokio::test]
async fn sharing_an_album_moves_what_shows_its_tombstones_in_the_trash() {
    for (_folder, store) in stores().await {
        let (ada, _) = (account(&store, FAMILY[0]).await, account(&store, FAMILY[1]).await);
        let shelf = album(&store, ada).await;
        let trashed = file(&store, ada, shelf).await;
        store.trash_files(ada, &[(trashed, shelf)]).await.unwrap();
        let mut mirror = Mirror::of_everything(&store, ada).await;
        store.share_collection(ada, &share_with(shelf, FAMILY[1], "VIEWER")).await.unwrap();
        while mirror.read(&store, 1).await {}
        mirror.must_be_what_the_base_says(&store).await;
    }
}

#[tokio::test]
async fn a_change_of_a_shared_album_wakes_all_who_see_it_and_nobody_else() {
    for (_folder, store) in stores().await {
        let mut accounts = Vec::new();
        for email in FAMILY {
            accounts.push(account(&store, email).await);
        }
        let (shared, own) = (album(&store, accounts[0]).await, album(&store, accounts[0]).await);
        store.share_collection(accounts[0], &share_with(shared, FAMILY[1], "VIEWER")).await.unwrap();
        let seen = store.version_of(accounts[1]).await.unwrap();
        assert_eq!(seen, store.version_of(accounts[0]).await.unwrap());
        let mut watch = store.watch(accounts[1]).unwrap();
        file(&store, accounts[0], own).await;
        assert_eq!(store.version_of(accounts[1]).await.unwrap(), seen, "what is not shared is no news");
        file(&store, accounts[0], shared).await;
        let version = store.version_of(accounts[0]).await.unwrap();
        assert_eq!(watch.later_than(seen).await, Some(version));
        assert_eq!(store.version_of(accounts[2]).await.unwrap(), Version(0));
    }
}

#[tokio::test]
async fn what_another_process_commits_is_found_by_looking() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let (here, there) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
        let owner = account(&here, "a@example.org").await;
        let seen = here.version_of(owner).await.unwrap();
        let mut watch = here.watch(owner).unwrap();
        album(&there, owner).await;
        here.look_for_changes().await.unwrap();
        assert_eq!(watch.later_than(seen).await.unwrap(), there.version_of(owner).await.unwrap());
        here.close().await;
        there.close().await;
    }
}

#[tokio::test]
async fn a_database_of_before_has_its_memberships_in_the_feed() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        // Before a membership said whose it is.
        let pool = support::database_before(&url, 5).await;
        for text in [
            "INSERT INTO accounts (id, status, version, usage, email_mfa, created_at)
             VALUES (1, 'active', 30, 0, 0, 0), (2, 'active', 30, 0, 0, 0)",
            "INSERT INTO collections (id, owner_id, kind, encrypted_key, key_decryption_nonce, encrypted_name,
                                      name_decryption_nonce, attributes_version, is_deleted, version, created_at)
             VALUES (11, 1, 'album', 'k', 'n', '', '', 0, 0, 21, 0), (12, 2, 'album', 'k', 'n', '', '', 0, 0, 22, 0)",
            "INSERT INTO files (id, owner_id, file_object, file_header, file_size, thumbnail_object,
                                thumbnail_header, thumbnail_size, metadata, metadata_header, is_purged, version,
                                created_at)
             VALUES (101, 1, 'o', 'h', 5, 't', 'h', 1, 'm', 'h', 0, 1, 0), (102, 2, 'p', 'h', 5, 'u', 'h', 1, 'm', 'h', 0, 1, 0)",
            "INSERT INTO memberships (collection_id, file_id, encrypted_key, key_decryption_nonce, is_deleted,
                                      added_at, version)
             VALUES (11, 101, 'key one', 'n', 0, 7, 10), (12, 102, 'key two', 'n', 1, 8, 10)",
        ] {
            sqlx::query(text).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(&url).await.unwrap();
        for (account, collection, key, is_deleted) in [(1, 11, "key one", false), (2, 12, "key two", true)] {
            let account = AccountId(account);
            let page = store.changes(account, Version(0), 10).await.unwrap();
            let [Change::Membership { version, file }, Change::Collection { .. }] = page.changes.as_slice()
            else {
                panic!("{page:?}");
            };
            assert_eq!((*version, file.collection_id), (Version(10), CollectionId(collection)));
            assert_eq!((file.encrypted_key.0.as_str(), file.is_deleted), (key, is_deleted));
            let mut mirror = Mirror::after(account, Version(0));
            mirror.take(page, 10);
            mirror.must_be_what_the_base_says(&store).await;
        }
        store.close().await;
    }
}
