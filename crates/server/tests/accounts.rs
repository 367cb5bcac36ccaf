//! Accounts over HTTP, as stock clients use them: sign-up, sign-in, passwords, sessions, deletion.
//!
//! It is long because every trap of the account routes is a test of its own, and they share one cast.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::Opaque;
use darkslide_server::config::Registration;
use darkslide_server::operator;
use reqwest::Method;
use serde_json::{Value, json};
use support::person::{Exchange, Person, key_attributes};
use support::{Answer, TestServer, raw_config, with_query};

async fn srp_attributes(server: &TestServer, email: &str) -> Answer {
    let path = with_query("/users/srp/attributes", "email", email);
    Answer::of(server.request(Method::GET, &path)).await
}

async fn ask_code(server: &TestServer, email: &str, purpose: &str) -> Answer {
    server.post("/users/ott", "", &json!({ "email": email, "purpose": purpose, "mobile": true })).await
}

async fn verify_email(server: &TestServer, email: &str, code: &str) -> Answer {
    server.post("/users/verify-email", "", &json!({ "email": email, "ott": code })).await
}

async fn code_for(server: &TestServer, email: &str) -> String {
    operator::code(&server.shared.store, email).await.unwrap().to_string()
}

#[tokio::test]
async fn somebody_signs_up_and_in_and_out() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let token = anna.sign_in(&server).await;
    let validity = server.get("/users/session-validity/v2", &token).await.ok();
    assert_eq!(validity["hasSetKeys"], true);
    assert_eq!(validity["keyAttributes"], key_attributes(&anna.public_key), "byte for byte as it was sent");
    server.post("/users/logout", &token, &json!({})).await.ok();
    server.get("/users/session-validity/v2", &token).await.failed(401, None);
    server.get("/users/session-validity/v2", &anna.token).await.ok();
}

#[tokio::test]
async fn srp_and_keys_may_come_in_either_order_and_attributes_wait_for_both() {
    let server = TestServer::start().await;
    let anna = Person::prove_address(&server, "anna@example.org").await;
    let (exchange, setup) = anna.begin_setup(&server).await;
    anna.finish_setup(&server, &exchange, &setup.ok()).await.ok();
    srp_attributes(&server, &anna.email).await.failed(404, None);
    // A client that lost its way between the two registers again.
    let (exchange, setup) = anna.begin_setup(&server).await;
    anna.finish_setup(&server, &exchange, &setup.ok()).await.ok();
    anna.set_keys(&server).await.ok();
    let attributes = srp_attributes(&server, " Anna@Example.org ").await.ok();
    assert_eq!(
        attributes,
        json!({ "attributes": {
            "srpUserID": anna.srp_user_id,
            "srpSalt": Opaque::encode([9; 16]),
            "memLimit": 268_435_456_i64,
            "opsLimit": 16,
            "kekSalt": Opaque::encode([1; 16]),
            "isEmailMFAEnabled": false,
        }})
    );
    anna.sign_in(&server).await;
    let (exchange, setup) = anna.begin_setup(&server).await;
    anna.finish_setup(&server, &exchange, &setup.ok()).await.failed(400, None);
}

#[tokio::test]
async fn a_phone_that_drops_leading_zeros_can_register() {
    let server = TestServer::start().await;
    let anna = Person::prove_address(&server, "anna@example.org").await;
    let fixture: Value = serde_json::from_str(include_str!("vectors/account-fixture.json")).unwrap();
    let a = fixture["account"]["edge"]["A0"]["a"].as_str().unwrap();
    let exchange = Exchange::with_secret(&anna.srp_user_id, &[9; 16], &anna.login_key, a);
    let strip = |number: Opaque| {
        let bytes = number.decode().unwrap();
        Opaque::encode(&bytes[bytes.iter().position(|byte| *byte != 0).unwrap()..])
    };
    let srp_a = strip(exchange.public());
    assert!(srp_a.decode().unwrap().len() < 512);
    let body = json!({
        "srpUserID": anna.srp_user_id, "srpSalt": Opaque::encode([9; 16]),
        "srpVerifier": strip(exchange.verifier()), "srpA": srp_a,
    });
    let setup = server.post("/users/srp/setup", &anna.token, &body).await.ok();
    let (m1, m2) = exchange.prove(&Opaque(setup["srpB"].as_str().unwrap().to_owned()));
    let body = json!({ "setupID": setup["setupID"], "srpM1": strip(m1) });
    assert_eq!(server.post("/users/srp/complete", &anna.token, &body).await.ok()["srpM2"], json!(m2));
    anna.set_keys(&server).await.ok();
    anna.sign_in(&server).await;
}

