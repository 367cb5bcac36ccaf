//! What the vault has of some contents, by their tags.

use super::call::Call;
use super::{Api, ApiFailure};
use darkslide_protocol::lookup::{LookupRequest, LookupResponse};

impl Api {
    /// Where the files with these tags are; at most 10,000 tags. A server without the extension answers 404
    /// ([`ApiFailure::is_missing`]).
    pub async fn look_up(&self, request: &LookupRequest) -> Result<LookupResponse, ApiFailure> {
        self.ask(Call::post("look contents up", "/v1/lookup"), Some(request)).await
    }
}
