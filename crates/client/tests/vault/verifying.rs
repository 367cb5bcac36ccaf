//! Verifying: whole vaults pass, and every way to damage one is found and named.

use crate::world::{Person, Picture, World, flip};
use darkslide_client::event::Events;
use darkslide_client::verify::{VerifyScope, VerifySummary, verify};
use darkslide_crypto::ContentHash;
use serde_json::json;

const LENGTH: usize = 5 * 1024 * 1024;

async fn verified(ada: &Person, scope: VerifyScope) -> VerifySummary {
    verify(&ada.session, &ada.catalog, scope, &Events::silent()).await.unwrap()
}

/// A vault with a whole picture and one that is to be damaged; its object is two chunks long.
async fn two_pictures(world: &World) -> Person {
    let ada = world.person("ada").await;
    ada.put(&ada.album, &Picture::new("whole.jpg", 100)).await;
    ada.put(&ada.album, &Picture::new("victim.jpg", LENGTH)).await;
    ada.pull().await;
    ada
}

/// What verifying says of the only file that it complains about.
async fn only_problem(ada: &Person) -> (&'static str, bool) {
    let summary = verified(ada, VerifyScope::Everything).await;
    assert_eq!((summary.intact, summary.failed.len()), (1, 1), "{summary:?}");
    let failure = &summary.failed[0];
    assert_eq!((failure.name.as_deref(), failure.album.as_str()), (Some("victim.jpg"), "Holidays"));
    assert!(!failure.reason.is_empty());
    (failure.problem, failure.damaged)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_vault_passes() {
    let world = World::start().await;
    let ada = two_pictures(&world).await;
    let summary = verified(&ada, VerifyScope::Everything).await;
    assert_eq!((summary.intact, summary.bytes, summary.failed), (2, 100 + LENGTH as u64, vec![]));
    assert_eq!(verified(&ada, VerifyScope::Sample(1)).await.intact, 1);
    assert_eq!(verified(&ada, VerifyScope::Sample(50)).await.intact, 2);
    assert_eq!(verified(&ada, VerifyScope::Collection(ada.album.id)).await.intact, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_is_found() {
    let world = World::start().await;
    let ada = two_pictures(&world).await;
    let object = world.object_of_length(LENGTH + 2 * 17);
    for at in [0, 16, 4 << 20, (4 << 20) + 17, LENGTH + 33] {
        flip(&object, at);
        assert_eq!(only_problem(&ada).await, ("altered", true), "byte {at}");
        flip(&object, at);
    }
    assert_eq!(verified(&ada, VerifyScope::Everything).await.intact, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_damaged_objects_are_told_apart() {
    let world = World::start().await;
    let ada = two_pictures(&world).await;
    let thumbnail = world.object_of_length("thumbnail of victim.jpg".len() + 17);
    flip(&thumbnail, 5);
    assert_eq!(only_problem(&ada).await, ("thumbnail", true));
    std::fs::remove_file(&thumbnail).unwrap();
    let (problem, _) = only_problem(&ada).await;
    assert_eq!(problem, "thumbnail");
    let object = world.object_of_length(LENGTH + 2 * 17);
    std::fs::remove_file(&object).unwrap();
    let (problem, _) = only_problem(&ada).await;
    assert_eq!(problem, "missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_under_another_s_hash_is_found() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    ada.put(&ada.album, &Picture::new("whole.jpg", 100)).await;
    let other = ContentHash::of(b"another picture").to_string();
    ada.put(&ada.album, &Picture::new("victim.jpg", 100).with("hash", json!(other))).await;
    ada.pull().await;
    assert_eq!(only_problem(&ada).await, ("hashMismatch", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_ends_the_run() {
    let mut world = World::start().await;
    let ada = world.person("ada").await;
    for number in 0..20 {
        ada.put(&ada.album, &Picture::new(&format!("{number}.jpg"), 100)).await;
    }
    ada.pull().await;
    world.stop().await;
    let ended = verify(&ada.session, &ada.catalog, VerifyScope::Everything, &Events::silent()).await;
    assert!(ended.unwrap_err().is_transient());
}
