//! Batches as a client writes them.

use super::Answer;
use super::vault::{Vault, commit_body, noise};
use darkslide_protocol::batch::{BATCH, FrameKind, object_head, object_key, record_head};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// A batch as a client writes it.
#[derive(Clone, Default)]
pub struct Batch(pub Vec<u8>);

impl Batch {
    pub fn object(mut self, id: Uuid, bytes: &[u8]) -> Self {
        self.0.extend(object_head(id.as_bytes(), bytes.len() as u64));
        self.0.extend(bytes);
        self
    }

    pub fn record(mut self, kind: FrameKind, body: &Value) -> Self {
        let text = body.to_string();
        self.0.extend(record_head(kind, text.len() as u64));
        self.0.extend(text.as_bytes());
        self
    }

    /// A picture with its thumbnail, and the commit that makes them a file.
    pub fn picture(self, vault: &Vault<'_>, picture: &Picture) -> Self {
        self.object(picture.file, &picture.bytes)
            .object(picture.thumbnail, b"tiny")
            .record(FrameKind::Commit, &picture.commit(vault))
    }
}

/// A picture that is committed once, perhaps in several requests.
pub struct Picture {
    pub file: Uuid,
    pub thumbnail: Uuid,
    pub bytes: Vec<u8>,
    pub album: i64,
    pub tag: Option<String>,
}

impl Picture {
    pub fn new(album: i64, seed: u64) -> Self {
        Self { file: Uuid::new_v4(), thumbnail: Uuid::new_v4(), bytes: noise(seed, 5000), album, tag: None }
    }

    pub fn tagged(self, tag: u8) -> Self {
        Self { tag: Some(darkslide_protocol::Opaque::encode([tag; 32]).0), ..self }
    }

    pub fn commit(&self, vault: &Vault<'_>) -> Value {
        let key = |id: &Uuid| object_key(vault.person.id, id.as_bytes()).0;
        let (file, thumbnail) = (key(&self.file), key(&self.thumbnail));
        let mut body = commit_body(self.album, (&file, self.bytes.len()), (&thumbnail, 4));
        if let Some(tag) = &self.tag {
            body["contentTag"] = json!(tag);
        }
        body
    }
}

pub async fn send(vault: &Vault<'_>, batch: Batch) -> Answer {
    let request = vault
        .server
        .request(Method::POST, "/v1/batch")
        .header("X-Auth-Token", &vault.person.token)
        .header("Content-Type", BATCH)
        .body(batch.0);
    Answer::of(request).await
}
