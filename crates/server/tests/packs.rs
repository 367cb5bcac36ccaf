//! What becomes of a pack when one of its objects comes anew, or goes, while its others are needed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::file::CommitRequest;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, FileId, Opaque};
use darkslide_server::jobs::expire;
use darkslide_server::objects::{BlobName, Digest, Packed};
use darkslide_server::store::Store;
use darkslide_server::store::batch::{BatchRequest, Committed, NewObject};
use darkslide_server::store::uploads::ObjectAddress;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::time::Duration;
use support::batch::{Batch, Picture, send};
use support::damage::keys_of;
use support::stored::{QUOTA, account, album, commit_of, new_file, update_of};
use support::tus::database;
use support::vault::{Vault, bytes_below, commit_body, noise};
use support::{TestServer, stores};
use uuid::Uuid;

/// Bytes of each object of [`pack`].
const LENGTH: u64 = 10;

/// Places for the objects of a new pack: all of the same bytes.
fn places(count: u64) -> Vec<Packed> {
    let digest = Digest::of(b"ten bytes.");
    let place = |n| Packed { id: Uuid::new_v4(), offset: n * LENGTH, length: LENGTH, digest };
    (0..count).map(place).collect()
}

/// A pack with files in it.
async fn pack(
    store: &Store,
    account: AccountId,
    album: CollectionId,
    count: usize,
) -> (BlobName, Vec<FileId>) {
    let blob = BlobName::generate(Uuid::new_v4(), 0);
    let places = places(2 * count as u64);
    let at = |place: &Packed| ObjectAddress { account, object: place.id };
    let objects: Vec<_> = places.iter().map(|place| NewObject::packed(at(place), &blob, place)).collect();
    let reference = |place: &Packed| ObjectReference {
        object_key: at(place).key(),
        decryption_header: Opaque("aA==".into()),
        size: Some(10),
    };
    let commits: Vec<_> =
        places.chunks(2).map(|pair| commit_of(album, reference(&pair[0]), reference(&pair[1]))).collect();
    let request = BatchRequest { objects: &objects, commits: &commits, thumbnails: &[] };
    let outcome = store.commit_batch(account, request, QUOTA).await.unwrap();
    let file = |committed| match committed {
        Ok(Committed::Created(created)) => created.id,
        other => panic!("{other:?}"),
    };
    (blob, outcome.commits.into_iter().map(file).collect())
}

fn ids(answer: &Value) -> Vec<i64> {
    answer["commits"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

/// The whole pack was removed, with the pictures in it, and the new bytes were read at the place that the old ones had in it.
#[tokio::test]
async fn a_put_does_not_replace_what_a_batch_brought() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let on_disk = || bytes_below(&server.folder().join("objects"));
    // Alone in its pack, the first in it, and behind others.
    for (before, behind) in [(0, 0), (0, 2), (2, 0)] {
        let minted = vault.get("/files/upload-urls?count=1").await.ok()["urls"][0].clone();
        let (url, key) = (minted["url"].as_str().unwrap(), minted["objectKey"].as_str().unwrap());
        let object = Uuid::parse_str(key.split_once('/').unwrap().1).unwrap();
        let (early, late) = (noise(100, 3000), noise(101, 4000));
        let pictures = |count: u64| (0..count).map(|seed| Picture::new(album, seed)).collect::<Vec<_>>();
        let (first, last) = (pictures(before), pictures(behind));
        let add = |batch: Batch, picture: &Picture| batch.picture(&vault, picture);
        let batch = first.iter().fold(Batch::default(), add).object(object, &early);
        let files = ids(&send(&vault, last.iter().fold(batch, add)).await.ok());
        let stored = on_disk();
        vault.put_bytes(url, &late).await.failed(409, Some("ObjectExists"));
        assert_eq!(vault.put_bytes(url, &early).await.status, 200, "the same may come again");
        assert_eq!(on_disk(), stored);
        for (file, picture) in files.iter().zip(first.iter().chain(&last)) {
            assert_eq!(vault.download(*file).await, picture.bytes);
        }
        let thumbnail = vault.store(b"tiny").await;
        let commit = commit_body(album, (key, early.len()), (&thumbnail, 4));
        let file = vault.post("/files", commit).await.ok()["id"].as_i64().unwrap();
        assert_eq!(vault.download(file).await, early);
    }
}

/// What two purges had in one pack at once was copied with what one of them had purged, and no row said that it was to be looked at.
#[tokio::test]
async fn what_is_purged_while_its_pack_is_compacted_is_remembered() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "anna@example.org").await;
        let album = album(&store, owner).await;
        let due = async || store.packs_to_compact(i64::MAX, 100).await.unwrap();
        for is_forgotten_first in [true, false] {
            let (from, files) = pack(&store, owner, album, 4).await;
            let to = BlobName::generate(Uuid::new_v4(), 0);
            store.trash_files(owner, &[(files[0], album)]).await.unwrap();
            store.purge_files(owner, &files[..1]).await.unwrap();
            // Both have looked: one for what it purged, the other for what it has to move.
            let garbage = store.due_garbage(i64::MAX).await.unwrap();
            assert_eq!((garbage.keys.len(), garbage.blobs.len()), (2, 0));
            let objects = store.objects_in(&from).await.unwrap();
            let mut moved = None;
            if is_forgotten_first {
                assert_eq!(store.forget_garbage(&garbage).await.unwrap(), std::slice::from_ref(&from));
            } else {
                moved = Some(store.move_objects(&from, &to, &objects, &places(8)).await.unwrap());
                assert!(!due().await.contains(&to), "all was needed, and has moved");
                assert_eq!(store.forget_garbage(&garbage).await.unwrap(), std::slice::from_ref(&to));
            }
            if moved.is_none() {
                moved = Some(store.move_objects(&from, &to, &objects, &places(8)).await.unwrap());
            }
            assert_eq!(moved, Some(if is_forgotten_first { 6 } else { 8 }));
            assert!(due().await.contains(&to));
            assert_eq!(store.objects_in(&to).await.unwrap().len(), 6);
        }
    }
}

