//! Receipts, earlier versions and devices: what Darkslide's servers add to the stock API. A server that has no such call answers 404.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure};
use darkslide_protocol::device::{Devices, RegisterDevice};
use darkslide_protocol::file::UpdateResponse;
use darkslide_protocol::receipt::{ReceiptRequest, Receipts};
use darkslide_protocol::version::EarlierVersions;
use darkslide_protocol::{FileId, Version};

impl Api {
    /// What the server says of the bytes of files, and of what they were, after it has read them back. It may take minutes over one large
    /// file, so nothing is expected before it is done.
    pub async fn receipts(&self, request: &ReceiptRequest) -> Result<Receipts, ApiFailure> {
        self.ask_patiently(Call::post("have files read back", "/v1/receipts"), request).await
    }

    /// What a file was before it was edited.
    pub async fn earlier_versions(&self, file: FileId) -> Result<EarlierVersions, ApiFailure> {
        let path = format!("/v1/files/{file}/versions");
        self.ask(Call::get("list earlier versions", &path), NOTHING).await
    }

    /// Makes an earlier version what the file is. The same request again is answered as the first time.
    pub async fn restore_version(
        &self,
        file: FileId,
        version: Version,
    ) -> Result<UpdateResponse, ApiFailure> {
        let path = format!("/v1/files/{file}/versions/{version}/restore");
        self.ask(Call::post("bring an earlier version back", &path), NOTHING).await
    }

    /// All devices that are signed in.
    pub async fn devices(&self) -> Result<Devices, ApiFailure> {
        self.ask(Call::get("list the devices", "/v1/devices"), NOTHING).await
    }

    /// Says which device this session is on.
    pub async fn register_device(&self, device: &RegisterDevice) -> Result<(), ApiFailure> {
        self.tell(Call::put("name this device", "/v1/devices/self"), Some(device)).await
    }

    /// Signs a device out.
    pub async fn revoke_device(&self, id: &str) -> Result<(), ApiFailure> {
        // Ids are UUIDs; whatever else was typed must not become another path.
        let id: String =
            percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).collect();
        let path = format!("/v1/devices/{id}");
        self.tell(Call::delete("sign a device out", &path), NOTHING).await
    }
}