#[tokio::test]
async fn without_keys_the_token_is_plain_and_nothing_is_sealed() {
    let server = TestServer::start().await;
    let code = code_for(&server, "anna@example.org").await;
    let answer = verify_email(&server, "anna@example.org", &format!(" {code} ")).await.ok();
    let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "token"], "phones tell sign-up by the absence of encryptedToken");
    let token = answer["token"].as_str().unwrap();
    assert_eq!(token.len(), 44);
    let validity = server.get("/users/session-validity/v2", token).await.ok();
    assert_eq!(validity, json!({ "hasSetKeys": false }));
    server.get("/users/delete-challenge", token).await.failed(404, None);
}

#[tokio::test]
async fn with_keys_the_token_is_sealed() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let code = code_for(&server, &anna.email).await;
    let answer = verify_email(&server, &anna.email, &code).await.ok();
    let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["encryptedToken", "id", "keyAttributes"]);
    assert_eq!(anna.open(&answer["encryptedToken"]).len(), 32, "raw bytes, not their text");
    server.get("/users/session-validity/v2", &anna.open_token(&answer)).await.ok();
}

#[tokio::test]
async fn codes_are_sent_by_purpose_and_standing() {
    let server = TestServer::start().await;
    Person::sign_up(&server, "complete@example.org").await;
    operator::add(&server.shared.store, "incomplete@example.org", None).await.unwrap();
    Person::prove_address(&server, "incomplete@example.org").await;
    operator::add(&server.shared.store, "invited@example.org", None).await.unwrap();
    let check = async |name: &str, purpose: &str, status: u16, code: Option<&str>| {
        let answer = ask_code(&server, &format!("{name}@example.org"), purpose).await;
        assert_eq!(answer.status, status, "{name} {purpose}: {answer:?}");
        if status != 200 {
            answer.failed(status, code);
        }
    };
    check("complete", "signup", 409, Some("USER_ALREADY_REGISTERED")).await;
    check("complete", "login", 200, None).await;
    check("complete", "change", 403, None).await;
    check("complete", "", 200, None).await;
    check("incomplete", "signup", 200, None).await;
    check("incomplete", "login", 404, Some("USER_SIGNUP_INCOMPLETE")).await;
    check("incomplete", "", 200, None).await;
    check("invited", "signup", 200, None).await;
    check("invited", "login", 404, Some("USER_NOT_REGISTERED")).await;
    check("unknown", "signup", 403, None).await;
    check("unknown", "login", 404, Some("USER_NOT_REGISTERED")).await;
    check("unknown", "change", 200, None).await;
    check("unknown", "", 200, None).await;
    server.post("/users/ott", "", &json!({ "email": "" })).await.failed(400, None);
    server.post("/users/ott", "", &json!({})).await.failed(400, None);
}

#[tokio::test]
async fn sign_up_is_closed_after_the_first_account() {
    let server = TestServer::start().await;
    assert_eq!(server.shared.config.registration, Registration::FirstAndInvited);
    ask_code(&server, "first@example.org", "signup").await.ok();
    Person::prove_address(&server, "first@example.org").await;
    ask_code(&server, "second@example.org", "signup").await.failed(403, None);
    let code = code_for(&server, "second@example.org").await;
    verify_email(&server, "second@example.org", &code).await.failed(403, None);
    operator::add(&server.shared.store, "Second@example.org", Some(5 << 30)).await.unwrap();
    let second = Person::prove_address(&server, "second@example.org").await;
    let details = server.get("/users/details/v2", &second.token).await.ok();
    assert_eq!(details["subscription"]["storage"], json!(5_i64 << 30));
}

