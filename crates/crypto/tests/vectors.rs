//! Known answers: every vector of the fixture, which libsodium and an independent SRP made. Kept for ever.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use darkslide_crypto::account::{AccountKeys, EncodedKeyAttributes, UnlockError};
use darkslide_crypto::content_tag::derive_content_tag_key;
use darkslide_crypto::device_name::derive_device_name_key;
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_key_encryption_key, derive_login_key};
use darkslide_crypto::keys::{
    CollectionKey, FileKey, KeyEncryptionKey, KeyPair, LoginKey, MasterKey, PublicKey, RecoveryKey,
    SecretKey, SessionToken, WrappedKey, Wraps,
};
use darkslide_crypto::secret_box::{self, Nonce};
use darkslide_crypto::srp::{EphemeralSecret, SrpClient, SrpError, SrpIdentity, derive_verifier};
use darkslide_crypto::stream::{self, StreamDecryptor, StreamEncryptor, StreamHeader, blob};
use darkslide_crypto::{ContentHash, recovery, sealed_box};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn fixture() -> Value {
    serde_json::from_str(include_str!("vectors/account-fixture.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("the fixture has a text here")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("the fixture has a list here")
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

fn b64(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap()
}

fn key32(value: &Value) -> [u8; 32] {
    hex(value).try_into().unwrap()
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    })
}

fn sha256(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// The key and header that all of the fixture's streams are under.
fn stream_key_and_header() -> (FileKey, StreamHeader) {
    let key = FileKey::take(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let header: Vec<u8> = (0x40..=0x57).collect();
    (key, StreamHeader::from_slice(&header).unwrap())
}

/// One test, so that at most one derivation's memory (1 GiB) is in use.
#[test]
fn argon2id() {
    for case in list(&fixture()["primitives"]["argon"]) {
        let strength =
            PasswordStrength::stored(case["mem"].as_u64().unwrap(), case["ops"].as_u64().unwrap()).unwrap();
        let salt = Salt::from_slice(&hex(&case["salt"])).unwrap();
        let key = derive_key_encryption_key(text(&case["pw"]), &salt, strength).unwrap();
        assert_eq!(key.expose(), &key32(&case["key"]), "{strength:?}");
    }
    let account = &fixture()["account"]["acct"];
    let attributes = attributes(account).decode().unwrap();
    let password = text(&account["password"]);
    assert!(attributes.unlock_with_password(password).is_ok());
}

#[test]
fn login_sub_key() {
    for case in list(&fixture()["primitives"]["kdf"]) {
        if text(&case["ctx"]) == "loginctx" {
            let key = KeyEncryptionKey::take(key32(&case["key"]));
            assert_eq!(derive_login_key(&key).expose(), &hex(&case["sub"])[..16]);
        } else {
            check_library_kdf(case);
        }
    }
    let account = &fixture()["account"]["acct"];
    for side in [account, &account["changed"]] {
        let key = KeyEncryptionKey::take(key32(&side["kek"]));
        assert_eq!(derive_login_key(&key).expose().as_slice(), hex(&side["loginKey"]));
    }
}

/// The library under the login key, in a use of it that the formats do not have.
fn check_library_kdf(case: &Value) {
    let mut derived = vec![0; usize::try_from(case["len"].as_u64().unwrap()).unwrap()];
    let context: [u8; 8] = text(&case["ctx"]).as_bytes().try_into().unwrap();
    dryoc::classic::crypto_kdf::crypto_kdf_derive_from_key(
        &mut derived,
        case["id"].as_u64().unwrap(),
        &context,
        &key32(&case["key"]),
    )
    .unwrap();
    assert_eq!(derived, hex(&case["sub"]));
}

#[test]
fn secret_boxes() {
    for case in list(&fixture()["primitives"]["secretbox"]) {
        let key = CollectionKey::take(key32(&case["key"]));
        let nonce = Nonce::from_slice(&hex(&case["nonce"])).unwrap();
        let message = secret_box::open(&key, &hex(&case["c"]), &nonce).unwrap();
        assert_eq!(*message, hex(&case["m"]));
    }
}

#[test]
fn sealed_boxes() {
    for case in list(&fixture()["primitives"]["seal"]) {
        let pair = KeyPair::from_secret_key(SecretKey::take(key32(&case["sk"])));
        assert_eq!(pair.public_key().as_bytes().as_slice(), hex(&case["pk"]));
        assert_eq!(*sealed_box::open(&pair, &hex(&case["c"])).unwrap(), hex(&case["m"]));
    }
}

#[test]
fn streams() {
    let (key, header) = stream_key_and_header();
    for case in list(&fixture()["primitives"]["stream"]) {
        let name = text(&case["name"]);
        let length = usize::try_from(case["len"].as_u64().unwrap()).unwrap();
        let plain = case.get("m").map_or_else(|| pattern(length), hex);
        let sealed = encrypt(&key, &header, &plain);
        if let Some(expected) = case.get("c") {
            assert_eq!(sealed, hex(expected), "{name}");
        } else {
            assert_eq!(sha256(&sealed), text(&case["c_sha256"]), "{name}");
            assert_eq!(sealed.len() as u64, case["clen"].as_u64().unwrap(), "{name}");
            assert_eq!(stream::chunk_count(length as u64), case["nchunks"].as_u64().unwrap(), "{name}");
            assert_eq!(ContentHash::of(&plain).to_string(), text(&case["blake"]), "{name}");
        }
        assert_eq!(stream::ciphertext_len(length as u64), Some(sealed.len() as u64), "{name}");
        assert_eq!(stream::plaintext_len(sealed.len() as u64), Some(length as u64), "{name}");
        if length <= stream::CHUNK_LEN {
            assert_eq!(blob::seal_with_header(&key, &header, &plain).ciphertext, sealed, "{name}");
        }
    }
}

/// Two messages of other lengths than a file's: the library beneath agrees with libsodium on those too.
#[test]
fn a_stream_of_two_short_messages() {
    use dryoc::classic::crypto_secretstream_xchacha20poly1305 as library;
    let (key, header) = stream_key_and_header();
    let mut state = library::State::new();
    library::crypto_secretstream_xchacha20poly1305_init_pull(&mut state, header.as_bytes(), key.expose());
    let expected = fixture();
    for ((message, tag), sealed) in
        [("chunk one", 0), ("chunk two", 3)].iter().zip(list(&expected["primitives"]["stream2"]))
    {
        let (mut opened, mut opened_tag) = ([0; 9], 0);
        library::crypto_secretstream_xchacha20poly1305_pull(
            &mut state,
            &mut opened,
            &mut opened_tag,
            &hex(sealed),
            None,
        )
        .unwrap();
        assert_eq!((opened.as_slice(), opened_tag), (message.as_bytes(), *tag));
    }
}

/// The positions in `docs/format.md`, computed from libsodium's ciphertext.
#[test]
fn stream_positions() {
    let (key, header) = stream_key_and_header();
    let mut encryptor = StreamEncryptor::new(&key, &header);
    let plain = pattern(8_388_613);
    for (chunk, expected) in plain.chunks(stream::CHUNK_LEN).zip([
        "000000005051525354555657",
        "0100000035b206caaf2db73e",
        "020000005dc05d573d191761",
    ]) {
        assert_eq!(to_hex(&encryptor.position().to_bytes()), expected);
        if chunk.len() == stream::CHUNK_LEN {
            encryptor.encrypt_chunk(chunk, &mut Vec::new()).unwrap();
        }
    }
    assert_eq!(encryptor.position().chunk_index(), 2);
}

fn encrypt(key: &FileKey, header: &StreamHeader, plain: &[u8]) -> Vec<u8> {
    let mut encryptor = StreamEncryptor::new(key, header);
    let mut sealed = Vec::new();
    let mut rest = plain;
    while rest.len() > stream::CHUNK_LEN {
        let (chunk, after) = rest.split_at(stream::CHUNK_LEN);
        encryptor.encrypt_chunk(chunk, &mut sealed).unwrap();
        rest = after;
    }
    encryptor.finish(rest, &mut sealed).unwrap();
    sealed
}

/// Made by Python's `hashlib` from the formula in the format's description, and equal to libsodium's.
#[test]
fn content_tags() {
    let key = derive_content_tag_key(&MasterKey::take(std::array::from_fn(|i| u8::try_from(i).unwrap())));
    assert_eq!(to_hex(key.expose()), "59f4c80846765bba847e2ca4f901f517af26aee1126549d7cd1a09fa89a8561c");
    let (empty, abc) = (ContentHash::of(b""), ContentHash::of(b"abc"));
    for (content, tag) in [
        (empty, "BAlZC6M0qoCrxS6XQiD0O2jI2UpjXsOT5AQZHuVmS9M="),
        (abc, "jgaFOEVOUc6Mxcx0w829dNNhkRrTK4IKIHnocqWIGUs="),
        (ContentHash::live_photo(abc, empty).unwrap(), "A+41feD3m2Ix8v+sYZABt6Pn3u+y1/iE2syLNlW2OSU="),
    ] {
        assert_eq!(STANDARD.encode(key.tag(&content)), tag);
    }
}

#[test]
fn content_tags_of_two_accounts_have_nothing_in_common() {
    let content = ContentHash::of(b"a well-known picture");
    let [one, other] = [(); 2].map(|()| derive_content_tag_key(&MasterKey::generate()).tag(&content));
    assert_ne!(one, other);
}

/// Sealed by libsodium (PyNaCl) under the nonce `seq(0..24)`, the key made by Python's `hashlib`.
#[test]
fn device_names() {
    let key = derive_device_name_key(&MasterKey::take(std::array::from_fn(|i| u8::try_from(i).unwrap())));
    assert_eq!(to_hex(key.expose()), "9bb5ff8e0166106ccb050d86f2e010d9873de7306650b430d2906fdd2b005147");
    let device = 0x6a3c_8f5e_0000_4000_8000_0000_0000_0001_u128.to_be_bytes();
    for (name, sealed) in [
        (
            "Ada's laptop",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXDGCQitTBTKH9PH8JXZ2VwKLdYOF9AZgBhldSE7XJ5k2lzNV/PzkRe78PNP9QxKR4",
        ),
        (
            "Zürich, 書斎のノートパソコン",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXxdjNEPW0F69xsM8VRacZO6LdYOF9AZgBhldSE7XJ5k2+awgqJXoVNu+dwDe2Uiqba47L6n7R\
        gnn1JA7lY433BVXyty2DYsm27H+hEYWgPfs=",
        ),
    ] {
        assert_eq!(key.open(&device, &STANDARD.decode(sealed).unwrap()).unwrap(), name);
    }
}

#[test]
fn content_hashes() {
    for case in list(&fixture()["primitives"]["hash"]) {
        let Some(expected) = case.get("h") else { continue };
        assert_eq!(ContentHash::of(&hex(&case["m"])).to_string(), text(expected));
    }
    let fixture = fixture();
    let live = list(&fixture["primitives"]["hash"]).iter().find_map(|case| case.get("livephoto")).unwrap();
    let hash = ContentHash::live_photo(ContentHash::of(b"abc"), ContentHash::of(b"")).unwrap();
    assert_eq!(hash.to_string(), text(live));
    assert_eq!(text(live).len(), 177);
    assert_eq!(ContentHash::from_str(text(live)), Ok(hash));
}

fn attributes(account: &Value) -> EncodedKeyAttributes {
    let fields = &account["keyAttributes"];
    let field = |name: &str| text(&fields[name]).to_owned();
    EncodedKeyAttributes {
        kek_salt: field("kekSalt"),
        mem_limit: fields["memLimit"].as_u64().unwrap(),
        ops_limit: fields["opsLimit"].as_u64().unwrap(),
        encrypted_key: field("encryptedKey"),
        key_decryption_nonce: field("keyDecryptionNonce"),
        public_key: field("publicKey"),
        encrypted_secret_key: field("encryptedSecretKey"),
        secret_key_decryption_nonce: field("secretKeyDecryptionNonce"),
        master_key_encrypted_with_recovery_key: field("masterKeyEncryptedWithRecoveryKey"),
        master_key_decryption_nonce: field("masterKeyDecryptionNonce"),
        recovery_key_encrypted_with_master_key: field("recoveryKeyEncryptedWithMasterKey"),
        recovery_key_decryption_nonce: field("recoveryKeyDecryptionNonce"),
    }
}

fn assert_fixture_keys(account: &Value, keys: &AccountKeys) {
    assert_eq!(keys.master_key, MasterKey::take(key32(&account["masterKey"])));
    assert_eq!(keys.key_pair.secret_key(), &SecretKey::take(key32(&account["secretKey"])));
    assert_eq!(keys.key_pair.public_key().as_bytes(), &key32(&account["publicKey"]));
}

#[test]
fn the_account_unlocks_by_password_and_by_recovery_key() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let encoded = attributes(account);
    let attributes = encoded.decode().unwrap();
    assert_eq!(EncodedKeyAttributes::from(&attributes), encoded);

    let keys = attributes.unlock(&KeyEncryptionKey::take(key32(&account["kek"]))).unwrap();
    assert_fixture_keys(account, &keys);
    let recovery_key = RecoveryKey::take(key32(&account["recoveryKey"]));
    assert_fixture_keys(account, &attributes.unlock_with_recovery_key(&recovery_key).unwrap());
    assert_eq!(keys.recovery_key(&attributes).unwrap(), recovery_key);
}

#[test]
fn the_account_stays_locked_with_another_key() {
    let attributes = attributes(&fixture()["account"]["acct"]).decode().unwrap();
    let wrong = attributes.unlock(&KeyEncryptionKey::take([1; 32]));
    assert!(matches!(wrong, Err(UnlockError::Locked(_))), "{wrong:?}");
    let wrong = attributes.unlock_with_recovery_key(&RecoveryKey::generate());
    assert!(matches!(wrong, Err(UnlockError::Locked(_))), "{wrong:?}");
}

#[test]
fn the_changed_password_wraps_the_same_master_key() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let changed = &account["changed"];
    let wrapped =
        WrappedKey::from_parts(&b64(&changed["encryptedKey"]), &b64(&changed["keyDecryptionNonce"])).unwrap();
    let master: MasterKey = KeyEncryptionKey::take(key32(&changed["kek"])).unwrap_key(&wrapped).unwrap();
    assert_eq!(master, MasterKey::take(key32(&account["masterKey"])));
}

#[test]
fn the_session_token_is_unsealed() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let pair = KeyPair::from_secret_key(SecretKey::take(key32(&account["secretKey"])));
    let token = pair.open_session_token(&b64(&account["encryptedToken"])).unwrap();
    assert_eq!(token, SessionToken::take(key32(&account["token"])));
    assert_eq!(*token.to_header_value(), text(&account["token_hdr"]));
    assert_eq!(SessionToken::from_header_value(text(&account["token_hdr"])), Ok(token));
}

