//! Somebody with an address, a password and a phone.

use super::{Answer, TestServer};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U512, U1024, U4096};
use darkslide_protocol::{AccountId, Opaque};
use darkslide_server::operator;
use dryoc::classic::crypto_box::{crypto_box_keypair, crypto_box_seal_open};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MODULUS: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD",
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F",
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510",
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7",
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C",
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7",
    "88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6",
    "287C59474E6BC05D99B2964FA090C3A2233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9",
    "93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF",
);

type Residue = FixedMontyForm<{ U4096::LIMBS }>;

/// One exchange, the client's half.
pub struct Exchange {
    x: U256,
    a: U256,
    public: Vec<u8>,
    params: FixedMontyParams<{ U4096::LIMBS }>,
}

impl Exchange {
    pub fn new(srp_user_id: &str, salt: &[u8], login_key: &[u8]) -> Self {
        let mut a = [0; 32];
        getrandom::fill(&mut a).unwrap();
        Self::with_number(srp_user_id, salt, login_key, U256::from_be_slice(&a))
    }

    /// With a known `a`, in hex.
    pub fn with_secret(srp_user_id: &str, salt: &[u8], login_key: &[u8], a: &str) -> Self {
        Self::with_number(srp_user_id, salt, login_key, U256::from_be_hex(a))
    }

    fn with_number(srp_user_id: &str, salt: &[u8], login_key: &[u8], a: U256) -> Self {
        let modulus = U4096::from_be_hex(MODULUS);
        let params = FixedMontyParams::new_vartime(Odd::new(modulus).into_option().unwrap());
        let inner = hash(&[srp_user_id.as_bytes(), b":", login_key]);
        let x = U256::from_be_slice(&hash(&[salt, &inner]));
        let public = pad(&generator(&params).pow(&a).retrieve());
        Self { x, a, public, params }
    }

    pub fn public(&self) -> Opaque {
        Opaque::encode(&self.public)
    }

    pub fn verifier(&self) -> Opaque {
        Opaque::encode(pad(&generator(&self.params).pow(&self.x).retrieve()))
    }

    /// M1, and the M2 that the server must answer.
    pub fn prove(&self, server_public: &Opaque) -> (Opaque, Opaque) {
        let b = server_public.decode_array::<512>().unwrap();
        let modulus = pad(self.params.modulus().as_ref());
        let k = U256::from_be_slice(&hash(&[&modulus, &pad(&U4096::from_u8(5))]));
        let u = U256::from_be_slice(&hash(&[&self.public, &b]));
        let product: U512 = u.concatenating_mul(&self.x);
        let exponent: U1024 = product.resize::<{ U1024::LIMBS }>().wrapping_add(&self.a.resize());
        let masked = Residue::new(&k.resize(), &self.params).mul(&generator(&self.params).pow(&self.x));
        let base = Residue::new(&U4096::from_be_slice(&b), &self.params).sub(&masked);
        let shared = pad(&base.pow(&exponent).retrieve());
        let m1 = hash(&[&self.public, &b, &shared]);
        let m2 = hash(&[&self.public, &m1, &hash(&[&shared])]);
        (Opaque::encode(m1), Opaque::encode(m2))
    }
}

fn generator(params: &FixedMontyParams<{ U4096::LIMBS }>) -> Residue {
    Residue::new(&U4096::from_u8(5), params)
}