#[tokio::test]
async fn sign_up_may_be_open() {
    let raw = darkslide_server::config::RawConfig { open_registration: Some(true), ..raw_config() };
    let server = TestServer::start_with(raw).await;
    for name in ["first", "second"] {
        Person::prove_address(&server, &format!("{name}@example.org")).await;
    }
}

#[tokio::test]
async fn a_code_is_good_once() {
    let server = TestServer::start().await;
    verify_email(&server, "anna@example.org", "000000").await.failed(410, None);
    let code = code_for(&server, "anna@example.org").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    verify_email(&server, "anna@example.org", wrong).await.failed(401, None);
    verify_email(&server, "other@example.org", &code).await.failed(410, None);
    verify_email(&server, "anna@example.org", &code).await.ok();
    verify_email(&server, "anna@example.org", &code).await.failed(410, None);
}

#[tokio::test]
async fn a_code_of_one_app_is_no_good_to_another() {
    let server = TestServer::start().await;
    let code = code_for(&server, "anna@example.org").await;
    let request = server
        .request(Method::POST, "/users/verify-email")
        .header("X-Client-Package", "io.ente.auth.web")
        .body(json!({ "email": "anna@example.org", "ott": code }).to_string());
    Answer::of(request).await.failed(410, None);
}

#[tokio::test]
async fn guessing_codes_ends_after_twenty() {
    let server = TestServer::start().await;
    let code = code_for(&server, "anna@example.org").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..20 {
        verify_email(&server, "anna@example.org", wrong).await.failed(401, None);
    }
    let refused = verify_email(&server, "anna@example.org", &code).await;
    refused.failed(429, None);
    assert!(refused.json()["error"].is_string());
}

#[tokio::test]
async fn an_address_has_ten_codes_at_most() {
    let server = TestServer::start().await;
    for _ in 0..10 {
        ask_code(&server, "anna@example.org", "signup").await.ok();
    }
    ask_code(&server, "anna@example.org", "signup").await.failed(429, None);
}

#[tokio::test]
async fn weak_or_incomplete_keys_are_refused_and_good_ones_are_final() {
    let server = TestServer::start().await;
    let anna = Person::prove_address(&server, "anna@example.org").await;
    let good = key_attributes(&anna.public_key);
    let put = async |keys: &Value| {
        server.send(Method::PUT, "/users/attributes", &anna.token, &json!({ "keyAttributes": keys })).await
    };
    for (name, value) in [
        ("kekSalt", json!("")),
        ("encryptedKey", json!("")),
        ("keyDecryptionNonce", json!("")),
        ("publicKey", json!(Opaque::encode([0; 31]))),
        ("encryptedSecretKey", json!("")),
        ("secretKeyDecryptionNonce", json!("")),
        ("memLimit", json!(67_108_864_i64)),
        ("opsLimit", json!(15)),
        ("opsLimit", json!(i64::MAX)),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        put(&bad).await.failed(400, Some("BAD_REQUEST"));
    }
    server.send(Method::PUT, "/users/attributes", &anna.token, &json!({})).await.failed(400, None);
    put(&good).await.ok();
    put(&good).await.failed(403, None);
}

#[tokio::test]
async fn recovery_fields_can_be_added_once() {
    let server = TestServer::start().await;
    let anna = Person::prove_address(&server, "anna@example.org").await;
    let mut keys = key_attributes(&anna.public_key);
    let mut recovery = json!({});
    for name in [
        "masterKeyEncryptedWithRecoveryKey",
        "masterKeyDecryptionNonce",
        "recoveryKeyEncryptedWithMasterKey",
        "recoveryKeyDecryptionNonce",
    ] {
        recovery[name] = keys[name].take();
        keys[name] = json!("");
    }
    let put = async |path: &str, body: &Value| server.send(Method::PUT, path, &anna.token, body).await;
    put("/users/recovery-key", &recovery).await.failed(409, None);
    put("/users/attributes", &json!({ "keyAttributes": keys })).await.ok();
    put("/users/recovery-key", &json!({})).await.failed(400, None);
    put("/users/recovery-key", &recovery).await.ok();
    put("/users/recovery-key", &recovery).await.failed(409, None);
    let stored = server.get("/users/session-validity/v2", &anna.token).await.ok();
    assert_eq!(stored["keyAttributes"], key_attributes(&anna.public_key));
}

