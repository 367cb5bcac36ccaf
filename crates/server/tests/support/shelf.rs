//! One account with albums in a store, and two devices' worth of things to do with it. No HTTP, no bytes.

use darkslide_protocol::account::KeyAttributes;
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest};
use darkslide_protocol::file::{CommitRequest, FileKey, FileMagic, Metadata, UpdateRequest};
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, ContentTag, FileId, MagicMetadata, Opaque, Version};
use darkslide_server::objects::BlobName;
use darkslide_server::store::Store;
use darkslide_server::store::accounts::Admission;
use darkslide_server::store::magic::Envelope;
use darkslide_server::store::uploads::{ObjectAddress, StoredBody};

const QUOTA: i64 = 1 << 40;

/// An account in a store.
#[derive(Clone, Copy)]
pub struct Shelf<'s> {
    pub store: &'s Store,
    pub owner: AccountId,
}

impl<'s> Shelf<'s> {
    pub async fn new(store: &'s Store, email: &str) -> Self {
        let Admission::Account(owner) = store.admit(email, true).await.unwrap() else { panic!("refused") };
        store.insert_key_attributes(owner, &KeyAttributes::default()).await.unwrap();
        Self { store, owner }
    }

    pub async fn album(&self) -> CollectionId {
        let request = CreateCollectionRequest {
            encrypted_key: Opaque::encode([1; 48]),
            key_decryption_nonce: Opaque::encode([2; 24]),
            encrypted_name: Opaque("bmFtZQ==".into()),
            name_decryption_nonce: Opaque("bm4=".into()),
            kind: CollectionType::Album,
            attributes: None,
            magic_metadata: None,
            pub_magic_metadata: None,
        };
        self.store.create_collection(self.owner, &request).await.unwrap().id
    }

    async fn object(&self) -> ObjectReference {
        let at = ObjectAddress::generate(self.owner);
        let body = StoredBody {
            blob: BlobName::generate(at.object, 0),
            length: 10,
            md5: "07".repeat(16),
            digest: "00".repeat(32),
        };
        self.store.store_whole(at, &body).await.unwrap();
        ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(10) }
    }

    pub async fn file(&self, collection_id: CollectionId) -> FileId {
        self.tagged_file(collection_id, None).await
    }

    pub async fn tagged_file(&self, collection_id: CollectionId, tag: Option<&ContentTag>) -> FileId {
        let request = serde_json::json!({
            "collectionID": collection_id, "encryptedKey": "a2V5", "keyDecryptionNonce": "bm9uY2U=",
            "file": self.object().await, "thumbnail": self.object().await, "metadata": metadata(),
            "contentTag": tag,
        });
        let request: CommitRequest = serde_json::from_value(request).unwrap();
        self.store.commit_file(self.owner, &request, QUOTA).await.unwrap().id
    }

    /// What replaces a file's contents.
    pub async fn edit(&self, id: FileId) -> UpdateRequest {
        let request = serde_json::json!({
            "id": id, "file": self.object().await, "thumbnail": self.object().await, "metadata": metadata(),
        });
        serde_json::from_value(request).unwrap()
    }

    /// Replaces a file's contents, and tells the version that the editor learns.
    pub async fn update(&self, request: &UpdateRequest) -> Version {
        self.store.update_file(self.owner, request, QUOTA).await.unwrap().updation_time
    }

    pub async fn describe(&self, id: FileId, version: i64) {
        let magic_metadata =
            MagicMetadata { version, count: 1, data: Opaque("ZA==".into()), header: Opaque("aA==".into()) };
        let update = [FileMagic { id, magic_metadata }];
        self.store.update_magic(self.owner, Envelope::Public, &update, true).await.unwrap();
    }

    /// The version of a file as a client computes it that has read these collections.
    pub async fn version(&self, file: FileId, collections: &[CollectionId]) -> Version {
        let mut newest = Version::default();
        for collection in collections {
            let page = self.store.collection_diff(self.owner, *collection, Version(0)).await.unwrap();
            let seen = page.diff.iter().filter(|row| row.id == file).map(|row| row.updation_time);
            newest = newest.max(seen.max().unwrap_or_default());
        }
        newest
    }

    /// A file's entry in the trash feed.
    pub async fn trash_item(&self, file: FileId) -> TrashItem {
        let page = self.store.trash_diff(self.owner, Version(0), true).await.unwrap();
        page.diff.into_iter().find(|item| item.file.id == file).unwrap()
    }
}

/// A file's key for any collection.
pub fn key(id: FileId) -> FileKey {
    FileKey { id, encrypted_key: Opaque("azI=".into()), key_decryption_nonce: Opaque("bjI=".into()) }
}

fn metadata() -> Metadata {
    Metadata {
        encrypted_data: Some(Opaque("bQ==".into())),
        decryption_header: Opaque("aA==".into()),
        size: 0,
    }
}
