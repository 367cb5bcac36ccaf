//! The steps of signing up, signing in, changing a password and leaving, which every client takes in its own order.

use super::Device;
use super::reading::{Authorization, read_authorization};
use crate::fields::Fields;
use crate::http::{Answer, form};
use crate::vault::{attributes_to_json, recovery_words, to_text};
use darkslide_crypto::account::{AccountKeys, KeyAttributes, NewAccount, NewPassword};
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_login_key};
use darkslide_crypto::keys::{KeyPair, LoginKey};
use darkslide_crypto::srp::{EphemeralSecret, SrpClient, SrpIdentity, SrpProof, derive_verifier};
use darkslide_crypto::{recovery, sealed_box};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// How numbers of the SRP exchange are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// All 512 (or 32) bytes.
    Full,
    /// Without leading zero bytes: phones, when they register.
    Minimal,
}

impl Padding {
    fn write(self, number: &[u8]) -> String {
        let zeros = match self {
            Self::Full => 0,
            Self::Minimal => number.iter().take_while(|byte| **byte == 0).count(),
        };
        to_text(&number[zeros..])
    }
}

/// An account on a device, unlocked.
#[derive(Debug)]
pub struct Account {
    /// Its address.
    pub email: String,
    /// Its id.
    pub id: i64,
    /// Its keys.
    pub keys: AccountKeys,
    /// What the server keeps of them, as this device saw it last.
    pub attributes: KeyAttributes,
    /// The words that were shown at sign-up; empty on devices that signed in later.
    pub words: String,
}

/// What `GET /users/srp/attributes` answers.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who signs in.
    pub identity: SrpIdentity,
    /// How the password is stretched.
    pub salt: Salt,
    /// How hard.
    pub strength: PasswordStrength,
    /// The salt as the server wrote it: its change tells other devices of a new password.
    pub kek_salt: String,
}

/// A registration begun: waiting for the proof.
#[derive(Debug)]
pub struct Registration {
    /// `setupID`.
    pub setup: String,
    /// Both proofs.
    pub proof: SrpProof,
}

impl Device {
    /// `GET /ping`, as clients do before they accept a server.
    pub async fn ping(&self) {
        let answer = self.http.call(Method::GET, "/ping", None).await.ok();
        let fields = Fields::of("ping", &answer);
        assert_eq!(fields.text("message"), "pong");
        fields.text("id");
    }

    /// `POST /users/ott`.
    pub async fn ask_for_code(&self, email: &str, purpose: Option<&str>) -> Answer {
        let mut body = json!({"email": email});
        if let Some(purpose) = purpose {
            body["purpose"] = purpose.into();
        }
        if self.http.manners.request_ids.is_some() {
            body["mobile"] = true.into();
        }
        self.http.call(Method::POST, "/users/ott", Some(&body)).await
    }

    /// `POST /users/verify-email`, before there is any token.
    pub async fn verify_email(&self, email: &str, code: &str) -> Authorization {
        assert!(self.http.token.is_none(), "no client sends a token with this call");
        let body = json!({"email": email, "ott": code, "source": "a friend"});
        read_authorization(&self.http.call(Method::POST, "/users/verify-email", Some(&body)).await.ok())
    }

    /// `PUT /users/attributes`.
    pub async fn put_attributes(&self, attributes: &KeyAttributes) {
        let body = json!({"keyAttributes": attributes_to_json(attributes)});
        self.http.call(Method::PUT, "/users/attributes", Some(&body)).await.ok();
    }

    /// `POST /users/srp/setup` with these numbers.
    pub async fn set_up_srp(
        &self,
        identity: &SrpIdentity,
        login_key: &LoginKey,
        ephemeral: &EphemeralSecret,
        padding: Padding,
    ) -> Registration {
        let client = SrpClient::with_ephemeral(identity, login_key, ephemeral);
        let body = json!({
            "srpUserID": identity.user_id, "srpSalt": to_text(&identity.salt),
            "srpVerifier": padding.write(&derive_verifier(identity, login_key)),
            "srpA": padding.write(client.public_key()), "isUpdate": false,
        });
        let answer = self.http.call(Method::POST, "/users/srp/setup", Some(&body)).await.ok();
        let fields = Fields::of("setup", &answer);
        let proof = client.respond(&fields.bytes("srpB", 512)).unwrap();
        Registration { setup: fields.words("setupID").to_owned(), proof }
    }