#[tokio::test]
async fn a_wrong_password_is_401_and_five_are_enough() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let (wrong, session) = anna.begin_sign_in(&server, &[8; 16]).await;
    let session = session.ok();
    for _ in 0..5 {
        anna.finish_sign_in(&server, &wrong, &session).await.0.failed(401, None);
    }
    anna.finish_sign_in(&server, &wrong, &session).await.0.failed(410, Some("TOO_MANY_WRONG_ATTEMPTS"));
    anna.sign_in(&server).await;
}

#[tokio::test]
async fn a_sign_in_succeeds_once() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let (exchange, session) = anna.begin_sign_in(&server, &anna.login_key).await;
    let session = session.ok();
    anna.finish_sign_in(&server, &exchange, &session).await.0.ok();
    anna.finish_sign_in(&server, &exchange, &session).await.0.failed(410, Some("SESSION_ALREADY_VERIFIED"));
}

#[tokio::test]
async fn ten_sign_ins_may_wait_for_their_proof() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    for _ in 0..10 {
        anna.begin_sign_in(&server, &anna.login_key).await.1.ok();
    }
    anna.begin_sign_in(&server, &anna.login_key).await.1.failed(429, Some("TOO_MANY_UNVERIFIED_SESSIONS"));
}

#[tokio::test]
async fn a_sign_in_survives_a_restart() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let (exchange, session) = anna.begin_sign_in(&server, &anna.login_key).await;
    let server = TestServer::start_in(server.stop().await, raw_config()).await;
    anna.finish_sign_in(&server, &exchange, &session.ok()).await.0.ok();
    server.get("/users/session-validity/v2", &anna.token).await.ok();
}

#[tokio::test]
async fn numbers_that_would_prove_nothing_are_refused() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    for a in [vec![], vec![0; 512], vec![0xff; 512], vec![1; 513]] {
        let body = json!({ "srpUserID": anna.srp_user_id, "srpA": Opaque::encode(&a) });
        server.post("/users/srp/create-session", "", &body).await.failed(400, None);
        let body = json!({
            "srpUserID": anna.srp_user_id, "srpSalt": Opaque::encode([9; 16]),
            "srpVerifier": Opaque::encode([1]), "srpA": Opaque::encode(&a),
        });
        server.post("/users/srp/setup", &anna.token, &body).await.failed(400, None);
    }
}

#[tokio::test]
async fn an_unknown_identity_looks_like_a_wrong_password() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let nobody = Person { srp_user_id: uuid::Uuid::new_v4().to_string(), ..anna };
    let (exchange, session) = nobody.begin_sign_in(&server, &nobody.login_key).await;
    let session = session.ok();
    assert_eq!(Opaque(session["srpB"].as_str().unwrap().to_owned()).decode().unwrap().len(), 512);
    for _ in 0..5 {
        nobody.finish_sign_in(&server, &exchange, &session).await.0.failed(401, None);
    }
    nobody.finish_sign_in(&server, &exchange, &session).await.0.failed(410, Some("TOO_MANY_WRONG_ATTEMPTS"));
}

#[tokio::test]
async fn after_a_hundred_misses_attributes_are_made_up_and_always_the_same() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    for number in 0..100 {
        srp_attributes(&server, &format!("nobody{number}@example.org")).await.failed(404, None);
    }
    let made_up = srp_attributes(&server, "nobody@example.org").await.ok();
    assert_eq!(made_up, srp_attributes(&server, "nobody@example.org").await.ok());
    assert_ne!(made_up, srp_attributes(&server, "somebody@example.org").await.ok());
    let real = srp_attributes(&server, &anna.email).await.ok();
    assert_eq!(real["attributes"]["srpUserID"], anna.srp_user_id);
    let lengths = |attributes: &Value| {
        attributes["attributes"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map(str::len)))
            .collect::<Vec<_>>()
    };
    assert_eq!(lengths(&made_up), lengths(&real));
    let nobody = made_up["attributes"]["srpUserID"].as_str().unwrap().to_owned();
    let nobody = Person { srp_user_id: nobody, ..anna };
    let (exchange, session) = nobody.begin_sign_in(&server, &nobody.login_key).await;
    nobody.finish_sign_in(&server, &exchange, &session.ok()).await.0.failed(401, None);
}

