//! Which collection a device album is: by its link in the catalog, by name once, and made when its first file needs it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use darkslide_crypto::keys::CollectionKey;
use darkslide_protocol::collection::{
    Collection, CollectionType, CreateCollectionRequest, CreateCollectionsRequest, CreatedCollections,
};
use darkslide_protocol::limits::COLLECTIONS_MAX;
use darkslide_protocol::server::Extension;
use darkslide_protocol::{AccountId, CollectionId};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::error::AssetError;
use super::patience::Patience;
use crate::catalog::{Catalog, CatalogError, CollectionRow, DeviceAlbumKey, Feed, Spans};
use crate::feed;
use crate::keys::{collection_key, new_collection, open_collection};
use crate::library::DeviceAlbum;
use crate::session::Session;

/// What stock clients call the collection of favourites, in whatever language.
const FAVOURITES: &str = "Favorites";

/// What a run knows of the feed beyond the cursor.
pub(super) type SharedSpans = AsyncMutex<Spans>;

/// A collection that files can be put into.
#[derive(Debug)]
pub struct Album {
    /// Which.
    pub id: CollectionId,
    /// Its key.
    pub key: CollectionKey,
}

/// The albums of one run.
#[derive(Debug)]
pub struct Albums {
    resolved: Mutex<HashMap<DeviceAlbumKey, Arc<Album>>>,
    /// Those that somebody waits for.
    wanted: Mutex<HashMap<DeviceAlbumKey, DeviceAlbum>>,
    /// One at a time: two files of a new album must not make it twice.
    making: Semaphore,
}

impl Albums {
    /// None resolved yet.
    pub fn new() -> Self {
        Self { resolved: Mutex::default(), wanted: Mutex::default(), making: Semaphore::new(1) }
    }

    /// The collection that the album would go to, if there is one yet. Links nothing, makes nothing.
    pub async fn existing(
        &self,
        catalog: &Catalog,
        owner: AccountId,
        album: &DeviceAlbum,
    ) -> Result<Option<CollectionId>, CatalogError> {
        if let Some(resolved) = self.cached(album) {
            return Ok(Some(resolved.id));
        }
        Ok(find(catalog, owner, album).await?.map(|(row, _)| row.id))
    }

    /// The album's collection; linked, and made, if need be.
    pub async fn resolve(
        &self,
        session: &Session,
        catalog: &Catalog,
        patience: &Patience,
        spans: &SharedSpans,
        album: &DeviceAlbum,
    ) -> Result<Arc<Album>, AssetError> {
        if let Some(resolved) = self.cached(album) {
            return Ok(resolved);
        }
        self.wanted().insert(album.key.clone(), album.clone());
        let _making = self.making.acquire().await.expect("the semaphore is never closed");
        if let Some(resolved) = self.cached(album) {
            return Ok(resolved);
        }
        if let Some((row, is_linked)) = find(catalog, session.account, album).await? {
            if !is_linked {
                catalog.link_album(&album.key, row.id).await?;
            }
            return self.keep(session, album.key.clone(), &row);
        }
        // With many new albums, a call for each would take longer than their files do.
        let mut missing = BTreeMap::from([(album.name.clone(), vec![album.key.clone()])]);
        for other in self.take_wanted(album) {
            if find(catalog, session.account, &other).await?.is_none() {
                missing.entry(other.name).or_default().push(other.key);
            }
        }
        self.make_together(session, catalog, patience, spans, missing).await?;
        self.cached(album).ok_or(AssetError::Damaged)
    }

    /// What else is wanted by now, and not there yet; no more than one call makes.
    fn take_wanted(&self, album: &DeviceAlbum) -> Vec<DeviceAlbum> {
        let (mut wanted, resolved) = (self.wanted(), self.cache());
        wanted.retain(|key, _| *key != album.key && !resolved.contains_key(key));
        let others: Vec<DeviceAlbumKey> = wanted.keys().take(COLLECTIONS_MAX - 1).cloned().collect();
        others.iter().filter_map(|key| wanted.remove(key)).collect()
    }

