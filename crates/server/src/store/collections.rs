//! Collections: made, listed, renamed, and turned into tombstones, which stay for ever: the trash needs their keys.

use super::change::{ChangeError, Role, Touch, Where, collection_state};
use super::clocks::Reach;
use super::files::{magic_of, magic_text};
use super::magic::Envelope;
use super::shares::{end_shares, fill_sharees, shared_collection, shared_collections};
use super::sql::{LIST_MAX, long_statement, padded, padded_list, rows, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::change::Span;
use darkslide_protocol::collection::{
    Attributes, Collection, CollectionType, CreateCollectionRequest, CreatedCollections, Person,
    RenameRequest,
};
use darkslide_protocol::{AccountId, CollectionId, FileId, MagicMetadata, Opaque, Version};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Row as _};
use std::collections::{BTreeSet, HashMap};

/// The columns that [`collection_of`] reads.
pub(super) const COLUMNS: &str =
    "collections.id, collections.owner_id, collections.kind, collections.encrypted_key,
    collections.key_decryption_nonce, collections.encrypted_name, collections.name_decryption_nonce,
    collections.encrypted_path, collections.path_decryption_nonce, collections.attributes_version,
    collections.magic_metadata, collections.pub_magic_metadata, collections.is_deleted, collections.version";

impl Store {
    /// Makes a collection; of the two kinds that exist once, the existing one is returned.
    pub async fn create_collection(
        &self,
        account: AccountId,
        request: &CreateCollectionRequest,
    ) -> Result<Collection, ChangeError> {
        check_new(request)?;
        let (mut tx, ids) = self.begin_making(account, 1).await?;
        must_have_keys(&mut tx, account).await?;
        let singular = request.kind.is_singular().then(|| format!("{account}/{}", request.kind.as_str()));
        if let Some(singular) = &singular {
            let text = format!("SELECT {COLUMNS} FROM collections WHERE singular = $1");
            let row = statement(text).bind(singular.clone()).fetch_optional(&mut *tx).await?;
            if let Some(row) = row {
                let mut existing = [collection_of(&row, String::new())?];
                fill_sharees(&mut tx, &mut existing).await?;
                let [collection] = existing;
                return Ok(collection);
            }
        }
        let version = self.allocate_versions(&mut tx, 1).await?;
        let new = ids.into_iter().map(|id| NewCollection {
            id: CollectionId(id),
            version,
            singular: singular.clone(),
            request,
        });
        let made = insert_collections(&mut tx, account, &new.collect::<Vec<_>>(), self.now()).await?;
        tx.commit().await?;
        Ok(made.into_values().next().ok_or(StoreError::Malformed("collection"))?)
    }

    /// Makes collections of the kinds of which an account may have several, all or none; those that are there already are returned. They
    /// are known by their wrapped keys.
    pub async fn create_collections(
        &self,
        account: AccountId,
        requests: &[CreateCollectionRequest],
    ) -> Result<CreatedCollections, ChangeError> {
        for request in requests {
            check_new(request)?;
            if request.kind.is_singular() {
                return Err(ChangeError::Malformed("an account has one collection of this kind"));
            }
        }
        let keys: BTreeSet<&str> = requests.iter().map(|request| request.encrypted_key.0.as_str()).collect();
        if keys.len() < requests.len() {
            return Err(ChangeError::Malformed("a collection's key comes twice"));
        }
        let (mut tx, ids) = self.begin_making(account, requests.len()).await?;
        must_have_keys(&mut tx, account).await?;
        let after = tx.clock_of(account);
        let mut known =
            collections_with_keys(&mut tx, account, &keys.into_iter().collect::<Vec<_>>()).await?;
        let missing: Vec<&CreateCollectionRequest> =
            requests.iter().filter(|request| !known.contains_key(&request.encrypted_key.0)).collect();
        let mut span = None;
        if !missing.is_empty() {
            let first = self.allocate_versions(&mut tx, missing.len()).await?;
            let new: Vec<NewCollection<'_>> = missing
                .into_iter()
                .zip(ids.into_iter().zip(first.0..))
                .map(|(request, (id, version))| NewCollection {
                    id: CollectionId(id),
                    version: Version(version),
                    singular: None,
                    request,
                })
                .collect();
            let is_told = new.len() == requests.len();
            let made = insert_collections(&mut tx, account, &new, self.now()).await?;
            known.extend(made.into_values().map(|made| (made.encrypted_key.0.clone(), made)));
            span = after.filter(|_| is_told).map(|after| Span { after, until: tx.clock() });
        }
        tx.commit().await?;
        let collections = requests.iter().map(|request| known.remove(&request.encrypted_key.0));
        let collections: Option<Vec<Collection>> = collections.collect();
        Ok(CreatedCollections { collections: collections.ok_or(StoreError::Malformed("collection"))?, span })
    }

