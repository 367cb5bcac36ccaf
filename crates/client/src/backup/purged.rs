//! What was purged before this device knew it, as after its catalog was lost: the vault lists that something was purged and when, and no longer
//! what it was. It only tells whoever has the content.
//!
//! So before something is sent that was here before such a purge, and of which the mirror has nothing, the server is asked for it, once for each
//! group of files, whether this device has met it or not. What it knows goes into the mirror, and the same rules decide as ever. Who has nothing
//! like that in the mirror asks nothing.

use std::collections::{HashMap, HashSet};

use darkslide_crypto::ContentHash;
use darkslide_protocol::lookup::{ContentTag, FoundTag, TagState};
use darkslide_protocol::server::Extension;

use super::error::AssetError;
use super::identify::Asset;
use super::run::Run;
use crate::catalog::CatalogError;

impl Run {
    /// Those of some contents that were purged unknown to this device, and are in the mirror now. Where the server cannot be asked, none: nothing
    /// can be sent to it either.
    pub(super) async fn were_purged(
        &self,
        all: &[(&Asset, ContentHash)],
    ) -> Result<HashSet<ContentHash>, CatalogError> {
        let Some(latest) = self.unknown_purge.get().copied().flatten() else { return Ok(HashSet::new()) };
        let contents: Vec<ContentHash> = all.iter().map(|(_, content)| *content).collect();
        let unlisted = self.catalog.unlisted_contents(&contents).await?;
        let mut asked = HashMap::new();
        for (asset, content) in all.iter().filter(|(_, content)| unlisted.contains(content)) {
            // What came later was brought here after every such deletion.
            if self.first_seen(&asset.place(), content).await? <= latest {
                asked.insert(self.session.content_tag(content), *content);
            }
        }
        if asked.is_empty() {
            return Ok(HashSet::new());
        }
        let tags: Vec<_> = asked.keys().cloned().collect();
        let found = match self.patience.persist(|| self.look_up(&tags)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "it is not known what was purged");
                return Ok(HashSet::new());
            }
        };
        let mut purged = HashSet::new();
        for FoundTag { tag, file_id, .. } in found.into_iter().filter(|found| found.state == TagState::Purged)
        {
            if let Some(content) = asked.get(&tag)
                && self.catalog.identify_purged(file_id, content).await?
            {
                purged.insert(*content);
            }
        }
        Ok(purged)
    }

    async fn look_up(&self, tags: &[ContentTag]) -> Result<Vec<FoundTag>, AssetError> {
        let offers = self.session.api.offers(Extension::Lookup).await?;
        Ok(if offers { self.session.api.look_up(tags).await? } else { Vec::new() })
    }
}