#[test]
fn the_second_factor_opens_with_the_recovery_key() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let totp = &account["totp"];
    let key = RecoveryKey::take(key32(&account["recoveryKey"]));
    let nonce = Nonce::from_slice(&b64(&totp["nonce"])).unwrap();
    assert_eq!(*secret_box::open(&key, &b64(&totp["enc"]), &nonce).unwrap(), hex(&totp["plain"]));
}

#[test]
fn a_file_and_its_collection_open_from_the_master_key() {
    let fixture = fixture();
    let file = &fixture["file"];
    let master = MasterKey::take(key32(&fixture["account"]["acct"]["masterKey"]));
    let wrapped = |ciphertext: &str, nonce: &str| {
        WrappedKey::from_parts(&b64(&file[ciphertext]), &b64(&file[nonce])).unwrap()
    };
    let collection: CollectionKey = master.unwrap_key(&wrapped("encCollKey", "collKeyNonce")).unwrap();
    assert_eq!(collection, CollectionKey::take(key32(&file["collectionKey"])));
    let name = Nonce::from_slice(&b64(&file["nameNonce"])).unwrap();
    let name = secret_box::open(&collection, &b64(&file["encName"]), &name).unwrap();
    assert_eq!(std::str::from_utf8(&name), Ok("Zürich"));

    let key: FileKey = collection.unwrap_key(&wrapped("encFileKey", "fileKeyNonce")).unwrap();
    assert_eq!(key, FileKey::take(key32(&file["fileKey"])));
    for (plain, sealed, header) in [("md", "encMd", "mdHeader"), ("pmm", "encPmm", "pmmHeader")] {
        let header = StreamHeader::from_slice(&b64(&file[header])).unwrap();
        let record = blob::open(&key, &b64(&file[sealed]), &header).unwrap();
        assert_eq!(*record, text(&file[plain]).as_bytes());
        assert_eq!(blob::seal_with_header(&key, &header, &record).ciphertext, b64(&file[sealed]));
    }
    let header = StreamHeader::from_slice(&b64(&file["fileHeader"])).unwrap();
    let mut plain = Vec::new();
    let mut decryptor = StreamDecryptor::new(&key, &header);
    decryptor.decrypt_chunk(&b64(&file["encFile"]), &mut plain).unwrap();
    decryptor.finish().unwrap();
    assert_eq!(plain, text(&file["file"]).as_bytes());
}

