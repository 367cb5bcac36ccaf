//! What is known of objects' bytes, in the database: the same on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::receipt::Damage;
use darkslide_protocol::{AccountId, FileId, ObjectKey};
use darkslide_server::objects::{BlobName, Digest};
use darkslide_server::store::Store;
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::checks::{Check, ObjectsHealth, Place, Recorded, ScrubStanding};
use darkslide_server::store::uploads::{ObjectAddress, StoredBody};
use support::checked::{commit, file, object, vault};
use support::stored::{QUOTA, update_of};
use support::stores;

const LATE: i64 = i64::MAX / 2;

/// A check of an object where it is now; where it is not any more, of nowhere.
async fn check(store: &Store, key: &ObjectKey, outcome: Result<Digest, Damage>, at: i64) -> Check {
    let place = store.checkable_object(key).await.unwrap().map(|object| object.place).unwrap_or_default();
    Check { key: key.clone(), place, outcome, at }
}

async fn whole(store: &Store, key: &ObjectKey, at: i64) -> Check {
    check(store, key, Ok(Digest::of(b"whole")), at).await
}

async fn harmed(store: &Store, key: &ObjectKey, damage: Damage, at: i64) -> Check {
    check(store, key, Err(damage), at).await
}

#[tokio::test]
async fn what_was_never_read_is_due_first_then_what_was_least_recently() {
    for (_folder, store) in stores().await {
        let (account, album) = vault(&store, "a@example.org").await;
        let (_, [a, b]) = file(&store, account, album).await;
        let (_, [c, d]) = file(&store, account, album).await;
        object(&store, account, 5).await;
        assert_eq!(
            store.due_for_check(LATE, LATE, i64::MAX, 10).await.unwrap().len(),
            4,
            "what is not committed is not read"
        );
        let checks = [
            whole(&store, &a, 300).await,
            whole(&store, &b, 100).await,
            harmed(&store, &c, Damage::Altered, 200).await,
        ];
        assert_eq!(
            store.record_checks(&checks).await.unwrap(),
            [Recorded::Known, Recorded::Known, Recorded::NewDamage]
        );
        let due = async |before, damaged_before, count| {
            store.due_for_check(before, damaged_before, i64::MAX, count).await.unwrap()
        };
        assert_eq!(due(LATE, 0, 10).await, [&d, &b, &c, &a].map(Clone::clone));
        assert_eq!(due(LATE, LATE, 10).await[0], c, "damage comes first when it is due");
        assert_eq!(due(101, 0, 10).await, [&d, &b].map(Clone::clone));
        assert_eq!(due(0, 201, 10).await, [c]);
        assert_eq!(due(LATE, LATE, 2).await.len(), 2);
    }
}

#[tokio::test]
async fn damage_is_news_once_and_forgotten_when_the_object_is_whole_or_purged() {
    for (_folder, store) in stores().await {
        let (account, album) = vault(&store, "a@example.org").await;
        let (id, [a, b]) = file(&store, account, album).await;
        let record = async |check: Check| store.record_checks(&[check]).await.unwrap()[0];
        assert_eq!(record(whole(&store, &a, 50).await).await, Recorded::Known);
        assert_eq!(record(harmed(&store, &a, Damage::Altered, 100).await).await, Recorded::NewDamage);
        assert_eq!(record(harmed(&store, &a, Damage::Missing, 200).await).await, Recorded::Known);
        assert_eq!(record(harmed(&store, &b, Damage::Shorter, 300).await).await, Recorded::NewDamage);
        let known = store.damaged_objects(10).await.unwrap();
        let seen: Vec<_> =
            known.iter().map(|object| (&object.key, object.damage, object.since, object.file)).collect();
        assert_eq!(
            seen,
            [(&a, Damage::Missing, Some(100), Some(id)), (&b, Damage::Shorter, Some(300), Some(id))]
        );
        assert_eq!(store.damaged_objects(1).await.unwrap().len(), 1);
        let health = store.objects_health().await.unwrap();
        assert_eq!((health.objects, health.bytes, health.damaged, health.missing), (2, 11, 1, 1));
        assert_eq!((health.verified_objects, health.verified_bytes, health.oldest), (0, 0, Some(200)));
        let standing = store.scrub_standing().await.unwrap();
        assert_eq!((standing.damaged, standing.missing, standing.oldest), (1, 1, Some(200)));
        assert_eq!(record(whole(&store, &a, 400).await).await, Recorded::Known);
        let health = store.objects_health().await.unwrap();
        assert_eq!(
            (health.verified_objects, health.verified_bytes, health.damaged, health.missing),
            (1, 10, 1, 0)
        );
        let elsewhere =
            Check { place: Place { offset: 1, ..Place::default() }, ..whole(&store, &a, 450).await };
        assert_eq!(record(elsewhere).await, Recorded::Gone, "it is not where it was read");
        let last = harmed(&store, &b, Damage::Missing, 500).await;
        store.trash_files(account, &[(id, album)]).await.unwrap();
        store.purge_files(account, &[id]).await.unwrap();
        assert_eq!(record(last).await, Recorded::Gone, "its bytes were given up");
        assert_eq!(store.damaged_objects(10).await.unwrap(), []);
        assert_eq!(store.objects_health().await.unwrap(), ObjectsHealth::default());
        assert_eq!(store.scrub_standing().await.unwrap(), ScrubStanding::default());
    }
}