#[tokio::test]
async fn changing_the_password_replaces_credentials_and_ends_other_sessions() {
    let server = TestServer::start().await;
    let mut anna = Person::sign_up(&server, "anna@example.org").await;
    let other = anna.sign_in(&server).await;
    let third = anna.sign_in(&server).await;
    let old_key = std::mem::replace(&mut anna.login_key, vec![77; 16]);
    anna.srp_user_id = uuid::Uuid::new_v4().to_string();
    let change = async |weak: bool, log_out: Option<bool>| {
        let (exchange, setup) = anna.begin_setup(&server).await;
        let setup = setup.ok();
        let (m1, m2) = exchange.prove(&Opaque(setup["srpB"].as_str().unwrap().to_owned()));
        let mut body = json!({ "setupID": setup["setupID"], "srpM1": m1, "updatedKeyAttr": {
            "kekSalt": Opaque::encode([33; 16]), "encryptedKey": Opaque::encode([34; 48]),
            "keyDecryptionNonce": Opaque::encode([35; 24]),
            "memLimit": if weak { 1 } else { 134_217_728 }, "opsLimit": 32,
        }});
        if let Some(log_out) = log_out {
            body["logOutOtherDevices"] = json!(log_out);
        }
        (server.post("/users/srp/update", &anna.token, &body).await, m2)
    };
    change(true, None).await.0.failed(400, Some("BAD_REQUEST"));
    let (answer, m2) = change(false, Some(false)).await;
    assert_eq!(answer.ok()["srpM2"], json!(m2));
    server.get("/users/session-validity/v2", &other).await.ok();
    change(false, None).await.0.ok();
    for ended in [&other, &third] {
        server.get("/users/session-validity/v2", ended).await.failed(401, None);
    }
    let keys = server.get("/users/session-validity/v2", &anna.token).await.ok()["keyAttributes"].take();
    assert_eq!(keys["kekSalt"], json!(Opaque::encode([33; 16])));
    assert_eq!(keys["opsLimit"], 32);
    assert_eq!(keys["publicKey"], json!(Opaque::encode(anna.public_key)));
    let attributes = srp_attributes(&server, &anna.email).await.ok();
    assert_eq!(attributes["attributes"]["kekSalt"], json!(Opaque::encode([33; 16])));
    anna.sign_in(&server).await;
    let (exchange, session) = anna.begin_sign_in(&server, &old_key).await;
    anna.finish_sign_in(&server, &exchange, &session.ok()).await.0.failed(401, None);
}

#[tokio::test]
async fn a_setup_belongs_to_its_account_and_needs_its_proof() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    operator::add(&server.shared.store, "berta@example.org", None).await.unwrap();
    let berta = Person::prove_address(&server, "berta@example.org").await;
    let (exchange, setup) = berta.begin_setup(&server).await;
    let setup = setup.ok();
    let (m1, _) = exchange.prove(&Opaque(setup["srpB"].as_str().unwrap().to_owned()));
    let body = json!({ "setupID": setup["setupID"], "srpM1": m1 });
    server.post("/users/srp/complete", &anna.token, &body).await.failed(404, None);
    let wrong = json!({ "setupID": setup["setupID"], "srpM1": Opaque::encode([1; 32]) });
    server.post("/users/srp/complete", &berta.token, &wrong).await.failed(401, None);
    server.post("/users/srp/complete", &berta.token, &body).await.ok();
}