/// The words stand in the specification, not in the fixture.
#[test]
fn recovery_phrases() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let zeros = format!("{}art", "abandon ".repeat(23));
    let words = "useful affair slab edge dream emerge tuna ring wet journey devote team asthma side lumber \
                 trend student poem turn reduce toy ankle example defense";
    for (key, phrase) in [([0; 32], zeros.as_str()), (key32(&account["recoveryKey"]), words)] {
        assert_eq!(*recovery::to_phrase(&RecoveryKey::take(key)), phrase);
        assert_eq!(recovery::parse(phrase), Ok(RecoveryKey::take(key)));
    }
    let public_key = PublicKey::from_slice(&hex(&account["publicKey"])).unwrap();
    assert_eq!(
        recovery::verification_id(&public_key),
        "possible file bronze candy prize afraid patch upper afraid cherry evolve dinosaur suffer problem \
         abstract hole distance snow rule immense smile gasp magic atom"
    );
}

/// The parties of one exchange in the fixture.
struct Exchange {
    identity: SrpIdentity,
    login_key: LoginKey,
}

fn fixture_exchange(fixture: &Value) -> Exchange {
    let account = &fixture["account"]["acct"];
    Exchange {
        identity: SrpIdentity {
            user_id: text(&account["srpUserID"]).to_owned(),
            salt: b64(&account["srpSalt"]),
        },
        login_key: LoginKey::from_slice(&hex(&account["loginKey"])).unwrap(),
    }
}

