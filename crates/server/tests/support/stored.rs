//! What tests of the store put into it: accounts, collections and files whose contents nobody reads.

use darkslide_protocol::account::KeyAttributes;
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest, ShareRequest};
use darkslide_protocol::file::{CommitRequest, FileKey, FileMagic, Metadata, UpdateRequest};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, FileId, MagicMetadata, Opaque};
use darkslide_server::objects::BlobName;
use darkslide_server::store::Store;
use darkslide_server::store::accounts::Admission;
use darkslide_server::store::uploads::{Kept, ObjectAddress, StoredBody};

pub const QUOTA: i64 = 1 << 40;

pub async fn account(store: &Store, email: &str) -> AccountId {
    let Admission::Account(account) = store.admit(email, true).await.unwrap() else { panic!("refused") };
    store.insert_key_attributes(account, &KeyAttributes::default()).await.unwrap();
    account
}

pub fn new_collection(kind: CollectionType) -> CreateCollectionRequest {
    CreateCollectionRequest {
        encrypted_key: Opaque::encode([1; 48]),
        key_decryption_nonce: Opaque::encode([2; 24]),
        encrypted_name: Opaque("bmFtZQ==".into()),
        name_decryption_nonce: Opaque("bm4=".into()),
        kind,
        attributes: None,
        magic_metadata: None,
        pub_magic_metadata: None,
    }
}

pub async fn album(store: &Store, account: AccountId) -> CollectionId {
    store.create_collection(account, &new_collection(CollectionType::Album)).await.unwrap().id
}

/// What shares a collection, with a key that nobody opens.
pub fn share_with(collection_id: CollectionId, email: &str, role: &str) -> ShareRequest {
    let encrypted_key = Opaque::encode([3; 80]);
    ShareRequest { collection_id, email: email.to_owned(), encrypted_key, role: Some(role.to_owned()) }
}

pub fn body(at: ObjectAddress, part: u32, length: i64, md5: u8) -> StoredBody {
    StoredBody {
        blob: BlobName::generate(at.object, part),
        length,
        md5: format!("{md5:02x}").repeat(16),
        digest: format!("{md5:02x}").repeat(32),
    }
}

/// A stored object, as a commit names it.
pub async fn object(store: &Store, account: AccountId, length: i64) -> ObjectReference {
    let at = ObjectAddress::generate(account);
    let kept = store.store_whole(at, &body(at, 0, length, 7)).await.unwrap();
    assert_eq!(kept, Kept::Stored { replaced: None });
    ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(length) }
}

pub async fn new_file(
    store: &Store,
    account: AccountId,
    collection: CollectionId,
    length: i64,
) -> CommitRequest {
    let file = object(store, account, length).await;
    commit_of(collection, file, object(store, account, 1).await)
}

/// A commit of two stored objects.
pub fn commit_of(
    collection_id: CollectionId,
    file: ObjectReference,
    thumbnail: ObjectReference,
) -> CommitRequest {
    CommitRequest {
        id: None,
        collection_id,
        encrypted_key: Opaque("a2V5".into()),
        key_decryption_nonce: Opaque("bm9uY2U=".into()),
        file,
        thumbnail,
        metadata: metadata(),
        magic_metadata: None,
        pub_magic_metadata: None,
        content_tag: None,
    }
}

/// An edit: a file gets two other stored objects.
pub fn update_of(id: FileId, file: ObjectReference, thumbnail: ObjectReference) -> UpdateRequest {
    UpdateRequest { id, file, thumbnail, metadata: metadata(), content_tag: None, if_version: None }
}

pub fn metadata() -> Metadata {
    Metadata {
        encrypted_data: Some(Opaque("bQ==".into())),
        decryption_header: Opaque("aA==".into()),
        size: 0,
    }
}

pub async fn file(store: &Store, account: AccountId, collection: CollectionId) -> FileId {
    let request = new_file(store, account, collection, 10).await;
    store.commit_file(account, &request, QUOTA).await.unwrap().id
}

pub fn key(id: FileId) -> FileKey {
    FileKey { id, encrypted_key: Opaque("azI=".into()), key_decryption_nonce: Opaque("bjI=".into()) }
}

pub fn magic(id: FileId, version: i64) -> FileMagic {
    let magic_metadata =
        MagicMetadata { version, count: 1, data: Opaque("ZA==".into()), header: Opaque("aA==".into()) };
    FileMagic { id, magic_metadata }
}
