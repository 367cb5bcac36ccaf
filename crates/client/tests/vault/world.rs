//! What these tests share: a running server, somebody signed in, pictures in the vault, and a line that breaks.

use darkslide_client::albums::create_album;
use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::catalog::{Catalog, CollectionRow, FileFilter};
use darkslide_client::feed;
use darkslide_client::keys::{collection_key, file_key, wrap_file_key};
use darkslide_client::session::{Email, LockedSession, NewSession, PasswordKey, PendingSignUp, Session};
use darkslide_crypto::ContentHash;
use darkslide_crypto::kdf::{PasswordStrength, Salt};
use darkslide_crypto::keys::{CollectionKey, FileKey, KeyEncryptionKey};
use darkslide_crypto::stream::{EncryptingReader, StreamHeader, blob};
use darkslide_protocol::file::{CommitRequest, Metadata, UpdateRequest};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{FileId, Opaque};
use darkslide_server::config::{Config, RawConfig};
use darkslide_server::listen::serve_opened;
use darkslide_server::{Server, Shared, operator};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

/// A server on a port of its own, with a folder of its own.
pub(crate) struct World {
    pub(crate) server: Shared,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), RawConfig::default()).await
    }

    /// With further settings, and files of theirs in `folder`.
    pub(crate) async fn start_with(folder: TempDir, settings: RawConfig) -> Self {
        let raw = RawConfig {
            data_dir: Some(folder.path().join("server")),
            open_registration: Some(true),
            sign_in_rate: Some(100_000),
            upload_url_rate: Some(100_000),
            ..RawConfig::default()
        };
        let config = Config::from_layers(settings, raw, RawConfig::default()).unwrap();
        let server = Server::open(config).await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            serve_opened(serving, listener, shutdown).await.unwrap();
        });
        Self { server, address, folder, stop: Some(stop), task: Some(task) }
    }

    /// Ends the server: from now on nobody answers.
    pub(crate) async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.take().unwrap().await.unwrap();
    }

    pub(crate) fn api(&self) -> Api {
        api_at(self.address)
    }

    pub(crate) async fn code(&self, email: &Email) -> String {
        operator::code(&self.server.store, email.as_str()).await.unwrap().to_string()
    }

    pub(crate) async fn sign_up(&self, email: &str, password: &str) -> NewSession {
        let email = Email::parse(email).unwrap();
        let pending = PendingSignUp::begin(&self.api(), &email).await.unwrap();
        pending.finish(&self.code(&email).await, &quick_key(password)).await.unwrap()
    }

    /// Signs in as stock clients do where a code is asked for; the key is derived quickly.
    pub(crate) async fn locked(&self, email: &Email) -> LockedSession {
        LockedSession::send_code(&self.api(), email).await.unwrap();
        LockedSession::with_code(&self.api(), email, &self.code(email).await).await.unwrap()
    }

    /// Somebody with a catalog of their own and one album.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let NewSession { session, .. } = self.sign_up(&format!("{name}@example.org"), "password").await;
        let path = self.folder.path().join(format!("{name}.sqlite"));
        let catalog = Catalog::open(&path).await.unwrap();
        let album = create_album(&session, &catalog, "Holidays").await.unwrap();
        Person { session, catalog, album }
    }

    /// Everything that the server has stored, by path.
    pub(crate) fn objects(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(&self.server.config.objects_dir())
    }

    /// The file that holds the only object of this length.
    pub(crate) fn object_of_length(&self, length: usize) -> PathBuf {
        let objects = self.objects();
        let mut found = objects.iter().filter(|(_, bytes)| bytes.len() == length);
        let (path, _) = found.next().expect("an object of that length");
        assert!(found.next().is_none(), "two objects have that length");
        path.clone()
    }
}

pub(crate) fn api_at(address: SocketAddr) -> Api {
    let limits = Limits {
        connect: Duration::from_secs(5),
        retries: 3,
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(50),
        ..Limits::default()
    };
    Api::new(ServerUrl::parse(&format!("http://{address}")).unwrap(), None, limits).unwrap()
}

