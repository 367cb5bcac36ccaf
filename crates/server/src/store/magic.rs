//! Mutable encrypted metadata of files: a whole batch, or nothing when another device was first.

use super::change::{ChangeError, Touch, Where, must_be_distinct, must_own_files};
use super::clocks::Reach;
use super::files::{magic_of, magic_text};
use super::sql::{LIST_MAX, list, rows, statement};
use super::{Store, Tx};
use darkslide_protocol::file::FileMagic;
use darkslide_protocol::{AccountId, FileId, MagicMetadata};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// Which of a file's two envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// For the owner alone.
    Private,
    /// For everyone with access.
    Public,
}

impl Envelope {
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Private => "magic_metadata",
            Self::Public => "pub_magic_metadata",
        }
    }
}

impl Store {
    /// Stores envelopes one version later than they were seen. `bump` tells other devices.
    pub async fn update_magic(
        &self,
        account: AccountId,
        envelope: Envelope,
        updates: &[FileMagic],
        bump: bool,
    ) -> Result<(), ChangeError> {
        if updates.iter().any(|update| !update.magic_metadata.has_content()) {
            return Err(ChangeError::Malformed("magic metadata is incomplete"));
        }
        let files: Vec<FileId> = updates.iter().map(|update| update.id).collect();
        must_be_distinct(&files)?;
        if files.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_for(account, Reach::files(&files)).await?;
        must_own_files(&mut tx, account, &files).await?;
        let stored = stored_envelopes(&mut tx, envelope, &files).await?;
        let mut succeeded = Vec::with_capacity(updates.len());
        for update in updates {
            let old = stored.get(&update.id).and_then(Option::as_ref);
            let new = update.magic_metadata.clone().succeed(old).ok_or(ChangeError::VersionConflict)?;
            succeeded.push((update.id, magic_text(&new)));
        }
        write_envelopes(&mut tx, envelope, &succeeded).await?;
        if bump {
            self.touch_trash(&mut tx, &files).await?;
            self.touch_memberships(&mut tx, &files, Where::Everywhere, Touch::Bump).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn stored_envelopes(
    tx: &mut Tx,
    envelope: Envelope,
    files: &[FileId],
) -> Result<BTreeMap<FileId, Option<MagicMetadata>>, ChangeError> {
    let mut stored = BTreeMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let column = envelope.column();
        let text = format!("SELECT id, {column} FROM files WHERE id IN ({})", list(1, chunk.len()));
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            stored.insert(FileId(row.try_get(0)?), magic_of(&row, column)?);
        }
    }
    Ok(stored)
}

async fn write_envelopes(
    tx: &mut Tx,
    envelope: Envelope,
    envelopes: &[(FileId, String)],
) -> Result<(), ChangeError> {
    let column = envelope.column();
    for chunk in envelopes.chunks(LIST_MAX) {
        let text = format!(
            "WITH changed (id, envelope) AS (VALUES {})
             UPDATE files SET {column} = changed.envelope FROM changed WHERE files.id = changed.id",
            rows(1, chunk.len(), 2)
        );
        let bind = |query: sqlx::query::Query<'static, sqlx::Any, _>, (file, text): &(FileId, String)| {
            query.bind(file.0).bind(text.clone())
        };
        chunk.iter().fold(statement(text), bind).execute(&mut **tx).await?;
    }
    Ok(())
}