    /// Begins a transaction that makes collections, with a number for each. They are later than those of all collections that the account has, whoever
    /// drew a number first: of two devices that make an album of one name at the same moment, the one that has the higher number sees the other's.
    async fn begin_making(&self, account: AccountId, count: usize) -> Result<(Tx, Vec<i64>), StoreError> {
        let mut newest = 0;
        loop {
            let ids = self.next_ids_after(newest, count).await?;
            let mut tx = self.begin_for(account, Reach::default()).await?;
            newest = newest_collection(&mut tx, account).await?;
            if ids.first().is_none_or(|first| *first > newest) {
                return Ok((tx, ids));
            }
            tx.undo().await?;
        }
    }

    /// The account's collections that changed after `since`, tombstones included, oldest change first; at most `limit`.
    pub async fn collections_since(
        &self,
        account: AccountId,
        since: Version,
        limit: i64,
    ) -> Result<Vec<Collection>, StoreError> {
        let mut snapshot = self.begin_snapshot().await?;
        let collections = own_collections(&mut snapshot, account, since, limit).await?;
        snapshot.commit().await?;
        Ok(collections)
    }

    /// All collections that changed after `since`, the account's and those that are or were shared with it. Of one moment: a client
    /// goes on from the newest of them.
    pub async fn all_collections_since(
        &self,
        account: AccountId,
        since: Version,
    ) -> Result<Vec<Collection>, StoreError> {
        let mut snapshot = self.begin_snapshot().await?;
        let mut collections = own_collections(&mut snapshot, account, since, i64::MAX).await?;
        collections.extend(shared_collections(&mut snapshot, account, since, i64::MAX).await?);
        snapshot.commit().await?;
        Ok(collections)
    }

