//! Earlier contents in the database: kept, brought back once, and counted; the same on SQLite and on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::file::UpdateRequest;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use darkslide_server::store::Store;
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::commit::EARLIER_CONTENTS_MICROS;
use darkslide_server::store::files::Which;
use support::checked::{commit, vault};
use support::reader::Reader;
use support::stored::{QUOTA, update_of};
use support::stores;

/// Gives a file other contents, and says by which objects.
async fn edit(
    store: &Store,
    (account, album): (AccountId, CollectionId),
    id: FileId,
    lengths: [i64; 2],
) -> UpdateRequest {
    let new = commit(store, account, album, lengths).await;
    let update = update_of(id, new.file, new.thumbnail);
    store.update_file(account, &update, QUOTA).await.unwrap();
    update
}

async fn versions(store: &Store, account: AccountId, file: FileId) -> Vec<(Version, [i64; 2])> {
    let listed = store.earlier_versions(account, file).await.unwrap();
    assert_eq!(listed.file_id, file);
    listed.versions.iter().map(|one| (one.version, [one.file.size, one.thumbnail.size])).collect()
}

async fn sizes(store: &Store, account: AccountId, file: FileId) -> [i64; 2] {
    let info = store.files_info(account, &[file]).await.unwrap()[0].file_info;
    [info.file_size, info.thumb_size]
}

#[tokio::test]
async fn what_a_file_was_comes_back_and_what_it_is_can_come_back_too() {
    for (_folder, store) in stores().await {
        let at = vault(&store, "a@example.org").await;
        let (account, album) = at;
        let request = commit(&store, account, album, [100, 10]).await;
        let file = store.commit_file(account, &request, QUOTA).await.unwrap().id;
        assert_eq!(versions(&store, account, file).await, []);
        edit(&store, at, file, [200, 20]).await;
        let last = edit(&store, at, file, [300, 30]).await;
        let kept = versions(&store, account, file).await;
        assert_eq!(kept.iter().map(|(_, sizes)| *sizes).collect::<Vec<_>>(), [[200, 20], [100, 10]]);
        let mut reader = Reader::new(account, 5);
        reader.sync(&store).await;
        let restored = store.restore_version(account, file, kept[1].0, QUOTA).await.unwrap();
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        assert_eq!(sizes(&store, account, file).await, [100, 10]);
        let shown = store.file_in_collection(account, album, file).await.unwrap().unwrap();
        assert!(shown.updation_time > kept[0].0 && shown.updation_time <= restored.updation_time);
        let after = versions(&store, account, file).await;
        assert_eq!(after.iter().map(|(_, sizes)| *sizes).collect::<Vec<_>>(), [[300, 30], [200, 20]]);
        let original = store.object_of_version(account, file, after[0].0, Which::Original).await.unwrap();
        assert_eq!(original.key(), last.file.object_key);
        let objects = store.objects_of_version(account, file, after[0].0).await.unwrap().unwrap();
        assert_eq!((&objects.original, objects.original_size), (&last.file.object_key, 300));
        assert_eq!((&objects.thumbnail, objects.thumbnail_size), (&last.thumbnail.object_key, 30));
        assert_eq!(
            store.objects_of_version(account, file, kept[1].0).await.unwrap(),
            None,
            "it was brought back"
        );
        // The same again, and again after another edit, changes nothing.
        assert_eq!(store.restore_version(account, file, kept[1].0, QUOTA).await.unwrap(), restored);
        edit(&store, at, file, [400, 40]).await;
        assert_eq!(store.restore_version(account, file, kept[1].0, QUOTA).await.unwrap(), restored);
        assert_eq!(sizes(&store, account, file).await, [400, 40]);
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        // What was brought back and edited again is listed under the version that it had then.
        let again = versions(&store, account, file).await;
        assert_eq!(again[0], (restored.updation_time, [100, 10]));
        store.restore_version(account, file, again[0].0, QUOTA).await.unwrap();
        assert_eq!(sizes(&store, account, file).await, [100, 10]);
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
    }
}

