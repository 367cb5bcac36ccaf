//! New thumbnails in the database, beside whatever else is done to their files; the same on SQLite and on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::change::Change;
use darkslide_protocol::{AccountId, FileId, Opaque, Version};
use darkslide_server::store::Store;
use darkslide_server::store::batch::BatchRequest;
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::thumbnails::OnlyMembership;
use support::checked::{commit, vault};
use support::reader::Reader;
use support::stored::{QUOTA, key, object, update_of};
use support::stores;

/// A request with a new object of so many bytes.
async fn request(
    store: &Store,
    account: AccountId,
    file_id: FileId,
    length: i64,
    original: Option<&str>,
) -> ThumbnailRequest {
    let thumbnail = object(store, account, length).await;
    ThumbnailRequest { file_id, thumbnail, if_original: original.map(|header| Opaque(header.to_owned())) }
}

async fn sizes(store: &Store, account: AccountId, file: FileId) -> [i64; 2] {
    let info = store.files_info(account, &[file]).await.unwrap()[0].file_info;
    [info.file_size, info.thumb_size]
}

async fn batch(
    store: &Store,
    account: AccountId,
    requests: &[ThumbnailRequest],
) -> Vec<Result<Option<OnlyMembership>, ChangeError>> {
    let request = BatchRequest { objects: &[], commits: &[], thumbnails: requests };
    store.commit_batch(account, request, QUOTA).await.unwrap().thumbnails
}

#[tokio::test]
async fn a_thumbnail_of_what_a_file_is_no_longer_is_refused() {
    for (_folder, store) in stores().await {
        let (account, album) = vault(&store, "a@example.org").await;
        let mut first = commit(&store, account, album, [100, 10]).await;
        first.file.decryption_header = Opaque("Zmlyc3Q=".into());
        let file = store.commit_file(account, &first, QUOTA).await.unwrap().id;
        let late = request(&store, account, file, 11, Some("Zmlyc3Q=")).await;
        let again = request(&store, account, file, 12, Some("Zmlyc3Q=")).await;
        store.update_thumbnail(account, &late, QUOTA).await.unwrap();
        assert_eq!(sizes(&store, account, file).await, [100, 11]);
        let mut second = commit(&store, account, album, [200, 20]).await.file;
        second.decryption_header = Opaque("c2Vjb25k".into());
        let update = update_of(file, second, object(&store, account, 20).await);
        store.update_file(account, &update, QUOTA).await.unwrap();

        let mut reader = Reader::new(account, 5);
        reader.sync(&store).await;
        let before = store.version_of(account).await.unwrap();
        let refused = store.update_thumbnail(account, &again, QUOTA).await;
        assert!(matches!(refused, Err(ChangeError::OtherOriginal)), "{refused:?}");
        let answers = batch(&store, account, &[again, late]).await;
        // The second one's object is that of a thumbnail that the file no longer has.
        assert!(
            answers.iter().all(|answer| matches!(answer, Err(ChangeError::OtherOriginal))),
            "{answers:?}"
        );
        assert_eq!(sizes(&store, account, file).await, [200, 20]);
        assert_eq!(store.version_of(account).await.unwrap(), before, "nothing was written");

        // What it is now, and what says nothing, as stock clients do.
        for (length, original) in [(21, Some("c2Vjb25k")), (22, None)] {
            let new = request(&store, account, file, length, original).await;
            assert!(batch(&store, account, &[new]).await[0].is_ok());
            assert_eq!(sizes(&store, account, file).await, [200, length]);
        }
    }
}

#[tokio::test]
async fn a_new_thumbnail_is_answered_with_the_membership_that_it_is_of() {
    for (_folder, store) in stores().await {
        let (account, first) = vault(&store, "a@example.org").await;
        let second = support::stored::album(&store, account).await;
        let file = store.commit_file(account, &commit(&store, account, first, [100, 10]).await, QUOTA).await;
        let file = file.unwrap().id;
        let only = async |length: i64| {
            let new = request(&store, account, file, length, None).await;
            batch(&store, account, &[new]).await.remove(0).unwrap()
        };
        assert_eq!(only(11).await.map(|only| only.collection), Some(first));
        store.add_files(account, second, &[key(file)]).await.unwrap();
        assert_eq!(only(12).await, None, "it has two");
        store.move_files(account, first, second, &[key(file)]).await.unwrap();
        let last = only(13).await.unwrap();
        let told = store.changes(account, Version(last.version.0 - 1), 1).await.unwrap().changes;
        let [Change::Membership { version, file: told }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((last.collection, last.version), (second, *version));
        assert_eq!((told.id, told.collection_id, told.is_deleted), (file, second, false));
    }
}