    /// One collection, deleted or not; `None` when the account may not see it.
    pub async fn collection(
        &self,
        account: AccountId,
        id: CollectionId,
    ) -> Result<Option<Collection>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS}, accounts.email AS owner_email FROM collections
             JOIN accounts ON accounts.id = collections.owner_id
             WHERE collections.id = $1 AND collections.owner_id = $2"
        );
        let mut snapshot = self.begin_snapshot().await?;
        let row = statement(text).bind(id.0).bind(account.0).fetch_optional(&mut *snapshot).await?;
        let mut found = match row {
            Some(row) => {
                let email: Option<String> = row.try_get("owner_email")?;
                vec![collection_of(&row, email.unwrap_or_default())?]
            }
            None => shared_collection(&mut snapshot, account, id).await?.into_iter().collect(),
        };
        fill_sharees(&mut snapshot, &mut found).await?;
        snapshot.commit().await?;
        Ok(found.pop())
    }

    /// Gives a collection another name.
    pub async fn rename_collection(
        &self,
        account: AccountId,
        request: &RenameRequest,
    ) -> Result<(), ChangeError> {
        if request.encrypted_name.is_empty() || request.name_decryption_nonce.is_empty() {
            return Err(ChangeError::Malformed("the name is missing"));
        }
        let id = request.collection_id;
        let rename = sqlx::query(
            "UPDATE collections SET encrypted_name = $1, name_decryption_nonce = $2 WHERE id = $3",
        )
        .bind(request.encrypted_name.0.clone())
        .bind(request.name_decryption_nonce.0.clone())
        .bind(id.0);
        self.change_collection(account, id, |role| role == Role::Owner, rename).await
    }

    /// Executes `change` when the account has a role in the collection that may, and tells all who see it.
    pub(super) async fn change_collection(
        &self,
        account: AccountId,
        id: CollectionId,
        may: impl Fn(Role) -> bool,
        change: Query<'static, Any, AnyArguments>,
    ) -> Result<(), ChangeError> {
        let mut tx = self.begin_for(account, Reach::collections(&[id])).await?;
        collection_state(&mut tx, account, id).await?.must_be_live_for(may)?;
        change.execute(&mut *tx).await?;
        self.bump_collections(&mut tx, &BTreeSet::from([id])).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stores a collection's envelope one version later than it was sent. Collections have no check of the version seen.
    pub async fn update_collection_magic(
        &self,
        account: AccountId,
        id: CollectionId,
        envelope: Envelope,
        magic: &MagicMetadata,
    ) -> Result<(), ChangeError> {
        if !magic.is_complete() {
            return Err(ChangeError::Malformed("magic metadata is incomplete"));
        }
        let stored = MagicMetadata { version: magic.version + 1, ..magic.clone() };
        let update = statement(format!("UPDATE collections SET {} = $1 WHERE id = $2", envelope.column()))
            .bind(magic_text(&stored))
            .bind(id.0);
        self.change_collection(account, id, |role| role == Role::Owner, update).await
    }

    /// Makes a collection a tombstone. Its owner's files go to the trash with it, unless `keep_files` says that they were moved
    /// away before; then there must be none. A collection that is a tombstone already stays one.
    pub async fn delete_collection(
        &self,
        account: AccountId,
        id: CollectionId,
        keep_files: bool,
    ) -> Result<(), ChangeError> {
        let reach = Reach { contents_of: Some(id), ..Reach::default() };
        let mut tx = self.begin_for(account, reach).await?;
        match must_own(&mut tx, account, id).await {
            Err(ChangeError::CollectionDeleted) => return Ok(()),
            other => other?,
        }
        if is_singular(&mut tx, id).await? {
            return Err(ChangeError::Malformed("this collection cannot be deleted"));
        }
        let (own, others) = live_files(&mut tx, account, id).await?;
        if keep_files && !(own.is_empty() && others.is_empty()) {
            return Err(ChangeError::CollectionNotEmpty);
        }
        let items: Vec<(FileId, CollectionId)> = own.iter().map(|file| (*file, id)).collect();
        self.trash_in(&mut tx, account, &items).await?;
        self.touch_memberships(&mut tx, &others, Where::In(id), Touch::Remove).await?;
        sqlx::query("UPDATE collections SET is_deleted = 1 WHERE id = $1")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        self.bump_collections(&mut tx, &BTreeSet::from([id])).await?;
        end_shares(&mut tx, id, None).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn own_collections(
    connection: &mut AnyConnection,
    account: AccountId,
    since: Version,
    limit: i64,
) -> Result<Vec<Collection>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM collections WHERE owner_id = $1 AND version > $2 ORDER BY version LIMIT $3"
    );
    let query = statement(text).bind(account.0).bind(since.0).bind(limit);
    let rows = query.fetch_all(&mut *connection).await?;
    let mut collections: Vec<Collection> =
        rows.iter().map(|row| collection_of(row, String::new())).collect::<Result<_, _>>()?;
    fill_sharees(connection, &mut collections).await?;
    Ok(collections)
}

/// Refuses unless the account owns the collection and that is not a tombstone.
pub(super) async fn must_own(tx: &mut Tx, account: AccountId, id: CollectionId) -> Result<(), ChangeError> {
    collection_state(tx, account, id).await?.must_be_owned_and_live()
}

/// A secretbox of a 32-byte key has 48 bytes, its nonce 24.
fn check_new(request: &CreateCollectionRequest) -> Result<(), ChangeError> {
    if request.encrypted_key.decode_array::<48>().is_err()
        || request.key_decryption_nonce.decode_array::<24>().is_err()
    {
        return Err(ChangeError::Malformed("the collection's key has another length"));
    }
    let envelopes = [&request.magic_metadata, &request.pub_magic_metadata];
    if envelopes.iter().any(|magic| magic.as_ref().is_some_and(|magic| !magic.is_complete())) {
        return Err(ChangeError::Malformed("magic metadata is incomplete"));
    }
    Ok(())
}