    /// Makes a collection for each name, and links it to all device albums that have it.
    async fn make_together(
        &self,
        session: &Session,
        catalog: &Catalog,
        patience: &Patience,
        spans: &SharedSpans,
        mut missing: BTreeMap<String, Vec<DeviceAlbumKey>>,
    ) -> Result<(), AssetError> {
        while !missing.is_empty() {
            let request = |name: &String| new_collection(&session.keys, name, CollectionType::Album).1;
            let collections = missing.keys().map(request).collect();
            let made = create(session, catalog, patience, CreateCollectionsRequest { collections }).await?;
            if made.collections.len() != missing.len() {
                return Err(AssetError::Damaged);
            }
            let rows: Vec<CollectionRow> =
                made.collections.iter().map(|made| open_collection(&session.keys, made).row).collect();
            // Where the answer was lost, another client may have deleted one since: that is made anew.
            let (gone, there): (Vec<_>, Vec<_>) = rows.iter().zip(missing).partition(|(row, _)| row.deleted);
            let links: Vec<(DeviceAlbumKey, CollectionId)> = there
                .iter()
                .flat_map(|(row, (_, keys))| keys.iter().map(|key| (key.clone(), row.id)))
                .collect();
            let mut known = spans.lock().await;
            known.extend(made.span);
            catalog.record_albums(&rows, &links, &mut known).await.inspect_err(|_| known.clear())?;
            drop(known);
            if !is_all_known(catalog, &rows).await? {
                catch_up(session, catalog, patience).await?;
            }
            for (row, (name, keys)) in there {
                let made = row.id;
                let row = agreed(session, catalog, patience, &name, row).await?;
                for key in keys {
                    if row.id != made {
                        catalog.link_album(&key, row.id).await?;
                    }
                    self.keep(session, key, &row)?;
                }
            }
            missing = gone.into_iter().map(|(_, named)| named).collect();
        }
        Ok(())
    }

    fn keep(
        &self,
        session: &Session,
        key: DeviceAlbumKey,
        row: &CollectionRow,
    ) -> Result<Arc<Album>, AssetError> {
        let resolved = Arc::new(Album { id: row.id, key: collection_key(&session.keys, row)? });
        self.cache().insert(key, Arc::clone(&resolved));
        Ok(resolved)
    }

    /// The collection of favourites, of which an account has one; made if need be.
    pub(super) async fn favourites(
        &self,
        session: &Session,
        catalog: &Catalog,
        patience: &Patience,
    ) -> Result<Arc<Album>, AssetError> {
        let _making = self.making.acquire().await.expect("the semaphore is never closed");
        let key = DeviceAlbumKey { root: Vec::new(), folder: Vec::new() };
        let favourites = DeviceAlbum { key, name: FAVOURITES.to_owned() };
        if let Some(resolved) = self.cached(&favourites) {
            return Ok(resolved);
        }
        let is_it = |row: &CollectionRow| {
            row.kind == CollectionType::Favorites && row.owner == session.account && !row.deleted
        };
        let known = catalog.collections().await?.into_iter().find(is_it);
        let row = match known {
            Some(row) => row,
            None => {
                let (_, request) = new_collection(&session.keys, FAVOURITES, CollectionType::Favorites);
                let made = create_or_find(session, catalog, patience, &request).await?;
                let row = open_collection(&session.keys, &made).row;
                catalog.put_collection(&row).await?;
                catch_up(session, catalog, patience).await?;
                row
            }
        };
        self.keep(session, favourites.key, &row)
    }

