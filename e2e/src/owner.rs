//! The owner of a vault as our own engine signs them up and in, for tests that are about something else.

use crate::process::ServerProcess;
use crate::vault::Stretching;
use darkslide_client::api::Api;
use darkslide_client::session::{Email, PasswordKey, PendingSignUp, Session};
use darkslide_crypto::account::AccountKeys;
use darkslide_crypto::kdf::{PasswordStrength, Salt};
use darkslide_crypto::keys::{KeyPair, MasterKey, SecretKey, SessionToken};
use std::sync::Arc;

/// Their address.
pub const EMAIL: &str = "owner@example.org";

/// Makes their account.
pub async fn sign_up(server: &ServerProcess, api: &Api) -> Session {
    let pending = PendingSignUp::begin(api, &Email::parse(EMAIL).unwrap()).await.unwrap();
    let code = server.code_for(EMAIL);
    let (salt, strength) = (Salt::generate(), PasswordStrength::ACCOUNT);
    let key = Stretching::Quick.derive("a password", &salt, strength);
    pending.finish(&code, &PasswordKey { key, salt, strength }).await.unwrap().session
}

/// The same session over another connection.
pub fn again(session: &Session, api: &Api) -> Arc<Session> {
    let Session { account, email, keys, token, .. } = session;
    let keys = AccountKeys {
        master_key: MasterKey::take(*keys.master_key.expose()),
        key_pair: KeyPair::from_secret_key(SecretKey::take(*keys.key_pair.secret_key().expose())),
    };
    let token = SessionToken::take(*token.expose());
    Arc::new(Session::resume(api, *account, email.clone(), keys, token))
}

/// What the operator grants them, in bytes; none for no limit.
pub async fn set_quota(server: &ServerProcess, bytes: Option<u64>) {
    let store = darkslide_server::store::Store::open(server.database_url()).await.unwrap();
    darkslide_server::operator::set_quota(&store, EMAIL, bytes).await.unwrap();
}
