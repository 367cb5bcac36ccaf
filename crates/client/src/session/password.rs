//! Passwords, the keys derived from them, and replacing one by another.

use super::attributes::to_wire_update;
use super::{Session, SessionError};
use crate::api::Api;
use darkslide_crypto::account::PasswordAttributes;
use darkslide_crypto::kdf::{
    KdfError, PasswordStrength, Salt, derive_for_new_password, derive_key_encryption_key, derive_login_key,
};
use darkslide_crypto::keys::{KeyEncryptionKey, LoginKey};
use darkslide_crypto::srp::{SrpClient, SrpIdentity, SrpProof, derive_verifier};
use darkslide_protocol::Opaque;
use darkslide_protocol::account::{SrpCompleteRequest, SrpSetupRequest, SrpUpdateRequest};
use std::fmt;
use zeroize::Zeroizing;

/// A password as it was typed: not trimmed, not normalised. Wiped when dropped, silent in logs.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over what was typed.
    pub fn new(typed: String) -> Self {
        Self(Zeroizing::new(typed))
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same, for asking twice.
    pub fn is_same(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    /// Another copy, for a thread to derive from.
    fn copy(&self) -> Zeroizing<String> {
        self.0.clone()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// What a password becomes: the key, and how it was derived.
#[derive(Debug)]
pub struct PasswordKey {
    /// Wraps the master key.
    pub key: KeyEncryptionKey,
    /// Stored by the server.
    pub salt: Salt,
    /// Stored by the server.
    pub strength: PasswordStrength,
}

impl PasswordKey {
    /// The key of a new password: fresh salt, an account's strength. Takes seconds and 256 MiB, off the async threads.
    pub async fn derive_new(password: &Password) -> Result<Self, KdfError> {
        let typed = password.copy();
        blocking(move || {
            let salt = Salt::generate();
            let (key, strength) = derive_for_new_password(&typed, &salt, PasswordStrength::ACCOUNT)?;
            Ok(Self { key, salt, strength })
        })
        .await
    }

    /// The key of a password that is in use, derived as the server remembers.
    pub(super) async fn derive(
        password: &Password,
        salt: Salt,
        strength: PasswordStrength,
    ) -> Result<KeyEncryptionKey, KdfError> {
        let typed = password.copy();
        blocking(move || derive_key_encryption_key(&typed, &salt, strength)).await
    }

    fn login_key(&self) -> LoginKey {
        derive_login_key(&self.key)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("deriving a key does not panic and is not aborted")
}

/// Gives the account a new password. Keys, files and the recovery phrase stay as they are.
///
/// With `end_other_sessions` every other device is signed out.
pub async fn change_password(
    session: &Session,
    new: &PasswordKey,
    end_other_sessions: bool,
) -> Result<(), SessionError> {
    let attributes: PasswordAttributes = session.keys.password_attributes(&new.key, new.salt, new.strength);
    let registration = Registration::begin(&session.api, &new.login_key()).await?;
    let request = SrpUpdateRequest {
        setup_id: registration.setup_id.clone(),
        srp_m1: Opaque::encode(registration.proof.client_proof()),
        updated_key_attributes: to_wire_update(&attributes),
        log_out_other_devices: Some(end_other_sessions),
    };
    let answer = session.api.srp_update(&request).await?;
    registration.check(&answer.srp_m2)
}

/// Registers the first verifier of an account.
pub(super) async fn register_verifier(api: &Api, key: &KeyEncryptionKey) -> Result<(), SessionError> {
    let registration = Registration::begin(api, &derive_login_key(key)).await?;
    let request = SrpCompleteRequest {
        setup_id: registration.setup_id.clone(),
        srp_m1: Opaque::encode(registration.proof.client_proof()),
    };
    let answer = api.srp_complete(&request).await?;
    registration.check(&answer.srp_m2)
}

/// A verifier that the server has and does not use yet.
struct Registration {
    setup_id: String,
    proof: SrpProof,
}

impl Registration {
    async fn begin(api: &Api, login_key: &LoginKey) -> Result<Self, SessionError> {
        let salt = Salt::generate();
        let user_id = uuid::Uuid::new_v4().to_string();
        let identity = SrpIdentity { user_id, salt: salt.as_bytes().to_vec() };
        let client = SrpClient::new(&identity, login_key);
        let request = SrpSetupRequest {
            srp_salt: Opaque::encode(&identity.salt),
            srp_verifier: Opaque::encode(derive_verifier(&identity, login_key)),
            srp_a: Opaque::encode(client.public_key()),
            srp_user_id: identity.user_id,
        };
        let answer = api.srp_setup(&request).await?;
        let server_public = answer.srp_b.decode().map_err(|_| SessionError::Answer("srpB"))?;
        let proof = client.respond(&server_public).map_err(SessionError::ServerNotProved)?;
        Ok(Self { setup_id: answer.setup_id, proof })
    }

    fn check(&self, server_proof: &Opaque) -> Result<(), SessionError> {
        check_server(&self.proof, server_proof)
    }
}

/// Until this has passed, the server is a stranger.
pub(super) fn check_server(proof: &SrpProof, server_proof: &Opaque) -> Result<(), SessionError> {
    let server_proof = server_proof.decode().map_err(|_| SessionError::Answer("srpM2"))?;
    proof.verify_server(&server_proof).map_err(SessionError::ServerNotProved)
}