    /// `POST /users/srp/complete`.
    pub async fn complete_srp(&self, registration: &Registration, padding: Padding) {
        let proof = padding.write(registration.proof.client_proof());
        let body = json!({"setupID": registration.setup, "srpM1": proof});
        let answer = self.http.call(Method::POST, "/users/srp/complete", Some(&body)).await.ok();
        check_registered(&answer, registration);
    }

    /// Setup and complete with fresh numbers.
    pub async fn register_srp(&self, login_key: &LoginKey, padding: Padding) {
        let ephemeral = EphemeralSecret::generate();
        let registration = self.set_up_srp(&fresh_identity(), login_key, &ephemeral, padding).await;
        self.complete_srp(&registration, padding).await;
    }

    /// `GET /users/srp/attributes`; `None` when the server says 404.
    pub async fn srp_attributes(&self, email: &str) -> Option<SignedIn> {
        let path = format!("/users/srp/attributes?email={}", form(email));
        let answer = self.http.call(Method::GET, &path, None).await;
        if answer.status == 404 {
            return None;
        }
        let answer = answer.ok();
        let fields = Fields::of("srp", &answer).object("attributes");
        assert!(!fields.boolean("isEmailMFAEnabled"));
        let limit = |name| u64::try_from(fields.integer(name)).unwrap();
        let identity =
            SrpIdentity { user_id: fields.words("srpUserID").to_owned(), salt: fields.bytes("srpSalt", 16) };
        Uuid::parse_str(&identity.user_id).unwrap();
        Some(SignedIn {
            identity,
            salt: Salt::from_slice(&fields.bytes("kekSalt", 16)).unwrap(),
            strength: PasswordStrength::for_account(limit("memLimit"), limit("opsLimit")).unwrap(),
            kek_salt: fields.text("kekSalt").to_owned(),
        })
    }

    /// `POST /users/srp/create-session` and `POST /users/srp/verify-session`; the server must prove itself too.
    pub async fn srp_log_in(&self, attributes: &SignedIn, login_key: &LoginKey) -> Authorization {
        let (session, proof) = self.create_srp_session(&attributes.identity, login_key).await;
        let answer = self.verify_srp_session(&attributes.identity, &session, proof.client_proof()).await.ok();
        proof.verify_server(&Fields::of("verify-session", &answer).bytes("srpM2", 32)).unwrap();
        read_authorization(&answer)
    }

    /// `POST /users/srp/create-session`.
    pub async fn create_srp_session(&self, identity: &SrpIdentity, key: &LoginKey) -> (String, SrpProof) {
        let client = SrpClient::new(identity, key);
        let body = json!({"srpUserID": identity.user_id, "srpA": to_text(client.public_key())});
        let answer = self.http.call(Method::POST, "/users/srp/create-session", Some(&body)).await.ok();
        let fields = Fields::of("create-session", &answer);
        let session = fields.words("sessionID").to_owned();
        (session, client.respond(&fields.bytes("srpB", 512)).unwrap())
    }

    /// `POST /users/srp/verify-session`.
    pub async fn verify_srp_session(&self, identity: &SrpIdentity, session: &str, proof: &[u8]) -> Answer {
        let body = json!({"sessionID": session, "srpUserID": identity.user_id, "srpM1": to_text(proof)});
        self.http.call(Method::POST, "/users/srp/verify-session", Some(&body)).await
    }

    /// Signs in with the password alone: what all clients do first.
    pub async fn log_in_with_password(&mut self, email: &str, password: &str) {
        let attributes = self.srp_attributes(email).await.expect("the account can sign in by password");
        let key = self.stretching.derive(password, &attributes.salt, attributes.strength);
        let authorization = self.srp_log_in(&attributes, &derive_login_key(&key)).await;
        let (stored, _) = authorization.keys.as_ref().expect("a complete account has keys");
        let keys = stored.unlock(&key).unwrap();
        self.enter(email, authorization, keys);
    }

    /// Signs in by a mailed code, and opens the keys with the recovery words: a forgotten password.
    pub async fn log_in_with_words(&mut self, email: &str, code: &str, words: &str) {
        let authorization = self.verify_email(email, code).await;
        let (stored, _) = authorization.keys.as_ref().expect("a complete account has keys");
        let keys = stored.unlock_with_recovery_key(&recovery::parse(words).unwrap()).unwrap();
        self.enter(email, authorization, keys);
    }