#[tokio::test]
async fn what_came_back_stays_and_what_was_replaced_goes_in_its_time() {
    for (_folder, store) in stores().await {
        let at = vault(&store, "a@example.org").await;
        let (account, album) = at;
        let request = commit(&store, account, album, [100, 10]).await;
        let file = store.commit_file(account, &request, QUOTA).await.unwrap().id;
        let edited = edit(&store, at, file, [200, 20]).await;
        let [(first, _)] = versions(&store, account, file).await[..] else { panic!("one earlier version") };
        store.restore_version(account, file, first, QUOTA).await.unwrap();
        let listed = store.earlier_versions(account, file).await.unwrap().versions.remove(0);
        let late = listed.replaced_at + EARLIER_CONTENTS_MICROS;
        assert_eq!(listed.expires_at, late, "what is said is how long it is there");
        store.give_up_overdue(late + 1).await.unwrap();
        assert!(store.due_garbage(late + 1).await.unwrap().keys.is_empty(), "a removal may have begun early");
        let late = late + 3_600_000_000;
        store.give_up_overdue(late + 1).await.unwrap();
        let mut due = store.due_garbage(late + 1).await.unwrap();
        due.keys.sort();
        let mut expected = vec![edited.file.object_key, edited.thumbnail.object_key];
        expected.sort();
        assert_eq!(due.keys, expected, "and nothing of what came back");
        store.forget_garbage(&due).await.unwrap();
        assert_eq!(versions(&store, account, file).await, []);
        let gone = store.restore_version(account, file, listed.version, QUOTA).await.unwrap_err();
        assert!(matches!(gone, ChangeError::NotFound));
        let there = store.object_of_file(account, file, Which::Original).await.unwrap().unwrap();
        assert_eq!(there.key(), request.file.object_key);
    }
}

#[tokio::test]
async fn contents_that_share_an_object_come_back_whole() {
    for (_folder, store) in stores().await {
        let at = vault(&store, "a@example.org").await;
        let (account, album) = at;
        let request = commit(&store, account, album, [100, 10]).await;
        let file = store.commit_file(account, &request, QUOTA).await.unwrap().id;
        // The same original with another thumbnail is an update that shares an object with what was.
        edit(&store, at, file, [200, 20]).await;
        let [(first, _)] = versions(&store, account, file).await[..] else { panic!("one earlier version") };
        store.restore_version(account, file, first, QUOTA).await.unwrap();
        edit(&store, at, file, [300, 30]).await;
        // `first` is noted as brought back; its contents are listed under their second version, with the same objects.
        let kept = versions(&store, account, file).await;
        assert_eq!(kept.iter().filter(|(_, sizes)| *sizes == [100, 10]).count(), 1);
        let mut reader = Reader::new(account, 3);
        for (version, sizes_then) in kept {
            store.restore_version(account, file, version, QUOTA).await.unwrap();
            assert_eq!(sizes(&store, account, file).await, sizes_then);
            reader.must_be_up_to_date(&store).await;
            reader.must_be_sound(&store).await;
        }
    }
}

#[tokio::test]
async fn restores_are_refused_where_updates_are() {
    for (_folder, store) in stores().await {
        let at = vault(&store, "a@example.org").await;
        let (account, album) = at;
        let (other, _) = vault(&store, "b@example.org").await;
        let large = 1 << 30;
        let request = commit(&store, account, album, [large, 10]).await;
        let file = store.commit_file(account, &request, QUOTA).await.unwrap().id;
        edit(&store, at, file, [200, 20]).await;
        let [(version, _)] = versions(&store, account, file).await[..] else { panic!("one earlier version") };
        let refused = |result: Result<_, ChangeError>| {
            result.map(|_: darkslide_protocol::file::UpdateResponse| ()).unwrap_err()
        };
        let full = refused(store.restore_version(account, file, version, 1000).await);
        assert!(matches!(full, ChangeError::QuotaExceeded));
        assert_eq!(versions(&store, account, file).await.len(), 1, "nothing of it was done");
        for (who, file, version) in [
            (other, file, version),
            (account, file, Version(version.0 + 1)),
            (account, FileId(987_654), version),
        ] {
            assert!(matches!(
                refused(store.restore_version(who, file, version, QUOTA).await),
                ChangeError::NotFound
            ));
            let object = store.object_of_version(who, file, version, Which::Thumbnail).await;
            assert!(matches!(object, Err(ChangeError::NotFound)));
            assert_eq!(store.objects_of_version(who, file, version).await.unwrap(), None);
        }
        assert!(matches!(store.earlier_versions(other, file).await, Err(ChangeError::NotFound)));
        store.trash_files(account, &[(file, album)]).await.unwrap();
        store.restore_version(account, file, version, QUOTA).await.unwrap();
        assert_eq!(store.usage_of(account).await.unwrap().used, large + 10);
        store.purge_files(account, &[file]).await.unwrap();
        assert!(matches!(
            refused(store.restore_version(account, file, version, QUOTA).await),
            ChangeError::NotFound
        ));
        assert!(matches!(store.earlier_versions(account, file).await, Err(ChangeError::NotFound)));
    }
}
