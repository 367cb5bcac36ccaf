//! The conformance suite of resumable uploads in the database: the same on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::limits::DAY_MICROS;
use darkslide_protocol::{AccountId, Opaque};
use darkslide_server::store::Store;
use darkslide_server::store::accounts::Admission;
use darkslide_server::store::resumable::{Chunk, Finished, Recorded, UPLOAD_LIFETIME_MICROS};
use darkslide_server::store::uploads::ObjectAddress;
use support::stores;
use uuid::Uuid;

const WHOLE: u64 = 1000;

/// Of whatever was recorded.
const DIGEST: [u8; 32] = [7; 32];

async fn account(store: &Store) -> AccountId {
    let admission = store.admit("tus@example.org", true).await.unwrap();
    let Admission::Account(account) = admission else { panic!("refused") };
    account
}

async fn begun(store: &Store) -> ObjectAddress {
    let at = ObjectAddress::generate(account(store).await);
    let upload = store.begin_upload(at, WHOLE, None, None).await.unwrap();
    assert_eq!(store.upload(at).await.unwrap(), Some(upload));
    at
}

fn chunk(offset: u64) -> Chunk {
    Chunk { offset, digest: "ZGlnZXN0".to_owned() }
}

async fn take(store: &Store, at: ObjectAddress, offset: u64) -> Option<Uuid> {
    let writer = Uuid::new_v4();
    let taken = store.take_upload(at, offset, writer).await.unwrap();
    (taken != Recorded::Superseded).then_some(writer)
}

async fn record(store: &Store, at: ObjectAddress, writer: Uuid, from: u64, to: u64) -> bool {
    let recorded = store.record_upload(at, writer, from, to, &DIGEST, &chunk(from)).await.unwrap();
    recorded != Recorded::Superseded
}

#[tokio::test]
async fn only_the_newest_writer_records_and_only_where_it_left_off() {
    for (_kept, store) in stores().await {
        let at = begun(&store).await;
        assert!(take(&store, at, 1).await.is_none(), "it stands at 0");
        let elsewhere = ObjectAddress { account: AccountId(at.account.0 + 1), ..at };
        assert!(take(&store, elsewhere, 0).await.is_none());
        assert_eq!(store.upload(elsewhere).await.unwrap(), None);
        let old = take(&store, at, 0).await.unwrap();
        assert!(record(&store, at, old, 0, 100).await);
        assert!(!record(&store, at, old, 0, 200).await, "it stands at 100");
        let new = take(&store, at, 100).await.unwrap();
        assert!(!record(&store, at, old, 100, 300).await, "another has taken over");
        assert!(record(&store, at, new, 100, 250).await);
        let upload = store.upload(at).await.unwrap().unwrap();
        assert_eq!((upload.offset, upload.digest, upload.chunk), (250, Some(DIGEST), Some(chunk(100))));
    }
}

#[tokio::test]
async fn of_writers_that_race_one_is_left() {
    for (_kept, store) in stores().await {
        let at = begun(&store).await;
        let race = async || {
            let writer = take(&store, at, 0).await?;
            record(&store, at, writer, 0, 10).await.then_some(writer)
        };
        let winners = futures_util::future::join_all((0..8).map(|_| race())).await;
        assert_eq!(winners.iter().flatten().count(), 1);
        assert_eq!(store.upload(at).await.unwrap().unwrap().offset, 10);
    }
}

