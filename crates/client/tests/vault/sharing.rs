//! Albums of others: seen, listed, restored and verified like one's own; never changed, and never taken for one's own by a backup.

use crate::world::{Person, Picture, StockLine, World, contents};
use darkslide_client::albums::add_to_album;
use darkslide_client::backup::{BackupReport, Settings, backup};
use darkslide_client::catalog::Catalog;
use darkslide_client::error::VaultError;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::keys::collection_key;
use darkslide_client::list::{ListFilter, list_albums, list_files};
use darkslide_client::restore::{RestoreScope, restore};
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::trash::trash_files;
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_protocol::Opaque;
use darkslide_protocol::collection::ShareRequest;
use std::fs;
use std::sync::Arc;

impl World {
    /// Ada shares her album, as a stock app does.
    pub(crate) async fn share(&self, ada: &Person, with: &Person, role: &str) {
        let key = collection_key(&ada.session.keys, &ada.album).unwrap();
        let sealed = with.session.keys.key_pair.public_key().seal_collection_key(&key).unwrap();
        let request = ShareRequest {
            collection_id: ada.album.id,
            email: with.session.email.to_string(),
            encrypted_key: Opaque::encode(sealed),
            role: Some(role.to_owned()),
        };
        self.server.store.share_collection(ada.session.account, &request).await.unwrap();
    }

    async fn back_up(&self, person: &Person, folder: &str) -> BackupReport {
        let settings = Settings { thumbnailer: Thumbnailer::off(), ..Settings::default() };
        let root = self.folder.path().join(folder);
        let stop = tokio_util::sync::CancellationToken::new();
        let (session, catalog) = (Arc::new(person.over(self.address)), person.catalog.clone());
        let events = Events::silent();
        let report = backup(session, catalog, std::slice::from_ref(&root), &settings, &events, &stop).await;
        let report = report.unwrap();
        assert!(report.is_complete(), "{report:?}");
        report
    }
}

fn jpeg(seed: u8) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".as_slice(), &[seed; 400], b"\xff\xd9"].concat()
}

/// A picture of Ada's that is one to a backup too.
fn picture(title: &str, seed: u8) -> Picture {
    let content = jpeg(seed);
    let hash = darkslide_crypto::ContentHash::of(&content).to_string();
    Picture { content, ..Picture::new(title, 0).with("hash", hash.into()) }
}