/// An account whose sign-up is unfinished has nothing to encrypt with.
async fn must_have_keys(tx: &mut Tx, account: AccountId) -> Result<(), ChangeError> {
    let row = sqlx::query("SELECT 1 FROM key_attributes WHERE account_id = $1")
        .bind(account.0)
        .fetch_optional(&mut **tx)
        .await?;
    if row.is_some() { Ok(()) } else { Err(ChangeError::Malformed("the account has no keys yet")) }
}

/// The highest number of a collection of the account, tombstones included; 0 where it has none.
async fn newest_collection(tx: &mut Tx, account: AccountId) -> Result<i64, StoreError> {
    let row = sqlx::query(NEWEST).bind(account.0).fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

const NEWEST: &str = "SELECT id FROM collections WHERE owner_id = $1 ORDER BY id DESC LIMIT 1";

/// A collection that is about to be made.
struct NewCollection<'r> {
    id: CollectionId,
    version: Version,
    singular: Option<String>,
    request: &'r CreateCollectionRequest,
}

async fn insert_collections(
    tx: &mut Tx,
    account: AccountId,
    new: &[NewCollection<'_>],
    now: i64,
) -> Result<HashMap<CollectionId, Collection>, StoreError> {
    let text = format!(
        "INSERT INTO collections (id, owner_id, kind, singular, encrypted_key, key_decryption_nonce,
                                  encrypted_name, name_decryption_nonce, encrypted_path, path_decryption_nonce,
                                  attributes_version, magic_metadata, pub_magic_metadata, is_deleted, version,
                                  created_at)
         VALUES {} RETURNING {COLUMNS}",
        rows(1, new.len(), 16)
    );
    let mut query = long_statement(tx.engine(), text, new.len() == 1);
    for NewCollection { id, version, singular, request } in new {
        let attributes = request.attributes.clone().unwrap_or_default();
        query = query
            .bind(id.0)
            .bind(account.0)
            .bind(request.kind.as_str().to_owned())
            .bind(singular.clone())
            .bind(request.encrypted_key.0.clone())
            .bind(request.key_decryption_nonce.0.clone())
            .bind(request.encrypted_name.0.clone())
            .bind(request.name_decryption_nonce.0.clone())
            .bind(attributes.encrypted_path.map(|path| path.0))
            .bind(attributes.path_decryption_nonce.map(|nonce| nonce.0))
            .bind(attributes.version)
            .bind(request.magic_metadata.as_ref().map(magic_text))
            .bind(request.pub_magic_metadata.as_ref().map(magic_text))
            .bind(0_i64)
            .bind(version.0)
            .bind(now);
    }
    let mut made = HashMap::with_capacity(new.len());
    for row in query.fetch_all(&mut **tx).await? {
        let collection = collection_of(&row, String::new())?;
        made.insert(collection.id, collection);
    }
    Ok(made)
}

/// Own collections that have one of these wrapped keys, or one that begins like it.
async fn collections_with_keys(
    tx: &mut Tx,
    account: AccountId,
    keys: &[&str],
) -> Result<HashMap<String, Collection>, StoreError> {
    let mut found = Vec::new();
    for chunk in keys.chunks(LIST_MAX) {
        let query = long_statement(tx.engine(), with_keys_text(chunk), true).bind(account.0);
        let query = padded(chunk).fold(query, |query, key| query.bind(key_start(key).to_owned()));
        for row in query.fetch_all(&mut **tx).await? {
            found.push(collection_of(&row, String::new())?);
        }
    }
    fill_sharees(tx, &mut found).await?;
    Ok(found.into_iter().map(|collection| (collection.encrypted_key.0.clone(), collection)).collect())
}

