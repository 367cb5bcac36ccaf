//! Which objects lie in a pack, and their move to another.

use super::sql::{LIST_MAX, rows, statement};
use super::{Store, StoreError};
use crate::objects::{BlobName, Packed};
use sqlx::Row as _;

/// An object in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInPack {
    /// Its key.
    pub key: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    digest: String,
}

impl Store {
    /// The objects of a pack, in their order in it; garbage too as long as it has a row. `None` when one of the rows makes no sense:
    /// nobody can say which of the pack's bytes it means.
    pub async fn objects_in(&self, pack: &BlobName) -> Result<Option<Vec<ObjectInPack>>, StoreError> {
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
            let (Some(offset), Some(length), Some(digest)) = (offset, length, row.try_get(3)?) else {
                return Ok(None);
            };
            objects.push(ObjectInPack { key: row.try_get(0)?, offset, length, digest });
        }
        Ok(Some(objects))
    }

    /// Says that objects of pack `from` are now in `to`, each at its place, as far as they still were in `from` and are what they
    /// were. An object whose copy has another digest stays where it is: it is damaged, and its damage must not be vouched for.
    pub async fn move_objects(
        &self,
        from: &BlobName,
        to: &BlobName,
        objects: &[ObjectInPack],
        places: &[Packed],
    ) -> Result<u64, StoreError> {
        let whole: Vec<(&ObjectInPack, &Packed)> = objects
            .iter()
            .zip(places)
            .filter(|(object, place)| object.digest == place.digest.to_string())
            .collect();
        let mut moved = 0;
        let mut tx = self.begin().await?;
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
        tx.commit().await?;
        Ok(moved)
    }
}
