//! Nothing that only the owner may know is anywhere in the data folder, the database or the log, in no encoding.
//!
//! Searched for: the bytes themselves, hexadecimal of both cases, and base64 of both alphabets at each of its three
//! alignments. A search that finds nothing proves nothing by itself: the last test plants every form and finds it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::{SessionToken, Wraps as _};
use darkslide_e2e::engine::{Engine, engines, open};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::web::{self, WEB};
use darkslide_e2e::stock::{CollectionKind, Device, Padding, command_line};
use darkslide_e2e::vault::{Picture, seal_picture};
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::HashMap;
use std::path::Path;

const EMAIL: &str = "leaky.person@mailbox.example.org";
const PASSWORD: &str = "zebra-Quartz-vault-9137";
const NEW_PASSWORD: &str = "lantern-Meadow-orbit-5521";
const ALBUM: &str = "Überraschungsfest bei Großmutter";
const RENAMED: &str = "Grandmothers surprise party";
const FOLDER: &str = "CameraRollOfTheThirdPhone";
const TITLE: &str = "Geheimnis_2019_Hochzeit.HEIC";
const CAPTION: &str = "Tante Hildegard schläft in der Hängematte";
const EDITED_NAME: &str = "HildegardAsleep.jpg";
const CREATED: i64 = 1_563_912_345_678_901;
const DAY: &str = "2019-07-23T20:05:45";
const LATITUDE: f64 = 46.948_271_3;
const LONGITUDE: f64 = 7.451_429_8;
const CAMERA: &str = "Hasselblad X9-Prototype";

/// Something that must not be found, and what it is.
struct Secret {
    what: String,
    bytes: Vec<u8>,
}

