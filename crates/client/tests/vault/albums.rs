//! Albums, trash, lists and the feed that shows them.

use crate::world::{Person, Picture, World};
use darkslide_client::albums::{
    FilesOfDeleted, add_to_album, create_album, delete_album, find_album, remove_from_album, rename_album,
};
use darkslide_client::error::VaultError;
use darkslide_client::keys::Unreadable;
use darkslide_client::list::{Kind, ListFilter, list_albums, list_files};
use darkslide_client::trash::{empty_trash, list_trash, purge_files, restore_from_trash, trash_files};
use darkslide_crypto::keys::CollectionKey;
use darkslide_protocol::FileId;
use serde_json::json;

impl Person {
    /// Each album's name and the names of its files.
    async fn albums(&self) -> Vec<(String, Vec<String>)> {
        let mut albums = Vec::new();
        for album in list_albums(&self.session, &self.catalog).await.unwrap() {
            let filter = ListFilter { album: Some(album.id), ..ListFilter::default() };
            let files = list_files(&self.session, &self.catalog, &filter).await.unwrap();
            assert_eq!(album.files, files.len() as u64);
            albums.push((album.name, files.into_iter().filter_map(|file| file.name).collect()));
        }
        albums
    }

    async fn expect(&self, expected: &[(&str, &[&str])]) {
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(album, files)| {
                ((*album).to_owned(), files.iter().map(|file| (*file).to_owned()).collect())
            })
            .collect();
        assert_eq!(self.albums().await, expected);
    }
}

