//! The steps of an upload: mint, put, complete, commit. Which of them, in which order and how written is each
//! client's own.

use super::Device;
use super::reading::{FileRow, read_file};
use crate::fields::Fields;
use crate::http::{Answer, Outgoing};
use crate::vault::{Sealed, SealedPicture, md5, to_text};
use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where one object may be put.
#[derive(Clone, Debug)]
pub struct Mint {
    /// The object's key.
    pub key: String,
    /// Its URL.
    pub url: String,
}

/// Where one object may be put in parts, and how far that came.
#[derive(Clone, Debug)]
pub struct MultipartSession {
    /// The object's key.
    pub key: String,
    /// One URL a part.
    pub part_urls: Vec<String>,
    /// Where the list of parts goes.
    pub complete_url: String,
    /// Bytes of every part but the last.
    pub part_length: usize,
    /// The ETag of every part that was acknowledged, as this client keeps it.
    pub etags: Vec<Option<String>>,
}

/// A committed file: what was sent and what came back.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The body that was sent, for a repetition.
    pub body: Value,
    /// The file as the server answered it.
    pub row: FileRow,
}

impl Device {
    /// `POST /files/upload-url`.
    pub async fn mint(&self, bytes: &[u8], cache_buster: &str) -> Mint {
        let body = json!({"contentLength": bytes.len(), "contentMD5": md5(bytes)});
        let path = format!("/files/upload-url{cache_buster}");
        let answer = self.http.call(Method::POST, &path, Some(&body)).await.ok();
        let fields = Fields::of("mint", &answer);
        assert!(fields.lacks("urls"), "the answer is bare: {answer}");
        let mint = read_mint(&fields);
        check_url(&mint.url);
        mint
    }

    /// `GET /files/upload-urls?count=`: what older clients call.
    pub async fn mint_legacy(&self, count: usize) -> Vec<Mint> {
        let path = format!("/files/upload-urls?count={count}&ts=1700000000000");
        let answer = self.http.call(Method::GET, &path, None).await.ok();
        let mints: Vec<Mint> = Fields::of("mints", &answer).objects("urls").iter().map(read_mint).collect();
        let distinct: BTreeSet<&String> = mints.iter().map(|mint| &mint.url).collect();
        assert_eq!(distinct.len(), count, "every URL is distinct, and there are as many as asked for");
        for mint in &mints {
            check_url(&mint.url);
        }
        mints
    }

    /// `POST /files/multipart-upload-url`.
    pub async fn mint_parts(&self, bytes: &[u8], part_length: usize, cache_buster: &str) -> MultipartSession {
        let md5s: Vec<String> = bytes.chunks(part_length).map(md5).collect();
        let body = json!({"contentLength": bytes.len(), "partLength": part_length, "partMd5s": md5s});
        let path = format!("/files/multipart-upload-url{cache_buster}");
        let answer = self.http.call(Method::POST, &path, Some(&body)).await.ok();
        let fields = Fields::of("mint", &answer);
        assert!(fields.lacks("urls"), "the answer is bare: {answer}");
        let session = read_session(&fields, part_length);
        assert_eq!(session.part_urls.len(), md5s.len(), "exactly one URL a part: {answer}");
        session
    }

    /// `GET /files/multipart-upload-urls?count=`: what older clients call; wrapped, unlike the other.
    pub async fn mint_parts_legacy(&self, count: usize, part_length: usize) -> MultipartSession {
        let path = format!("/files/multipart-upload-urls?count={count}&ts=1700000000000");
        let answer = self.http.call(Method::GET, &path, None).await.ok();
        let session = read_session(&Fields::of("mint", &answer).object("urls"), part_length);
        assert_eq!(session.part_urls.len(), count, "{answer}");
        session
    }