fn secret(what: &str, bytes: impl AsRef<[u8]>) -> Secret {
    Secret { what: what.to_owned(), bytes: bytes.as_ref().to_vec() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Every form in which some bytes could have been written down.
fn forms(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hex(bytes);
    let mut forms = vec![
        ("raw", bytes.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
    ];
    for alignment in 0..3 {
        // Three bytes become four letters: skip the letters that depend on what stands before or behind.
        let padded = [&vec![0; alignment], bytes].concat();
        let (from, whole) = ([0, 2, 3][alignment], padded.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(("base64", encoded.as_bytes()[from..whole].to_vec()));
        }
    }
    let escaped: String = String::from_utf8_lossy(bytes).escape_default().collect();
    forms.push(("escaped", escaped.into_bytes()));
    forms.push(("in a query", darkslide_e2e::http::form(&String::from_utf8_lossy(bytes)).into_bytes()));
    forms
}

/// The forms of all secrets, found by their first four bytes.
struct Search {
    needles: HashMap<[u8; 4], Vec<(String, Vec<u8>)>>,
}

impl Search {
    fn new(secrets: &[Secret]) -> Self {
        let mut needles: HashMap<[u8; 4], Vec<(String, Vec<u8>)>> = HashMap::new();
        for secret in secrets {
            assert!(secret.bytes.len() >= 8, "{} is too short to be told from chance", secret.what);
            for (form, needle) in forms(&secret.bytes) {
                let start = *needle.first_chunk().unwrap();
                needles.entry(start).or_default().push((format!("{} ({form})", secret.what), needle));
            }
        }
        Self { needles }
    }

    /// What is found in some bytes.
    fn find(&self, haystack: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (position, start) in haystack.windows(4).enumerate() {
            let start: [u8; 4] = start.try_into().unwrap();
            let Some(candidates) = self.needles.get(&start) else { continue };
            let here = candidates.iter().filter(|(_, needle)| haystack[position..].starts_with(needle));
            found.extend(here.map(|(what, _)| what.as_str()));
        }
        found
    }

    /// What is found in all files below a folder, but for one name.
    fn find_below(&self, folder: &Path, except: &str) -> (Vec<String>, usize) {
        let (mut found, mut searched) = (Vec::new(), 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let (below, count) = self.find_below(&path, except);
                found.extend(below);
                searched += count;
            } else if path.file_name().unwrap() != except {
                let bytes = std::fs::read(&path).unwrap();
                searched += bytes.len();
                found.extend(self.find(&bytes).iter().map(|what| format!("{what} in {}", path.display())));
            }
        }
        (found, searched)
    }
}

/// The picture whose every detail is one of a kind.
fn picture() -> Picture {
    let mut picture = Picture::generate(TITLE, 60_000);
    picture.metadata = json!({
        "title": TITLE, "fileType": 0, "creationTime": CREATED, "modificationTime": CREATED + 7,
        "latitude": LATITUDE, "longitude": LONGITUDE, "hash": ContentHash::of(&picture.content).to_string(),
    });
    picture
}

/// A life: sign-up, upload, edits, other devices, a new password, recovery. Returns what must not be found.
async fn live(server: &ServerProcess) -> Vec<Secret> {
    let mut web = web::sign_up(server, WEB, EMAIL, PASSWORD).await;
    let mut secrets = account_secrets(&web);
    let album = web.create_collection(ALBUM, CollectionKind::Album).await;
    let picture = picture();
    let sealed = seal_picture(&web.collection_key(album), &picture);
    web::upload(&web, album, &sealed).await;
    web::pull(&mut web).await;
    let row = web.mirror.live(album)[0].clone();
    web.set_public(&row, 1, &public()).await.ok();
    web.rename(album, RENAMED).await.ok();
    assert_eq!(web::download(&web, &row).await.content, picture.content);
    secrets.extend(picture_secrets(&web, &picture, &row));
    secrets.extend(other_devices(server, &mut web).await);
    web.trash(&[(row.id, album)]).await.ok();
    web.purge(&[row.id]).await.ok();
    secrets.push(secret("one-time code", format!("code for {EMAIL}: {}", server.code_for(EMAIL))));
    secrets
}

fn public() -> Value {
    json!({"caption": CAPTION, "editedName": EDITED_NAME, "dateTime": DAY, "cameraModel": CAMERA})
}

/// A phone, the command line, a change of password, and the recovery words.
async fn other_devices(server: &ServerProcess, web: &mut Device) -> Vec<Secret> {
    let mut phone = mobile::log_in(server, ANDROID, EMAIL, PASSWORD).await;
    phone.create_collection(FOLDER, CollectionKind::Folder).await;
    let mut export = command_line::add_account(server, EMAIL, PASSWORD).await;
    command_line::export(&mut export).await;
    let mut secrets = vec![token_of(&phone), token_of(&export)];
    secrets.extend(token_text_of(&phone));
    web.change_password(NEW_PASSWORD, Padding::Full, Some(false)).await;
    let mut found = Device::new(&server.base(), ANDROID);
    found.ask_for_code(EMAIL, Some("")).await.ok();
    found.log_in_with_words(EMAIL, &server.code_for(EMAIL), &web.account().words).await;
    secrets.push(token_of(&found));
    secrets
}

fn token_of(device: &Device) -> Secret {
    let token = SessionToken::from_header_value(device.http.token.as_ref().unwrap()).unwrap();
    secret("session token", token.expose())
}

fn token_text_of(device: &Device) -> [Secret; 1] {
    [secret("session token's text", device.http.token.as_ref().unwrap())]
}

fn account_secrets(device: &Device) -> Vec<Secret> {
    let account = device.account();
    let attributes = &account.attributes.password;
    let mut secrets = vec![
        secret("password", PASSWORD),
        secret("new password", NEW_PASSWORD),
        secret("master key", account.keys.master_key.expose()),
        secret("secret key", account.keys.key_pair.secret_key().expose()),
        token_of(device),
    ];
    secrets.extend(token_text_of(device));
    let key = device.stretching.derive(PASSWORD, &attributes.salt, attributes.strength);
    secrets.push(secret("password's key", key.expose()));
    secrets.push(secret("login key", darkslide_crypto::kdf::derive_login_key(&key).expose()));
    let recovery = account.keys.recovery_key(&account.attributes).unwrap();
    secrets.push(secret("recovery key", recovery.expose()));
    let words: Vec<&str> = account.words.split(' ').collect();
    assert_eq!(words.len(), 24);
    secrets.extend(words.windows(3).map(|words| secret("recovery words", words.join(" "))));
    secrets
}

fn picture_secrets(device: &Device, picture: &Picture, row: &darkslide_e2e::stock::FileRow) -> Vec<Secret> {
    let hash = picture.metadata["hash"].as_str().unwrap();
    let digest = base64::engine::general_purpose::STANDARD.decode(hash).unwrap();
    let collection = device.collection_key(row.collection);
    let mut secrets = vec![
        secret("title", TITLE),
        secret("title without extension", "Geheimnis_2019_Hochzeit"),
        secret("album", ALBUM),
        secret("renamed album", RENAMED),
        secret("device folder", FOLDER),
        secret("caption", CAPTION),
        secret("edited name", EDITED_NAME),
        secret("capture time", CREATED.to_string()),
        secret("capture time in seconds", (CREATED / 1_000_000).to_string()),
        secret("capture day", DAY),
        secret("capture day, alone", &DAY[..10]),
        secret("latitude", LATITUDE.to_string()),
        secret("longitude", LONGITUDE.to_string()),
        secret("camera", CAMERA),
        secret("content hash", hash),
        secret("content hash, half of its bytes", &digest[..32]),
        secret("content", &picture.content[..64]),
        secret("thumbnail", &picture.thumbnail[4..36]),
        secret("file key", device.file_key(row).expose()),
        secret("collection key", collection.expose()),
    ];
    let unwrapped: darkslide_crypto::keys::FileKey = collection.unwrap_key(&row.key).unwrap();
    secrets.push(secret("file key, again", unwrapped.expose()));
    secrets
}

#[tokio::test]
async fn nothing_of_the_owners_is_on_the_server() {
    for engine in engines() {
        let folder = tempfile::tempdir().unwrap();
        let flags = ["--log-level=trace"];
        let mut server = ServerProcess::start_at(folder.path(), &engine, &flags).await;
        let search = Search::new(&live(&server).await);
        // While it runs, with the database's log as it is; and once more when all is folded together.
        look(&search, folder.path(), &server, &engine).await;
        server.stop();
        look(&search, folder.path(), &server, &engine).await;
        check_address(&server);
    }
}

async fn look(search: &Search, folder: &Path, server: &ServerProcess, engine: &Engine) {
    // The terminal is where codes are meant to be; it is searched for everything else below.
    let (found, searched) = search.find_below(folder, "terminal");
    assert_eq!(found, Vec::<String>::new());
    assert!(searched > 100_000, "there was something to search: {searched} bytes");
    let without_codes: Vec<&str> =
        search.find(server.terminal().as_bytes()).into_iter().filter(|what| !what.contains("code")).collect();
    assert_eq!(without_codes, Vec::<&str>::new(), "on the terminal");
    assert!(server.log().contains("/users/srp/verify-session"), "the log was on");
    if matches!(engine, Engine::Postgres(_)) {
        assert_eq!(search.find(&dump(server.database_url()).await), Vec::<&str>::new(), "in PostgreSQL");
    }
}

/// The address is in the database, for codes are sent there; it has no business in the log.
fn check_address(server: &ServerProcess) {
    let search = Search::new(&[secret("address", EMAIL)]);
    assert_eq!(search.find(server.log().as_bytes()), Vec::<&str>::new());
}

/// Every row of every table, as text.
async fn dump(url: &str) -> Vec<u8> {
    let pool = open(url).await;
    let tables = "SELECT table_name::TEXT FROM information_schema.tables WHERE table_schema = 'public'";
    let mut text = String::new();
    for table in sqlx::query(tables).fetch_all(&pool).await.unwrap() {
        let query = format!("SELECT rows::TEXT FROM {} AS rows", table.get::<String, _>(0));
        for row in sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await.unwrap() {
            text += &row.get::<String, _>(0);
            text.push('\n');
        }
    }
    pool.close().await;
    assert!(text.contains(EMAIL), "the dump holds what the database does");
    text.into_bytes()
}

/// Every form of every length class, planted at every alignment, is found; its neighbour with one letter changed is not.
#[test]
fn the_search_finds_what_is_there() {
    let secrets = [
        secret("title", TITLE),
        secret("raw", [0xfb, 0xff, 0x3e, 0, 1, 2, 3, 0xfe, 0x7f]),
        secret("hash", [7; 32]),
    ];
    let search = Search::new(&secrets);
    for planted in &secrets {
        for before in 0..4 {
            let text = [&b"xyz1"[..before], &planted.bytes, b"behind"].concat();
            let hex = hex(&text).to_uppercase();
            for (form, written) in [
                ("raw", text.clone()),
                ("hex", hex.clone().into_bytes()),
                ("hex", hex.to_lowercase().into_bytes()),
                ("base64", base64::engine::general_purpose::STANDARD.encode(&text).into_bytes()),
                ("base64", base64::engine::general_purpose::URL_SAFE.encode(&text).into_bytes()),
            ] {
                let found = search.find(&[b"left ", &written[..], b" right"].concat());
                assert!(found.iter().any(|what| what.starts_with(&planted.what)), "{} {form}", planted.what);
            }
        }
        let mut altered = planted.bytes.clone();
        altered[5] ^= 1;
        assert_eq!(search.find(&altered), Vec::<&str>::new());
    }
}

/// And in a folder, in a file of a database's kind.
#[test]
fn the_search_looks_into_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("objects/0a");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("blob"), [b"\0\0\0".as_slice(), ALBUM.as_bytes(), b"\0"].concat()).unwrap();
    std::fs::write(folder.path().join("terminal"), TITLE).unwrap();
    let search = Search::new(&[secret("album", ALBUM), secret("title", TITLE)]);
    let (found, _) = search.find_below(folder.path(), "terminal");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("album (raw) in ") && found[0].ends_with("blob"), "{found:?}");
}
