//! Signing up, in and out, recovery, and everything that must be refused.

use crate::world::{World, api_at, quick_key};
use darkslide_client::api::{Api, ConnectionError, Limits, Reason, ServerUrl};
use darkslide_client::session::{
    Email, LockedSession, Password, PasswordKey, PendingSignUp, Session, SessionError, SignInMethod,
    change_password, sign_in_method,
};
use darkslide_crypto::account::UnlockError;
use darkslide_crypto::keys::{KeyEncryptionKey, RecoveryKey};
use darkslide_crypto::recovery;
use darkslide_protocol::account::SrpAttributes;
use darkslide_server::config::RawConfig;

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

async fn attributes(world: &World, email: &Email) -> SrpAttributes {
    match sign_in_method(&world.api(), email).await.unwrap() {
        SignInMethod::Password(attributes) => attributes,
        SignInMethod::Code => panic!("the password should do"),
    }
}

async fn sign_in(world: &World, email: &Email, key: &KeyEncryptionKey) -> Result<Session, SessionError> {
    Session::sign_in_with_key(&world.api(), email, &attributes(world, email).await, key).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_signs_in_from_end_to_end() {
    let world = World::start().await;
    let ada = email("ada@example.org");
    let password = Password::new("correct horse battery staple".to_owned());
    let pending = PendingSignUp::begin(&world.api(), &ada).await.unwrap();
    let key = PasswordKey::derive_new(&password).await.unwrap();
    let new = pending.finish(&world.code(&ada).await, &key).await.unwrap();
    assert_eq!(new.recovery_phrase.split(' ').count(), 24);
    let session =
        Session::sign_in(&world.api(), &ada, &attributes(&world, &ada).await, &password).await.unwrap();
    assert!(session.keys == new.session.keys && session.token != new.session.token);
    assert_eq!(*session.recovery_phrase().await.unwrap(), *new.recovery_phrase);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_codes_and_addresses_are_told_apart() {
    let world = World::start().await;
    let ada = email("ada@example.org");
    let pending = PendingSignUp::begin(&world.api(), &ada).await.unwrap();
    let key = quick_key("right");
    let code = world.code(&ada).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = pending.finish(wrong, &key).await;
    assert!(matches!(refused, Err(SessionError::WrongCode)), "{refused:?}");
    pending.finish(&format!(" {code} "), &key).await.unwrap();

    let refused = sign_in(&world, &ada, &quick_key("wrong").key).await;
    assert!(matches!(refused, Err(SessionError::WrongPassword)), "{refused:?}");
    sign_in(&world, &ada, &key.key).await.unwrap();

    let again = PendingSignUp::begin(&world.api(), &ada).await;
    assert!(matches!(again, Err(SessionError::AlreadyRegistered)), "{again:?}");
    let nobody = email("nobody@example.org");
    assert_eq!(sign_in_method(&world.api(), &nobody).await.unwrap(), SignInMethod::Code);
    let unknown = LockedSession::send_code(&world.api(), &nobody).await;
    assert!(matches!(unknown, Err(SessionError::NotRegistered)), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_says_so_to_who_comes_with_a_code() {
    for (open, message) in [(false, "closed for sign-up"), (true, "expired")] {
        let settings = RawConfig { open_registration: Some(open), ..RawConfig::default() };
        let world = World::start_with(tempfile::tempdir().unwrap(), settings).await;
        world.sign_up("first@example.org", "right").await;
        let late = PendingSignUp::expecting(&world.api(), &email("late@example.org"));
        let refused = late.finish("123456", &quick_key("right")).await.unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_signs_in_and_the_password_opens_the_keys() {
    let world = World::start().await;
    let new = world.sign_up("ada@example.org", "right").await;
    let ada = email("ada@example.org");
    let refused = world.locked(&ada).await.unlock(&quick_key("wrong").key);
    assert!(matches!(&refused, Err(error) if error.is_wrong_password()), "{refused:?}");
    let session = world.locked(&ada).await.unlock(&quick_key("right").key).unwrap();
    assert!(session.keys == new.session.keys);
    assert_eq!(session.summary().await.unwrap().email, "ada@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_phrase_survives_a_forgotten_password() {
    let world = World::start().await;
    let new = world.sign_up("ada@example.org", "forgotten").await;
    let ada = email("ada@example.org");
    let refused = world.locked(&ada).await.unlock_with_recovery(&RecoveryKey::take([9; 32]));
    assert!(matches!(refused, Err(SessionError::Unlock(UnlockError::Locked(_)))), "{refused:?}");

    let phrase = recovery::parse(&new.recovery_phrase.to_uppercase()).unwrap();
    let session = world.locked(&ada).await.unlock_with_recovery(&phrase).unwrap();
    change_password(&session, &quick_key("new"), true).await.unwrap();
    let old = sign_in(&world, &ada, &quick_key("forgotten").key).await;
    assert!(matches!(old, Err(SessionError::WrongPassword)), "{old:?}");
    let again = sign_in(&world, &ada, &quick_key("new").key).await.unwrap();
    assert!(again.keys == new.session.keys);
    assert_eq!(*again.recovery_phrase().await.unwrap(), *new.recovery_phrase);
    // The other device was signed out, this one was not.
    assert!(session.summary().await.is_ok());
    let ended = new.session.api.session_validity().await.unwrap_err();
    assert!(ended.is_signed_out() && !ended.is_transient(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_signed_out() {
    let world = World::start().await;
    let first = world.sign_up("ada@example.org", "right").await.session;
    let second = sign_in(&world, &first.email, &quick_key("right").key).await.unwrap();
    let devices = second.devices().await.unwrap();
    assert_eq!(devices.iter().map(|device| device.is_this).collect::<Vec<_>>(), [true, false]);
    second.end_device(devices[1].id.as_deref().unwrap()).await.unwrap();
    assert!(first.api.session_validity().await.unwrap_err().is_signed_out());
    second.log_out().await.unwrap();
    assert!(second.api.session_validity().await.unwrap_err().is_signed_out());
    second.log_out().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_gone() {
    let world = World::start().await;
    let session = world.sign_up("ada@example.org", "right").await.session;
    let (api, ada) = (session.api.clone(), session.email.clone());
    session.delete_account().await.unwrap();
    assert!(api.session_validity().await.unwrap_err().is_signed_out());
    assert_eq!(sign_in_method(&world.api(), &ada).await.unwrap(), SignInMethod::Code);
    world.sign_up("ada@example.org", "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_s_token_opens_nothing_of_another_s() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let eve = world.person("eve").await;
    let failure = eve.session.api.collection_diff(ada.album.id, darkslide_protocol::Version(0)).await;
    assert!(failure.is_err());
    let failure = eve.session.api.delete_collection(ada.album.id, false).await;
    assert!(failure.is_err());
}

/// A server at home with a certificate that it signed itself, made of these parameters. Returns its address, for calls that trust it
/// or do not.
async fn at_home(parameters: rcgen::CertificateParams) -> (World, impl Fn(bool) -> Api) {
    let folder = tempfile::tempdir().unwrap();
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let made = parameters.self_signed(&signing_key).unwrap();
    let (certificate, key) = (folder.path().join("home.pem"), folder.path().join("home.key"));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let settings =
        RawConfig { tls_certificate: Some(certificate.clone()), tls_key: Some(key), ..RawConfig::default() };
    let world = World::start_with(folder, settings).await;
    let server = ServerUrl::parse(&format!("https://localhost:{}", world.address.port())).unwrap();
    let api = move |trusting: bool| {
        let extra_authorities = trusting.then(|| certificate.clone());
        let limits = Limits { retries: 0, extra_authorities, ..Limits::default() };
        Api::new(server.clone(), None, limits).unwrap()
    };
    (world, api)
}

fn certificate_for(name: &str) -> rcgen::CertificateParams {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
    parameters
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_one_s_own_is_trusted_when_it_is_named_and_not_before() {
    let (world, api) = at_home(certificate_for("localhost")).await;
    assert!(api(true).ping().await.unwrap());
    let stranger = api(false).ping().await.unwrap_err();
    assert!(matches!(stranger.reason, Reason::Unreachable(_)), "{stranger}");
    assert!(stranger.to_string().contains("--ca-file"), "{stranger}");
    let missing = Some(world.folder.path().join("nowhere.pem"));
    let missing = Api::new(
        ServerUrl::parse("https://localhost").unwrap(),
        None,
        Limits { extra_authorities: missing, ..Limits::default() },
    );
    assert!(matches!(missing, Err(ConnectionError::Authorities { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_no_client_takes_is_told_with_what_to_do() {
    let mut authority = certificate_for("localhost");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut expired = certificate_for("localhost");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    for (parameters, advice) in [
        (authority, "CA:FALSE"),
        (certificate_for("elsewhere.example"), "another name"),
        (expired, "has expired"),
    ] {
        let (_world, api) = at_home(parameters).await;
        let failure = api(true).ping().await.unwrap_err().to_string();
        assert!(failure.contains(advice), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let mut world = World::start().await;
    let address = world.address;
    world.stop().await;
    let failure = api_at(address).ping().await.unwrap_err();
    let text = failure.to_string();
    assert!(failure.is_transient());
    assert!(text.contains(&address.to_string()) && text.contains("check that it is running"), "{text}");
}