#[tokio::test]
async fn what_an_edited_file_was_is_read_until_its_time_is_up() {
    for (_folder, store) in stores().await {
        let (account, album) = vault(&store, "a@example.org").await;
        let (id, [a, b]) = file(&store, account, album).await;
        let checks = [whole(&store, &a, 300).await, whole(&store, &b, 100).await];
        store.record_checks(&checks).await.unwrap();
        let new = commit(&store, account, album, [20, 2]).await;
        let [c, d] = [new.file.object_key.clone(), new.thumbnail.object_key.clone()];
        let update = update_of(id, new.file, new.thumbnail);
        store.update_file(account, &update, QUOTA).await.unwrap();
        let due = store.due_for_check(LATE, 0, i64::MAX, 10).await.unwrap();
        assert_eq!(due[2..], [b.clone(), a.clone()], "among the others, the least recent first");
        assert!(due.contains(&c) && due.contains(&d) && due.len() == 4);
        assert_eq!(store.due_for_check(LATE, 0, i64::MAX, 3).await.unwrap(), due[..3]);
        assert_eq!(store.scrub_standing().await.unwrap().damaged, 0);
        let checks = [harmed(&store, &a, Damage::Missing, 400).await, whole(&store, &c, 350).await];
        assert_eq!(store.record_checks(&checks).await.unwrap(), [Recorded::NewDamage, Recorded::Known]);
        assert_eq!(store.due_for_check(0, LATE, i64::MAX, 10).await.unwrap(), std::slice::from_ref(&a));
        let health = store.objects_health().await.unwrap();
        assert_eq!((health.objects, health.earlier_objects, health.missing), (4, 2, 1));
        let known = store.damaged_objects(10).await.unwrap();
        assert_eq!((known.len(), &known[0].key, known[0].file, known[0].is_earlier), (1, &a, Some(id), true));
        assert_eq!(store.scrub_standing().await.unwrap().missing, 1);
        let version = store.earlier_versions(account, id).await.unwrap().versions[0].version;
        let refused = store.restore_version(account, id, version, QUOTA).await.unwrap_err();
        assert!(matches!(refused, ChangeError::VersionDamaged(Damage::Missing)), "{refused}");
        store.record_checks(&[whole(&store, &a, 500).await]).await.unwrap();
        store.restore_version(account, id, version, QUOTA).await.unwrap();
        assert_eq!(store.objects_health().await.unwrap().earlier_objects, 2);
        store.give_up_overdue(LATE).await.unwrap();
        assert_eq!(store.objects_health().await.unwrap().objects, 2, "what is given up is not read any more");
        let mut kept = store.due_for_check(LATE, 0, i64::MAX, 10).await.unwrap();
        kept.sort();
        let mut current = vec![a, b];
        current.sort();
        assert_eq!(kept, current);
        assert_eq!(store.count_lost().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_account_asks_for_its_own_files_only() {
    for (_folder, store) in stores().await {
        let (one, album) = vault(&store, "a@example.org").await;
        let (other, others_album) = vault(&store, "b@example.org").await;
        let (own, keys) = file(&store, one, album).await;
        let (others, _) = file(&store, other, others_album).await;
        let known = store.objects_of_files(one, &[own, others, FileId(987_654)]).await.unwrap();
        assert_eq!(known.keys().collect::<Vec<_>>(), [&own]);
        assert_eq!([&known[&own].original, &known[&own].thumbnail], keys.each_ref());
        let object = store.checkable_object(&keys[0]).await.unwrap().unwrap();
        let stretch = &object.stretches.unwrap()[0];
        assert_eq!((stretch.offset, stretch.length, stretch.is_alone), (0, 10, true));
        assert_eq!(stretch.digest, Digest::of(&10_i64.to_le_bytes()));
        let waiting = object_waiting(&store, one).await;
        assert_eq!(store.checkable_object(&waiting).await.unwrap(), None);
        let uncommitted = store.uncommitted().await.unwrap();
        assert_eq!((uncommitted.objects, uncommitted.bytes), (2, 5 + 7));
    }
}

/// An object of 5 bytes that is not committed, beside one of which a part of 7 bytes is stored.
async fn object_waiting(store: &Store, account: AccountId) -> ObjectKey {
    let at = ObjectAddress::generate(account);
    let part = StoredBody {
        blob: BlobName::generate(at.object, 1),
        length: 7,
        md5: "00".repeat(16),
        digest: Digest::of(b"part").to_string(),
    };
    store.store_part(at, 1, 2, &part).await.unwrap();
    object(store, account, 5).await.object_key
}
