//! A server that does not have any more what this device has heard of: noticed however much others have shared since, and never suspected where
//! nothing is missing. What the server lost is a row of the mirror that it never had.

use crate::world::{Person, Picture, World};
use darkslide_client::albums::{create_album, rename_album};
use darkslide_client::catalog::{Catalog, Feed, FileRow, SetBack};
use darkslide_client::feed::{FeedSummary, pull};
use darkslide_client::trash::trash_files;
use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};

/// Ada, with four pictures, and Bob, who has shared an album with so many.
async fn family(world: &World, of_others: usize) -> (Person, Vec<FileId>) {
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    world.share(&bob, &ada, "VIEWER").await;
    let mut own = Vec::new();
    for number in 0..4 {
        own.push(ada.put(&ada.album, &Picture::new(&format!("own {number}.jpg"), 100 + number)).await);
    }
    ada.pull().await;
    world.record(&bob, &bob.album, of_others, 0).await;
    ada.pull().await;
    (ada, own)
}

/// How many rows a pull wrote, and what it noticed.
fn told(summary: &FeedSummary) -> (u64, Option<SetBack>) {
    (summary.collections + summary.files + summary.trash, summary.set_back)
}

/// The mirror has a picture behind the last of Ada's own that the server does not have.
async fn lose_one(catalog: &Catalog, after: FileId) {
    let last = catalog.memberships(after).await.unwrap().remove(0);
    let lost = FileRow {
        id: FileId(1 << 40),
        content_hash: Some(ContentHash::of(b"lost")),
        version: Version(last.version.0 + 1),
        deleted: false,
        ..last
    };
    catalog.put_file(&lost).await.unwrap();
}

async fn check(of_others: usize) {
    let world = World::start().await;
    let (ada, own) = family(&world, of_others).await;
    let idle = pull(&ada.session, &ada.catalog).await.unwrap();
    assert_eq!(told(&idle), (0, None), "{of_others}: nothing has changed");
    // Elsewhere, where it is not known yet here: what was heard of last is further on now.
    let other = Catalog::open(&world.folder.path().join("other.sqlite")).await.unwrap();
    pull(&ada.session, &other).await.unwrap();
    trash_files(&ada.session, &other, &own[2..]).await.unwrap();
    rename_album(&ada.session, &other, &ada.album, "Renamed").await.unwrap();
    let moved = pull(&ada.session, &ada.catalog).await.unwrap();
    assert_eq!(told(&moved), (5, None), "{of_others}: two memberships, two trash items and an album");

    lose_one(&ada.catalog, own[3]).await;
    let noticed = pull(&ada.session, &ada.catalog).await.unwrap().set_back;
    assert_eq!(noticed.map(|set_back| set_back.lost), Some(1), "{of_others}");
    assert!(ada.catalog.memberships(FileId(1 << 40)).await.unwrap().is_empty());
    let idle = pull(&ada.session, &ada.catalog).await.unwrap();
    assert_eq!(told(&idle), (0, None), "{of_others}: once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_noticed_behind_little_of_others() {
    check(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_noticed_behind_more_of_others_than_is_looked_through() {
    check(70).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_noticed_behind_more_of_others_than_a_page_has() {
    check(2600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_name_of_an_album_is_noticed() {
    let world = World::start().await;
    let (ada, _) = family(&world, 3).await;
    create_album(&ada.session, &ada.catalog, "Other").await.unwrap();
    ada.pull().await;
    let cursor = ada.catalog.cursor(Feed::Account).await.unwrap();
    let mut renamed = ada.catalog.collection(ada.album.id).await.unwrap().unwrap();
    // Another device has written since.
    (renamed.name, renamed.version) = ("Lost".to_owned(), Version(cursor.0 - 1));
    ada.catalog.put_collection(&renamed).await.unwrap();
    let summary = pull(&ada.session, &ada.catalog).await.unwrap();
    assert_eq!(summary.set_back, None, "no picture is lost");
    assert_eq!(ada.catalog.collection(ada.album.id).await.unwrap().unwrap().name, "Holidays");
    assert_eq!(told(&pull(&ada.session, &ada.catalog).await.unwrap()), (0, None), "once");
}