fn with_keys_text(keys: &[&str]) -> String {
    format!(
        "SELECT {COLUMNS} FROM collections
         WHERE owner_id = $1 AND substr(encrypted_key, 1, {KEY_START}) IN ({})",
        padded_list(2, keys)
    )
}

/// How many letters of a wrapped key the index has.
const KEY_START: usize = 8;

fn key_start(key: &str) -> &str {
    key.get(..KEY_START).unwrap_or(key)
}

async fn is_singular(tx: &mut Tx, id: CollectionId) -> Result<bool, ChangeError> {
    let row = sqlx::query("SELECT 1 FROM collections WHERE id = $1 AND singular IS NOT NULL")
        .bind(id.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

/// Whether it is the one for files that are in no album.
pub(super) async fn is_uncategorized(tx: &mut Tx, id: CollectionId) -> Result<bool, ChangeError> {
    let row = sqlx::query("SELECT 1 FROM collections WHERE id = $1 AND kind = $2")
        .bind(id.0)
        .bind(CollectionType::Uncategorized.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

/// The files that are live in a collection: the account's own, and others'.
async fn live_files(
    tx: &mut Tx,
    account: AccountId,
    id: CollectionId,
) -> Result<(Vec<FileId>, Vec<FileId>), ChangeError> {
    let rows = sqlx::query(
        "SELECT files.id, files.owner_id FROM memberships JOIN files ON files.id = memberships.file_id
         WHERE memberships.collection_id = $1 AND memberships.is_deleted = 0",
    )
    .bind(id.0)
    .fetch_all(&mut **tx)
    .await?;
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for row in rows {
        let list = if row.try_get::<i64, _>(1)? == account.0 { &mut own } else { &mut others };
        list.push(FileId(row.try_get(0)?));
    }
    Ok((own, others))
}

pub(super) fn collection_of(row: &AnyRow, owner_email: String) -> Result<Collection, StoreError> {
    let kind: String = row.try_get("kind")?;
    let owner = Person {
        id: AccountId(row.try_get("owner_id")?),
        email: owner_email,
        name: String::new(),
        role: "OWNER".to_owned(),
    };
    Ok(Collection {
        id: CollectionId(row.try_get("id")?),
        owner,
        encrypted_key: Opaque(row.try_get("encrypted_key")?),
        key_decryption_nonce: Some(Opaque(row.try_get("key_decryption_nonce")?)),
        name: String::new(),
        encrypted_name: Opaque(row.try_get("encrypted_name")?),
        name_decryption_nonce: Opaque(row.try_get("name_decryption_nonce")?),
        kind: CollectionType::parse(&kind).ok_or(StoreError::Malformed("kind of collection"))?,
        attributes: Attributes {
            encrypted_path: row.try_get::<Option<String>, _>("encrypted_path")?.map(Opaque),
            path_decryption_nonce: row.try_get::<Option<String>, _>("path_decryption_nonce")?.map(Opaque),
            version: row.try_get("attributes_version")?,
        },
        sharees: Vec::new(),
        public_urls: Vec::new(),
        updation_time: Version(row.try_get("version")?),
        shared_at: None,
        is_deleted: row.try_get::<i64, _>("is_deleted")? != 0,
        magic_metadata: magic_of(row, "magic_metadata")?,
        pub_magic_metadata: magic_of(row, "pub_magic_metadata")?,
        shared_magic_metadata: None,
        app: "photos".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With thousands of folders, making an album for each read all that were there, again and again.
    #[tokio::test]
    async fn what_is_asked_before_collections_are_made_is_found_through_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        for (text, index) in [
            (NEWEST.to_owned(), "SEARCH collections USING COVERING INDEX collections_by_id (owner_id=?)"),
            (
                with_keys_text(&["one", "two"]),
                "SEARCH collections USING INDEX collections_by_key (owner_id=? AND <expr>=?)",
            ),
        ] {
            let plan = statement(format!("EXPLAIN QUERY PLAN {text}"));
            let plan = plan.bind(1_i64).bind("one").bind("two").fetch_all(store.reader()).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
            assert_eq!(plan, [index], "{text}");
        }
    }
}
