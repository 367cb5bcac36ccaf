//! Conditional calls: what a client has not seen is never trashed, purged or restored, and a call that is repeated because its
//! answer was lost is answered as the first time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::error::{VersionConflict, VersionConflicts};
use darkslide_protocol::file::UpdateRequest;
use darkslide_protocol::{CollectionId, FileId, Version};
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::conditions::Conditions;
use serde_json::{Value, json};
use support::shelf::Shelf;
use support::stored::key;
use support::vault::Vault;
use support::{Answer, TestServer, stores};

fn only(file: FileId, version: Version) -> Conditions {
    Conditions::from([(file, version)])
}

/// The conflicts of a refusal.
fn conflicts<T: std::fmt::Debug>(result: Result<T, ChangeError>) -> Vec<VersionConflict> {
    match result {
        Err(ChangeError::Unseen(conflicts)) => conflicts,
        other => panic!("not a conflict: {other:?}"),
    }
}

async fn trash(
    shelf: Shelf<'_>,
    file: FileId,
    album: CollectionId,
    seen: Version,
) -> Result<(), ChangeError> {
    shelf.store.trash_files_if(shelf.owner, &[(file, album)], &only(file, seen)).await
}

async fn restore(
    shelf: Shelf<'_>,
    file: FileId,
    album: CollectionId,
    seen: Version,
) -> Result<(), ChangeError> {
    shelf.store.restore_files_if(shelf.owner, album, &[key(file)], &only(file, seen)).await
}

async fn purge(shelf: Shelf<'_>, file: FileId, seen: Version) -> Result<usize, ChangeError> {
    shelf.store.purge_files_if(shelf.owner, &[], &only(file, seen)).await
}

/// Everything that another device may do to a file between the look and the call.
#[derive(Clone, Copy, Debug)]
enum Unseen {
    Edit,
    Describe,
    Add,
    Move,
    MoveOntoItself,
    TrashAndRestore,
}

impl Unseen {
    const ALL: [Self; 6] =
        [Self::Edit, Self::Describe, Self::Add, Self::Move, Self::MoveOntoItself, Self::TrashAndRestore];

    /// A file in `one` and `two`; `three` has nothing.
    async fn happen(self, shelf: Shelf<'_>, file: FileId, [one, two, three]: [CollectionId; 3]) {
        let (store, owner) = (shelf.store, shelf.owner);
        match self {
            Self::Edit => drop(shelf.update(&shelf.edit(file).await).await),
            Self::Describe => shelf.describe(file, 0).await,
            Self::Add => store.add_files(owner, three, &[key(file)]).await.unwrap(),
            Self::Move => store.move_files(owner, one, three, &[key(file)]).await.unwrap(),
            // It only leaves the first: nothing that is live gets a version.
            Self::MoveOntoItself => store.move_files(owner, one, two, &[key(file)]).await.unwrap(),
            Self::TrashAndRestore => {
                store.trash_files(owner, &[(file, one)]).await.unwrap();
                store.restore_files(owner, one, &[key(file)]).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_was_not_seen_is_not_displaced_by_an_edit() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let albums = [shelf.album().await, shelf.album().await, shelf.album().await];
        for unseen in Unseen::ALL {
            let file = shelf.file(albums[0]).await;
            store.add_files(shelf.owner, albums[1], &[key(file)]).await.unwrap();
            let seen = shelf.version(file, &albums).await;
            let edit = UpdateRequest { if_version: Some(seen), ..shelf.edit(file).await };
            unseen.happen(shelf, file, albums).await;
            let now = shelf.version(file, &albums).await;
            let refused = conflicts(store.update_file(shelf.owner, &edit, i64::MAX).await);
            assert_eq!(refused, [VersionConflict { file_id: file, version: now }], "{unseen:?}");
            assert_eq!(shelf.version(file, &albums).await, now, "{unseen:?}: nothing was done");
            let edit = UpdateRequest { if_version: Some(now), ..edit };
            let edited = shelf.update(&edit).await;
            assert!(shelf.version(file, &albums).await > now, "{unseen:?}");
            assert_eq!(
                shelf.update(&edit).await,
                edited,
                "{unseen:?}: the answer was lost, and it is told again"
            );
        }
        let file = shelf.file(albums[0]).await;
        let edit =
            UpdateRequest { if_version: Some(shelf.version(file, &albums).await), ..shelf.edit(file).await };
        store.trash_files(shelf.owner, &[(file, albums[0])]).await.unwrap();
        let version = shelf.trash_item(file).await.updated_at;
        let refused = conflicts(store.update_file(shelf.owner, &edit, i64::MAX).await);
        assert_eq!(refused, [VersionConflict { file_id: file, version }], "it is in the trash");
    }
}

/// There the memberships are tombstones, which nothing moves any more.
#[tokio::test]
async fn a_condition_protects_what_is_in_the_trash_too() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let file = shelf.file(album).await;
        store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
        let tombstone = shelf.version(file, &[album]).await;
        let seen = shelf.trash_item(file).await.updated_at;
        let edit = async |seen| UpdateRequest { if_version: Some(seen), ..shelf.edit(file).await };
        let (first, second) = (edit(seen).await, edit(seen).await);
        let edited = shelf.update(&first).await;
        let expected = [VersionConflict { file_id: file, version: edited }];
        assert_eq!(shelf.trash_item(file).await.updated_at, edited);
        // Two devices have seen the same.
        assert_eq!(conflicts(store.update_file(shelf.owner, &second, i64::MAX).await), expected);
        let by_tombstone = edit(tombstone).await;
        assert_eq!(conflicts(store.update_file(shelf.owner, &by_tombstone, i64::MAX).await), expected);
        assert_eq!(conflicts(trash(shelf, file, album, tombstone).await), expected);
        assert_eq!(shelf.trash_item(file).await.updated_at, edited, "nothing was done");
        trash(shelf, file, album, edited).await.unwrap();
        assert!(shelf.trash_item(file).await.updated_at > edited, "trashed again, as it was seen");
    }
}

