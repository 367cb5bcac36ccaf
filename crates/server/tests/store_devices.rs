//! Devices in the database: they live as long as a session is on them; the same on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::AccountId;
use darkslide_protocol::Opaque;
use darkslide_protocol::device::{PushEndpoint, RegisterDevice};
use darkslide_server::auth::session::Device;
use darkslide_server::store::Store;
use darkslide_server::store::devices::Registered;
use support::checked::vault;
use support::{database_before, database_urls, stores};

const LAPTOP: &str = "6a3c8f5e-0000-4000-8000-000000000001";
const PHONE: &str = "6a3c8f5e-0000-4000-8000-000000000002";

async fn session(store: &Store, account: AccountId, token: &str) {
    let device = Device { ip: "192.0.2.1".to_owned(), user_agent: "darkslide/0.1.0".to_owned() };
    assert!(store.insert_session(account, "photos", token, &device).await.unwrap());
}

fn device(id: &str, push: bool) -> RegisterDevice {
    let endpoint =
        || PushEndpoint { endpoint: "https://push.example.org/x".to_owned(), p256dh: None, auth: None };
    RegisterDevice {
        id: id.to_owned(),
        sealed_name: Opaque("bmFtZQ==".to_owned()),
        platform: "linux".to_owned(),
        push: push.then(endpoint),
    }
}

/// Every session as token, device, and whether that can be woken.
async fn seen(store: &Store, account: AccountId) -> Vec<(String, Option<(String, bool)>)> {
    let sessions = store.device_sessions(account, 0).await.unwrap();
    let mut seen: Vec<_> = sessions
        .into_iter()
        .map(|session| (session.token_hash, session.device.map(|device| (device.id, device.can_be_woken))))
        .collect();
    seen.sort();
    seen
}

fn on(token: &str, device: Option<(&str, bool)>) -> (String, Option<(String, bool)>) {
    (token.to_owned(), device.map(|(id, woken)| (id.to_owned(), woken)))
}

const ALONE: Registered = Registered::Known { ended: 0 };

async fn register(store: &Store, account: AccountId, token: &str, device: &RegisterDevice) -> Registered {
    store.register_device(account, token, device).await.unwrap()
}

/// A thief could have another session's entry, where his own was not seen.
#[tokio::test]
async fn a_device_has_one_session_and_a_session_one_device() {
    for (_folder, store) in stores().await {
        let (account, _) = vault(&store, "a@example.org").await;
        for token in ["t1", "t2", "t3"] {
            session(&store, account, token).await;
        }
        assert_eq!(register(&store, account, "t1", &device(LAPTOP, true)).await, ALONE);
        assert_eq!(
            seen(&store, account).await,
            [on("t1", Some((LAPTOP, true))), on("t2", None), on("t3", None)]
        );
        // Said again without an endpoint, it cannot be woken any more.
        assert_eq!(register(&store, account, "t1", &device(LAPTOP, false)).await, ALONE);
        assert_eq!(seen(&store, account).await[0], on("t1", Some((LAPTOP, false))));
        assert_eq!(register(&store, account, "t1", &device(LAPTOP, true)).await, ALONE);
        // It does not become another device, nor what a session is listed as.
        assert_eq!(register(&store, account, "t1", &device(PHONE, true)).await, Registered::Refused);
        let third = store.device_sessions(account, 0).await.unwrap();
        let third = third.into_iter().find(|session| session.token_hash == "t3").unwrap().session;
        assert_eq!(register(&store, account, "t2", &device(&third, true)).await, Registered::Refused);
        assert_eq!(
            seen(&store, account).await,
            [on("t1", Some((LAPTOP, true))), on("t2", None), on("t3", None)]
        );
        // The device signs in again: what it was before is no more, nor the endpoint that it had.
        let ended = register(&store, account, "t2", &device(LAPTOP, false)).await;
        assert_eq!(ended, Registered::Known { ended: 1 });
        assert_eq!(seen(&store, account).await, [on("t2", Some((LAPTOP, false))), on("t3", None)]);
        assert_eq!(store.push_endpoint(account, LAPTOP).await.unwrap(), None);
        assert_eq!(store.session("t1", "photos", 0).await.unwrap(), None);
        assert_eq!(register(&store, account, "t1", &device(LAPTOP, true)).await, Registered::SignedOut);
        assert_eq!(
            register(&store, account, "no such token", &device(PHONE, false)).await,
            Registered::SignedOut
        );
    }
}

#[tokio::test]
async fn revoking_ends_a_device_and_no_other() {
    for (_folder, store) in stores().await {
        let (account, _) = vault(&store, "a@example.org").await;
        let (other, _) = vault(&store, "b@example.org").await;
        for token in ["t1", "t2", "t3", "t4"] {
            session(&store, account, token).await;
        }
        session(&store, other, "o1").await;
        store.register_device(account, "t1", &device(LAPTOP, true)).await.unwrap();
        store.register_device(account, "t3", &device(PHONE, true)).await.unwrap();
        // The same id in another account is another device.
        store.register_device(other, "o1", &device(LAPTOP, true)).await.unwrap();
        for is_there in [true, false] {
            assert_eq!(store.revoke_device(account, LAPTOP).await.unwrap(), is_there);
            assert_eq!(
                seen(&store, account).await,
                [on("t2", None), on("t3", Some((PHONE, true))), on("t4", None)]
            );
            assert_eq!(seen(&store, other).await, [on("o1", Some((LAPTOP, true)))]);
        }
        assert_eq!(store.session("t1", "photos", 0).await.unwrap(), None);
        assert_eq!(register(&store, account, "t1", &device(LAPTOP, true)).await, Registered::SignedOut);
        let listed = store.device_sessions(account, 0).await.unwrap();
        let id = |token: &str| &listed.iter().find(|one| one.token_hash == token).unwrap().session;
        // One that never said is revoked by the id of its session, also when it has said since it was listed.
        assert_eq!(register(&store, account, "t2", &device(LAPTOP, true)).await, ALONE);
        for (token, left) in [("t4", 2), ("t2", 1)] {
            assert!(store.revoke_device(account, id(token)).await.unwrap());
            assert_eq!(seen(&store, account).await.len(), left);
        }
        assert!(!store.revoke_device(other, id("t3")).await.unwrap(), "somebody else's");
        assert_eq!(seen(&store, account).await, [on("t3", Some((PHONE, true)))]);
        assert_eq!(store.forget_unused_devices().await.unwrap(), 0, "forgotten already");
        store.delete_session(account, "photos", "t3", "").await.unwrap();
        assert_eq!(store.forget_unused_devices().await.unwrap(), 1, "logged out");
    }
}

