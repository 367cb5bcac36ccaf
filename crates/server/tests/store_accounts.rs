//! What the store promises about accounts, shown on every engine: the same tests on SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::account::{EntityKey, KeyAttributes, UpdatedKeyAttributes};
use darkslide_protocol::{AccountId, Opaque};
use darkslide_server::auth::session::Device;
use darkslide_server::operator::{self, OperatorError, Standing};
use darkslide_server::store::Store;
use darkslide_server::store::accounts::{Admission, WriteOutcome};
use darkslide_server::store::codes::CodeOutcome;
use darkslide_server::store::srp::{AttemptOutcome, SrpAttempt, SrpSetup};
use support::stores;

fn text(name: &str) -> Opaque {
    Opaque(name.to_owned())
}

async fn account(store: &Store, email: &str) -> AccountId {
    match store.admit(email, true).await.unwrap() {
        Admission::Account(id) => id,
        other => panic!("{other:?}"),
    }
}

fn setup(identity: &str) -> SrpSetup {
    SrpSetup {
        srp_user_id: identity.to_owned(),
        salt: text("salt"),
        verifier: text("verifier"),
        client_public: text("A"),
        server_secret: text("b"),
    }
}

fn keys() -> KeyAttributes {
    KeyAttributes { kek_salt: text("+/=="), public_key: text("pk"), ..KeyAttributes::default() }
}

fn device() -> Device {
    Device { ip: "192.0.2.1".to_owned(), user_agent: "test/1".to_owned() }
}

#[tokio::test]
async fn only_one_of_many_first_sign_ups_is_first() {
    for (_folder, store) in stores().await {
        let emails: Vec<String> = (0..8).map(|number| format!("{number}@example.org")).collect();
        let admissions =
            futures_util::future::join_all(emails.iter().map(|email| store.admit(email, false))).await;
        let admitted =
            admissions.iter().filter(|admission| matches!(admission, Ok(Admission::Account(_)))).count();
        assert_eq!(admitted, 1, "{:?}: {admissions:?}", store.engine());
        assert!(!store.admits("late@example.org", false).await.unwrap());
    }
}

#[tokio::test]
async fn an_address_has_one_account_however_often_it_is_proved() {
    for (_folder, store) in stores().await {
        let admissions =
            futures_util::future::join_all((0..8).map(|_| store.admit("a@example.org", true))).await;
        let ids: std::collections::BTreeSet<_> =
            admissions.into_iter().map(|admission| format!("{:?}", admission.unwrap())).collect();
        assert_eq!(ids.len(), 1, "{:?}: {ids:?}", store.engine());
    }
}

#[tokio::test]
async fn invitations_admit_once_with_their_quota() {
    for (_folder, store) in stores().await {
        account(&store, "first@example.org").await;
        store.invite("b@example.org", Some(1)).await.unwrap();
        store.invite("b@example.org", Some(7)).await.unwrap();
        assert!(store.admits("b@example.org", false).await.unwrap());
        let Admission::Account(invited) = store.admit("b@example.org", false).await.unwrap() else {
            panic!()
        };
        assert_eq!(store.account(invited).await.unwrap().unwrap().quota, Some(7));
        store.delete_account(invited).await.unwrap();
        assert_eq!(store.admit("b@example.org", false).await.unwrap(), Admission::Closed);
    }
}

#[tokio::test]
async fn keys_are_kept_as_they_came_and_are_final() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        assert_eq!(store.key_attributes(id).await.unwrap(), None);
        assert_eq!(store.insert_key_attributes(id, &keys()).await.unwrap(), WriteOutcome::Done);
        let other = KeyAttributes { kek_salt: text("other"), ..keys() };
        assert_eq!(store.insert_key_attributes(id, &other).await.unwrap(), WriteOutcome::Refused);
        assert_eq!(store.key_attributes(id).await.unwrap(), Some(keys()));
        assert_eq!(store.public_key_of("a@example.org").await.unwrap(), Some(text("pk")));
    }
}

