//! Clients that upload, edit and trash while the server dies under them, and remember what was acknowledged.
//!
//! Each insists on every step until it is acknowledged, as stock clients do across their runs; what it remembers is
//! therefore everything that the server may show, and everything that it must.

use bytes::Bytes;
use darkslide_e2e::http::{Answer, Outgoing};
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{Device, FileRow, PullRule};
use darkslide_e2e::vault::{Picture, Sealed, SealedPicture, seal_picture};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than any server needs to come back: insisting beyond it means that work cannot be retried to success.
const PATIENCE: Duration = Duration::from_mins(1);

/// The shortest pause after a refused connection.
const PAUSE: Duration = Duration::from_millis(3);

/// Bytes of a part in these tests: mints without sizes take any.
const PART_LENGTH: usize = 64 * 1024;

/// What the kills and the workers tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The workers shall finish what they are at, and end.
    pub(crate) ending: AtomicBool,
    /// Calls that were acknowledged.
    pub(crate) acknowledged: AtomicUsize,
    /// Calls whose answer never came.
    pub(crate) broken_off: AtomicUsize,
}

/// What one worker was told is true.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Every file, by id.
    pub(crate) files: BTreeMap<i64, Remembered>,
}

/// One acknowledged file.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) picture: Picture,
    pub(crate) album: i64,
    pub(crate) trashed: bool,
}

/// One client with two albums of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    device: Device,
    albums: [i64; 2],
    signals: Arc<Signals>,
    pub(crate) memory: Memory,
    rounds: usize,
}

impl Worker {
    /// Signs in and makes its albums; the server is not killed yet.
    pub(crate) async fn new(base: &str, owner: &Device, signals: &Arc<Signals>) -> Self {
        let mut device = Device::new(base, ANDROID);
        device.log_in_with_password(&owner.account().email, super::crash::PASSWORD).await;
        let kind = darkslide_e2e::stock::CollectionKind::Album;
        let albums =
            [device.create_collection("One", kind).await, device.create_collection("Two", kind).await];
        Self { device, albums, signals: signals.clone(), memory: Memory::default(), rounds: 0 }
    }

    /// Works until it is told to end.
    pub(crate) async fn run(mut self) -> Self {
        while !self.signals.ending.load(Ordering::Relaxed) {
            self.round().await;
        }
        self
    }

    /// One picture, and some edits of it, by turns.
    async fn round(&mut self) {
        self.rounds += 1;
        let file = self.upload().await;
        match self.rounds % 4 {
            0 => self.trash(file).await,
            1 => {
                self.trash(file).await;
                self.restore(file).await;
            }
            2 => self.move_over(file).await,
            _ => {}
        }
    }

    async fn upload(&mut self) -> i64 {
        let album = self.albums[self.rounds % 2];
        let length = [300, 40_000, 150_000, 500][self.rounds % 4];
        let picture = Picture::generate(&format!("{}.jpg", self.rounds), length);
        let sealed = seal_picture(&self.device.collection_key(album), &picture);
        let body = if self.rounds.is_multiple_of(3) {
            self.put_in_parts(album, &sealed).await
        } else {
            self.put_whole(album, &sealed).await
        };
        let answer = self.call(Method::POST, "/files", Some(&body)).await.0.ok();
        let id = answer["id"].as_i64().unwrap();
        self.memory.files.insert(id, Remembered { picture, album, trashed: false });
        id
    }

    async fn put_whole(&self, album: i64, picture: &SealedPicture) -> Value {
        let file = self.object(&picture.file).await;
        let thumbnail = self.object(&picture.thumbnail).await;
        self.device.commit_body(album, picture, &file, &thumbnail)
    }

    /// One object; a failed attempt may try the same URL again, or a fresh one.
    async fn object(&self, sealed: &Sealed) -> String {
        let minted = json!({"contentLength": sealed.bytes.len(), "contentMD5": darkslide_e2e::vault::md5(&sealed.bytes)});
        let mint = self.call(Method::POST, "/files/upload-url", Some(&minted)).await.0.ok();
        let bytes = Bytes::copy_from_slice(&sealed.bytes);
        let headers = mobile::put_headers(&sealed.bytes);
        self.insist(Method::PUT, mint["url"].as_str().unwrap(), &headers, bytes).await.accepted();
        mint["objectKey"].as_str().unwrap().to_owned()
    }

    /// The file in parts of 64 KiB, to the URLs of one mint, however often the server dies.
    async fn put_in_parts(&self, album: i64, picture: &SealedPicture) -> Value {
        let parts: Vec<&[u8]> = picture.file.bytes.chunks(PART_LENGTH).collect();
        let path = format!("/files/multipart-upload-urls?count={}", parts.len());
        let mint = self.call(Method::GET, &path, None).await.0.ok()["urls"].clone();
        let mut list = String::new();
        for (index, part) in parts.iter().enumerate() {
            let url = mint["partURLs"][index].as_str().unwrap();
            let answer =
                self.insist(Method::PUT, url, &mobile::put_headers(part), Bytes::copy_from_slice(part)).await;
            let etag = self.device.etag_of(&answer);
            write!(list, "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", index + 1).unwrap();
        }
        let xml = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let url = mint["completeURL"].as_str().unwrap();
        let kind = [("content-type", "text/xml".to_owned())];
        self.insist(Method::POST, url, &kind, Bytes::from(xml)).await.accepted();
        let thumbnail = self.object(&picture.thumbnail).await;
        self.device.commit_body(album, picture, mint["objectKey"].as_str().unwrap(), &thumbnail)
    }

