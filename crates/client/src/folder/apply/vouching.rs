//! What the server says of its copies before one leaves the folder: of each it reads every byte back.
//!
//! Nothing is taken for a yes that does not name what it vouches for: a server that knows nothing of earlier versions says nothing of them.

use std::collections::{BTreeSet, HashMap};

use darkslide_protocol::FileId;
use darkslide_protocol::receipt::{EarlierId, ReceiptRequest, Receipts, Verdict};
use darkslide_protocol::server::Extension;

use super::Hands;
use crate::error::VaultError;
use crate::folder::SyncError;

/// Files and earlier versions that are vouched for in one call.
const CALL_MAX: usize = 100;

/// What was said; of what is not here, nothing.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    files: HashMap<FileId, Verdict>,
    earlier: HashMap<EarlierId, Verdict>,
}

impl Vouched {
    pub(super) fn of_file(&self, file: FileId) -> Option<Verdict> {
        self.files.get(&file).copied()
    }

    /// Of a file that was edited, and what it was: both must be whole. Each of these earlier versions is what it was.
    pub(super) fn of_edited(&self, file: FileId, earlier: &[EarlierId]) -> Option<Verdict> {
        let now = self.of_file(file)?;
        if now != Verdict::Verified {
            return Some(now);
        }
        let said = || earlier.iter().map(|id| self.earlier.get(id).copied());
        if said().any(|said| said == Some(Verdict::Verified)) {
            return Some(Verdict::Verified);
        }
        let are_damaged = !earlier.is_empty() && said().all(|said| said == Some(Verdict::Damaged));
        are_damaged.then_some(Verdict::Damaged)
    }

    fn len(&self) -> usize {
        self.files.len() + self.earlier.len()
    }

    fn note(&mut self, answer: Receipts) {
        let is_said = |verdict: &Verdict| *verdict != Verdict::NotChecked;
        let files = answer.receipts.into_iter().filter(|receipt| is_said(&receipt.verdict));
        self.files.extend(files.map(|receipt| (receipt.file_id, receipt.verdict)));
        let earlier = answer.earlier.into_iter().filter(|receipt| is_said(&receipt.verdict));
        self.earlier.extend(earlier.map(|receipt| {
            (EarlierId { file_id: receipt.file_id, version: receipt.version }, receipt.verdict)
        }));
    }
}

impl Hands<'_> {
    /// Asks for all of it, until nothing more is said.
    pub(super) async fn vouched_for(
        &self,
        files: &BTreeSet<FileId>,
        earlier: &BTreeSet<EarlierId>,
    ) -> Result<Vouched, SyncError> {
        let mut vouched = Vouched::default();
        if files.is_empty()
            || !self.session.api.offers(Extension::Receipts).await.map_err(VaultError::from)?
        {
            return Ok(vouched);
        }
        loop {
            let left = files.iter().filter(|file| !vouched.files.contains_key(file));
            let file_ids: Vec<FileId> = left.take(CALL_MAX).copied().collect();
            let left = earlier.iter().filter(|id| !vouched.earlier.contains_key(id));
            let earlier: Vec<EarlierId> = left.take(CALL_MAX - file_ids.len()).copied().collect();
            if file_ids.is_empty() && earlier.is_empty() {
                return Ok(vouched);
            }
            let request = ReceiptRequest { file_ids, earlier };
            let before = vouched.len();
            vouched.note(self.session.api.receipts(&request).await.map_err(VaultError::from)?);
            if vouched.len() == before {
                return Ok(vouched);
            }
        }
    }
}