/// A client that is told of a conflict reads anew; it would see the same, and ask for the same, for ever.
#[tokio::test]
async fn no_conflict_names_the_version_that_was_asked_for() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let (album, other) = (shelf.album().await, shelf.album().await);
        let (purged, live) = (shelf.file(album).await, shelf.file(album).await);
        store.trash_files(shelf.owner, &[(purged, album)]).await.unwrap();
        let before = shelf.trash_item(purged).await.updated_at;
        store.purge_files(shelf.owner, &[purged]).await.unwrap();
        let version = shelf.trash_item(purged).await.updated_at;
        let unconditional = store.restore_files(shelf.owner, album, &[key(purged)]).await;
        assert!(matches!(unconditional, Err(ChangeError::Malformed(_))), "{unconditional:?}");
        let refused = restore(shelf, purged, album, version).await;
        assert!(matches!(refused, Err(ChangeError::Malformed(_))), "{refused:?}");
        let seen = shelf.version(live, &[album]).await;
        let refused = restore(shelf, live, other, seen).await;
        assert!(matches!(refused, Err(ChangeError::Malformed(_))), "{refused:?}");
        let refused = purge(shelf, live, seen).await;
        assert!(matches!(refused, Err(ChangeError::Malformed(_))), "{refused:?}");
        // A file that did change is told of, beside it.
        let both = Conditions::from([(purged, before), (live, seen)]);
        let refused = store.restore_files_if(shelf.owner, album, &[key(purged), key(live)], &both).await;
        assert_eq!(conflicts(refused), [VersionConflict { file_id: purged, version }]);
    }
}

#[tokio::test]
async fn what_was_not_seen_is_not_trashed() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let albums = [shelf.album().await, shelf.album().await, shelf.album().await];
        for unseen in Unseen::ALL {
            let file = shelf.file(albums[0]).await;
            store.add_files(shelf.owner, albums[1], &[key(file)]).await.unwrap();
            let seen = shelf.version(file, &albums).await;
            unseen.happen(shelf, file, albums).await;
            let now = shelf.version(file, &albums).await;
            let refused = conflicts(trash(shelf, file, albums[1], seen).await);
            assert_eq!(refused, [VersionConflict { file_id: file, version: now }], "{unseen:?}");
            assert_eq!(shelf.version(file, &albums).await, now, "{unseen:?}: nothing was done");
            trash(shelf, file, albums[1], now).await.unwrap();
            assert!(!shelf.trash_item(file).await.is_restored, "{unseen:?}");
        }
    }
}

