//! What the server can beyond the base API.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure, Reason};
use darkslide_protocol::server::{Extension, ServerInfo};

impl Api {
    /// Whether the server has an extension. It is asked once, as long as these connections are used.
    pub async fn offers(&self, extension: Extension) -> Result<bool, ApiFailure> {
        let info = self.0.info.get_or_try_init(|| self.ask_for_info()).await?;
        Ok(info.as_ref().is_some_and(|info| info.extensions.contains(&extension)))
    }

    /// What the server says of itself; `None` from one that knows no extensions.
    async fn ask_for_info(&self) -> Result<Option<ServerInfo>, ApiFailure> {
        match self.ask(Call::get("ask what the server can", "/v1/server"), NOTHING).await {
            Ok(info) => Ok(Some(info)),
            Err(failure) if failure.is_transient() => Err(failure),
            // 404 from a stock server; a page of some other kind from what stands before one.
            Err(failure) if matches!(failure.reason, Reason::Refused { .. } | Reason::NotUnderstood(_)) => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }
}