/// A key in place of the one that Argon2id makes in seconds; no server can tell.
pub(crate) fn quick_key(password: &str) -> PasswordKey {
    let mut bytes = [0; 32];
    for (byte, letter) in bytes.iter_mut().zip(password.bytes()) {
        *byte = letter;
    }
    PasswordKey {
        key: KeyEncryptionKey::take(bytes),
        salt: Salt::generate(),
        strength: PasswordStrength::ACCOUNT,
    }
}

/// Somebody signed in.
pub(crate) struct Person {
    pub(crate) session: Session,
    pub(crate) catalog: Catalog,
    pub(crate) album: CollectionRow,
}

/// A picture to be put into the vault.
pub(crate) struct Picture {
    pub(crate) content: Vec<u8>,
    pub(crate) metadata: Value,
    pub(crate) thumbnail: Vec<u8>,
}

impl Picture {
    /// A picture of `length` bytes that differs from every other title's.
    pub(crate) fn new(title: &str, length: usize) -> Self {
        let seed = title.bytes().fold(7_u8, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte));
        let content: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(3).wrapping_add(seed)).collect();
        let metadata = json!({
            "title": title, "fileType": 0, "creationTime": 1_600_000_000_000_000_i64,
            "modificationTime": 1_600_000_001_234_567_i64, "hash": ContentHash::of(&content).to_string(),
        });
        Self { content, metadata, thumbnail: format!("thumbnail of {title}").into_bytes() }
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata[key] = value;
        self
    }
}

impl Person {
    /// Puts a picture into an album as any client would.
    pub(crate) async fn put(&self, album: &CollectionRow, picture: &Picture) -> FileId {
        self.put_under(&collection_key(&self.session.keys, album).unwrap(), album, picture).await
    }

    /// The same, with the file's key wrapped by any key.
    pub(crate) async fn put_under(
        &self,
        collection: &CollectionKey,
        album: &CollectionRow,
        picture: &Picture,
    ) -> FileId {
        let key = FileKey::generate();
        let (file, thumbnail, metadata) = self.seal(&key, picture).await;
        let wrapped = wrap_file_key(collection, FileId(0), &key);
        let request = CommitRequest {
            id: None,
            collection_id: album.id,
            encrypted_key: wrapped.encrypted_key,
            key_decryption_nonce: wrapped.key_decryption_nonce,
            file,
            thumbnail,
            metadata,
            magic_metadata: None,
            pub_magic_metadata: None,
            content_tag: None,
        };
        self.session.api.commit(&request).await.unwrap().id
    }

    /// Gives a file of the album other contents under its own key, as stock apps edit.
    pub(crate) async fn edit(&self, id: FileId, picture: &Picture) {
        let rows = self.catalog.files(&FileFilter { file: Some(id), ..FileFilter::default() }).await.unwrap();
        let key = file_key(&collection_key(&self.session.keys, &self.album).unwrap(), &rows[0]).unwrap();
        let (file, thumbnail, metadata) = self.seal(&key, picture).await;
        self.session
            .api
            .update_file(&UpdateRequest {
                id,
                file,
                thumbnail,
                metadata,
                content_tag: None,
                if_version: None,
            })
            .await
            .unwrap();
    }

    /// Seals a picture under a file's key and stores both objects.
    async fn seal(&self, key: &FileKey, picture: &Picture) -> (ObjectReference, ObjectReference, Metadata) {
        let header = StreamHeader::generate();
        let mut sealed = Vec::new();
        let content = picture.content.as_slice();
        let mut reader = EncryptingReader::new(content, content.len() as u64, key, &header);
        reader.read_to_end(&mut sealed).unwrap();
        let thumbnail = blob::seal(key, &picture.thumbnail);
        let metadata = blob::seal(key, picture.metadata.to_string().as_bytes());
        let metadata = Metadata {
            encrypted_data: Some(Opaque::encode(metadata.ciphertext)),
            decryption_header: Opaque::encode(metadata.header.as_bytes()),
            size: 0,
        };
        let file = self.upload(sealed, header.as_bytes()).await;
        (file, self.upload(thumbnail.ciphertext, thumbnail.header.as_bytes()).await, metadata)
    }

