//! Opening what the vault holds and closing what goes into it: collections' keys and names, files' keys and metadata.
//!
//! Everything that comes from the server is taken for possibly damaged or exchanged; what does not open is
//! [`Unreadable`] and stops nothing but itself. It calls no server and stores nothing.

use crate::catalog::{CollectionRow, FileRow, TrashRow};
use darkslide_crypto::ContentHash;
use darkslide_crypto::account::AccountKeys;
use darkslide_crypto::keys::{CollectionKey, FileKey, WrappedKey, Wraps as _};
use darkslide_crypto::secret_box::{self, Nonce};
use darkslide_crypto::stream::{StreamHeader, blob};
use darkslide_media::metadata::{FileMetadata, PublicMagicMetadata};
use darkslide_protocol::collection::{Collection, CollectionType, CreateCollectionRequest, RenameRequest};
use darkslide_protocol::file::{File, FileKey as WireFileKey};
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::{CollectionId, ContentTag, FileId, Opaque};
use serde::Serialize;
use std::collections::HashMap;
use thiserror::Error;

/// Something in the vault that does not open: damaged, or under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "id")]
pub enum Unreadable {
    /// A collection's key.
    #[error("the key of album {0} does not open: it was damaged or exchanged on the server")]
    CollectionKey(CollectionId),
    /// A collection's name.
    #[error("the name of album {0} does not open: it was damaged or exchanged on the server")]
    CollectionName(CollectionId),
    /// A file's key.
    #[error("the key of file {0} does not open: it was damaged or exchanged on the server")]
    FileKey(FileId),
    /// A file's metadata.
    #[error("the name and dates of file {0} do not open: they were damaged or exchanged on the server")]
    Metadata(FileId),
}

/// A collection's key: the account's own under the master key, somebody else's sealed to the account.
pub fn collection_key(keys: &AccountKeys, row: &CollectionRow) -> Result<CollectionKey, Unreadable> {
    let unreadable = Unreadable::CollectionKey(row.id);
    let Some(nonce) = row.key_nonce.as_ref().filter(|nonce| !nonce.is_empty()) else {
        let sealed = row.encrypted_key.decode().map_err(|_| unreadable)?;
        return keys.key_pair.open_collection_key(&sealed).map_err(|_| unreadable);
    };
    let wrapped = wrapped_key(&row.encrypted_key, nonce).ok_or(unreadable)?;
    keys.master_key.unwrap_key(&wrapped).map_err(|_| unreadable)
}

/// A file's key, from the collection of this membership.
pub fn file_key(collection: &CollectionKey, row: &FileRow) -> Result<FileKey, Unreadable> {
    open_file_key(collection, row.id, &row.encrypted_key, &row.key_nonce)
}

/// The key of a file in the trash, from the collection that it was trashed from.
pub fn trashed_file_key(collection: &CollectionKey, row: &TrashRow) -> Result<FileKey, Unreadable> {
    open_file_key(collection, row.file, &row.encrypted_key, &row.key_nonce)
}

/// A file's key wrapped for a collection, as add, move and restore calls want it.
pub fn wrap_file_key(collection: &CollectionKey, id: FileId, key: &FileKey) -> WireFileKey {
    let wrapped = collection.wrap_key(key);
    WireFileKey {
        id,
        encrypted_key: Opaque::encode(wrapped.ciphertext),
        key_decryption_nonce: Opaque::encode(wrapped.nonce.as_bytes()),
    }
}

/// A wrapped key from its two fields; `None` if they cannot be one.
pub fn wrapped_key(ciphertext: &Opaque, nonce: &Opaque) -> Option<WrappedKey> {
    WrappedKey::from_parts(&ciphertext.decode().ok()?, &nonce.decode().ok()?).ok()
}

/// What the account's server may compare of a content: see [`darkslide_crypto::content_tag`].
pub fn content_tag(keys: &AccountKeys, content: &ContentHash) -> ContentTag {
    ContentTag::encode(keys.content_tag_key().tag(content))
}