#[tokio::test]
async fn the_list_of_sessions_shows_only_the_callers_own_token() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let token = anna.sign_in(&server).await;
    let listed = server.get("/users/sessions", &token).await.ok();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let own: Vec<_> = sessions.iter().filter(|session| session["token"] == json!(token)).collect();
    assert_eq!(own.len(), 1);
    for session in sessions {
        for name in ["token", "ip", "ua", "prettyUA"] {
            assert!(session[name].is_string(), "{session}");
        }
        assert!(session["creationTime"].is_i64() && session["lastUsedTime"].is_i64(), "{session}");
    }
    assert!(!listed.to_string().contains(&anna.token), "another session's token is not shown");
    assert_eq!(own[0]["ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_session_is_ended_by_its_id_or_its_token_at_once() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    operator::add(&server.shared.store, "berta@example.org", None).await.unwrap();
    let berta = Person::sign_up(&server, "berta@example.org").await;
    let end = async |caller: &str, target: &str| {
        let path = with_query("/users/session", "token", target);
        Answer::of(server.request(Method::DELETE, &path).header("X-Auth-Token", caller)).await
    };
    let (one, two) = (anna.sign_in(&server).await, anna.sign_in(&server).await);
    assert_eq!(end(&berta.token, &one).await.ok(), json!({}), "another account's session is not touched");
    server.get("/users/session-validity/v2", &one).await.ok();
    end(&anna.token, &one).await.ok();
    server.get("/users/session-validity/v2", &one).await.failed(401, None);
    let listed = server.get("/users/sessions", &anna.token).await.ok();
    let id =
        listed["sessions"].as_array().unwrap().iter().find(|session| session["token"] != json!(anna.token));
    end(&anna.token, id.unwrap()["token"].as_str().unwrap()).await.ok();
    server.get("/users/session-validity/v2", &two).await.failed(401, None);
    server.get("/users/session-validity/v2", &anna.token).await.ok();
}

#[tokio::test]
async fn a_token_may_come_by_query_but_the_header_wins() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let path = with_query("/users/session-validity/v2", "token", &anna.token);
    let request = || server.request(Method::GET, &path);
    Answer::of(request()).await.ok();
    Answer::of(request().header("X-Auth-Token", "wrong")).await.failed(401, None);
    let missing = Answer::of(server.request(Method::GET, "/users/session-validity/v2")).await;
    missing.failed(401, None);
    assert!(missing.json()["error"].is_string());
    let auth = request().header("X-Client-Package", "io.ente.auth");
    Answer::of(auth).await.failed(401, None);
}

#[tokio::test]
async fn a_plus_in_an_address_survives_the_query() {
    let server = TestServer::start().await;
    Person::sign_up(&server, "anna+photos@example.org").await;
    let get = async |path: &str| Answer::of(server.request(Method::GET, path)).await;
    get("/users/srp/attributes?email=anna%2Bphotos%40example.org").await.ok();
    get("/users/srp/attributes?email=anna+photos%40example.org").await.failed(404, None);
    get("/users/srp/attributes").await.failed(404, None);
}

#[tokio::test]
async fn the_address_can_be_changed_to_a_free_one() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    Person::sign_up(&server, "berta@example.org").await;
    let change = async |email: &str, code: &str| {
        server.post("/users/change-email", &anna.token, &json!({ "email": email, "ott": code })).await
    };
    ask_code(&server, "new@example.org", "change").await.ok();
    change("new@example.org", "xxxxxx").await.failed(401, None);
    change("none@example.org", "000000").await.failed(410, None);
    let code = code_for(&server, "berta@example.org").await;
    change("berta@example.org", &code).await.failed(403, None);
    let code = code_for(&server, "new@example.org").await;
    change(" New@Example.org", &code).await.ok();
    let details = server.get("/users/details/v2", &anna.token).await.ok();
    assert_eq!(details["email"], "new@example.org");
    srp_attributes(&server, "anna@example.org").await.failed(404, None);
    srp_attributes(&server, "new@example.org").await.ok();
}

