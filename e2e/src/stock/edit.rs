//! The edits that clients make: collections, membership, metadata, trash. All of them send the same bodies.

use super::Device;
use super::reading::{CollectionRow, FileRow, read_wrapped_collection};
use crate::http::Answer;
use crate::vault::{open_blob, seal_magic, seal_name, wrapped_to_text};
use darkslide_crypto::keys::{CollectionKey, Wraps as _};
use reqwest::Method;
use serde_json::{Value, json};

/// What a collection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionKind {
    /// By a person; web sends no attributes.
    Album,
    /// By a phone, from a device folder.
    Folder,
    /// The one for favourites.
    Favorites,
    /// The one for files in no album.
    Uncategorized,
}

impl CollectionKind {
    fn word(self) -> &'static str {
        match self {
            Self::Album => "album",
            Self::Folder => "folder",
            Self::Favorites => "favorites",
            Self::Uncategorized => "uncategorized",
        }
    }
}

impl Device {
    /// `POST /collections`; the answer is remembered as a client does.
    pub async fn create_collection(&mut self, name: &str, kind: CollectionKind) -> i64 {
        let body = self.collection_body(name, kind);
        let answer = self.http.call(Method::POST, "/collections", Some(&body)).await.ok();
        let row = read_wrapped_collection(&answer);
        self.check_created(&row, &body, kind);
        let id = row.id;
        self.mirror.collections.entry(id).or_insert(row);
        id
    }

    /// The body of `POST /collections` under a fresh key.
    pub fn collection_body(&self, name: &str, kind: CollectionKind) -> Value {
        let key = CollectionKey::generate();
        let (encrypted_key, nonce) = wrapped_to_text(&self.account().keys.master_key.wrap_key(&key));
        let (encrypted_name, name_nonce) = seal_name(&key, name);
        let mut body = json!({
            "encryptedKey": encrypted_key, "keyDecryptionNonce": nonce,
            "encryptedName": encrypted_name, "nameDecryptionNonce": name_nonce, "type": kind.word(),
        });
        let is_phone = self.http.manners.request_ids.is_some();
        if is_phone && kind == CollectionKind::Folder {
            let (path, path_nonce) = seal_name(&key, &format!("/storage/emulated/0/DCIM/{name}"));
            body["attributes"] =
                json!({"encryptedPath": path, "pathDecryptionNonce": path_nonce, "version": 1});
        } else if is_phone {
            body["attributes"] = json!({"version": 0});
        }
        body
    }

    fn check_created(&self, row: &CollectionRow, body: &Value, kind: CollectionKind) {
        assert_eq!(row.owner, self.account().id);
        assert_eq!(row.kind, kind.word());
        assert!(!row.deleted);
        let expects_path = body["attributes"]["encryptedPath"].is_string();
        assert_eq!(row.encrypted_path.is_some(), expects_path, "{row:?}");
    }

    /// A file's key wrapped for another collection, as bodies carry it.
    pub fn rewrap(&self, row: &FileRow, collection: i64) -> Value {
        let wrapped = self.collection_key(collection).wrap_key(&self.file_key(row));
        let (key, nonce) = wrapped_to_text(&wrapped);
        json!({"id": row.id, "encryptedKey": key, "keyDecryptionNonce": nonce})
    }

    /// `POST /collections/add-files`.
    pub async fn add_to(&self, collection: i64, rows: &[&FileRow]) -> Answer {
        self.membership("/collections/add-files", json!({"collectionID": collection}), collection, rows).await
    }

    /// `POST /collections/restore-files`.
    pub async fn restore_to(&self, collection: i64, rows: &[&FileRow]) -> Answer {
        self.membership("/collections/restore-files", json!({"collectionID": collection}), collection, rows)
            .await
    }

    /// `POST /collections/move-files`.
    pub async fn move_to(&self, from: i64, to: i64, rows: &[&FileRow]) -> Answer {
        let body = json!({"fromCollectionID": from, "toCollectionID": to});
        self.membership("/collections/move-files", body, to, rows).await
    }

    async fn membership(&self, path: &str, mut body: Value, target: i64, rows: &[&FileRow]) -> Answer {
        body["files"] = rows.iter().map(|row| self.rewrap(row, target)).collect();
        self.http.call(Method::POST, path, Some(&body)).await
    }

    /// `POST /collections/v3/remove-files`.
    pub async fn remove_from(&self, collection: i64, files: &[i64]) -> Answer {
        let body = json!({"collectionID": collection, "fileIDs": files});
        self.http.call(Method::POST, "/collections/v3/remove-files", Some(&body)).await
    }

    /// `POST /files/trash`.
    pub async fn trash(&self, items: &[(i64, i64)]) -> Answer {
        let items: Vec<Value> = items
            .iter()
            .map(|(file, collection)| json!({"fileID": file, "collectionID": collection}))
            .collect();
        self.http.call(Method::POST, "/files/trash", Some(&json!({"items": items}))).await
    }

    /// `POST /trash/delete`.
    pub async fn purge(&self, files: &[i64]) -> Answer {
        self.http.call(Method::POST, "/trash/delete", Some(&json!({"fileIDs": files}))).await
    }

    /// `POST /trash/empty`.
    pub async fn empty_trash(&self, last_updated_at: i64) -> Answer {
        let body = json!({"lastUpdatedAt": last_updated_at});
        self.http.call(Method::POST, "/trash/empty", Some(&body)).await
    }

    /// `POST /collections/rename`.
    pub async fn rename(&self, collection: i64, name: &str) -> Answer {
        let (encrypted, nonce) = seal_name(&self.collection_key(collection), name);
        let body =
            json!({"collectionID": collection, "encryptedName": encrypted, "nameDecryptionNonce": nonce});
        self.http.call(Method::POST, "/collections/rename", Some(&body)).await
    }

    /// `DELETE /collections/v3/:id`, both query parameters always there.
    pub async fn delete_collection(&self, collection: i64, keep_files: bool) -> Answer {
        let path = format!("/collections/v3/{collection}?collectionID={collection}&keepFiles={keep_files}");
        self.http.call(Method::DELETE, &path, None).await
    }

    /// `PUT /files/magic-metadata`: archives a file, hides it, or shows it again. `version` is the one last seen.
    pub async fn set_visibility(&self, row: &FileRow, version: i64, visibility: i64) -> Answer {
        let magic = seal_magic(&self.file_key(row), version, &json!({"visibility": visibility}));
        let body = json!({"metadataList": [{"id": row.id, "magicMetadata": magic}]});
        self.http.call(Method::PUT, "/files/magic-metadata", Some(&body)).await
    }

    /// `PUT /files/public-magic-metadata`: edits what everyone with access sees.
    pub async fn set_public(&self, row: &FileRow, version: i64, keys: &Value) -> Answer {
        let magic = seal_magic(&self.file_key(row), version, keys);
        let body = json!({"metadataList": [{"id": row.id, "magicMetadata": magic}]});
        self.http.call(Method::PUT, "/files/public-magic-metadata", Some(&body)).await
    }

    /// A file's private metadata, decrypted.
    pub fn private_of(&self, row: &FileRow) -> Value {
        let magic = row.magic.as_ref().expect("the file has private metadata");
        serde_json::from_slice(&open_blob(&self.file_key(row), &magic.header, &magic.data)).unwrap()
    }

    /// A file's public metadata, decrypted.
    pub fn public_of(&self, row: &FileRow) -> Value {
        let magic = row.public_magic.as_ref().expect("the file has public metadata");
        serde_json::from_slice(&open_blob(&self.file_key(row), &magic.header, &magic.data)).unwrap()
    }
}