    async fn upload(&self, bytes: Vec<u8>, header: &[u8]) -> ObjectReference {
        let url = self.session.api.upload_urls(1).await.unwrap().remove(0);
        let size = Some(i64::try_from(bytes.len()).unwrap());
        self.session.api.put_object_bytes(&url.url, bytes.into(), None).await.unwrap();
        ObjectReference { object_key: url.object_key, decryption_header: Opaque::encode(header), size }
    }

    pub(crate) async fn pull(&self) -> feed::FeedSummary {
        feed::pull(&self.session, &self.catalog).await.unwrap()
    }

    /// The same person over another line.
    pub(crate) fn over(&self, address: SocketAddr) -> Session {
        use darkslide_crypto::account::AccountKeys;
        use darkslide_crypto::keys::{MasterKey, SecretKey, SessionToken};
        let keys = AccountKeys::from_keys(
            MasterKey::take(*self.session.keys.master_key.expose()),
            SecretKey::take(*self.session.keys.key_pair.secret_key().expose()),
            self.session.keys.key_pair.public_key(),
        );
        let token = SessionToken::take(*self.session.token.expose());
        let email = self.session.email.clone();
        Session::resume(&api_at(address), self.session.account, email, keys.unwrap(), token)
    }
}

/// All plain files below a folder, by path relative to nothing.
pub(crate) fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// The same, relative to the folder.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let relative = |path: PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    files_below(folder).into_iter().map(|(path, bytes)| (relative(path), bytes)).collect()
}

/// Flips one bit of one byte.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A line to a server on which every path under `/v1` leads nowhere, as on a stock one.
pub(crate) struct StockLine;

impl StockLine {
    pub(crate) async fn start(server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(hide_extensions(client, server));
            }
        });
        address
    }
}

/// The beginning of a request comes in one piece: the client writes it so.
async fn hide_extensions(client: TcpStream, server: SocketAddr) {
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let down = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        if buffer.starts_with(b"GET /v1/") {
            buffer[..8].copy_from_slice(b"GET /no/");
        }
        if to_server.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    down.abort();
}

/// A line to the server that can be closed: then every connection ends, also those that were there.
pub(crate) struct OpenLine {
    pub(crate) address: SocketAddr,
    pub(crate) open: watch::Sender<bool>,
    /// Told when somebody came while it was closed.
    pub(crate) refused: Arc<Notify>,
}

impl OpenLine {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, mut is_open) = watch::channel(true);
        let refused = Arc::new(Notify::new());
        let told = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if !*is_open.borrow_and_update() {
                    told.notify_one();
                    continue;
                }
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    let mut upstream = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
                        _ = is_open.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { address, open, refused }
    }
}

/// A line to the server that breaks: of every connection that carries more, only `limit` bytes come back, until it
/// has broken `breaks` times.
pub(crate) struct BrokenLine {
    pub(crate) address: SocketAddr,
    pub(crate) breaks_left: Arc<AtomicUsize>,
}

impl BrokenLine {
    pub(crate) async fn start(server: SocketAddr, limit: usize, breaks: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let breaks_left = Arc::new(AtomicUsize::new(breaks));
        let left = breaks_left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, limit, left.clone()));
            }
        });
        Self { address, breaks_left }
    }
}

async fn carry(client: TcpStream, server: SocketAddr, limit: usize, breaks_left: Arc<AtomicUsize>) {
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut carried = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        carried += count;
        let one_less = |left: usize| left.checked_sub(1);
        let over = carried > limit;
        if over && breaks_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            break;
        }
        if to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    up.abort();
}
