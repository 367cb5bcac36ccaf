//! Files: commits, updates, metadata.

use super::call::Call;
use super::{Api, ApiFailure};
use darkslide_protocol::file::{
    CommitRequest, File, FileIds, FilesInfo, MagicUpdateRequest, UpdateRequest, UpdateResponse,
};

impl Api {
    /// Makes two stored objects one file of a collection. The same request again gives the same file, so it is
    /// repeated.
    pub async fn commit(&self, request: &CommitRequest) -> Result<File, ApiFailure> {
        self.ask(Call::post("file what was uploaded", "/files"), Some(request)).await
    }

    /// Replaces a file's content under the same key. The same request again gives the same answer.
    pub async fn update_file(&self, request: &UpdateRequest) -> Result<UpdateResponse, ApiFailure> {
        self.ask(Call::put("store a new version of a file", "/files/update"), Some(request)).await
    }

    /// Changes what only the owner sees of files' settings; 409 when another device was first.
    pub async fn set_file_magic(&self, request: &MagicUpdateRequest) -> Result<(), ApiFailure> {
        self.tell_once(Call::put("change files' settings", "/files/magic-metadata"), Some(request)).await
    }

    /// Changes what everybody with access sees; 409 when another device was first.
    pub async fn set_file_public_magic(&self, request: &MagicUpdateRequest) -> Result<(), ApiFailure> {
        let call = Call::put("change files' settings", "/files/public-magic-metadata");
        self.tell_once(call, Some(request)).await
    }

    /// The sizes of files' objects, in bytes of ciphertext.
    pub async fn files_info(&self, request: &FileIds) -> Result<FilesInfo, ApiFailure> {
        self.ask(Call::post("read files' sizes", "/files/info"), Some(request)).await
    }
}