    /// Keeps what a sign-in brought; the session token is unsealed with the keys.
    fn enter(&mut self, email: &str, authorization: Authorization, keys: AccountKeys) {
        let (attributes, sealed) = authorization.keys.expect("a complete account has keys");
        let token = keys.key_pair.open_session_token(&sealed).unwrap();
        self.http.token = Some(token.to_header_value().to_string());
        let words = String::new();
        self.account =
            Some(Account { email: email.to_owned(), id: authorization.id, keys, attributes, words });
    }

    /// Keeps what sign-up made.
    pub fn enter_new(&mut self, email: &str, authorization: &Authorization, new: NewAccount) {
        let words = recovery_words(&new);
        let NewAccount { keys, attributes, .. } = new;
        self.account =
            Some(Account { email: email.to_owned(), id: authorization.id, keys, attributes, words });
    }

    /// `POST /users/srp/setup` and `POST /users/srp/update`: a change of password.
    pub async fn change_password(&mut self, password: &str, padding: Padding, log_out_others: Option<bool>) {
        let new = self.stretching.new_password(&self.account().keys, password);
        let ephemeral = EphemeralSecret::generate();
        let registration = self.set_up_srp(&fresh_identity(), &new.login_key, &ephemeral, padding).await;
        let mut body = json!({
            "setupID": registration.setup, "srpM1": padding.write(registration.proof.client_proof()),
            "updatedKeyAttr": password_attributes(&new),
        });
        if let Some(choice) = log_out_others {
            body["logOutOtherDevices"] = choice.into();
        }
        let answer = self.http.call(Method::POST, "/users/srp/update", Some(&body)).await.ok();
        check_registered(&answer, &registration);
        self.account.as_mut().unwrap().attributes.password = new.attributes;
    }

    /// `GET /users/delete-challenge` and `DELETE /users/delete` with a body.
    pub async fn delete_account(&self) {
        let answer = self.http.call(Method::GET, "/users/delete-challenge", None).await.ok();
        let fields = Fields::of("challenge", &answer);
        assert!(fields.boolean("allowDelete"));
        fields.list("apps");
        let challenge = self.open_challenge(&fields.base64("encryptedChallenge"));
        let body = json!({"challenge": challenge, "feedback": "none", "reasonCategory": "other"});
        let answer = self.http.call(Method::DELETE, "/users/delete", Some(&body)).await.ok();
        let fields = Fields::of("deleted", &answer);
        fields.boolean("isSubscriptionCancelled");
        assert_eq!(fields.id("userID"), self.account().id);
    }

    fn open_challenge(&self, sealed: &[u8]) -> String {
        let pair: &KeyPair = &self.account().keys.key_pair;
        String::from_utf8(sealed_box::open(pair, sealed).unwrap().to_vec()).unwrap()
    }

    /// `GET /users/sessions`: (token as listed, whether it is this device's).
    pub async fn sessions(&self) -> Vec<(String, bool)> {
        let answer = self.http.call(Method::GET, "/users/sessions", None).await.ok();
        let read = |fields: &Fields<'_>| {
            fields.micros("creationTime");
            fields.micros("lastUsedTime");
            fields.words("ip");
            fields.text("ua");
            fields.text("prettyUA");
            let token = fields.words("token").to_owned();
            let is_this_one = self.http.token.as_deref() == Some(&token);
            (token, is_this_one)
        };
        Fields::of("sessions", &answer).objects("sessions").iter().map(read).collect()
    }

    /// `DELETE /users/session?token=`.
    pub async fn revoke(&self, token: &str) -> Answer {
        self.http.call(Method::DELETE, &format!("/users/session?token={}", form(token)), None).await
    }
}

/// A fresh random SRP identity.
pub(crate) fn fresh_identity() -> SrpIdentity {
    SrpIdentity { user_id: Uuid::new_v4().to_string(), salt: Salt::generate().as_bytes().to_vec() }
}

fn check_registered(answer: &Value, registration: &Registration) {
    let fields = Fields::of("registered", answer);
    assert_eq!(fields.text("setupID"), registration.setup);
    registration.proof.verify_server(&fields.bytes("srpM2", 32)).unwrap();
}

/// The five members that a new password replaces.
fn password_attributes(new: &NewPassword) -> Value {
    let attributes = &new.attributes;
    json!({
        "kekSalt": to_text(attributes.salt.as_bytes()),
        "memLimit": attributes.strength.mem_limit(), "opsLimit": attributes.strength.ops_limit(),
        "encryptedKey": to_text(attributes.master_key.ciphertext),
        "keyDecryptionNonce": to_text(attributes.master_key.nonce.as_bytes()),
    })
}