/// A fresh key and the request that makes a collection under it.
pub fn new_collection(
    keys: &AccountKeys,
    name: &str,
    kind: CollectionType,
) -> (CollectionKey, CreateCollectionRequest) {
    let key = CollectionKey::generate();
    let wrapped = keys.master_key.wrap_key(&key);
    let name = secret_box::seal(&key, name.as_bytes());
    let request = CreateCollectionRequest {
        encrypted_key: Opaque::encode(wrapped.ciphertext),
        key_decryption_nonce: Opaque::encode(wrapped.nonce.as_bytes()),
        encrypted_name: Opaque::encode(name.ciphertext),
        name_decryption_nonce: Opaque::encode(name.nonce.as_bytes()),
        kind,
        attributes: None,
        magic_metadata: None,
        pub_magic_metadata: None,
    };
    (key, request)
}

/// The request that gives a collection another name.
pub fn rename_request(id: CollectionId, key: &CollectionKey, name: &str) -> RenameRequest {
    let name = secret_box::seal(key, name.as_bytes());
    RenameRequest {
        collection_id: id,
        encrypted_name: Opaque::encode(name.ciphertext),
        name_decryption_nonce: Opaque::encode(name.nonce.as_bytes()),
    }
}

/// A record opened as far as it would open, and what of it did not.
#[derive(Debug)]
pub struct Opened<Row> {
    /// What goes into the catalog.
    pub row: Row,
    /// What is wrong with it.
    pub damage: Option<Unreadable>,
}

/// Opens a collection's name. One that does not open is empty.
pub fn open_collection(keys: &AccountKeys, collection: &Collection) -> Opened<CollectionRow> {
    let mut row = CollectionRow {
        id: collection.id,
        owner: collection.owner.id,
        name: String::new(),
        kind: collection.kind,
        encrypted_key: collection.encrypted_key.clone(),
        key_nonce: collection.key_decryption_nonce.clone(),
        version: collection.updation_time,
        deleted: collection.is_deleted,
    };
    let name = collection_key(keys, &row).and_then(|key| open_name(&key, collection));
    let damage = name.as_ref().err().copied();
    row.name = name.unwrap_or_default();
    Opened { row, damage }
}

/// The name, which very old collections have in the clear.
fn open_name(key: &CollectionKey, collection: &Collection) -> Result<String, Unreadable> {
    if collection.encrypted_name.is_empty() {
        return Ok(collection.name.clone());
    }
    let open = || {
        let ciphertext = collection.encrypted_name.decode().ok()?;
        let nonce = Nonce::from_slice(&collection.name_decryption_nonce.decode().ok()?).ok()?;
        let name = secret_box::open(key, &ciphertext, &nonce).ok()?;
        String::from_utf8(name.to_vec()).ok()
    };
    open().ok_or(Unreadable::CollectionName(collection.id))
}

/// Opens a membership's metadata. `collection` is none where the collection's own key does not open.
pub fn open_file(collection: Option<&CollectionKey>, file: &File) -> Opened<FileRow> {
    let info = file.info.unwrap_or_default();
    let mut row = FileRow {
        id: file.id,
        collection: file.collection_id,
        owner: file.owner_id,
        encrypted_key: file.encrypted_key.clone(),
        key_nonce: file.key_decryption_nonce.clone(),
        title: None,
        content_hash: None,
        kind: darkslide_media::metadata::FileKind::Other(3).number(),
        taken: 0,
        modified: 0,
        object_size: info.file_size.max(file.file.size),
        thumbnail_size: info.thumb_size.max(file.thumbnail.size),
        object_header: file.file.decryption_header.clone(),
        thumbnail_header: file.thumbnail.decryption_header.clone(),
        metadata: None,
        public_metadata: None,
        private_metadata: None,
        version: file.updation_time,
        deleted: file.is_deleted,
    };
    let filled = open_metadata(collection, file).map(|metadata| metadata.fill(&mut row));
    // A tombstone has no metadata to be damaged.
    let damage = filled.err().filter(|_| !file.is_deleted);
    Opened { row, damage }
}