#[tokio::test]
async fn a_conditional_trash_is_repeated_without_harm_and_never_undoes_a_restoration() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let file = shelf.file(album).await;
        let seen = shelf.version(file, &[album]).await;
        trash(shelf, file, album, seen).await.unwrap();
        let item = shelf.trash_item(file).await;
        trash(shelf, file, album, seen).await.unwrap();
        assert_eq!(shelf.trash_item(file).await, item, "the repetition changes nothing");
        // An edit in the trash is not undone by it either.
        shelf.update(&shelf.edit(file).await).await;
        let edited = shelf.trash_item(file).await;
        trash(shelf, file, album, seen).await.unwrap();
        assert_eq!(shelf.trash_item(file).await, edited);
        store.restore_files(shelf.owner, album, &[key(file)]).await.unwrap();
        conflicts(trash(shelf, file, album, seen).await);
        assert!(shelf.trash_item(file).await.is_restored);
        // Trashed again from another version: not by this call.
        store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
        conflicts(trash(shelf, file, album, seen).await);
        // And when it is gone for good, the call that began it has succeeded.
        let trashed_from = shelf.file(album).await;
        let seen = shelf.version(trashed_from, &[album]).await;
        trash(shelf, trashed_from, album, seen).await.unwrap();
        store.purge_files(shelf.owner, &[trashed_from]).await.unwrap();
        trash(shelf, trashed_from, album, seen).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_not_seen_in_the_trash_is_neither_purged_nor_restored() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        for unseen in ["an edit", "a description", "a further trashing", "a restoration and a trashing"] {
            let file = shelf.file(album).await;
            store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
            let seen = shelf.trash_item(file).await.updated_at;
            match unseen {
                "an edit" => drop(shelf.update(&shelf.edit(file).await).await),
                "a description" => shelf.describe(file, 0).await,
                "a further trashing" => store.trash_files(shelf.owner, &[(file, album)]).await.unwrap(),
                _ => {
                    store.restore_files(shelf.owner, album, &[key(file)]).await.unwrap();
                    store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
                }
            }
            let item = shelf.trash_item(file).await;
            let expected = [VersionConflict { file_id: file, version: item.updated_at }];
            assert_eq!(conflicts(purge(shelf, file, seen).await), expected, "{unseen}");
            assert_eq!(conflicts(restore(shelf, file, album, seen).await), expected, "{unseen}");
            assert_eq!(shelf.trash_item(file).await, item, "{unseen}: nothing was done");
            assert_eq!(purge(shelf, file, item.updated_at).await.unwrap(), 1, "{unseen}");
        }
    }
}

#[tokio::test]
async fn a_conditional_purge_spares_what_was_restored_and_may_be_repeated() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let (restored, purged) = (shelf.file(album).await, shelf.file(album).await);
        store.trash_files(shelf.owner, &[(restored, album), (purged, album)]).await.unwrap();
        let seen_restored = shelf.trash_item(restored).await.updated_at;
        let seen_purged = shelf.trash_item(purged).await.updated_at;
        store.restore_files(shelf.owner, album, &[key(restored)]).await.unwrap();
        let both = Conditions::from([(restored, seen_restored), (purged, seen_purged)]);
        let version = shelf.version(restored, &[album]).await;
        let refused = conflicts(store.purge_files_if(shelf.owner, &[], &both).await);
        assert_eq!(refused, [VersionConflict { file_id: restored, version }]);
        assert!(!shelf.trash_item(purged).await.is_deleted, "all or nothing");
        assert_eq!(purge(shelf, purged, seen_purged).await.unwrap(), 1);
        assert_eq!(purge(shelf, purged, seen_purged).await.unwrap(), 0, "repeated");
        let twice = store.purge_files_if(shelf.owner, &[purged], &only(purged, seen_purged)).await;
        assert!(matches!(twice, Err(ChangeError::Malformed(_))), "{twice:?}");
        let somebody = Shelf::new(&store, "b@example.org").await;
        let theirs = purge(somebody, restored, version).await;
        assert!(matches!(theirs, Err(ChangeError::NotOwner)), "{theirs:?}");
    }
}

#[tokio::test]
async fn a_conditional_restoration_is_repeated_without_harm_and_never_undoes_a_trashing() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let (album, other) = (shelf.album().await, shelf.album().await);
        let file = shelf.file(album).await;
        store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
        let seen = shelf.trash_item(file).await.updated_at;
        restore(shelf, file, album, seen).await.unwrap();
        let version = shelf.version(file, &[album]).await;
        restore(shelf, file, album, seen).await.unwrap();
        assert_eq!(shelf.version(file, &[album]).await, version, "the repetition changes nothing");
        conflicts(restore(shelf, file, other, seen).await);
        store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
        conflicts(restore(shelf, file, album, seen).await);
        let item = shelf.trash_item(file).await;
        assert!(!item.is_restored);
        assert_eq!(purge(shelf, file, item.updated_at).await.unwrap(), 1);
        conflicts(restore(shelf, file, album, item.updated_at).await);
    }
}

/// A version that only a deleted collection has is one that no client can read.
#[tokio::test]
async fn a_file_s_version_is_one_that_a_client_can_know() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let (gone, kept) = (shelf.album().await, shelf.album().await);
        let file = shelf.file(gone).await;
        store.add_files(shelf.owner, kept, &[key(file)]).await.unwrap();
        store.move_files(shelf.owner, gone, kept, &[key(file)]).await.unwrap();
        store.delete_collection(shelf.owner, gone, true).await.unwrap();
        assert!(store.collection_diff(shelf.owner, gone, Version(0)).await.is_err());
        let seen = shelf.version(file, &[kept]).await;
        trash(shelf, file, kept, seen).await.unwrap();
    }
}

