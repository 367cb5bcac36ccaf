//! Collections that are shared with other accounts: given, taken back, left, and as those accounts see them.
//!
//! The server learns who sees whose album and in which role. It cannot open the key that is passed on: that is sealed to the public key
//! of whom it is for. What others see of a collection is brought up to date by the transaction that changes it, in
//! `show_changes`; nothing that they see is newer, or older, than what its owner sees.

use super::accounts::KnownAccount;
use super::change::{ChangeError, Role, Touch, Where, collection_state};
use super::clocks::{Reach, SHARED_EITHER_WAY};
use super::collections::{COLUMNS, collection_of, is_uncategorized};
use super::files::{magic_of, magic_text};
use super::sql::{LIST_MAX, list, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::collection::{Attributes, Collection, Person, ShareRequest};
use darkslide_protocol::{AccountId, CollectionId, FileId, MagicMetadata, Opaque, Version};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::collections::{BTreeSet, HashMap};

/// A sealed box of a 32-byte key: an ephemeral public key, a tag and the key.
const SEALED_KEY_BYTES: usize = 80;

impl Store {
    /// Shares a collection with the account that has this address, or gives that another role and key. Who gets it anew gets all of
    /// it: everything in it is numbered anew, for their clock may be beyond it. Returns who sees it now.
    pub async fn share_collection(
        &self,
        account: AccountId,
        request: &ShareRequest,
    ) -> Result<Vec<Person>, ChangeError> {
        let role = Role::parse_given(request.role.as_deref().unwrap_or("VIEWER"))
            .ok_or(ChangeError::Malformed("there is no such role"))?;
        if request.encrypted_key.decode_array::<SEALED_KEY_BYTES>().is_err() {
            return Err(ChangeError::Malformed("the sealed key has another length"));
        }
        let id = request.collection_id;
        let sharee = self.sharee(&request.email).await?;
        let collections = [id];
        let reach = Reach { also: Some(sharee), ..Reach::collections(&collections) };
        let mut tx = self.begin_for(account, reach).await?;
        let state = collection_state(&mut tx, account, id).await?;
        state.must_be_live_for(Role::may_share)?;
        if sharee == account || sharee == state.owner {
            return Err(ChangeError::Malformed(
                "a collection is not shared with its owner, nor with oneself",
            ));
        }
        if is_uncategorized(&mut tx, id).await? {
            return Err(ChangeError::Malformed("this collection cannot be shared"));
        }
        // It may have been deleted since its address was looked up.
        must_be_there(&mut tx, sharee).await?;
        let is_new = !is_shared_with(&mut tx, id, sharee).await?;
        put_share(&mut tx, request, sharee, role, self.now()).await?;
        if is_new {
            self.renumber_contents(&mut tx, id).await?;
        }
        self.bump_collections(&mut tx, &BTreeSet::from(collections)).await?;
        let sharees = sharees_of(&mut tx, &collections).await?.remove(&id).unwrap_or_default();
        tx.commit().await?;
        Ok(sharees)
    }

    /// Takes a collection back from the account that has this address, with that account's files in it. Returns who sees it now.
    pub async fn unshare_collection(
        &self,
        account: AccountId,
        id: CollectionId,
        email: &str,
    ) -> Result<Vec<Person>, ChangeError> {
        let sharee = self.addressee(email).await?.id;
        let mut tx = self.begin_for(account, Reach::collections(&[id])).await?;
        collection_state(&mut tx, account, id).await?.must_be_live_for(Role::may_share)?;
        self.part(&mut tx, id, sharee).await?;
        let sharees = sharees_of(&mut tx, &[id]).await?.remove(&id).unwrap_or_default();
        tx.commit().await?;
        Ok(sharees)
    }

    /// Gives a collection up that somebody else shares. One that is not shared any more is given up already.
    pub async fn leave_collection(&self, account: AccountId, id: CollectionId) -> Result<(), ChangeError> {
        let mut tx = self.begin_for(account, Reach::collections(&[id])).await?;
        let state = collection_state(&mut tx, account, id).await?;
        if state.role == Some(Role::Owner) {
            return Err(ChangeError::NotOwner);
        }
        self.part(&mut tx, id, account).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stores what an account keeps for itself about a collection that is shared with it, as it was sent.
    pub async fn update_shared_magic(
        &self,
        account: AccountId,
        id: CollectionId,
        magic: &MagicMetadata,
    ) -> Result<(), ChangeError> {
        if !magic.is_complete() {
            return Err(ChangeError::Malformed("magic metadata is incomplete"));
        }
        let text = "UPDATE shares SET magic_metadata = $1 WHERE collection_id = $2 AND account_id = $3";
        let update = sqlx::query(text).bind(magic_text(magic)).bind(id.0).bind(account.0);
        self.change_collection(account, id, |role| role != Role::Owner, update).await
    }

    /// The collections that are or were shared with the account, as far as that changed after `since`, oldest change first; at most
    /// `limit`.
    pub async fn shared_collections_since(
        &self,
        account: AccountId,
        since: Version,
        limit: i64,
    ) -> Result<Vec<Collection>, StoreError> {
        let mut snapshot = self.begin_snapshot().await?;
        let collections = shared_collections(&mut snapshot, account, since, limit).await?;
        snapshot.commit().await?;
        Ok(collections)
    }

    /// Tells all who share collections with an account that its address is another. The transaction has them all in its reach.
    pub(super) async fn tell_of_address(&self, tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
        let seen: BTreeSet<CollectionId> = ids(tx, SHARED_EITHER_WAY, account).await?.into_iter().collect();
        if seen.is_empty() { Ok(()) } else { self.bump_collections(tx, &seen).await.map(drop) }
    }

    /// Ends all shares of an account's collections, and all of others' with it. The transaction has them all in its reach.
    pub(super) async fn end_all_shares(&self, tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
        let with =
            ids(tx, "SELECT collection_id FROM shares WHERE account_id = $1 AND is_deleted = 0", account);
        for id in with.await? {
            self.part(tx, id, account).await?;
        }
        let own = "SELECT DISTINCT collections.id FROM collections
                   JOIN shares ON shares.collection_id = collections.id AND shares.is_deleted = 0
                   WHERE collections.owner_id = $1";
        let own: BTreeSet<CollectionId> = ids(tx, own, account).await?.into_iter().collect();
        if !own.is_empty() {
            self.bump_collections(tx, &own).await?;
        }
        for id in own {
            end_shares(tx, id, None).await?;
        }
        Ok(())
    }

    /// The account that has this address and can be given something sealed.
    async fn sharee(&self, email: &str) -> Result<AccountId, ChangeError> {
        let known = self.addressee(email).await?;
        if known.is_active && known.has_keys { Ok(known.id) } else { Err(ChangeError::NotFound) }
    }

    /// The account that has this address, also one that is shut out: what it was given can be taken back.
    async fn addressee(&self, email: &str) -> Result<KnownAccount, ChangeError> {
        let address = email.trim().to_lowercase();
        self.account_by_email(&address).await?.ok_or(ChangeError::NotFound)
    }

    /// Ends one account's share, when there is one: its files leave the collection, and it is told that this is gone.
    async fn part(&self, tx: &mut Tx, id: CollectionId, sharee: AccountId) -> Result<(), StoreError> {
        if !is_shared_with(tx, id, sharee).await? {
            return Ok(());
        }
        let files = files_of(tx, id, sharee).await?;
        self.touch_memberships(tx, &files, Where::In(id), Touch::Remove).await?;
        // Its share is still live here, so that its tombstone gets the version.
        self.bump_collections(tx, &BTreeSet::from([id])).await?;
        end_shares(tx, id, Some(sharee)).await
    }

    /// Numbers all memberships of a collection anew, tombstones included, and what shows these in its owner's trash.
    async fn renumber_contents(&self, tx: &mut Tx, id: CollectionId) -> Result<(), ChangeError> {
        let count: i64 = sqlx::query("SELECT count(*) FROM memberships WHERE collection_id = $1")
            .bind(id.0)
            .fetch_one(&mut **tx)
            .await?
            .try_get(0)?;
        let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else { return Ok(()) };
        let first = self.allocate_versions(tx, count).await?;
        sqlx::query(
            "UPDATE memberships SET version = $1 + numbered.n
             FROM (SELECT file_id, row_number() OVER (ORDER BY version, file_id) - 1 AS n FROM memberships
                   WHERE collection_id = $2) AS numbered
             WHERE memberships.collection_id = $2 AND memberships.file_id = numbered.file_id",
        )
        .bind(first.0)
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
        let rows = sqlx::query(
            "SELECT trash.file_id FROM memberships
             JOIN trash ON trash.file_id = memberships.file_id AND trash.collection_id = memberships.collection_id
             WHERE memberships.collection_id = $1 AND memberships.is_deleted = 1",
        )
        .bind(id.0)
        .fetch_all(&mut **tx)
        .await?;
        let files: Vec<FileId> =
            rows.iter().map(|row| Ok(FileId(row.try_get(0)?))).collect::<Result<_, StoreError>>()?;
        self.touch_trash(tx, &files).await?;
        Ok(())
    }
}

/// Brings what others see of these collections up to date: their versions, and what has changed in them since the transaction began.
/// It is called when they have their last version.
pub(super) async fn show_changes(tx: &mut Tx, collections: &[CollectionId]) -> Result<(), StoreError> {
    let first = match tx.first() {
        Some(first) if tx.locked().len() > 1 => first,
        // Nobody else sees any of them.
        _ => return Ok(()),
    };
    let text = format!(
        "UPDATE shares SET version = (SELECT version FROM collections WHERE id = shares.collection_id)
         WHERE is_deleted = 0 AND collection_id IN ({})",
        list(1, collections.len())
    );
    collections.iter().fold(statement(text), |query, id| query.bind(id.0)).execute(&mut **tx).await?;
    let text = format!(
        "INSERT INTO shared_memberships (account_id, collection_id, file_id, version)
         SELECT shares.account_id, memberships.collection_id, memberships.file_id, memberships.version
         FROM shares JOIN memberships ON memberships.collection_id = shares.collection_id
         WHERE shares.is_deleted = 0 AND memberships.version >= $1 AND shares.collection_id IN ({})
         ON CONFLICT (account_id, collection_id, file_id) DO UPDATE SET version = excluded.version",
        list(2, collections.len())
    );
    let query = collections.iter().fold(statement(text).bind(first.0), |query, id| query.bind(id.0));
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Makes shares of a collection tombstones: one account's, or all. They keep the version that they have.
pub(super) async fn end_shares(
    tx: &mut Tx,
    id: CollectionId,
    sharee: Option<AccountId>,
) -> Result<(), StoreError> {
    let whose = sharee.map_or(String::new(), |sharee| format!("AND account_id = {sharee}"));
    for text in [
        format!(
            "DELETE FROM shared_memberships WHERE collection_id = $1 AND account_id IN
               (SELECT account_id FROM shares WHERE collection_id = $1 AND is_deleted = 0 {whose})"
        ),
        format!(
            "UPDATE shares SET is_deleted = 1,
                    last_name = (SELECT encrypted_name FROM collections WHERE id = $1),
                    last_name_nonce = (SELECT name_decryption_nonce FROM collections WHERE id = $1)
             WHERE collection_id = $1 AND is_deleted = 0 {whose}"
        ),
    ] {
        statement(text).bind(id.0).execute(&mut **tx).await?;
    }
    Ok(())
}

/// What reads the collections of others as [`shared_collection_of`] makes them, up to further conditions; `$1` is the account.
pub(super) fn shared_text() -> String {
    format!(
        "SELECT {COLUMNS}, shares.sealed_key, shares.shared_at, shares.is_deleted AS share_ended,
                shares.version AS share_version, shares.magic_metadata AS shared_magic_metadata,
                shares.last_name, shares.last_name_nonce, accounts.email AS owner_email
         FROM shares
         JOIN collections ON collections.id = shares.collection_id
         JOIN accounts ON accounts.id = collections.owner_id
         WHERE shares.account_id = $1"
    )
}

/// A collection as somebody sees it with whom it is or was shared.
pub(super) fn shared_collection_of(row: &AnyRow) -> Result<Collection, StoreError> {
    let has_ended = row.try_get::<i64, _>("share_ended")? != 0;
    let email: Option<String> = row.try_get("owner_email")?;
    let email = email.filter(|_| !has_ended).unwrap_or_default();
    let collection = collection_of(row, email)?;
    let last = |column, now: Opaque| -> Result<Opaque, StoreError> {
        Ok(row.try_get::<Option<String>, _>(column)?.filter(|_| has_ended).map_or(now, Opaque))
    };
    Ok(Collection {
        encrypted_key: Opaque(row.try_get("sealed_key")?),
        key_decryption_nonce: None,
        encrypted_name: last("last_name", collection.encrypted_name)?,
        name_decryption_nonce: last("last_name_nonce", collection.name_decryption_nonce)?,
        attributes: Attributes::default(),
        updation_time: Version(row.try_get("share_version")?),
        shared_at: Some(row.try_get("shared_at")?),
        is_deleted: has_ended,
        magic_metadata: None,
        pub_magic_metadata: collection.pub_magic_metadata.filter(|_| !has_ended),
        shared_magic_metadata: magic_of(row, "shared_magic_metadata")?,
        ..collection
    })
}

pub(super) async fn shared_collections(
    connection: &mut AnyConnection,
    account: AccountId,
    since: Version,
    limit: i64,
) -> Result<Vec<Collection>, StoreError> {
    let text = format!("{} AND shares.version > $2 ORDER BY shares.version LIMIT $3", shared_text());
    let query = statement(text).bind(account.0).bind(since.0).bind(limit);
    let rows = query.fetch_all(&mut *connection).await?;
    let mut collections: Vec<Collection> = rows.iter().map(shared_collection_of).collect::<Result<_, _>>()?;
    fill_sharees(connection, &mut collections).await?;
    Ok(collections)
}

/// A collection that is shared with the account; `None` when it is not, or not any more.
pub(super) async fn shared_collection(
    connection: &mut AnyConnection,
    account: AccountId,
    id: CollectionId,
) -> Result<Option<Collection>, StoreError> {
    let text = format!("{} AND shares.collection_id = $2 AND shares.is_deleted = 0", shared_text());
    let row = statement(text).bind(account.0).bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(shared_collection_of).transpose()
}

/// Adds to collections who else sees them.
pub(super) async fn fill_sharees(
    connection: &mut AnyConnection,
    collections: &mut [Collection],
) -> Result<(), StoreError> {
    let live: Vec<CollectionId> =
        collections.iter().filter(|one| !one.is_deleted).map(|collection| collection.id).collect();
    let mut sharees = sharees_of(connection, &live).await?;
    for collection in collections.iter_mut().filter(|collection| !collection.is_deleted) {
        collection.sharees = sharees.remove(&collection.id).unwrap_or_default();
    }
    Ok(())
}

/// Who sees these collections besides their owners, in the order in which they came.
async fn sharees_of(
    connection: &mut AnyConnection,
    collections: &[CollectionId],
) -> Result<HashMap<CollectionId, Vec<Person>>, StoreError> {
    let mut sharees: HashMap<CollectionId, Vec<Person>> = HashMap::new();
    for chunk in collections.chunks(LIST_MAX) {
        let text = format!(
            "SELECT shares.collection_id, shares.account_id, shares.role, accounts.email
             FROM shares JOIN accounts ON accounts.id = shares.account_id
             WHERE shares.is_deleted = 0 AND shares.collection_id IN ({})
             ORDER BY shares.shared_at, shares.account_id",
            list(1, chunk.len())
        );
        let query = chunk.iter().fold(statement(text), |query, id| query.bind(id.0));
        for row in query.fetch_all(&mut *connection).await? {
            let email: Option<String> = row.try_get("email")?;
            sharees.entry(CollectionId(row.try_get("collection_id")?)).or_default().push(Person {
                id: AccountId(row.try_get("account_id")?),
                email: email.unwrap_or_default(),
                name: String::new(),
                role: row.try_get("role")?,
            });
        }
    }
    Ok(sharees)
}

async fn must_be_there(tx: &mut Tx, account: AccountId) -> Result<(), ChangeError> {
    let row = sqlx::query("SELECT 1 FROM accounts WHERE id = $1 AND status = 'active'")
        .bind(account.0)
        .fetch_optional(&mut **tx)
        .await?;
    row.map(drop).ok_or(ChangeError::NotFound)
}

async fn is_shared_with(tx: &mut Tx, id: CollectionId, account: AccountId) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM shares WHERE collection_id = $1 AND account_id = $2 AND is_deleted = 0";
    let row = sqlx::query(text).bind(id.0).bind(account.0).fetch_optional(&mut **tx).await?;
    Ok(row.is_some())
}

async fn put_share(
    tx: &mut Tx,
    request: &ShareRequest,
    sharee: AccountId,
    role: Role,
    now: i64,
) -> Result<(), ChangeError> {
    sqlx::query(
        "INSERT INTO shares (collection_id, account_id, sealed_key, role, shared_at, version, is_deleted)
         VALUES ($1, $2, $3, $4, $5, 0, 0) ON CONFLICT (collection_id, account_id)
         DO UPDATE SET sealed_key = excluded.sealed_key, role = excluded.role, is_deleted = 0,
                       shared_at = CASE WHEN shares.is_deleted = 1 THEN excluded.shared_at
                                        ELSE shares.shared_at END",
    )
    .bind(request.collection_id.0)
    .bind(sharee.0)
    .bind(&request.encrypted_key.0)
    .bind(role.as_str())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An account's live files in a collection.
async fn files_of(tx: &mut Tx, id: CollectionId, owner: AccountId) -> Result<Vec<FileId>, StoreError> {
    let rows = sqlx::query(
        "SELECT files.id FROM memberships JOIN files ON files.id = memberships.file_id
         WHERE memberships.collection_id = $1 AND memberships.is_deleted = 0 AND files.owner_id = $2",
    )
    .bind(id.0)
    .bind(owner.0)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| Ok(FileId(row.try_get(0)?))).collect()
}

async fn ids(tx: &mut Tx, text: &'static str, account: AccountId) -> Result<Vec<CollectionId>, StoreError> {
    let rows = sqlx::query(text).bind(account.0).fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok(CollectionId(row.try_get(0)?))).collect()
}