#[tokio::test]
async fn email_mfa_refuses_the_password_alone() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    operator::add(&server.shared.store, "berta@example.org", None).await.unwrap();
    let berta = Person::prove_address(&server, "berta@example.org").await;
    let set = async |token: &str, on: bool| {
        server.send(Method::PUT, "/users/email-mfa", token, &json!({ "isEnabled": on })).await
    };
    set(&berta.token, false).await.failed(409, Some("CONFLICT"));
    set(&anna.token, true).await.ok();
    assert_eq!(srp_attributes(&server, &anna.email).await.ok()["attributes"]["isEmailMFAEnabled"], true);
    anna.begin_sign_in(&server, &anna.login_key).await.1.failed(409, Some("EMAIL_MFA_ENABLED"));
    set(&anna.token, false).await.ok();
    anna.sign_in(&server).await;
}

#[tokio::test]
async fn public_keys_are_found_by_address() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let path = |email: &str| format!("/users/public-key?email={email}");
    let found = server.get(&path("anna%40example.org"), &anna.token).await.ok();
    assert_eq!(found, json!({ "publicKey": Opaque::encode(anna.public_key) }));
    server.get(&path("nobody%40example.org"), &anna.token).await.failed(404, None);
    server.get(&path("anna%40example.org"), "").await.failed(401, None);
}

#[tokio::test]
async fn deleting_an_account_needs_its_keys_and_frees_its_address() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let berta = Person::sign_up(&server, "berta@example.org").await;
    let delete = async |person: &Person, challenge: &str| {
        let body = json!({ "challenge": challenge, "feedback": "", "reason": "none" });
        server.send(Method::DELETE, "/users/delete", &person.token, &body).await
    };
    let asked = server.get("/users/delete-challenge", &anna.token).await.ok();
    assert_eq!((&asked["allowDelete"], &asked["apps"]), (&json!(true), &json!(["photos"])));
    let challenge = String::from_utf8(anna.open(&asked["encryptedChallenge"])).unwrap();
    delete(&berta, &challenge).await.failed(403, None);
    delete(&anna, "").await.failed(403, None);
    delete(&anna, &challenge.replace('.', ".9")).await.failed(403, None);
    let deleted = delete(&anna, &challenge).await.ok();
    assert_eq!(deleted, json!({ "isSubscriptionCancelled": true, "userID": anna.id }));
    server.get("/users/session-validity/v2", &anna.token).await.failed(401, None);
    srp_attributes(&server, &anna.email).await.failed(404, None);
    let again = Person::sign_up(&server, "anna@example.org").await;
    assert_ne!(again.id, anna.id);
    delete(&again, &challenge).await.failed(403, None);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_can_come_back() {
    let server = TestServer::start().await;
    let store = &server.shared.store;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    operator::disable(store, "anna@example.org").await.unwrap();
    server.get("/users/session-validity/v2", &anna.token).await.failed(401, None);
    let (exchange, session) = anna.begin_sign_in(&server, &anna.login_key).await;
    anna.finish_sign_in(&server, &exchange, &session.ok()).await.0.failed(403, None);
    let code = code_for(&server, &anna.email).await;
    verify_email(&server, &anna.email, &code).await.failed(403, None);
    operator::enable(store, "anna@example.org").await.unwrap();
    server.get("/users/session-validity/v2", &anna.token).await.failed(401, None);
    anna.sign_in(&server).await;
}

#[tokio::test]
async fn sign_in_routes_are_limited_to_ten_a_minute_each() {
    let raw = darkslide_server::config::RawConfig { sign_in_rate: None, ..raw_config() };
    let server = TestServer::start_with(raw).await;
    for _ in 0..10 {
        srp_attributes(&server, "nobody@example.org").await.failed(404, None);
    }
    let refused = srp_attributes(&server, "nobody@example.org").await;
    refused.failed(429, None);
    assert!(refused.json()["error"].is_string());
    verify_email(&server, "nobody@example.org", "000000").await.failed(410, None);
}

#[tokio::test]
async fn a_database_that_is_away_does_not_log_phones_out() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    server.shared.store.close().await;
    server.get("/users/session-validity/v2", &anna.token).await.failed(503, None);
    assert_eq!(Answer::of(server.request(Method::GET, "/readyz")).await.status, 503);
}
