//! Which contents are surely new: nobody has to look for those.
//!
//! A vault of usual size is read into memory once, as a mark of each content. Of a large one that would take longer than a few pictures do,
//! and more memory than everything else: there each group of files is looked up together.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use darkslide_crypto::ContentHash;

use super::run::Run;
use crate::catalog::{CatalogError, content_mark};

/// Contents that this run met, or everybody, and that are not new therefore.
#[derive(Debug, Default)]
pub(super) struct Marks {
    met: HashSet<u64>,
    /// Whether what the vault and this device ever had is among them.
    has_all: bool,
}

impl Run {
    /// Learns what is known, if that is not too much.
    pub(super) async fn read_marks(&self) -> Result<(), CatalogError> {
        let all = self.catalog.content_marks(self.settings.memory.marks).await?;
        *self.marks() = Marks { has_all: all.is_some(), met: all.unwrap_or_default() };
        Ok(())
    }

    /// Meets some contents: of each in its order whether it is new, which it never is again. One that is known may be called new only if
    /// somebody else made it known after the run began.
    pub(super) async fn are_new(&self, contents: &[ContentHash]) -> Result<Vec<bool>, CatalogError> {
        let must_ask = !self.marks().has_all;
        // Before they are met: what another group has met since is recorded as that, whether this look finds it or not.
        let known = if must_ask { self.catalog.known_contents(contents).await? } else { HashSet::new() };
        let mut marks = self.marks();
        let marks =
            contents.iter().map(content_mark).map(|mark| marks.met.insert(mark) && !known.contains(&mark));
        Ok(marks.collect())
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