/// Runs the client's half with the given `a` and `B`, and checks A, M1 and M2.
fn check_exchange(exchange: &Exchange, a: &Value, b: &[u8], expected: &Value) {
    let ephemeral = EphemeralSecret::take(key32(a));
    let client = SrpClient::with_ephemeral(&exchange.identity, &exchange.login_key, &ephemeral);
    if let Some(sha) = expected.get("sha_A") {
        assert_eq!(sha256(client.public_key()), text(sha));
    }
    let proof = client.respond(b).unwrap();
    assert_eq!(proof.client_proof().as_slice(), b64(&expected["M1"]));
    let mut server_proof = b64(&expected["M2"]);
    assert_eq!(proof.verify_server(&server_proof), Ok(()));
    server_proof[31] ^= 1;
    assert_eq!(proof.verify_server(&server_proof), Err(SrpError::ServerNotProved));
}

#[test]
fn srp_exchanges() {
    let fixture = fixture();
    let account = &fixture["account"]["acct"];
    let exchange = fixture_exchange(&fixture);
    let b = b64(&account["srp"]["B"]);
    check_exchange(&exchange, &account["a"], &b, &account["srp"]);
    let verifier = derive_verifier(&exchange.identity, &exchange.login_key);
    assert_eq!(verifier.as_slice(), b64(&account["srp"]["v"]));

    let second = &fixture["account"]["srp2"];
    let exchange = Exchange {
        identity: SrpIdentity { user_id: text(&second["uid"]).to_owned(), salt: hex(&second["salt"]) },
        login_key: LoginKey::from_slice(&hex(&second["P"])).unwrap(),
    };
    check_exchange(&exchange, &second["a"], &b64(&second["B"]), second);
    let verifier = derive_verifier(&exchange.identity, &exchange.login_key);
    assert_eq!(verifier.as_slice(), b64(&second["v"]));
}