    /// A `PUT` to a URL of the server's making: no token goes with it. Browsers ask first.
    pub async fn put(&self, url: &str, bytes: &[u8], headers: &[(&'static str, String)]) -> Answer {
        self.try_put(url, Bytes::copy_from_slice(bytes), headers).await.unwrap()
    }

    /// The same, where the server may die meanwhile.
    pub async fn try_put(
        &self,
        url: &str,
        bytes: Bytes,
        headers: &[(&'static str, String)],
    ) -> reqwest::Result<Answer> {
        self.to_blob(Method::PUT, url, bytes, headers).await
    }

    /// The XML of a completed upload, to a URL of the server's making.
    pub async fn post_xml(&self, url: &str, xml: &str) -> Answer {
        let headers = [("content-type", "text/xml".to_owned())];
        self.to_blob(Method::POST, url, Bytes::from(xml.to_owned()), &headers).await.unwrap()
    }

    async fn to_blob(
        &self,
        method: Method,
        url: &str,
        bytes: Bytes,
        extra: &[(&'static str, String)],
    ) -> reqwest::Result<Answer> {
        let mut headers = self.http.usual_headers();
        headers.extend_from_slice(extra);
        let request = Outgoing { method, url: url.to_owned(), headers, body: Some(bytes) };
        if self.http.manners.origin.is_some() {
            self.http.preflight(&request).await?;
        }
        self.http.send(request).await
    }

    /// The ETag of an acknowledged part, which every client needs.
    pub fn etag_of(&self, answer: &Answer) -> String {
        answer.accepted();
        let etag = answer.header("etag").unwrap_or_else(|| panic!("ETag missing: {answer:?}"));
        assert!(etag.len() > 2 && !etag.contains(['<', '>', '&']), "{etag}");
        if self.http.manners.origin.is_some() {
            assert!(answer.exposes("etag"), "pages cannot read the ETag: {answer:?}");
        }
        etag.to_owned()
    }

    /// The body of `POST /files`.
    pub fn commit_body(
        &self,
        collection: i64,
        picture: &SealedPicture,
        file_key: &str,
        thumbnail_key: &str,
    ) -> Value {
        let object = |key: &str, sealed: &Sealed| json!({"objectKey": key, "decryptionHeader": sealed.header, "size": sealed.bytes.len()});
        let metadata = &picture.metadata;
        json!({
            "collectionID": collection, "encryptedKey": picture.encrypted_key,
            "keyDecryptionNonce": picture.key_nonce,
            "file": object(file_key, &picture.file), "thumbnail": object(thumbnail_key, &picture.thumbnail),
            "metadata": {"encryptedData": to_text(&metadata.bytes), "decryptionHeader": metadata.header},
        })
    }

    /// `POST /files`; the whole file comes back as it was stored.
    pub async fn commit(&self, body: Value) -> Committed {
        let answer = self.http.call(Method::POST, "/files", Some(&body)).await.ok();
        let row = read_file(&Fields::of("file", &answer));
        self.check_committed(&answer, &row, &body);
        Committed { body, row }
    }

    fn check_committed(&self, answer: &Value, row: &FileRow, body: &Value) {
        assert_eq!(row.owner, self.account().id);
        assert_eq!(Some(row.collection), body["collectionID"].as_i64());
        assert!(!row.deleted);
        for member in ["encryptedKey", "keyDecryptionNonce"] {
            assert_eq!(answer[member], body[member], "{member} is kept byte for byte");
        }
        for (object, member) in
            [("file", "decryptionHeader"), ("thumbnail", "decryptionHeader"), ("metadata", "encryptedData")]
        {
            assert_eq!(answer[object][member], body[object][member], "{object}.{member}");
        }
        assert_eq!(answer.get("pubMagicMetadata"), body.get("pubMagicMetadata"), "stored as given");
        let sizes = (body["file"]["size"].as_i64().unwrap(), body["thumbnail"]["size"].as_i64().unwrap());
        assert_eq!(row.sizes, Some(sizes));
    }
}

fn read_mint(fields: &Fields<'_>) -> Mint {
    Mint { key: fields.words("objectKey").to_owned(), url: fields.words("url").to_owned() }
}

fn read_session(fields: &Fields<'_>, part_length: usize) -> MultipartSession {
    let part_urls: Vec<String> =
        fields.list("partURLs").iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    let complete_url = fields.words("completeURL").to_owned();
    let all: BTreeSet<&String> = part_urls.iter().chain([&complete_url]).collect();
    assert_eq!(all.len(), part_urls.len() + 1, "every URL is distinct");
    for url in all {
        check_url(url);
    }
    let etags = vec![None; part_urls.len()];
    MultipartSession {
        key: fields.words("objectKey").to_owned(),
        part_urls,
        complete_url,
        part_length,
        etags,
    }
}

/// Absolute, and without `/files`, by which phones would take a failed part for a failed commit.
fn check_url(url: &str) {
    assert!(url.starts_with("http://127.0.0.1:"), "not absolute, or another host than the client's: {url}");
    assert!(!url.contains("/files"), "phones would forget the upload on any error: {url}");
}