fn pad(number: &U4096) -> Vec<u8> {
    number.to_be_bytes().as_ref().to_vec()
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// Somebody who has signed up.
pub struct Person {
    pub email: String,
    pub id: AccountId,
    pub token: String,
    pub srp_user_id: String,
    pub login_key: Vec<u8>,
    pub public_key: [u8; 32],
    pub secret_key: [u8; 32],
}

/// Key attributes around a public key; the rest is opaque to the server.
pub fn key_attributes(public_key: &[u8]) -> Value {
    json!({
        "kekSalt": Opaque::encode([1; 16]),
        "memLimit": 268_435_456_i64,
        "opsLimit": 16,
        "encryptedKey": Opaque::encode([2; 48]),
        "keyDecryptionNonce": Opaque::encode([3; 24]),
        "publicKey": Opaque::encode(public_key),
        "encryptedSecretKey": Opaque::encode([4; 48]),
        "secretKeyDecryptionNonce": Opaque::encode([5; 24]),
        "masterKeyEncryptedWithRecoveryKey": Opaque::encode([6; 48]),
        "masterKeyDecryptionNonce": Opaque::encode([7; 24]),
        "recoveryKeyEncryptedWithMasterKey": Opaque::encode([8; 48]),
        "recoveryKeyDecryptionNonce": Opaque::encode([9; 24]),
    })
}

impl Person {
    /// Signs up with keys and a password, as the web client does. The operator passes the code on and lets it in.
    pub async fn sign_up(server: &TestServer, email: &str) -> Self {
        let _ = operator::add(&server.shared.store, email, None).await;
        let person = Self::prove_address(server, email).await;
        person.set_keys(server).await.ok();
        let (exchange, answer) = person.begin_setup(server).await;
        person.finish_setup(server, &exchange, &answer.ok()).await.ok();
        person
    }

    /// Only proves an address: an account without keys.
    pub async fn prove_address(server: &TestServer, email: &str) -> Self {
        let code = operator::code(&server.shared.store, email).await.unwrap();
        let body = json!({ "email": email, "ott": code.as_str(), "source": "test" });
        let authorization = server.post("/users/verify-email", "", &body).await.ok();
        let (public_key, secret_key) = crypto_box_keypair();
        Self {
            email: email.to_owned(),
            id: AccountId(authorization["id"].as_i64().unwrap()),
            token: authorization["token"].as_str().unwrap_or_default().to_owned(),
            srp_user_id: uuid::Uuid::new_v4().to_string(),
            login_key: vec![7; 16],
            public_key,
            secret_key,
        }
    }

    pub async fn set_keys(&self, server: &TestServer) -> Answer {
        let body = json!({ "keyAttributes": key_attributes(&self.public_key) });
        server.send(Method::PUT, "/users/attributes", &self.token, &body).await
    }

    pub async fn begin_setup(&self, server: &TestServer) -> (Exchange, Answer) {
        let (exchange, body) = self.setup();
        let answer = server.post("/users/srp/setup", &self.token, &body).await;
        (exchange, answer)
    }

    /// What begins a registration of the password.
    pub fn setup(&self) -> (Exchange, Value) {
        let exchange = Exchange::new(&self.srp_user_id, &[9; 16], &self.login_key);
        let body = json!({
            "srpUserID": self.srp_user_id,
            "srpSalt": Opaque::encode([9; 16]),
            "srpVerifier": exchange.verifier(),
            "srpA": exchange.public(),
            "isUpdate": false,
        });
        (exchange, body)
    }

    pub async fn finish_setup(&self, server: &TestServer, exchange: &Exchange, setup: &Value) -> Answer {
        let (m1, m2) = exchange.prove(&Opaque(setup["srpB"].as_str().unwrap().to_owned()));
        let body = json!({ "setupID": setup["setupID"], "srpM1": m1 });
        let answer = server.post("/users/srp/complete", &self.token, &body).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["srpM2"], json!(m2));
        }
        answer
    }

    /// Begins a sign-in with this login key.
    pub async fn begin_sign_in(&self, server: &TestServer, login_key: &[u8]) -> (Exchange, Answer) {
        let exchange = Exchange::new(&self.srp_user_id, &[9; 16], login_key);
        let body = json!({ "srpUserID": self.srp_user_id, "srpA": exchange.public() });
        let answer = server.post("/users/srp/create-session", "", &body).await;
        (exchange, answer)
    }

    /// Proves the password of a sign-in. Returns the answer and the M2 that it must have.
    pub async fn finish_sign_in(
        &self,
        server: &TestServer,
        exchange: &Exchange,
        session: &Value,
    ) -> (Answer, Opaque) {
        let (m1, m2) = exchange.prove(&Opaque(session["srpB"].as_str().unwrap().to_owned()));
        let body = json!({ "sessionID": session["sessionID"], "srpUserID": self.srp_user_id, "srpM1": m1 });
        (server.post("/users/srp/verify-session", "", &body).await, m2)
    }

    /// Signs in and opens the token.
    pub async fn sign_in(&self, server: &TestServer) -> String {
        let (exchange, answer) = self.begin_sign_in(server, &self.login_key).await;
        let (answer, m2) = self.finish_sign_in(server, &exchange, &answer.ok()).await;
        let authorization = answer.ok();
        assert_eq!(authorization["srpM2"], json!(m2));
        self.open_token(&authorization)
    }

    /// Unseals a session token with the secret key.
    pub fn open_token(&self, authorization: &Value) -> String {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE};
        URL_SAFE.encode(self.open(&authorization["encryptedToken"]))
    }

    /// Opens what is sealed to this person.
    pub fn open(&self, sealed: &Value) -> Vec<u8> {
        let sealed = Opaque(sealed.as_str().unwrap().to_owned()).decode().unwrap();
        let mut opened = vec![0; sealed.len() - 48];
        crypto_box_seal_open(&mut opened, &sealed, &self.public_key, &self.secret_key).unwrap();
        opened
    }
}