#[tokio::test]
async fn codes_are_counted_and_used_up() {
    for (_folder, store) in stores().await {
        let redeem = async |hash: &str| store.redeem_code("a@b", "photos", hash).await.unwrap();
        assert_eq!(redeem("1").await, CodeOutcome::NoneLive);
        for number in 0..10 {
            assert!(store.insert_code("a@b", "photos", &number.to_string()).await.unwrap());
        }
        assert!(!store.insert_code("a@b", "photos", "10").await.unwrap());
        assert_eq!(redeem("3").await, CodeOutcome::Accepted);
        assert_eq!(redeem("3").await, CodeOutcome::Wrong);
        for _ in 0..19 {
            assert_eq!(redeem("x").await, CodeOutcome::Wrong);
        }
        assert_eq!(redeem("4").await, CodeOutcome::TooManyWrong, "{:?}", store.engine());
        assert_eq!(store.expire_codes().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_code_redeemed_in_parallel_is_accepted_once() {
    for (_folder, store) in stores().await {
        store.insert_code("a@b", "photos", "1").await.unwrap();
        let outcomes =
            futures_util::future::join_all((0..8).map(|_| store.redeem_code("a@b", "photos", "1"))).await;
        let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CodeOutcome::Accepted))).count();
        assert_eq!(accepted, 1, "{:?}: {outcomes:?}", store.engine());
    }
}

#[tokio::test]
async fn credentials_are_replaced_only_while_sign_up_is_unfinished() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        store.insert_srp_setup(id, "setup", &setup("one")).await.unwrap();
        assert_eq!(store.srp_setup(id, "setup").await.unwrap(), Some(setup("one")));
        assert_eq!(store.srp_setup(AccountId(id.0 + 1), "setup").await.unwrap(), None);
        assert_eq!(store.complete_srp_setup(id, &setup("one")).await.unwrap(), WriteOutcome::Done);
        assert_eq!(store.srp_setup(id, "setup").await.unwrap(), None, "a completed setup is gone");
        assert_eq!(store.complete_srp_setup(id, &setup("two")).await.unwrap(), WriteOutcome::Done);
        assert_eq!(store.srp_attributes("a@example.org").await.unwrap(), None);
        store.insert_key_attributes(id, &keys()).await.unwrap();
        assert_eq!(store.complete_srp_setup(id, &setup("three")).await.unwrap(), WriteOutcome::Refused);
        let attributes = store.srp_attributes("a@example.org").await.unwrap().unwrap();
        assert_eq!((attributes.srp_user_id.as_str(), attributes.kek_salt), ("two", text("+/==")));
        let other = account(&store, "b@example.org").await;
        let taken = store.complete_srp_setup(other, &setup("two")).await.unwrap();
        assert_eq!(taken, WriteOutcome::Refused, "an identity belongs to one account");
    }
}

