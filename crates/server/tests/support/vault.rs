//! Somebody who uses the vault: uploads, commits, and reads what the server says, as a client would. The ciphertext is made up: the
//! server cannot tell.

use super::person::Person;
use super::{Answer, TestServer};
use darkslide_protocol::Opaque;
use md5::{Digest as _, Md5};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A signed-in account and the server that it is on.
pub struct Vault<'s> {
    pub server: &'s TestServer,
    pub person: Person,
}

/// Base64 of the MD5.
pub fn md5_of(bytes: &[u8]) -> String {
    Opaque::encode(Md5::digest(bytes)).0
}

/// `length` bytes that no other `seed` has.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What a commit says of two objects.
pub fn commit_body(collection: i64, file: (&str, usize), thumbnail: (&str, usize)) -> Value {
    json!({
        "collectionID": collection,
        "encryptedKey": "a2V5", "keyDecryptionNonce": "bm9uY2U=",
        "file": { "objectKey": file.0, "decryptionHeader": "ZmlsZQ==", "size": file.1 },
        "thumbnail": { "objectKey": thumbnail.0, "decryptionHeader": "dGh1bWI=", "size": thumbnail.1 },
        "metadata": { "encryptedData": "bWV0YQ==", "decryptionHeader": "bWg=" },
        "pubMagicMetadata": { "version": 1, "count": 3, "data": "cHVi", "header": "cGg=" },
    })
}

impl<'s> Vault<'s> {
    /// Signs up as far as uploads need.
    pub async fn new(server: &'s TestServer, email: &str) -> Self {
        let _ = darkslide_server::operator::add(&server.shared.store, email, None).await;
        let person = Person::prove_address(server, email).await;
        person.set_keys(server).await.ok();
        Self { server, person }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.server.get(path, &self.person.token).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.server.post(path, &self.person.token, &body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.server.send(Method::PUT, path, &self.person.token, &body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.server.send(Method::DELETE, path, &self.person.token, &json!({})).await
    }

    pub fn new_collection(kind: &str) -> Value {
        json!({
            "encryptedKey": Opaque::encode([1; 48]), "keyDecryptionNonce": Opaque::encode([2; 24]),
            "encryptedName": "bmFtZQ==", "nameDecryptionNonce": "bm4=", "type": kind,
        })
    }

    pub async fn create(&self, kind: &str) -> Value {
        self.post("/collections", Self::new_collection(kind)).await.ok()["collection"].clone()
    }

    /// The id of a new album.
    pub async fn album(&self) -> i64 {
        self.create("album").await["id"].as_i64().unwrap()
    }

    pub async fn mint(&self, bytes: &[u8]) -> Value {
        let body = json!({ "contentLength": bytes.len(), "contentMD5": md5_of(bytes) });
        self.post("/files/upload-url", body).await.ok()
    }

    /// A `PUT` without a session, as clients send it.
    pub async fn put_bytes(&self, url: &str, bytes: &[u8]) -> Answer {
        let request = self.server.http.put(url).header("Content-MD5", md5_of(bytes)).body(bytes.to_vec());
        Answer::of(request).await
    }

    /// Stores an object and returns its key.
    pub async fn store(&self, bytes: &[u8]) -> String {
        let minted = self.mint(bytes).await;
        let answer = self.put_bytes(minted["url"].as_str().unwrap(), bytes).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        minted["objectKey"].as_str().unwrap().to_owned()
    }

    /// Stores two objects, and returns what commits them.
    pub async fn stored_pair(&self, collection: i64, file: &[u8], thumbnail: &[u8]) -> Value {
        let (file_key, thumbnail_key) = (self.store(file).await, self.store(thumbnail).await);
        commit_body(collection, (&file_key, file.len()), (&thumbnail_key, thumbnail.len()))
    }

    pub async fn commit(&self, collection: i64, file: &[u8], thumbnail: &[u8]) -> Value {
        let body = self.stored_pair(collection, file, thumbnail).await;
        self.post("/files", body).await.ok()
    }

    /// The id of a new small file.
    pub async fn file(&self, collection: i64, seed: u64) -> i64 {
        let file = self.commit(collection, &noise(seed, 1000), &noise(seed + 1_000_000, 100)).await;
        file["id"].as_i64().unwrap()
    }

    pub async fn collections(&self, since: i64) -> Vec<Value> {
        let answer = self.get(&format!("/collections/v2?sinceTime={since}")).await.ok();
        answer["collections"].as_array().unwrap().clone()
    }

    /// What `/collections/v2` says of one collection.
    pub async fn collection(&self, id: i64) -> Value {
        let all = self.collections(0).await;
        all.into_iter().find(|collection| collection["id"] == id).unwrap()
    }

    pub async fn diff(&self, collection: i64, since: i64) -> Vec<Value> {
        let path = format!("/collections/v2/diff?collectionID={collection}&sinceTime={since}");
        let answer = self.get(&path).await.ok();
        assert_eq!(answer["hasMore"], false);
        answer["diff"].as_array().unwrap().clone()
    }

    /// The ids of the files that are in a collection.
    pub async fn live(&self, collection: i64) -> Vec<i64> {
        let diff = self.diff(collection, 0).await;
        diff.iter()
            .filter(|file| file["isDeleted"] == false)
            .map(|file| file["id"].as_i64().unwrap())
            .collect()
    }

    pub async fn trash(&self, items: &[(i64, i64)]) -> Answer {
        let items: Vec<Value> =
            items.iter().map(|(file, of)| json!({ "fileID": file, "collectionID": of })).collect();
        self.post("/files/trash", json!({ "items": items })).await
    }

    pub async fn trash_diff(&self, since: i64) -> Vec<Value> {
        let answer = self.get(&format!("/trash/v2/diff?sinceTime={since}")).await.ok();
        assert_eq!(answer["hasMore"], false);
        answer["diff"].as_array().unwrap().clone()
    }

    /// The signed URL that a download is redirected to.
    pub async fn location(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{answer:?}");
        answer.header("location").to_owned()
    }

    pub async fn download(&self, file: i64) -> Vec<u8> {
        let url = self.location(&format!("/files/download/{file}")).await;
        let response = self.server.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    }

    pub async fn usage(&self) -> i64 {
        self.server.shared.store.usage_of(self.person.id).await.unwrap().used
    }
}

/// The body of a request that names files with their keys.
pub fn keys(collection: i64, files: &[i64]) -> Value {
    json!({ "collectionID": collection, "files": file_keys(files) })
}

/// Files with their keys.
pub fn file_keys(files: &[i64]) -> Vec<Value> {
    files.iter().map(|id| json!({ "id": id, "encryptedKey": "azI=", "keyDecryptionNonce": "bjI=" })).collect()
}

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() }
    };
    entries.map(size).sum()
}