async fn two_pictures(world: &World) -> (Person, FileId, FileId) {
    let ada = world.person("ada").await;
    let first = ada.put(&ada.album, &Picture::new("a.jpg", 100)).await;
    let second = ada.put(&ada.album, &Picture::new("b.jpg", 200)).await;
    ada.pull().await;
    (ada, first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_are_made_renamed_filled_and_emptied() {
    let world = World::start().await;
    let (ada, first, second) = two_pictures(&world).await;
    let best = create_album(&ada.session, &ada.catalog, "Best of Zürich").await.unwrap();
    let twice = create_album(&ada.session, &ada.catalog, "Best of Zürich").await;
    assert!(matches!(twice, Err(VaultError::AlbumExists(_))));
    add_to_album(&ada.session, &ada.catalog, &best, &[first, second, first]).await.unwrap();
    ada.expect(&[("Best of Zürich", &["a.jpg", "b.jpg"]), ("Holidays", &["a.jpg", "b.jpg"])]).await;
    rename_album(&ada.session, &ada.catalog, &best, "Best").await.unwrap();
    remove_from_album(&ada.session, &ada.catalog, &best, &[first]).await.unwrap();
    ada.expect(&[("Best", &["b.jpg"]), ("Holidays", &["a.jpg", "b.jpg"])]).await;
    // Out of its last album a file goes to Uncategorized, not to nowhere.
    remove_from_album(&ada.session, &ada.catalog, &ada.album, &[first]).await.unwrap();
    ada.expect(&[("Best", &["b.jpg"]), ("Holidays", &["b.jpg"]), ("Uncategorized", &["a.jpg"])]).await;
    let home = find_album(&ada.session, &ada.catalog, "Uncategorized").await.unwrap();
    let fixed = remove_from_album(&ada.session, &ada.catalog, &home, &[first]).await;
    assert!(matches!(fixed, Err(VaultError::FixedAlbum(_))), "{fixed:?}");
    let missing = find_album(&ada.session, &ada.catalog, "Nowhere").await;
    assert!(matches!(missing, Err(VaultError::NoSuchAlbum(_))), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_album_s_files_are_kept_or_trashed_as_asked() {
    let world = World::start().await;
    let (ada, first, _) = two_pictures(&world).await;
    let best = create_album(&ada.session, &ada.catalog, "Best").await.unwrap();
    add_to_album(&ada.session, &ada.catalog, &best, &[first]).await.unwrap();
    delete_album(&ada.session, &ada.catalog, &ada.album, FilesOfDeleted::Keep).await.unwrap();
    ada.expect(&[("Best", &["a.jpg"]), ("Uncategorized", &["b.jpg"])]).await;
    delete_album(&ada.session, &ada.catalog, &best, FilesOfDeleted::Trash).await.unwrap();
    ada.expect(&[("Uncategorized", &["b.jpg"])]).await;
    let trash = list_trash(&ada.catalog).await.unwrap();
    assert_eq!(trash.len(), 1);
    assert_eq!((trash[0].name.as_deref(), trash[0].album.as_deref()), (Some("a.jpg"), Some("Best")));
    assert_eq!(trash[0].bytes, 100);
    // Its album is gone: it comes back to Uncategorized.
    restore_from_trash(&ada.session, &ada.catalog, &[first], None).await.unwrap();
    ada.expect(&[("Uncategorized", &["a.jpg", "b.jpg"])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trash_gives_back_until_it_is_emptied() {
    let world = World::start().await;
    let (ada, first, second) = two_pictures(&world).await;
    trash_files(&ada.session, &ada.catalog, &[first, second]).await.unwrap();
    ada.expect(&[("Holidays", &[])]).await;
    assert_eq!(list_trash(&ada.catalog).await.unwrap().len(), 2);
    restore_from_trash(&ada.session, &ada.catalog, &[second], None).await.unwrap();
    ada.expect(&[("Holidays", &["b.jpg"])]).await;
    let not_there = restore_from_trash(&ada.session, &ada.catalog, &[second], None).await;
    assert!(matches!(not_there, Err(VaultError::NoSuchFile(_))), "{not_there:?}");
    purge_files(&ada.session, &ada.catalog, &[first]).await.unwrap();
    assert!(list_trash(&ada.catalog).await.unwrap().is_empty());

    trash_files(&ada.session, &ada.catalog, &[second]).await.unwrap();
    assert_eq!(empty_trash(&ada.session, &ada.catalog).await.unwrap(), 1);
    assert!(list_trash(&ada.catalog).await.unwrap().is_empty());
    assert!(restore_from_trash(&ada.session, &ada.catalog, &[second], None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn emptying_spares_what_was_trashed_since_it_was_looked_at() {
    let world = World::start().await;
    let (ada, first, second) = two_pictures(&world).await;
    trash_files(&ada.session, &ada.catalog, &[first]).await.unwrap();
    // Another device trashes the second picture; this one has not looked since.
    let item = darkslide_protocol::trash::TrashRequestItem {
        file_id: second,
        collection_id: ada.album.id,
        if_version: None,
    };
    let request = darkslide_protocol::trash::TrashRequest { items: vec![item] };
    ada.session.api.trash_files(&request).await.unwrap();
    assert_eq!(empty_trash(&ada.session, &ada.catalog).await.unwrap(), 1);
    let left: Vec<FileId> =
        list_trash(&ada.catalog).await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(left, [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_spares_what_another_device_has_taken_out_of_the_trash() {
    let world = World::start().await;
    let (ada, first, second) = two_pictures(&world).await;
    trash_files(&ada.session, &ada.catalog, &[first, second]).await.unwrap();
    let path = world.folder.path().join("other.sqlite");
    let other = darkslide_client::catalog::Catalog::open(&path).await.unwrap();
    darkslide_client::feed::pull(&ada.session, &other).await.unwrap();
    restore_from_trash(&ada.session, &other, &[first], None).await.unwrap();
    let refused = purge_files(&ada.session, &ada.catalog, &[first, second]).await.unwrap_err();
    let VaultError::Api(failure) = &refused else { panic!("{refused}") };
    assert!(failure.is_conflict());
    assert_eq!(failure.conflicts().iter().map(|conflict| conflict.file_id).collect::<Vec<_>>(), [first]);
    ada.pull().await;
    ada.expect(&[("Holidays", &["a.jpg"])]).await;
    purge_files(&ada.session, &ada.catalog, &[second]).await.unwrap();
    assert!(list_trash(&ada.catalog).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let video = Picture::new("Film.MOV", 300).with("fileType", json!(1));
    let old = Picture::new("old.jpg", 100).with("creationTime", json!(1_000_000));
    for picture in [&video, &old, &Picture::new("new.jpg", 200)] {
        ada.put(&ada.album, picture).await;
    }
    ada.pull().await;
    let list = async |filter: ListFilter| {
        let files = list_files(&ada.session, &ada.catalog, &filter).await.unwrap();
        files.into_iter().filter_map(|file| file.name).collect::<Vec<_>>()
    };
    let all = ListFilter::default;
    assert_eq!(list(all()).await, ["old.jpg", "Film.MOV", "new.jpg"]);
    assert_eq!(list(ListFilter { kind: Some(Kind::Video), ..all() }).await, ["Film.MOV"]);
    assert_eq!(list(ListFilter { name_contains: Some("film".into()), ..all() }).await, ["Film.MOV"]);
    assert_eq!(list(ListFilter { taken_until: Some(1_000_001), ..all() }).await, ["old.jpg"]);
    assert_eq!(list(ListFilter { taken_from: Some(1_000_001), ..all() }).await, ["Film.MOV", "new.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pull_brings_nothing_and_a_new_device_brings_everything() {
    let world = World::start().await;
    let (ada, ..) = two_pictures(&world).await;
    let nothing = ada.pull().await;
    assert_eq!((nothing.collections, nothing.files, nothing.trash), (0, 0, 0));
    let path = world.folder.path().join("other.sqlite");
    let other = darkslide_client::catalog::Catalog::open(&path).await.unwrap();
    let all = darkslide_client::feed::pull(&ada.session, &other).await.unwrap();
    assert_eq!((all.collections, all.files), (1, 2));
    assert_eq!(
        list_files(&ada.session, &other, &ListFilter::default()).await.unwrap(),
        list_files(&ada.session, &ada.catalog, &ListFilter::default()).await.unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_do_not_open_are_named_and_stop_nothing() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let whole = ada.put(&ada.album, &Picture::new("a.jpg", 100)).await;
    // Under a key that the album never had, as a server that exchanges records would serve it.
    let key = CollectionKey::generate();
    let broken = ada.put_under(&key, &ada.album, &Picture::new("b.jpg", 100)).await;
    let summary = ada.pull().await;
    assert_eq!(summary.damaged, [Unreadable::FileKey(broken)]);
    let files = list_files(&ada.session, &ada.catalog, &ListFilter::default()).await.unwrap();
    let mut names: Vec<_> = files.into_iter().map(|file| (file.id, file.name)).collect();
    names.sort();
    assert_eq!(names, [(whole, Some("a.jpg".to_owned())), (broken, None)]);
}