#[tokio::test]
async fn a_pack_that_loses_more_while_it_is_looked_at_is_looked_at_again() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "anna@example.org").await;
        let album = album(&store, owner).await;
        let (blob, files) = pack(&store, owner, album, 3).await;
        assert_eq!(store.noting_of(&blob).await.unwrap(), None);
        let mut seen: Option<String> = None;
        for file in &files[..2] {
            store.trash_files(owner, &[(*file, album)]).await.unwrap();
            store.purge_files(owner, &[*file]).await.unwrap();
            store.forget_garbage(&store.due_garbage(i64::MAX).await.unwrap()).await.unwrap();
            if let Some(seen) = &seen {
                // Somebody looked at it before.
                store.was_looked_at(&blob, seen).await.unwrap();
            }
            assert_eq!(store.packs_to_compact(i64::MAX, 100).await.unwrap(), std::slice::from_ref(&blob));
            seen = store.noting_of(&blob).await.unwrap();
        }
        store.was_looked_at(&blob, &seen.unwrap()).await.unwrap();
        assert_eq!(store.packs_to_compact(i64::MAX, 100).await.unwrap(), []);
    }
}

/// Whoever purged a picture waited until all packs were written anew that a round of the jobs had found.
#[tokio::test]
async fn a_purge_waits_for_nobody_who_writes_packs_anew() {
    let server = TestServer::start().await;
    let (vault, store) = (Vault::new(&server, "anna@example.org").await, &server.shared.store);
    let album = vault.album().await;
    let pictures = [1, 2, 3].map(|seed| Picture::new(album, seed));
    let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
    let files = ids(&send(&vault, batch).await.ok());
    vault.trash(&[(files[0], album), (files[1], album)]).await.ok();
    let on_disk = || bytes_below(&server.folder().join("objects"));
    let held = server.shared.compacting.lock().await;
    let purge = vault.post("/trash/delete", json!({ "fileIDs": &files[..2] }));
    tokio::time::timeout(Duration::from_mins(1), purge).await.expect("nobody waits").ok();
    assert_eq!((on_disk(), store.packs_to_compact(i64::MAX, 10).await.unwrap().len()), (3 * 5004, 1));
    drop(held);
    expire::expire(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!((on_disk(), store.packs_to_compact(i64::MAX, 10).await.unwrap().len()), (5004, 0));
    assert_eq!(vault.download(files[2]).await, pictures[2].bytes);
}

/// An earlier version was forgotten with the object that its own had been before it came again.
#[tokio::test]
async fn what_came_again_while_it_was_reaped_keeps_its_earlier_versions() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "anna@example.org").await;
        let album = album(&store, owner).await;
        let places = places(2);
        let at = |place: &Packed| ObjectAddress { account: owner, object: place.id };
        let objects_in = |blob: &BlobName| -> Vec<NewObject> {
            places.iter().map(|place| NewObject::packed(at(place), blob, place)).collect()
        };
        let reference = |place: &Packed| ObjectReference {
            object_key: at(place).key(),
            decryption_header: Opaque("aA==".into()),
            size: Some(10),
        };
        let commit = commit_of(album, reference(&places[0]), reference(&places[1]));
        let send = async |commits: &[CommitRequest]| {
            let objects = objects_in(&BlobName::generate(Uuid::new_v4(), 0));
            let request = BatchRequest { objects: &objects, commits, thumbnails: &[] };
            store.commit_batch(owner, request, QUOTA).await.unwrap().commits
        };
        send(&[]).await;
        assert_eq!(store.give_up_overdue(i64::MAX).await.unwrap(), 2);
        let garbage = store.due_garbage(i64::MAX).await.unwrap();
        assert_eq!(garbage.keys.len(), 2);
        let Some(Ok(Committed::Created(file))) = send(&[commit]).await.pop() else { panic!("not made") };
        let other = new_file(&store, owner, album, 20).await;
        store.update_file(owner, &update_of(file.id, other.file, other.thumbnail), QUOTA).await.unwrap();
        store.forget_garbage(&garbage).await.unwrap();
        assert_eq!(store.earlier_versions(owner, file.id).await.unwrap().versions.len(), 1);
    }
}

