//! Collections on both engines: the order of their numbers, by which devices that made one of the same name at the same moment agree on one.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest};
use darkslide_protocol::{AccountId, CollectionId, Opaque, Version};
use darkslide_server::store::Store;
use std::sync::Arc;
use support::stored::{account, new_collection};

/// An album with a key of its own.
fn new_album(key: u8) -> CreateCollectionRequest {
    let encrypted_key = Opaque::encode([key; 48]);
    CreateCollectionRequest { encrypted_key, ..new_collection(CollectionType::Album) }
}

/// Makes albums with one call each, or together.
async fn make(store: &Store, owner: AccountId, keys: &[u8], together: bool) -> Vec<CollectionId> {
    let requests: Vec<_> = keys.iter().map(|key| new_album(*key)).collect();
    if together {
        let made = store.create_collections(owner, &requests).await.unwrap();
        return made.collections.into_iter().map(|made| made.id).collect();
    }
    let mut made = Vec::new();
    for request in &requests {
        made.push(store.create_collection(owner, request).await.unwrap().id);
    }
    made
}

/// Two processes have each drawn numbers before the other one made anything.
#[tokio::test]
async fn collections_are_numbered_in_the_order_in_which_they_are_made_whoever_drew_numbers_first() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let (early, late) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
        let owner = account(&early, "a@example.org").await;
        let mut numbers = Vec::new();
        for (round, together) in [false, true, false, true].into_iter().enumerate() {
            let key = u8::try_from(10 * round).unwrap();
            for (store, keys) in [(&late, [key, key + 1]), (&early, [key + 2, key + 3])] {
                numbers.extend(make(store, owner, &keys, together).await);
            }
        }
        assert_eq!(numbers.len(), 16);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        early.close().await;
        late.close().await;
    }
}

/// Each device makes one, and then looks what else is there: the first of what it sees is the first of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_makes_an_album_at_the_same_moment_as_others_sees_the_first_one() {
    for (_folder, store) in support::stores().await {
        let store = Arc::new(store);
        for round in 0..20_u8 {
            let owner = account(&store, &format!("{round}@example.org")).await;
            let devices = (0..8_u8).map(|key| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    make(&store, owner, &[key], key % 2 == 0).await;
                    let seen = store.all_collections_since(owner, Version(0)).await.unwrap();
                    seen.into_iter().map(|seen| seen.id).min().unwrap()
                })
            });
            let mut firsts = Vec::new();
            for device in devices.collect::<Vec<_>>() {
                firsts.push(device.await.unwrap());
            }
            assert!(firsts.iter().all(|first| Some(first) == firsts.first()), "{firsts:?}");
        }
    }
}