#[tokio::test]
async fn a_new_password_changes_all_or_nothing() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        let updated = UpdatedKeyAttributes { kek_salt: text("new"), ..UpdatedKeyAttributes::default() };
        let change = async |identity: &str, keep: Option<&str>| {
            store.change_password(id, &setup(identity), &updated, keep).await.unwrap()
        };
        assert_eq!(change("one", None).await, WriteOutcome::Refused, "no keys yet");
        store.insert_key_attributes(id, &keys()).await.unwrap();
        let other = account(&store, "b@example.org").await;
        store.complete_srp_setup(other, &setup("taken")).await.unwrap();
        assert_eq!(change("taken", None).await, WriteOutcome::Refused);
        assert_eq!(store.key_attributes(id).await.unwrap(), Some(keys()), "nothing was changed");
        for hash in ["kept", "ended"] {
            assert!(store.insert_session(id, "photos", hash, &device()).await.unwrap());
        }
        assert_eq!(change("one", Some("kept")).await, WriteOutcome::Done);
        assert_eq!(store.key_attributes(id).await.unwrap().unwrap().kek_salt, text("new"));
        assert!(store.session("kept", "photos", 0).await.unwrap().is_some());
        assert!(store.session("ended", "photos", 0).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn sign_ins_are_bounded_and_succeed_once() {
    for (_folder, store) in stores().await {
        let attempt = SrpAttempt { client_public: text("A"), server_secret: text("b") };
        for number in 0..10 {
            assert!(store.insert_srp_session(&format!("s{number}"), "me", &attempt).await.unwrap());
        }
        assert!(!store.insert_srp_session("s10", "me", &attempt).await.unwrap());
        assert!(store.insert_srp_session("s10", "other", &attempt).await.unwrap());
        let count = async |id: &str, who: &str| store.count_srp_attempt(id, who).await.unwrap();
        assert_eq!(count("s0", "other").await, AttemptOutcome::Unknown);
        for _ in 0..5 {
            assert_eq!(count("s0", "me").await, AttemptOutcome::May(attempt.clone()));
        }
        assert_eq!(count("s0", "me").await, AttemptOutcome::TooManyWrong);
        assert!(store.verify_srp_session("s1").await.unwrap());
        assert!(!store.verify_srp_session("s1").await.unwrap());
        assert_eq!(count("s1", "me").await, AttemptOutcome::AlreadyVerified);
        assert!(store.insert_srp_session("s11", "me", &attempt).await.unwrap(), "one has been verified");
        assert_eq!(store.expire_srp().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn sessions_belong_to_an_app_and_end() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        for (hash, app) in [("one", "photos"), ("two", "photos"), ("three", "auth")] {
            assert!(store.insert_session(id, app, hash, &device()).await.unwrap());
        }
        assert!(!store.insert_session(AccountId(999_999), "photos", "x", &device()).await.unwrap());
        assert!(store.session("one", "auth", 0).await.unwrap().is_none());
        let used = store.session("one", "photos", 0).await.unwrap().unwrap();
        assert_eq!(used.account, id);
        assert!(
            store.session("one", "photos", used.last_used_at + 1).await.unwrap().is_none(),
            "too long idle"
        );
        let later = Device { ip: "192.0.2.2".to_owned(), ..device() };
        store.touch_session("one", &later, used.last_used_at + 60_000_000).await.unwrap();
        let listed = store.list_sessions(id, "photos", 0).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[0].token_hash.as_str(), &listed[0].device), ("one", &later));
        store.delete_session(id, "auth", "one", "").await.unwrap();
        store.delete_session(AccountId(id.0 + 1), "photos", "one", "").await.unwrap();
        assert!(store.session("one", "photos", 0).await.unwrap().is_some());
        store.delete_session(id, "photos", "", &listed[0].id).await.unwrap();
        assert!(store.session("one", "photos", 0).await.unwrap().is_none());
        assert_eq!(store.expire_sessions(i64::MAX).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn settings_and_entity_keys() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        store.set_setting(id, "mapEnabled", "true").await.unwrap();
        store.set_setting(id, "mapEnabled", "false").await.unwrap();
        assert_eq!(store.settings(id).await.unwrap()["mapEnabled"], "false");
        store.delete_setting(id, "mapEnabled").await.unwrap();
        assert!(store.settings(id).await.unwrap().is_empty());
        let key = EntityKey {
            kind: "location".to_owned(),
            encrypted_key: text("k"),
            header: text("h"),
            ..EntityKey::default()
        };
        assert_eq!(store.entity_key(id, "location").await.unwrap(), None);
        assert_eq!(store.insert_entity_key(id, &key).await.unwrap(), WriteOutcome::Done);
        assert_eq!(store.insert_entity_key(id, &key).await.unwrap(), WriteOutcome::Done);
        let other = EntityKey { encrypted_key: text("other"), ..key.clone() };
        assert_eq!(store.insert_entity_key(id, &other).await.unwrap(), WriteOutcome::Refused);
        let stored = store.entity_key(id, "location").await.unwrap().unwrap();
        assert_eq!((stored.user_id, stored.encrypted_key), (id, text("k")));
    }
}

#[tokio::test]
async fn email_mfa_needs_a_password_to_be_switched_off() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        assert_eq!(store.set_email_mfa(id, true).await.unwrap(), WriteOutcome::Done);
        assert_eq!(store.set_email_mfa(id, false).await.unwrap(), WriteOutcome::Refused);
        store.complete_srp_setup(id, &setup("one")).await.unwrap();
        assert_eq!(store.set_email_mfa(id, false).await.unwrap(), WriteOutcome::Done);
        let row = store.account(id).await.unwrap().unwrap();
        assert!(row.has_srp && !row.email_mfa);
    }
}