/// Opens an entry of the trash feed. Purged entries have nothing left to open.
pub fn open_trash_item(collection: Option<&CollectionKey>, item: &TrashItem) -> Opened<TrashRow> {
    let Opened { row, damage } = open_file(collection, &item.file);
    let row = TrashRow {
        file: row.id,
        collection: row.collection,
        encrypted_key: row.encrypted_key,
        key_nonce: row.key_nonce,
        title: row.title,
        content_hash: row.content_hash,
        object_size: row.object_size,
        trashed_at: item.created_at,
        delete_by: item.delete_by,
        restored: item.is_restored,
        purged: item.is_deleted,
        version: item.updated_at,
    };
    Opened { row, damage: damage.filter(|_| !item.is_deleted) }
}

/// The two records that say what a file is.
struct OpenedMetadata {
    text: String,
    metadata: FileMetadata,
    public: Option<(String, PublicMagicMetadata)>,
    private: Option<String>,
}

impl OpenedMetadata {
    fn fill(self, row: &mut FileRow) {
        let edited = self.public.as_ref().and_then(|(_, public)| public.edited_time);
        row.content_hash = self.metadata.content_hash().and_then(|text| text.parse().ok());
        row.kind = self.metadata.kind.number();
        row.taken = edited.unwrap_or(self.metadata.creation_time);
        row.modified = self.metadata.modification_time;
        row.title = Some(self.metadata.title);
        row.metadata = Some(self.text);
        row.public_metadata = self.public.map(|(text, _)| text);
        row.private_metadata = self.private;
    }
}

fn open_metadata(collection: Option<&CollectionKey>, file: &File) -> Result<OpenedMetadata, Unreadable> {
    let collection = collection.ok_or(Unreadable::FileKey(file.id))?;
    let key = open_file_key(collection, file.id, &file.encrypted_key, &file.key_decryption_nonce)?;
    let unreadable = Unreadable::Metadata(file.id);
    let data = file.metadata.encrypted_data.as_ref().ok_or(unreadable)?;
    let text = open_record(&key, data, &file.metadata.decryption_header).ok_or(unreadable)?;
    let metadata = FileMetadata::from_json(text.as_bytes()).map_err(|_| unreadable)?;
    let public = file.pub_magic_metadata.as_ref().and_then(|magic| {
        let text = open_record(&key, &magic.data, &magic.header)?;
        let public = PublicMagicMetadata::from_json(text.as_bytes()).ok()?;
        Some((text, public))
    });
    let private =
        file.magic_metadata.as_ref().and_then(|magic| open_record(&key, &magic.data, &magic.header));
    Ok(OpenedMetadata { text, metadata, public, private })
}

fn open_record(key: &FileKey, data: &Opaque, header: &Opaque) -> Option<String> {
    let header = stream_header(header)?;
    let record = blob::open(key, &data.decode().ok()?, &header).ok()?;
    String::from_utf8(record.to_vec()).ok()
}

/// A stream's header from its field; `None` if it cannot be one.
pub fn stream_header(header: &Opaque) -> Option<StreamHeader> {
    StreamHeader::from_slice(&header.decode().ok()?).ok()
}

fn open_file_key(
    collection: &CollectionKey,
    file: FileId,
    encrypted: &Opaque,
    nonce: &Opaque,
) -> Result<FileKey, Unreadable> {
    let unreadable = Unreadable::FileKey(file);
    let wrapped = wrapped_key(encrypted, nonce).ok_or(unreadable)?;
    collection.unwrap_key(&wrapped).map_err(|_| unreadable)
}

/// Collections' keys, opened once each; none where one does not open.
#[derive(Debug, Default)]
pub(crate) struct KeyRing(HashMap<CollectionId, Option<CollectionKey>>);

impl KeyRing {
    /// The key of a collection, if it opens.
    pub(crate) fn key(&mut self, keys: &AccountKeys, collection: &CollectionRow) -> Option<&CollectionKey> {
        self.0.entry(collection.id).or_insert_with(|| collection_key(keys, collection).ok()).as_ref()
    }
}
