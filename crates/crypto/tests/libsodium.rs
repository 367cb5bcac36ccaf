//! Both directions against libsodium itself, through PyNaCl: what one side closes, the other opens.
//!
//! Needs a Python with `pynacl`: `DARKSLIDE_PYTHON`, or `target/venv/bin/python` (which `cargo xtask ci` makes). In
//! CI its absence is a failure; elsewhere the test says loudly that it did not run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use darkslide_crypto::content_tag::derive_content_tag_key;
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_key_encryption_key, derive_login_key};
use darkslide_crypto::keys::{CollectionKey, FileKey, KeyEncryptionKey, KeyPair, MasterKey};
use darkslide_crypto::secret_box::{self, Nonce};
use darkslide_crypto::stream::{
    CHUNK_LEN, SEALED_CHUNK_LEN, StreamDecryptor, StreamEncryptor, StreamHeader, blob,
};
use darkslide_crypto::{ContentHash, sealed_box};
use serde_json::{Value, json};

const FILE_SIZES: [usize; 6] = [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN];
const MESSAGES: [&[u8]; 4] = [b"", b"x", "Trip to Zürich".as_bytes(), &[0xA5; 1000]];

/// Where Python with PyNaCl is, if it is.
fn python() -> Option<PathBuf> {
    if let Some(path) = env::var_os("DARKSLIDE_PYTHON") {
        return Some(PathBuf::from(path));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    path.exists().then_some(path)
}

/// What is asserted of libsodium's answer; `None` is a message that did not open.
type Check = Box<dyn FnOnce(Option<Vec<u8>>)>;

/// Requests to libsodium, each with what must come back.
#[derive(Default)]
struct Peer {
    requests: Vec<Value>,
    checks: Vec<Check>,
}

impl Peer {
    fn ask(&mut self, operation: &str, arguments: &[Value], check: impl FnOnce(Option<Vec<u8>>) + 'static) {
        self.requests.push(json!({ "operation": operation, "arguments": arguments }));
        self.checks.push(Box::new(check));
    }

    fn expect(&mut self, operation: &'static str, arguments: &[Value], expected: Option<Vec<u8>>) {
        self.ask(operation, arguments, move |answer| assert!(answer == expected, "{operation} differs"));
    }

    fn run(self, python: &Path) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libsodium_peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
        let requests = serde_json::to_vec(&self.requests).unwrap();
        child.stdin.take().unwrap().write_all(&requests).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "libsodium's side failed: is pynacl installed?");
        let answers: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answers.len(), self.checks.len());
        for (answer, check) in answers.into_iter().zip(self.checks) {
            check(answer.map(|text| STANDARD.decode(text).unwrap()));
        }
    }
}

fn bytes(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap()).collect()
}

#[test]
fn libsodium_and_this_crate_open_each_others_messages() {
    let Some(python) = python() else {
        assert!(env::var_os("CI").is_none(), "CI must check against libsodium: set DARKSLIDE_PYTHON");
        // Straight to the terminal: the test harness would keep `eprintln!` to itself.
        let notice = "\nNOT RUN: the cross-check against libsodium needs Python with pynacl. \
                      Set DARKSLIDE_PYTHON, or run `cargo xtask ci`, which makes one.\n\n";
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
        return;
    };
    let mut peer = Peer::default();
    derivations(&mut peer);
    boxes(&mut peer);
    seals(&mut peer);
    blobs(&mut peer);
    files(&mut peer);
    hashes(&mut peer);
    tags(&mut peer);
    peer.run(&python);
}

fn derivations(peer: &mut Peer) {
    let strength = PasswordStrength::stored(8 << 20, 3).unwrap();
    for password in ["", "correct horse battery staple", "pässwörd 🔑", " spaces stay "] {
        let salt = Salt::generate();
        let key = derive_key_encryption_key(password, &salt, strength).unwrap();
        let arguments = [bytes(password.as_bytes()), bytes(salt.as_bytes()), json!(3), json!(8 << 20)];
        peer.expect("pwhash", &arguments, Some(key.expose().to_vec()));
        let login = derive_login_key(&KeyEncryptionKey::take(*key.expose()));
        peer.expect("login_key", &[bytes(key.expose())], Some(login.expose().to_vec()));
    }
}

fn boxes(peer: &mut Peer) {
    for message in MESSAGES {
        let key = CollectionKey::generate();
        let sealed = secret_box::seal(&key, message);
        let nonce = bytes(sealed.nonce.as_bytes());
        let arguments = [bytes(key.expose()), nonce.clone(), bytes(&sealed.ciphertext)];
        peer.expect("box_open", &arguments, Some(message.to_vec()));
        let mut altered = sealed.ciphertext;
        altered[0] ^= 1;
        peer.expect("box_open", &[bytes(key.expose()), nonce, bytes(&altered)], None);

        let nonce = Nonce::generate();
        let arguments = [bytes(key.expose()), bytes(nonce.as_bytes()), bytes(message)];
        peer.ask("box", &arguments, move |sealed| {
            assert_eq!(*secret_box::open(&key, &sealed.unwrap(), &nonce).unwrap(), message);
        });
    }
}

