//! Receipts and earlier versions, from the client's side.

use crate::world::{Person, Picture, World, flip};
use darkslide_client::catalog::FileFilter;
use darkslide_client::error::VaultError;
use darkslide_client::event::Events;
use darkslide_client::receipt::{ReceiptSummary, ask_for_receipts};
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_client::versions::{files_named, list_versions, restore_version};
use darkslide_client::{FileId, Version};

async fn receipts(ada: &Person, scope: VerifyScope) -> ReceiptSummary {
    ask_for_receipts(&ada.session, &ada.catalog, scope, &Events::silent()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_vouches_for_what_is_whole_and_for_nothing_else() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    // More than one call asks for.
    for number in 0..205 {
        ada.put(&ada.album, &Picture::new(&format!("{number}.jpg"), 100 + number)).await;
    }
    let victim = ada.put(&ada.album, &Picture::new("victim.jpg", 5000)).await;
    let purged = ada.put(&ada.album, &Picture::new("purged.jpg", 6000)).await;
    ada.pull().await;
    let summary = receipts(&ada, VerifyScope::Everything).await;
    assert_eq!((summary.vouched_for, summary.failed.len()), (207, 0), "{summary:?}");
    let rows = ada.catalog.files(&FileFilter::default()).await.unwrap();
    let bytes: i64 = rows.iter().map(|row| row.object_size + row.thumbnail_size).sum();
    assert_eq!((summary.proof, summary.bytes), ("serverReceipt", u64::try_from(bytes).unwrap()));
    assert_eq!(receipts(&ada, VerifyScope::Sample(3)).await.vouched_for, 3);

    flip(&world.object_of_length(5000 + 17), 70);
    let store = &world.server.store;
    store.trash_files(ada.session.account, &[(purged, ada.album.id)]).await.unwrap();
    store.purge_files(ada.session.account, &[purged]).await.unwrap();
    let summary = receipts(&ada, VerifyScope::Everything).await;
    assert_eq!((summary.vouched_for, summary.failed.len()), (205, 2));
    let said = |file: FileId| {
        let failure = summary.failed.iter().find(|failure| failure.file == file).unwrap();
        (failure.name.as_deref(), failure.problem, failure.damaged, failure.reason.as_str())
    };
    assert_eq!(said(victim), (Some("victim.jpg"), "damaged", true, "the original is altered on the server"));
    assert_eq!(said(purged), (Some("purged.jpg"), "missing", false, "it was purged from the vault"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_is_listed_by_name_and_brought_back_whole() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let file = ada.put(&ada.album, &Picture::new("before.jpg", 5000)).await;
    ada.pull().await;
    assert_eq!(list_versions(&ada.session, &ada.catalog, file).await.unwrap(), []);
    ada.edit(file, &Picture::new("after.jpg", 7000)).await;
    ada.pull().await;
    assert_eq!(files_named(&ada.catalog, "after.jpg").await.unwrap(), [file]);
    let [earlier] = &list_versions(&ada.session, &ada.catalog, file).await.unwrap()[..] else {
        panic!("one earlier version")
    };
    assert_eq!((earlier.name.as_deref(), earlier.bytes), (Some("before.jpg"), 5000));
    assert!(earlier.expires_at > earlier.replaced_at);
    // What the server's disk has altered is not brought back, and what the file is stays.
    flip(&world.object_of_length(5000 + 17), 70);
    let refused = restore_version(&ada.session, file, earlier.version).await.unwrap_err();
    assert!(matches!(refused, VaultError::VersionDamaged(..)), "{refused}");
    assert!(refused.to_string().contains("`darkslide server status`"), "{refused}");
    ada.pull().await;
    assert_eq!(files_named(&ada.catalog, "after.jpg").await.unwrap(), [file]);
    flip(&world.object_of_length(5000 + 17), 70);
    for _ in 0..2 {
        restore_version(&ada.session, file, earlier.version).await.unwrap();
    }
    ada.pull().await;
    assert_eq!(files_named(&ada.catalog, "before.jpg").await.unwrap(), [file]);
    let whole = verify(&ada.session, &ada.catalog, VerifyScope::Everything, &Events::silent()).await.unwrap();
    assert_eq!((whole.intact, whole.bytes, whole.failed), (1, 5000, vec![]));
    let listed = list_versions(&ada.session, &ada.catalog, file).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_deref()).collect::<Vec<_>>(), [Some("after.jpg")]);
    let gone = restore_version(&ada.session, file, Version(7)).await.unwrap_err();
    assert!(matches!(gone, VaultError::NoSuchVersion(..)), "{gone}");
    let unknown = list_versions(&ada.session, &ada.catalog, FileId(987_654)).await.unwrap_err();
    assert!(matches!(unknown, VaultError::NoSuchFile(_)), "{unknown}");
}