    async fn trash(&mut self, file: i64) {
        let album = self.memory.files[&file].album;
        let body = json!({"items": [{"fileID": file, "collectionID": album}]});
        self.call(Method::POST, "/files/trash", Some(&body)).await.0.ok();
        self.memory.files.get_mut(&file).unwrap().trashed = true;
    }

    /// Restoring is refused for what is not in the trash: after an answer that never came, that is what success is.
    async fn restore(&mut self, file: i64) {
        let album = self.memory.files[&file].album;
        let body = self.with_key(json!({"collectionID": album}), file, album).await;
        let (answer, was_broken_off) =
            self.call(Method::POST, "/collections/restore-files", Some(&body)).await;
        if !(was_broken_off && answer.status == 400) {
            answer.ok();
        }
        self.memory.files.get_mut(&file).unwrap().trashed = false;
    }

    async fn move_over(&mut self, file: i64) {
        let from = self.memory.files[&file].album;
        let to = self.albums[usize::from(from == self.albums[0])];
        let body = json!({"fromCollectionID": from, "toCollectionID": to});
        let body = self.with_key(body, file, to).await;
        self.call(Method::POST, "/collections/move-files", Some(&body)).await.0.ok();
        self.memory.files.get_mut(&file).unwrap().album = to;
    }

    /// The body with the file's key, wrapped for its target; the key is read from the diff.
    async fn with_key(&self, mut body: Value, file: i64, target: i64) -> Value {
        let from = self.memory.files[&file].album;
        let path = format!("/collections/v2/diff?collectionID={from}&sinceTime=0");
        let answer = self.call(Method::GET, &path, None).await.0.ok();
        let (rows, _) = darkslide_e2e::stock::reading::read_file_diff(&answer);
        let row = rows.iter().find(|row| row.id == file).expect("what was acknowledged is listed");
        body["files"] = json!([self.device.rewrap(row, target)]);
        body
    }

    /// A call, repeated until it is answered; and whether an earlier attempt may have been carried out.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (Answer, bool) {
        self.repeat(&self.device.http.api_request(method, path, body)).await
    }

    async fn insist(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, String)],
        bytes: Bytes,
    ) -> Answer {
        let request = Outgoing { method, url: url.to_owned(), headers: headers.to_vec(), body: Some(bytes) };
        self.repeat(&request).await.0
    }

    async fn repeat(&self, request: &Outgoing) -> (Answer, bool) {
        let (began, mut was_broken_off) = (Instant::now(), false);
        loop {
            let attempt = tokio::time::timeout(PATIENCE, self.device.http.send(request.clone())).await;
            match &attempt {
                Ok(Ok(answer)) if answer.status < 500 => {
                    self.signals.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return (answer.clone(), was_broken_off);
                }
                Ok(Ok(_)) => {}
                _ => {
                    was_broken_off = true;
                    self.signals.broken_off.fetch_add(1, Ordering::Relaxed);
                }
            }
            assert!(began.elapsed() < PATIENCE, "cannot be retried to success: {request:?}: {attempt:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads everything back with a fresh client: all that was acknowledged, as it was, and nothing else.
pub(crate) async fn check_everything(base: &str, owner: &Device, memories: &[&Memory]) {
    let mut device = Device::new(base, ANDROID);
    device.log_in_with_password(&owner.account().email, super::crash::PASSWORD).await;
    device.pull(PullRule::Later, None).await;
    device.pull_trash().await;
    let remembered: BTreeMap<i64, &Remembered> =
        memories.iter().flat_map(|memory| &memory.files).map(|(id, file)| (*id, file)).collect();
    let shown: Vec<i64> = device.mirror.files.values().map(|row| row.id).collect();
    assert!(shown.iter().all(|id| remembered.contains_key(id)), "something was never acknowledged");
    let trashed = device.mirror.trash.values().filter(|item| !item.restored).count();
    assert_eq!(trashed, remembered.values().filter(|file| file.trashed).count());
    for (id, file) in remembered {
        check_file(&device, id, file).await;
    }
}

async fn check_file(device: &Device, id: i64, file: &Remembered) {
    let albums = device.mirror.albums_of(id);
    let row: &FileRow = if file.trashed {
        assert!(albums.is_empty(), "file {id} is in the trash and in {albums:?}");
        &device.mirror.trash[&id].file
    } else {
        assert_eq!(albums, [file.album], "file {id}");
        &device.mirror.files[&(file.album, id)]
    };
    let opened = mobile::download(device, row).await;
    assert!(opened.content == file.picture.content, "file {id} came back altered");
    assert!(opened.thumbnail == file.picture.thumbnail, "the thumbnail of {id} came back altered");
    assert_eq!(opened.metadata, file.picture.metadata);
}
