//! One account with albums in a store, and two devices' worth of things to do with it. No HTTP, no bytes.

use super::stored::{self, QUOTA};
use darkslide_protocol::file::{CommitRequest, UpdateRequest};
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, ContentTag, FileId, Version};
use darkslide_server::store::Store;
use darkslide_server::store::magic::Envelope;

/// An account in a store.
#[derive(Clone, Copy)]
pub struct Shelf<'s> {
    pub store: &'s Store,
    pub owner: AccountId,
}

impl<'s> Shelf<'s> {
    pub async fn new(store: &'s Store, email: &str) -> Self {
        Self { store, owner: stored::account(store, email).await }
    }

    pub async fn album(&self) -> CollectionId {
        stored::album(self.store, self.owner).await
    }

    async fn object(&self) -> ObjectReference {
        stored::object(self.store, self.owner, 10).await
    }

    pub async fn file(&self, collection_id: CollectionId) -> FileId {
        self.tagged_file(collection_id, None).await
    }

    pub async fn tagged_file(&self, collection_id: CollectionId, tag: Option<&ContentTag>) -> FileId {
        let commit = stored::commit_of(collection_id, self.object().await, self.object().await);
        let request = CommitRequest { content_tag: tag.cloned(), ..commit };
        self.store.commit_file(self.owner, &request, QUOTA).await.unwrap().id
    }

    /// What replaces a file's contents.
    pub async fn edit(&self, id: FileId) -> UpdateRequest {
        let request = serde_json::json!({
            "id": id, "file": self.object().await, "thumbnail": self.object().await, "metadata": stored::metadata(),
        });
        serde_json::from_value(request).unwrap()
    }

    /// Replaces a file's contents, and tells the version that the editor learns.
    pub async fn update(&self, request: &UpdateRequest) -> Version {
        self.store.update_file(self.owner, request, QUOTA).await.unwrap().updation_time
    }

    pub async fn describe(&self, id: FileId, version: i64) {
        let update = [stored::magic(id, version)];
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