/// Two devices: one edits while the other trashes what it has seen. If the file was trashed, it was trashed as seen: the edit
/// came after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_and_a_conditional_trash_at_once_never_trash_what_was_not_seen() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        for round in 0..60 {
            let file = shelf.file(album).await;
            let seen = shelf.version(file, &[album]).await;
            let edit = shelf.edit(file).await;
            let (trashed, edited) = if round % 2 == 0 {
                tokio::join!(trash(shelf, file, album, seen), shelf.update(&edit))
            } else {
                let (edited, trashed) = tokio::join!(shelf.update(&edit), trash(shelf, file, album, seen));
                (trashed, edited)
            };
            let page = store.collection_diff(shelf.owner, album, Version(0)).await.unwrap();
            let membership = page.diff.iter().find(|row| row.id == file).unwrap();
            match trashed {
                // The tombstone is older than the edit, which the trash feed therefore shows.
                Ok(()) => {
                    assert!(membership.is_deleted && membership.updation_time < edited, "round {round}");
                    assert_eq!(shelf.trash_item(file).await.updated_at, edited, "round {round}");
                }
                refused => {
                    let expected = [VersionConflict { file_id: file, version: membership.updation_time }];
                    assert_eq!(conflicts(refused), expected, "round {round}");
                    assert!(!membership.is_deleted, "round {round}");
                }
            }
        }
    }
}

fn version_conflicts(answer: &Answer) -> VersionConflicts {
    answer.failed(409, Some("VERSION_CONFLICT"));
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test]
async fn over_http_a_conflict_names_every_file_and_nothing_was_done() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (changed, unchanged) = (vault.file(album, 1).await, vault.file(album, 2).await);
    let seen = |files: &[Value], id: i64| {
        let file = files.iter().find(|file| file["id"] == id).unwrap();
        file["updationTime"].as_i64().unwrap()
    };
    let before = vault.diff(album, 0).await;
    let magic = json!({ "version": 1, "count": 1, "data": "ZA==", "header": "aA==" });
    let list = json!({ "metadataList": [{ "id": changed, "magicMetadata": magic }] });
    vault.put("/files/public-magic-metadata", list).await.ok();
    let item = |id: i64, version: i64| json!({ "fileID": id, "collectionID": album, "ifVersion": version });
    let items = [item(changed, seen(&before, changed)), item(unchanged, seen(&before, unchanged))];
    let answer = vault.post("/files/trash", json!({ "items": items })).await;
    let after = vault.diff(album, 0).await;
    let now = Version(seen(&after, changed));
    let expected = [VersionConflict { file_id: FileId(changed), version: now }];
    assert_eq!(version_conflicts(&answer).conflicts, expected);
    assert_eq!(vault.live(album).await.len(), 2);
    let items = [item(changed, now.0), item(unchanged, seen(&before, unchanged))];
    for _ in 0..2 {
        vault.post("/files/trash", json!({ "items": items })).await.ok();
    }
    assert_eq!(vault.live(album).await, [0; 0]);

    let trashed = vault.trash_diff(0).await;
    let updated_at = |id: i64| {
        let item = trashed.iter().find(|item| item["file"]["id"] == id).unwrap();
        item["updatedAt"].as_i64().unwrap()
    };
    let restore = |id: i64, version: i64| {
        let file =
            json!({ "id": id, "encryptedKey": "azI=", "keyDecryptionNonce": "bjI=", "ifVersion": version });
        json!({ "collectionID": album, "files": [file] })
    };
    let answer = vault.post("/collections/restore-files", restore(changed, updated_at(changed) - 1)).await;
    let expected = [VersionConflict { file_id: FileId(changed), version: Version(updated_at(changed)) }];
    assert_eq!(version_conflicts(&answer).conflicts, expected);
    for _ in 0..2 {
        vault.post("/collections/restore-files", restore(changed, updated_at(changed))).await.ok();
    }
    assert_eq!(vault.live(album).await, [changed]);

    let purge =
        |id: i64, version: i64| json!({ "fileIDs": [], "items": [{ "fileID": id, "ifVersion": version }] });
    let answer = vault.post("/trash/delete", purge(unchanged, updated_at(unchanged) + 1)).await;
    let expected = [VersionConflict { file_id: FileId(unchanged), version: Version(updated_at(unchanged)) }];
    assert_eq!(version_conflicts(&answer).conflicts, expected);
    for _ in 0..2 {
        vault.post("/trash/delete", purge(unchanged, updated_at(unchanged))).await.ok();
    }
    assert_eq!(vault.get(&format!("/files/download/{unchanged}")).await.status.as_u16(), 404);
    let item = json!({ "fileID": unchanged, "ifVersion": 1 });
    let twice = vault.post("/trash/delete", json!({ "fileIDs": [], "items": [item, item] })).await;
    twice.failed(400, None);
}
