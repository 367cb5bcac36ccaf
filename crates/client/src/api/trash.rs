//! The trash.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure};
use darkslide_protocol::Version;
#[cfg(doc)]
use darkslide_protocol::server::Extension;
use darkslide_protocol::trash::{EmptyTrashRequest, PurgeRequest, RestoreRequest, TrashDiff, TrashRequest};

impl Api {
    /// Takes files out of all their collections, into the trash; at most 1000. Conditional items are trashed as they were seen, or
    /// nothing is: [`ApiFailure::conflicts`]. A server that has no [`Conditions`](Extension::Conditions) does not read them.
    pub async fn trash_files(&self, request: &TrashRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("move files to the trash", "/files/trash"), Some(request)).await
    }

    /// One page of what changed in the trash after the cursor, oldest first.
    pub async fn trash_diff(&self, cursor: Version) -> Result<TrashDiff, ApiFailure> {
        let since = cursor.to_string();
        let query = [("sinceTime", since.as_str())];
        self.ask(Call::get("list the trash", "/trash/v2/diff").query(&query), NOTHING).await
    }

    /// Brings files back into one collection; at most 1000. Not repeated: a second time they are not in the trash. Conditions as in
    /// [`trash_files`](Self::trash_files).
    pub async fn restore_files(&self, request: &RestoreRequest) -> Result<(), ApiFailure> {
        let call = Call::post("bring files back from the trash", "/collections/restore-files");
        self.tell_once(call, Some(request)).await
    }

    /// Purges files that are in the trash, for ever; at most 2500. Conditional items are purged as they were seen, or nothing is:
    /// [`ApiFailure::conflicts`].
    pub async fn purge(&self, request: &PurgeRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("delete files for ever", "/trash/delete"), Some(request)).await
    }

    /// Purges everything that was in the trash at the caller's cursor, for ever.
    pub async fn empty_trash(&self, request: &EmptyTrashRequest) -> Result<(), ApiFailure> {
        self.tell(Call::post("empty the trash", "/trash/empty"), Some(request)).await
    }
}