#[tokio::test]
async fn an_address_can_be_changed_to_a_free_one() {
    for (_folder, store) in stores().await {
        let id = account(&store, "a@example.org").await;
        account(&store, "b@example.org").await;
        assert_eq!(store.change_email(id, "b@example.org").await.unwrap(), WriteOutcome::Refused);
        assert_eq!(store.change_email(id, "c@example.org").await.unwrap(), WriteOutcome::Done);
        assert!(store.account_by_email("a@example.org").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn the_operator_s_commands() {
    for (_folder, store) in stores().await {
        let id = account(&store, "anna@example.org").await;
        store.insert_key_attributes(id, &keys()).await.unwrap();
        store.insert_session(id, "photos", "hash", &device()).await.unwrap();
        operator::add(&store, "Berta@Example.org", Some(5)).await.unwrap();
        assert!(matches!(
            operator::add(&store, "anna@example.org", None).await,
            Err(OperatorError::AlreadyRegistered(_))
        ));
        assert!(matches!(operator::add(&store, "nonsense", None).await, Err(OperatorError::NotAnAddress(_))));
        operator::set_quota(&store, "anna@example.org", Some(9)).await.unwrap();
        operator::set_quota(&store, "berta@example.org", None).await.unwrap();
        assert!(matches!(
            operator::set_quota(&store, "x@example.org", None).await,
            Err(OperatorError::NoSuchAccount(_))
        ));
        assert!(matches!(
            operator::set_quota(&store, "anna@example.org", Some(u64::MAX)).await,
            Err(OperatorError::QuotaTooLarge)
        ));
        let listed = operator::list(&store).await.unwrap();
        let seen: Vec<_> =
            listed.iter().map(|line| (line.email.as_str(), line.standing, line.quota)).collect();
        assert_eq!(
            seen,
            [("anna@example.org", Standing::Active, Some(9)), ("berta@example.org", Standing::Invited, None)]
        );
        assert!(listed[0].last_used_at.is_some());
        operator::disable(&store, "anna@example.org").await.unwrap();
        assert!(store.session("hash", "photos", 0).await.unwrap().is_none());
        assert_eq!(operator::list(&store).await.unwrap()[0].standing, Standing::Disabled);
        assert_eq!(store.admit("anna@example.org", true).await.unwrap(), Admission::Disabled);
        operator::enable(&store, "anna@example.org").await.unwrap();
        assert_eq!(operator::code(&store, "anna@example.org").await.unwrap().len(), 6);
        operator::remove(&store, "anna@example.org").await.unwrap();
        operator::remove(&store, "berta@example.org").await.unwrap();
        assert!(matches!(
            operator::remove(&store, "anna@example.org").await,
            Err(OperatorError::NoSuchAccount(_))
        ));
        assert!(operator::list(&store).await.unwrap().is_empty());
        assert_eq!(store.totals().await.unwrap().accounts, 0);
    }
}

#[tokio::test]
async fn the_signer_is_the_same_for_every_process() {
    for (_folder, store) in stores().await {
        let signature = store.signer().await.unwrap().sign("test", &["field"]);
        assert!(store.signer().await.unwrap().verify("test", &["field"], &signature));
    }
}
