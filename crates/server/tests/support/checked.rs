//! What tests of checked bytes begin with: objects in a database whose digests are real, though no disk has their bytes.

use super::stored::{QUOTA, account, album, body, commit_of};
use darkslide_protocol::file::CommitRequest;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, FileId, ObjectKey, Opaque};
use darkslide_server::objects::Digest;
use darkslide_server::store::Store;
use darkslide_server::store::uploads::{Kept, ObjectAddress, StoredBody};

/// An account with an album.
pub async fn vault(store: &Store, email: &str) -> (AccountId, CollectionId) {
    let account = account(store, email).await;
    (account, album(store, account).await)
}

/// A stored object, as a commit names it.
pub async fn object(store: &Store, account: AccountId, length: i64) -> ObjectReference {
    let at = ObjectAddress::generate(account);
    let digest = Digest::of(&length.to_le_bytes()).to_string();
    let body = StoredBody { digest, ..body(at, 0, length, 0) };
    assert_eq!(store.store_whole(at, &body).await.unwrap(), Kept::Stored { replaced: None });
    ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(length) }
}

/// A commit of two stored objects of these lengths.
pub async fn commit(
    store: &Store,
    account: AccountId,
    collection: CollectionId,
    lengths: [i64; 2],
) -> CommitRequest {
    let file = object(store, account, lengths[0]).await;
    commit_of(collection, file, object(store, account, lengths[1]).await)
}

/// A file of 10 and 1 bytes, and its objects' keys.
pub async fn file(store: &Store, account: AccountId, collection: CollectionId) -> (FileId, [ObjectKey; 2]) {
    let request = commit(store, account, collection, [10, 1]).await;
    let keys = [request.file.object_key.clone(), request.thumbnail.object_key.clone()];
    (store.commit_file(account, &request, QUOTA).await.unwrap().id, keys)
}