fn seals(peer: &mut Peer) {
    for message in MESSAGES {
        let pair = KeyPair::generate();
        let (public, secret) = (bytes(pair.public_key().as_bytes()), bytes(pair.secret_key().expose()));
        let expected = pair.public_key().as_bytes().to_vec();
        peer.expect("public_key", std::slice::from_ref(&secret), Some(expected));
        let sealed = sealed_box::seal(pair.public_key(), message).unwrap();
        peer.expect("seal_open", &[public.clone(), secret, bytes(&sealed)], Some(message.to_vec()));
        peer.ask("seal", &[public, bytes(message)], move |sealed| {
            assert_eq!(*sealed_box::open(&pair, &sealed.unwrap()).unwrap(), message);
        });
    }
}

fn blobs(peer: &mut Peer) {
    for message in MESSAGES {
        let key = FileKey::generate();
        let sealed = blob::seal(&key, message);
        let arguments = [bytes(key.expose()), bytes(sealed.header.as_bytes()), bytes(&sealed.ciphertext)];
        peer.expect("decrypt", &arguments, Some(message.to_vec()));
        peer.ask("encrypt", &[bytes(key.expose()), bytes(message)], move |answer| {
            let (header, sealed) = split_header(&answer.unwrap());
            assert_eq!(*blob::open(&key, &sealed, &header).unwrap(), message);
        });
    }
}

fn files(peer: &mut Peer) {
    for size in FILE_SIZES {
        let (key, header) = (FileKey::generate(), StreamHeader::generate());
        let plain = content(size);
        let sealed = encrypt_resuming_at_every_chunk(&key, &header, &plain);
        let arguments = [bytes(key.expose()), bytes(header.as_bytes()), bytes(&sealed)];
        peer.expect("decrypt", &arguments, Some(plain.clone()));
        let truncated = &sealed[..sealed.len().saturating_sub(1)];
        peer.expect("decrypt", &[arguments[0].clone(), arguments[1].clone(), bytes(truncated)], None);
        peer.ask("encrypt", &[bytes(key.expose()), bytes(&plain)], move |answer| {
            let (header, sealed) = split_header(&answer.unwrap());
            assert!(decrypt(&key, &header, &sealed) == plain, "{size} bytes");
            let again = encrypt_resuming_at_every_chunk(&key, &header, &plain);
            assert!(again == sealed, "{size} bytes: not the bytes that libsodium makes");
        });
    }
}

fn hashes(peer: &mut Peer) {
    for size in [0, 1, 127, 128, 129, CHUNK_LEN + 1] {
        let plain = content(size);
        let expected = STANDARD.decode(ContentHash::of(&plain).to_string()).unwrap();
        peer.expect("hash", &[bytes(&plain)], Some(expected));
    }
}

fn tags(peer: &mut Peer) {
    let master_key = MasterKey::generate();
    let key = derive_content_tag_key(&master_key);
    let photo = ContentHash::of(b"a photo");
    for content in [photo, ContentHash::live_photo(photo, ContentHash::of(b"a video")).unwrap()] {
        let arguments = [bytes(master_key.expose()), bytes(content.to_string().as_bytes())];
        peer.expect("content_tag", &arguments, Some(key.tag(&content).to_vec()));
    }
}

/// Every chunk by a new encryptor: the first from the header, the others from a stored position.
fn encrypt_resuming_at_every_chunk(key: &FileKey, header: &StreamHeader, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let mut encryptor = StreamEncryptor::new(key, header);
    let mut rest = plain;
    while rest.len() > CHUNK_LEN {
        let (chunk, after) = rest.split_at(CHUNK_LEN);
        encryptor.encrypt_chunk(chunk, &mut sealed).unwrap();
        encryptor = StreamEncryptor::resume(key, header, encryptor.position());
        rest = after;
    }
    encryptor.finish(rest, &mut sealed).unwrap();
    sealed
}

fn decrypt(key: &FileKey, header: &StreamHeader, sealed: &[u8]) -> Vec<u8> {
    let mut decryptor = StreamDecryptor::new(key, header);
    let mut plain = Vec::new();
    for piece in sealed.chunks(SEALED_CHUNK_LEN) {
        decryptor.decrypt_chunk(piece, &mut plain).unwrap();
    }
    decryptor.finish().unwrap();
    plain
}

fn split_header(answer: &[u8]) -> (StreamHeader, Vec<u8>) {
    let (header, sealed) = answer.split_at(24);
    (StreamHeader::from_slice(header).unwrap(), sealed.to_vec())
}