    fn cached(&self, album: &DeviceAlbum) -> Option<Arc<Album>> {
        self.cache().get(&album.key).cloned()
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceAlbumKey, DeviceAlbum>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceAlbumKey, Arc<Album>>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Albums {
    fn default() -> Self {
        Self::new()
    }
}

/// By link; a link to a deleted collection, or to somebody else's, counts as none. Otherwise by name. Tells whether it is linked.
async fn find(
    catalog: &Catalog,
    owner: AccountId,
    album: &DeviceAlbum,
) -> Result<Option<(CollectionRow, bool)>, CatalogError> {
    match catalog.linked_collection(&album.key).await? {
        Some(row) if !row.deleted && row.owner == owner => Ok(Some((row, true))),
        _ => Ok(catalog.collection_named(owner, &album.name).await?.map(|row| (row, false))),
    }
}

/// Whether the mirror has all that happened until these were made, and so what others made at the same moment: with an album for each folder,
/// asking the feed after each would cost a tenth of a first backup.
async fn is_all_known(catalog: &Catalog, made: &[CollectionRow]) -> Result<bool, CatalogError> {
    let cursor = catalog.cursor(Feed::Account).await?;
    Ok(made.iter().all(|made| made.version <= cursor))
}

/// Which album of this name is gone on with, of the one that was made and another that was there by then: the one with the lower number, as all devices
/// decide that made one at the same moment. The other goes, if the server says that it is empty; otherwise both stay.
async fn agreed(
    session: &Session,
    catalog: &Catalog,
    patience: &Patience,
    name: &str,
    made: &CollectionRow,
) -> Result<CollectionRow, AssetError> {
    let named = catalog.collection_named(session.account, name).await?;
    let Some(earlier) = named.filter(|earlier| earlier.id < made.id) else { return Ok(made.clone()) };
    let removed = session.api.delete_collection(made.id, true).await;
    // Where the answer was lost, it may be gone all the same.
    catch_up(session, catalog, patience).await?;
    if catalog.collection(made.id).await?.is_some_and(|made| made.deleted) {
        return Ok(earlier);
    }
    if let Err(error) = removed {
        tracing::warn!(%error, name, "another device made an album of this name at the same moment: both stay");
    }
    Ok(made.clone())
}

/// In one call, where the server takes them so.
async fn create(
    session: &Session,
    catalog: &Catalog,
    patience: &Patience,
    request: CreateCollectionsRequest,
) -> Result<CreatedCollections, AssetError> {
    let offers = || async { Ok(session.api.offers(Extension::Collections).await?) };
    if patience.persist(offers).await? {
        return patience.persist(|| async { Ok(session.api.create_collections(&request).await?) }).await;
    }
    let mut collections = Vec::with_capacity(request.collections.len());
    for request in &request.collections {
        collections.push(create_or_find(session, catalog, patience, request).await?);
    }
    Ok(CreatedCollections { collections, span: None })
}

/// What follows in a new collection is known without reading the feed, if the cursor stands behind the collection itself.
async fn catch_up(session: &Session, catalog: &Catalog, patience: &Patience) -> Result<(), AssetError> {
    patience.persist(|| async { Ok(feed::catch_up(session, catalog).await?) }).await.map(drop)
}

/// Creating one by itself is not idempotent: when the answer was lost, the collection may be there all the same. It is known by
/// its wrapped key, which nobody else has.
async fn create_or_find(
    session: &Session,
    catalog: &Catalog,
    patience: &Patience,
    request: &CreateCollectionRequest,
) -> Result<Collection, AssetError> {
    let attempt = || async {
        let failure = match session.api.create_collection(request).await {
            Ok(made) => return Ok(made),
            Err(failure) if failure.is_transient() => failure,
            Err(failure) => return Err(failure.into()),
        };
        let cursor = catalog.cursor(Feed::Collections).await.unwrap_or_default();
        let listed = session.api.collections_since(cursor).await?;
        let same = listed.into_iter().find(|known| known.encrypted_key == request.encrypted_key);
        same.ok_or_else(|| failure.into())
    };
    patience.persist(attempt).await
}
