//! What the vault has of some contents, by their tags.

use super::call::Call;
use super::{Api, ApiFailure};
use darkslide_protocol::limits::LOOKUP_TAGS_MAX;
use darkslide_protocol::lookup::{ContentTag, FoundTag, LookupRequest, LookupResponse};
use futures_util::{StreamExt as _, TryStreamExt as _};

/// Calls under way at once: while the server looks some up, the others are written and read.
const AT_ONCE: usize = 2;

impl Api {
    /// Where the files with these tags are, in as many calls as it takes. A server without the extension answers 404
    /// ([`ApiFailure::is_missing`]).
    pub async fn look_up(&self, tags: &[ContentTag]) -> Result<Vec<FoundTag>, ApiFailure> {
        let calls: Vec<_> = tags.chunks(LOOKUP_TAGS_MAX).map(|tags| self.look_up_few(tags)).collect();
        futures_util::stream::iter(calls).buffered(AT_ONCE).try_concat().await
    }

    async fn look_up_few(&self, tags: &[ContentTag]) -> Result<Vec<FoundTag>, ApiFailure> {
        let request = LookupRequest { tags: tags.to_vec() };
        let answer: LookupResponse =
            self.ask(Call::post("look contents up", "/v1/lookup"), Some(&request)).await?;
        Ok(answer.found)
    }
}
