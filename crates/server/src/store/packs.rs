//! Which objects lie in a pack, their move to another, and which packs have lost some of theirs and are to be looked at for that.

use super::batch::lock_objects;
use super::sql::{LIST_MAX, rows, statement};
use super::uploads::parse_blob;
use super::{Store, StoreError, Tx};
use crate::objects::{BlobName, Digest, Packed};
use sqlx::Row as _;
use std::collections::BTreeSet;
use uuid::Uuid;

/// An object in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInPack {
    /// Its key.
    pub key: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// What they were when they came.
    pub digest: Digest,
}

impl Store {
    /// The objects of a pack, in their order in it; garbage too as long as it has a row. Those whose rows make no sense are left out:
    /// nobody can say which of the pack's bytes they mean, so that it stays while they name it.
    pub async fn objects_in(&self, pack: &BlobName) -> Result<Vec<ObjectInPack>, StoreError> {
        let found = sqlx::query(
            "SELECT key, blob_offset, length, digest FROM objects WHERE blob = $1 ORDER BY blob_offset",
        )
        .bind(pack.as_str())
        .fetch_all(self.reader())
        .await?;
        let mut objects = Vec::with_capacity(found.len());
        for row in &found {
            let (offset, length): (i64, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
            let (offset, length) =
                (u64::try_from(offset).ok(), length.and_then(|length| length.try_into().ok()));
            let digest = row.try_get::<Option<String>, _>(3)?.as_deref().and_then(Digest::parse);
            let key: String = row.try_get(0)?;
            match (offset, length, digest) {
                (Some(offset), Some(length), Some(digest)) => {
                    objects.push(ObjectInPack { key, offset, length, digest });
                }
                _ => {
                    tracing::error!(%key, pack = pack.as_str(), "a row of a pack makes no sense: its object stays");
                }
            }
        }
        Ok(objects)
    }

    /// Says that objects of pack `from` are now in `to`, each at its place, as far as they still were in `from` and are what they
    /// were. An object whose copy has another digest stays where it is: it is damaged, and its damage must not be vouched for. What
    /// did not move, because it was purged meanwhile, say, has been copied for nothing: then `to` is [to be looked
    /// at](Self::packs_to_compact). Returns how many moved.
    pub async fn move_objects(
        &self,
        from: &BlobName,
        to: &BlobName,
        objects: &[ObjectInPack],
        places: &[Packed],
    ) -> Result<u64, StoreError> {
        let whole: Vec<(&ObjectInPack, &Packed)> =
            objects.iter().zip(places).filter(|(object, place)| object.digest == place.digest).collect();
        let mut moved = 0;
        let mut tx = self.begin().await?;
        // Whoever purges them meanwhile locks them in this order too.
        let mut keys: Vec<String> = whole.iter().map(|(object, _)| object.key.clone()).collect();
        keys.sort_unstable();
        lock_objects(&mut tx, &keys).await?;
        for chunk in whole.chunks(LIST_MAX) {
            let text = format!(
                "WITH places (key, place) AS (VALUES {})
                 UPDATE objects SET blob = $1, blob_offset = places.place FROM places
                 WHERE objects.key = places.key AND objects.blob = $2",
                rows(3, chunk.len(), 2)
            );
            let mut query = statement(text).bind(to.as_str().to_owned()).bind(from.as_str().to_owned());
            for (object, place) in chunk {
                query = query.bind(object.key.clone()).bind(i64::try_from(place.offset).unwrap_or(i64::MAX));
            }
            moved += query.execute(&mut *tx).await?.rows_affected();
        }
        if usize::try_from(moved) != Ok(objects.len()) {
            remember_waste(&mut tx, &BTreeSet::from([to.clone()])).await?;
        }
        tx.commit().await?;
        Ok(moved)
    }

    /// Packs that have lost some of their objects and are due to be looked at (`now` in µs since the epoch), at most `count`.
    pub async fn packs_to_compact(&self, now: i64, count: i64) -> Result<Vec<BlobName>, StoreError> {
        let rows = sqlx::query("SELECT blob FROM wasteful_packs WHERE due_at <= $1 ORDER BY due_at LIMIT $2")
            .bind(now)
            .bind(count)
            .fetch_all(self.reader())
            .await?;
        let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        Ok(names.iter().filter_map(|name| parse_blob(name).ok()).collect())
    }

    /// What a pack's newest loss is known by; `None` where it is not to be looked at. To be asked before it is looked at.
    pub async fn noting_of(&self, pack: &BlobName) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT noting FROM wasteful_packs WHERE blob = $1")
            .bind(pack.as_str())
            .fetch_optional(self.reader())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Has a pack that is to be looked at left alone until then (µs since the epoch).
    pub async fn put_off(&self, pack: &BlobName, due_at: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query("UPDATE wasteful_packs SET due_at = $1 WHERE blob = $2").bind(due_at);
        query.bind(pack.as_str()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets that a pack is to be looked at, unless it has lost more since its loss was [known](Self::noting_of) by that.
    pub async fn was_looked_at(&self, pack: &BlobName, noting: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query("DELETE FROM wasteful_packs WHERE blob = $1 AND noting = $2");
        query.bind(pack.as_str()).bind(noting).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Has packs looked at that have just lost some of their objects, and once more those that somebody is looking at. They come in order:
/// of two who name the same ones, neither waits for what the other has locked while that one waits too.
pub(super) async fn remember_waste(tx: &mut Tx, packs: &BTreeSet<BlobName>) -> Result<(), StoreError> {
    let noting = Uuid::new_v4().to_string();
    let packs: Vec<&BlobName> = packs.iter().collect();
    for chunk in packs.chunks(LIST_MAX) {
        let text = format!(
            "INSERT INTO wasteful_packs (blob, noting) VALUES {}
             ON CONFLICT (blob) DO UPDATE SET noting = excluded.noting",
            rows(1, chunk.len(), 2)
        );
        let bind = |query: sqlx::query::Query<'static, _, _>, pack: &&BlobName| {
            query.bind(pack.as_str().to_owned()).bind(noting.clone())
        };
        chunk.iter().fold(statement(text), bind).execute(&mut **tx).await?;
    }
    Ok(())
}
