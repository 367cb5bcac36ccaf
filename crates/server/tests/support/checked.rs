//! Accounts, objects and files in a database, without a disk: what tests of the store begin with.

use darkslide_protocol::account::KeyAttributes;
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest};
use darkslide_protocol::file::{CommitRequest, Metadata};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, FileId, ObjectKey, Opaque};
use darkslide_server::objects::{BlobName, Digest};
use darkslide_server::store::Store;
use darkslide_server::store::accounts::Admission;
use darkslide_server::store::uploads::{Kept, ObjectAddress, StoredBody};

/// An account with an album.
pub async fn vault(store: &Store, email: &str) -> (AccountId, CollectionId) {
    let Admission::Account(account) = store.admit(email, true).await.unwrap() else { panic!("refused") };
    store.insert_key_attributes(account, &KeyAttributes::default()).await.unwrap();
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
    (account, store.create_collection(account, &request).await.unwrap().id)
}

/// A stored object, as a commit names it.
pub async fn object(store: &Store, account: AccountId, length: i64) -> ObjectReference {
    let at = ObjectAddress::generate(account);
    let body = StoredBody {
        blob: BlobName::generate(at.object, 0),
        length,
        md5: "00".repeat(16),
        digest: Digest::of(&length.to_le_bytes()).to_string(),
    };
    assert_eq!(store.store_whole(at, &body).await.unwrap(), Kept::Stored { replaced: None });
    ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(length) }
}

/// A commit of two stored objects of these lengths.
pub async fn commit(
    store: &Store,
    account: AccountId,
    collection_id: CollectionId,
    lengths: [i64; 2],
) -> CommitRequest {
    CommitRequest {
        id: None,
        collection_id,
        encrypted_key: Opaque("a2V5".into()),
        key_decryption_nonce: Opaque("bm9uY2U=".into()),
        file: object(store, account, lengths[0]).await,
        thumbnail: object(store, account, lengths[1]).await,
        metadata: Metadata {
            encrypted_data: Some(Opaque("bQ==".into())),
            decryption_header: Opaque("aA==".into()),
            size: 0,
        },
        magic_metadata: None,
        pub_magic_metadata: None,
        content_tag: None,
    }
}

/// A file of 10 and 1 bytes, and its objects' keys.
pub async fn file(store: &Store, account: AccountId, collection: CollectionId) -> (FileId, [ObjectKey; 2]) {
    let request = commit(store, account, collection, [10, 1]).await;
    let keys = [request.file.object_key.clone(), request.thumbnail.object_key.clone()];
    (store.commit_file(account, &request, 1 << 40).await.unwrap().id, keys)
}