#[tokio::test]
async fn a_device_that_is_revoked_while_it_registers_is_not_left_half() {
    for (_folder, store) in stores().await {
        let (account, _) = vault(&store, "a@example.org").await;
        for round in 0..20 {
            let token = format!("t{round}");
            session(&store, account, &token).await;
            store.register_device(account, &token, &device(LAPTOP, true)).await.unwrap();
            let again = device(LAPTOP, true);
            let (registered, revoked) = tokio::join!(
                store.register_device(account, &token, &again),
                store.revoke_device(account, LAPTOP)
            );
            registered.unwrap();
            revoked.unwrap();
            assert_eq!(seen(&store, account).await, []);
            assert_eq!(store.forget_unused_devices().await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn devices_to_wake_are_those_with_an_endpoint_that_did_not_do_it_themselves() {
    for (_folder, store) in stores().await {
        let (account, _) = vault(&store, "a@example.org").await;
        let (other, _) = vault(&store, "b@example.org").await;
        for token in ["t1", "t2", "t3"] {
            session(&store, account, token).await;
        }
        session(&store, other, "o1").await;
        store.register_device(account, "t1", &device(LAPTOP, true)).await.unwrap();
        store.register_device(account, "t2", &device(PHONE, true)).await.unwrap();
        store.register_device(other, "o1", &device(PHONE, false)).await.unwrap();
        let to_wake = async |by| {
            let devices = store.devices_to_wake(account, by).await.unwrap();
            assert!(devices.iter().all(|(_, push)| push.contains("https://push.example.org/")));
            devices.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(to_wake(None).await, [LAPTOP, PHONE]);
        assert_eq!(to_wake(Some("t1")).await, [PHONE]);
        assert_eq!(to_wake(Some("t3")).await, [LAPTOP, PHONE], "a session that is on no device");
        assert_eq!(to_wake(Some("o1")).await, [LAPTOP, PHONE], "somebody else's");
        assert!(store.devices_to_wake(other, None).await.unwrap().is_empty());
        let endpoint = store.push_endpoint(account, PHONE).await.unwrap().unwrap();
        assert_eq!(endpoint.endpoint, "https://push.example.org/x");
        // It has said something else since.
        let earlier =
            PushEndpoint { endpoint: "https://push.example.org/earlier".to_owned(), ..endpoint.clone() };
        store.forget_push_endpoint(account, PHONE, &earlier).await.unwrap();
        assert_eq!(to_wake(None).await, [LAPTOP, PHONE]);
        store.forget_push_endpoint(account, PHONE, &endpoint).await.unwrap();
        assert_eq!(to_wake(None).await, [LAPTOP]);
        assert!(store.push_endpoint(account, LAPTOP).await.unwrap().is_some());
        store.delete_session(account, "photos", "t1", "").await.unwrap();
        assert_eq!(store.push_endpoint(account, LAPTOP).await.unwrap(), None, "signed out");
        store.revoke_device(account, LAPTOP).await.unwrap();
        assert!(to_wake(None).await.is_empty());
        assert_eq!(store.push_endpoint(account, LAPTOP).await.unwrap(), None);
    }
}

#[tokio::test]
async fn sessions_that_were_on_one_device_before_are_listed_by_themselves() {
    for url in database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let pool = database_before(&url, 18).await;
        for text in [
            "INSERT INTO accounts (id, status, version, usage, email_mfa, created_at) VALUES (1, 'active', 1, 0, 0, 0)",
            "INSERT INTO devices (account_id, id, sealed_name, platform, created_at)
             VALUES (1, 'laptop', 'bmFtZQ==', 'linux', 0), (1, 'phone', 'bmFtZQ==', 'linux', 0)",
            "INSERT INTO sessions (token_hash, id, account_id, app, ip, user_agent, created_at, last_used_at, device_id)
             VALUES ('t1', 's1', 1, 'photos', '', '', 5, 9, 'laptop'), ('t2', 's2', 1, 'photos', '', '', 7, 8, 'laptop'),
                    ('t3', 's3', 1, 'photos', '', '', 7, 9, 'laptop'), ('t4', 's4', 1, 'photos', '', '', 1, 9, 'phone'),
                    ('t5', 's5', 1, 'photos', '', '', 1, 9, NULL)",
        ] {
            sqlx::query(text).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(&url).await.unwrap();
        let (laptop, phone) = (Some(("laptop", false)), Some(("phone", false)));
        assert_eq!(
            seen(&store, AccountId(1)).await,
            [on("t1", None), on("t2", None), on("t3", laptop), on("t4", phone), on("t5", None)]
        );
        store.close().await;
    }
}
