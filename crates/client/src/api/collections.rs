//! Collections and what is in them.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure};
use darkslide_protocol::collection::{
    AddFilesRequest, Collection, CollectionMagicRequest, Collections, CreateCollectionRequest,
    CreateCollectionsRequest, CreatedCollections, MoveFilesRequest, RemoveFilesRequest, RenameRequest,
    WrappedCollection,
};
use darkslide_protocol::file::{File, FileDiff, WrappedFile};
use darkslide_protocol::{CollectionId, FileId, Version};

impl Api {
    /// Makes a collection. Not repeated: each repetition would make another one.
    pub async fn create_collection(
        &self,
        request: &CreateCollectionRequest,
    ) -> Result<Collection, ApiFailure> {
        let call = Call::post("create an album", "/collections");
        let wrapped: WrappedCollection = self.ask_once(call, Some(request)).await?;
        Ok(wrapped.collection)
    }

    /// Makes several collections, all or none. The server must offer [`Collections`](darkslide_protocol::server::Extension::Collections), and knows them when they come again.
    pub async fn create_collections(
        &self,
        request: &CreateCollectionsRequest,
    ) -> Result<CreatedCollections, ApiFailure> {
        self.ask(Call::post("create albums", "/v1/collections"), Some(request)).await
    }

    /// One collection, also when it was deleted.
    pub async fn collection(&self, id: CollectionId) -> Result<Collection, ApiFailure> {
        let path = format!("/collections/{id}");
        let wrapped: WrappedCollection = self.ask(Call::get("read an album", &path), NOTHING).await?;
        Ok(wrapped.collection)
    }

    /// All collections that changed after the cursor, tombstones included; in no order.
    pub async fn collections_since(&self, cursor: Version) -> Result<Vec<Collection>, ApiFailure> {
        let since = cursor.to_string();
        let query = [("sinceTime", since.as_str())];
        let call = Call::get("list the albums", "/collections/v2").query(&query);
        let answer: Collections = self.ask(call, NOTHING).await?;
        Ok(answer.collections)
    }

    /// One page of what changed in a collection after the cursor, oldest first.
    pub async fn collection_diff(&self, id: CollectionId, cursor: Version) -> Result<FileDiff, ApiFailure> {
        let (id, since) = (id.to_string(), cursor.to_string());
        let query = [("collectionID", id.as_str()), ("sinceTime", since.as_str())];
        self.ask(Call::get("list an album's files", "/collections/v2/diff").query(&query), NOTHING).await
    }

    /// One membership as it is now; 404 when the file is not in the collection.
    pub async fn file_in(&self, collection: CollectionId, file: FileId) -> Result<File, ApiFailure> {
        let (collection, file) = (collection.to_string(), file.to_string());
        let query = [("collectionID", collection.as_str()), ("fileID", file.as_str())];
        let call = Call::get("read a file's record", "/collections/file").query(&query);
        let wrapped: WrappedFile = self.ask(call, NOTHING).await?;
        Ok(wrapped.file)
    }

    /// Changes a collection's name.
    pub async fn rename_collection(&self, request: &RenameRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("rename an album", "/collections/rename"), Some(request)).await
    }

    /// Changes what only the owner sees of a collection's settings.
    pub async fn set_collection_magic(&self, request: &CollectionMagicRequest) -> Result<(), ApiFailure> {
        let call = Call::put("change an album's settings", "/collections/magic-metadata");
        self.tell_once(call, Some(request)).await
    }

    /// Deletes a collection; with `keep_files` it must be empty already, without it its files go to the trash.
    pub async fn delete_collection(&self, id: CollectionId, keep_files: bool) -> Result<(), ApiFailure> {
        let (path, text) = (format!("/collections/v3/{id}"), id.to_string());
        let keep = if keep_files { "true" } else { "false" };
        let query = [("collectionID", text.as_str()), ("keepFiles", keep)];
        self.tell(Call::delete("delete an album", &path).query(&query), NOTHING).await
    }

    /// Puts files into a collection, each with its key wrapped for it; at most 1000.
    pub async fn add_files(&self, request: &AddFilesRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("add files to an album", "/collections/add-files"), Some(request)).await
    }

    /// Moves files from one collection to another; at most 1000.
    pub async fn move_files(&self, request: &MoveFilesRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("move files to another album", "/collections/move-files"), Some(request)).await
    }

    /// Takes files of other people out of a collection, or own files out of somebody else's.
    pub async fn remove_files(&self, request: &RemoveFilesRequest) -> Result<(), ApiFailure> {
        let call = Call::post("remove files from an album", "/collections/v3/remove-files");
        self.tell(call, Some(request)).await
    }
}