/// It lay there until the orphans were swept.
#[tokio::test]
async fn a_pack_that_was_written_for_what_is_purged_meanwhile_goes() {
    let server = TestServer::start().await;
    let (vault, store) = (Vault::new(&server, "anna@example.org").await, &server.shared.store);
    let album = vault.album().await;
    let picture = Picture::new(album, 1);
    let files = ids(&send(&vault, Batch::default().picture(&vault, &picture)).await.ok());
    vault.trash(&[(files[0], album)]).await.ok();
    store.purge_files(vault.person.id, &[FileId(files[0])]).await.unwrap();
    let garbage = store.due_garbage(i64::MAX).await.unwrap();
    let [from] = &garbage.blobs[..] else { panic!("{garbage:?}") };
    // Before the pack is removed, somebody writes it anew.
    let objects = store.objects_in(from).await.unwrap();
    let to = BlobName::generate(Uuid::new_v4(), 0);
    let path =
        |blob: &BlobName| server.folder().join("objects").join(&blob.as_str()[..2]).join(blob.as_str());
    std::fs::copy(path(from), path(&to)).unwrap();
    let place = |offset, bytes: &[u8]| Packed {
        id: Uuid::nil(),
        offset,
        length: bytes.len() as u64,
        digest: Digest::of(bytes),
    };
    let places = [place(0, &picture.bytes), place(5000, b"tiny")];
    assert_eq!(store.move_objects(from, &to, &objects, &places).await.unwrap(), 2);
    server.shared.objects.remove(garbage.blobs.clone()).await.unwrap();
    store.forget_garbage(&garbage).await.unwrap();
    expire::expire(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!(bytes_below(&server.folder().join("objects")), 0);
    assert_eq!(store.packs_to_compact(i64::MAX, 100).await.unwrap(), []);
}

/// It kept all others where they were, and with them what was purged from between them.
#[tokio::test]
async fn what_is_damaged_keeps_nothing_else_from_moving() {
    for is_cut in [false, true] {
        let server = TestServer::start().await;
        let (vault, store) = (Vault::new(&server, "anna@example.org").await, &server.shared.store);
        let album = vault.album().await;
        let pictures = [1, 2, 3, 4, 5, 6].map(|seed| Picture::new(album, seed));
        let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
        let files = ids(&send(&vault, batch).await.ok());
        let [damaged, _] = keys_of(store, vault.person.id, files[5]).await;
        let blob_of = async |key: &str| {
            let query = sqlx::query("SELECT blob FROM objects WHERE key = $1").bind(key);
            query.fetch_one(&database(&server).await).await.unwrap().get::<String, _>(0)
        };
        let blob = blob_of(&damaged.0).await;
        let path = server.folder().join("objects").join(&blob[..2]).join(&blob);
        let mut bytes = std::fs::read(&path).unwrap();
        // The last picture's thumbnail comes behind it, and is lost with its end.
        if is_cut {
            bytes.truncate(bytes.len() - 3000);
        } else {
            bytes[5 * 5004 + 2500] ^= 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        let items: Vec<(i64, i64)> = files[..4].iter().map(|file| (*file, album)).collect();
        vault.trash(&items).await.ok();
        vault.post("/trash/delete", json!({ "fileIDs": &files[..4] })).await.ok();
        let [whole, _] = keys_of(store, vault.person.id, files[4]).await;
        assert_ne!(blob_of(&whole.0).await, blob);
        assert_eq!(vault.download(files[4]).await, pictures[4].bytes);
        // It lies where it lay, as it is, and is known for what it is.
        let on_disk = || bytes_below(&server.folder().join("objects"));
        let moved = if is_cut { 5004 } else { 5004 + 4 };
        assert_eq!((blob_of(&damaged.0).await, std::fs::read(&path).unwrap()), (blob, bytes.clone()));
        assert_eq!(on_disk(), bytes.len() as u64 + moved);
        let known = store.damaged_objects(10).await.unwrap();
        assert_eq!(known.len(), if is_cut { 2 } else { 1 }, "{known:?}");
        assert!(known.iter().any(|known| known.key == damaged));
        let said = vault.post("/v1/receipts", json!({ "fileIDs": &files[4..] })).await.ok();
        let verdicts = [0, 1].map(|number| said["receipts"][number]["verdict"].clone());
        assert_eq!(verdicts, ["verified", "damaged"]);
        // Another look finds nothing to do, and writes nothing.
        assert_eq!(store.packs_to_compact(i64::MAX, 10).await.unwrap(), []);
        expire::expire(&server.shared, i64::MAX / 2).await.unwrap();
        assert_eq!(on_disk(), bytes.len() as u64 + moved);
        // Once nothing names it, it goes.
        vault.trash(&[(files[5], album)]).await.ok();
        vault.post("/trash/delete", json!({ "fileIDs": [files[5]] })).await.ok();
        assert_eq!(on_disk(), moved);
        assert_eq!(vault.download(files[4]).await, pictures[4].bytes);
    }
}