#[tokio::test]
async fn a_whole_upload_becomes_an_object_once() {
    for (_kept, store) in stores().await {
        let at = begun(&store).await;
        let upload = store.upload(at).await.unwrap().unwrap();
        assert_eq!(store.finish_upload(&upload, &DIGEST).await.unwrap(), Finished::Gone, "bytes are missing");
        let writer = take(&store, at, 0).await.unwrap();
        assert!(record(&store, at, writer, 0, WHOLE).await);
        // The blob has a name from the beginning, so that no sweep takes it between its two places.
        assert!(store.unnamed_blobs(std::slice::from_ref(&upload.blob)).await.unwrap().is_empty());
        for _ in 0..2 {
            assert_eq!(store.finish_upload(&upload, &DIGEST).await.unwrap(), Finished::Stored);
        }
        let object = store.readable_object(at, 0).await.unwrap().unwrap();
        assert_eq!((object.length, object.etag.as_str()), (WHOLE, "07".repeat(16).as_str()));
        assert!(store.upload(at).await.unwrap().unwrap().is_stored);
        assert!(!store.forget_upload(at).await.unwrap(), "the object stays");
        assert!(take(&store, at, WHOLE).await.is_none());
        // Purged since: finishing again does not bring it back.
        store.give_up_overdue(i64::MAX).await.unwrap();
        store.forget_garbage(&store.due_garbage(i64::MAX).await.unwrap()).await.unwrap();
        assert_eq!(store.finish_upload(&upload, &DIGEST).await.unwrap(), Finished::Stored);
        assert_eq!(store.readable_object(at, 0).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_over_takes_no_more() {
    for (_kept, store) in stores().await {
        let at = begun(&store).await;
        let writer = take(&store, at, 0).await.unwrap();
        let until = store.upload(at).await.unwrap().unwrap().expires_at;
        assert_eq!(store.forget_expired_uploads(until - 1).await.unwrap(), []);
        let recorded = store.record_upload(at, writer, 0, 10, &DIGEST, &chunk(0)).await.unwrap();
        assert!(matches!(recorded, Recorded::Until(later) if later >= until), "{recorded:?}");
        let forgotten = store.forget_expired_uploads(until + UPLOAD_LIFETIME_MICROS).await.unwrap();
        assert_eq!(forgotten.iter().map(|upload| upload.at).collect::<Vec<_>>(), [at]);
        assert!(!record(&store, at, writer, 10, 20).await);
        assert_eq!(store.unknown_uploads(&[at.object]).await.unwrap(), [at.object]);

        let at = begun(&store).await;
        let writer = take(&store, at, 0).await.unwrap();
        assert!(store.forget_upload(at).await.unwrap() && !store.forget_upload(at).await.unwrap());
        assert!(!record(&store, at, writer, 0, 10).await);

        let at = begun(&store).await;
        let writer = take(&store, at, 0).await.unwrap();
        assert!(store.unknown_uploads(&[at.object]).await.unwrap().is_empty());
        store.delete_account(at.account).await.unwrap();
        assert!(!record(&store, at, writer, 0, 10).await && take(&store, at, 0).await.is_none());
        let upload = store.upload(at).await.unwrap().unwrap();
        assert!(upload.is_expired(upload.expires_at) && !upload.is_expired(upload.expires_at - DAY_MICROS));
        assert_eq!(store.finish_upload(&upload, &DIGEST).await.unwrap(), Finished::Gone);
    }
}

/// Uploads that are under way when the server is replaced: where one request brought all that is there, its digest is that of all.
#[tokio::test]
async fn of_what_was_recorded_without_a_digest_it_is_known_where_one_request_brought_it() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let pool = support::database_before(&url, 11).await;
        let (one, several) = (Uuid::new_v4(), Uuid::new_v4());
        let digest = Opaque::encode(DIGEST).0;
        for text in [
            "INSERT INTO accounts (id, status, version, usage, email_mfa, created_at) VALUES (1, 'active', 0, 0, 0, 0)"
                .to_owned(),
            format!(
                "INSERT INTO uploads (id, account_id, state, length, durable_offset, chunk_offset, chunk_digest, blob,
                                      expires_at, created_at)
                 VALUES ('{one}', 1, 'open', 1000, 500, 0, '{digest}', '{one}.00000.00000000', 9, 0),
                        ('{several}', 1, 'open', 1000, 500, 100, '{digest}', '{several}.00000.00000000', 9, 0)"
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(&url).await.unwrap();
        for (object, known) in [(one, Some(DIGEST)), (several, None)] {
            let upload =
                store.upload(ObjectAddress { account: AccountId(1), object }).await.unwrap().unwrap();
            assert_eq!((upload.offset, upload.digest), (500, known));
        }
    }
}