/// Exchanges in which S, A or M1 starts with a zero byte.
#[test]
fn srp_leading_zeros() {
    let fixture = fixture();
    let exchange = fixture_exchange(&fixture);
    let b = b64(&fixture["account"]["acct"]["srp"]["B"]);
    for name in ["S0", "A0", "M0"] {
        let edge = &fixture["account"]["edge"][name];
        check_exchange(&exchange, &edge["a"], &b, edge);
    }
}

/// B itself starts with a zero byte; a server may send all 512 bytes or drop it.
#[test]
fn srp_leading_zero_in_the_servers_number() {
    let fixture = fixture();
    let exchange = fixture_exchange(&fixture);
    let edge = &fixture["account"]["edge"]["B0"];
    let b = servers_number(&fixture, &hex(&edge["b"]));
    assert_eq!(sha256(&b), text(&edge["sha_B"]));
    assert_eq!(b[0], 0);
    let a = &fixture["account"]["acct"]["a"];
    check_exchange(&exchange, a, &b, edge);
    check_exchange(&exchange, a, &b[1..], edge);
}

/// `B = (k·v + g^b) mod N`, which only a server computes.
fn servers_number(fixture: &Value, b: &[u8]) -> Vec<u8> {
    use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
    use crypto_bigint::{Odd, U512, U4096};
    let modulus = U4096::from_be_slice(&hex(&fixture["N_hex"]));
    let params = FixedMontyParams::new_vartime(Odd::new(modulus).into_option().unwrap());
    let number = |bytes: &[u8]| {
        let mut padded = vec![0; 512 - bytes.len()];
        padded.extend(bytes);
        FixedMontyForm::new(&U4096::from_be_slice(&padded), &params)
    };
    let v = number(&b64(&fixture["account"]["acct"]["srp"]["v"]));
    let k = number(&hex(&fixture["account"]["k"]));
    let sum = k.mul(&v).add(&number(&[5]).pow(&U512::from_be_slice(b)));
    sum.retrieve().to_be_bytes().as_ref().to_vec()
}

#[test]
fn srp_refuses_a_servers_number_that_proves_nothing() {
    let fixture = fixture();
    let exchange = fixture_exchange(&fixture);
    let modulus = hex(&fixture["N_hex"]);
    let begin = || SrpClient::new(&exchange.identity, &exchange.login_key);
    for bad in [vec![0; 512], vec![0; 1], modulus, vec![0xFF; 512]] {
        assert_eq!(begin().respond(&bad).unwrap_err(), SrpError::UnacceptableServerKey);
    }
    for length in [0, 513] {
        let error = begin().respond(&vec![1; length]).unwrap_err();
        assert!(matches!(error, SrpError::Malformed(_)), "{length} bytes: {error}");
    }
}