async fn albums(session: &Session, catalog: &Catalog) -> Vec<(String, bool, u64)> {
    let listed = list_albums(session, catalog).await.unwrap();
    listed.into_iter().map(|album| (album.name, album.shared_with_me, album.files)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_of_others_is_listed_verified_and_restored_and_gone_when_it_is_taken_back() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let sunset = picture("sunset.jpg", 1);
    ada.put(&ada.album, &sunset).await;
    world.share(&ada, &bob, "VIEWER").await;
    let stock = StockLine::start(world.address).await;
    for (name, address) in [("ordered", world.address), ("stock", stock)] {
        let session = bob.over(address);
        let catalog = Catalog::open(&world.folder.path().join(name)).await.unwrap();
        feed::pull(&session, &catalog).await.unwrap();
        let (own, shared) = (("Holidays".to_owned(), false, 0), ("Holidays".to_owned(), true, 1));
        let mut listed = albums(&session, &catalog).await;
        listed.sort_by_key(|(_, is_shared, _)| *is_shared);
        assert_eq!(listed, [own.clone(), shared], "{name}");
        let files = list_files(&session, &catalog, &ListFilter::default()).await.unwrap();
        assert_eq!((files.len(), files[0].shared_with_me), (1, true));
        let events = Events::silent();
        let verified = verify(&session, &catalog, VerifyScope::Everything, &events).await.unwrap();
        assert_eq!((verified.intact, verified.failed), (1, vec![]));
        let target = world.folder.path().join(format!("{name} restored"));
        let restored =
            restore(&session, &catalog, &RestoreScope::Everything, &target, &events).await.unwrap();
        assert_eq!((restored.restored, restored.failed.len()), (1, 0));
        assert!(contents(&target).into_values().eq([sunset.content.clone()]), "{name}");
        let (store, email) = (&world.server.store, bob.session.email.to_string());
        store.unshare_collection(ada.session.account, ada.album.id, &email).await.unwrap();
        feed::pull(&session, &catalog).await.unwrap();
        assert_eq!(albums(&session, &catalog).await, [own], "{name}");
        assert_eq!(list_files(&session, &catalog, &ListFilter::default()).await.unwrap(), []);
        world.share(&ada, &bob, "VIEWER").await;
        feed::pull(&session, &catalog).await.unwrap();
        assert_eq!(albums(&session, &catalog).await.len(), 2, "{name}");
        assert_eq!(list_files(&session, &catalog, &ListFilter::default()).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_nothing_of_others_for_its_own() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    // Two contents that Bob has too; of one Ada's copy is in the trash later.
    let (sunset, dune) = (picture("sunset.jpg", 1), picture("dune.jpg", 2));
    ada.put(&ada.album, &sunset).await;
    ada.pull().await;
    let hers = ada.put(&ada.album, &dune).await;
    world.share(&ada, &bob, "ADMIN").await;
    bob.pull().await;
    ada.pull().await;
    trash_files(&ada.session, &ada.catalog, &[hers]).await.unwrap();
    bob.pull().await;
    // A folder that is called as the album is, which Bob might add to.
    let folder = world.folder.path().join("photos/Holidays");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine.jpg"), &sunset.content).unwrap();
    fs::write(folder.join("dune.jpg"), &dune.content).unwrap();
    let report = world.back_up(&bob, "photos").await;
    assert_eq!((report.uploaded, report.linked, report.untrashed), (2, 0, 0), "{report:?}");
    bob.pull().await;
    ada.pull().await;
    assert_eq!(albums(&ada.session, &ada.catalog).await, [("Holidays".to_owned(), false, 1)]);
    let mine: Vec<_> = list_files(&bob.session, &bob.catalog, &ListFilter::default())
        .await
        .unwrap()
        .into_iter()
        .filter(|file| !file.shared_with_me)
        .collect();
    assert_eq!(mine.len(), 2);
    let mine = mine.iter().find(|file| file.name.as_deref() == Some("mine.jpg")).unwrap();
    let again = world.back_up(&bob, "photos").await;
    assert_eq!((again.uploaded, again.unchanged), (0, 2), "{again:?}");
    // What is his in her album as well is linked from his own, and is his to trash.
    let shared = bob.catalog.collection(ada.album.id).await.unwrap().unwrap();
    add_to_album(&bob.session, &bob.catalog, &shared, &[mine.id]).await.unwrap();
    fs::create_dir_all(folder.join("../Elsewhere")).unwrap();
    fs::copy(folder.join("mine.jpg"), folder.join("../Elsewhere/copy.jpg")).unwrap();
    let linked = world.back_up(&bob, "photos").await;
    assert_eq!((linked.uploaded, linked.linked), (0, 1), "{linked:?}");
    ada.pull().await;
    assert_eq!(albums(&ada.session, &ada.catalog).await, [("Holidays".to_owned(), false, 2)]);
    trash_files(&bob.session, &bob.catalog, &[mine.id]).await.unwrap();
    ada.pull().await;
    assert_eq!(albums(&ada.session, &ada.catalog).await, [("Holidays".to_owned(), false, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_are_neither_trashed_nor_put_into_albums() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let hers = ada.put(&ada.album, &picture("sunset.jpg", 1)).await;
    world.share(&ada, &bob, "VIEWER").await;
    bob.pull().await;
    for refused in [
        trash_files(&bob.session, &bob.catalog, &[hers]).await,
        add_to_album(&bob.session, &bob.catalog, &bob.album, &[hers]).await,
    ] {
        assert!(matches!(refused, Err(VaultError::NotOwn(file)) if file == hers), "{refused:?}");
    }
    ada.pull().await;
    assert_eq!(albums(&ada.session, &ada.catalog).await, [("Holidays".to_owned(), false, 1)]);
}
