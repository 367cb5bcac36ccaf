//! Which collection a device album is: by its link in the catalog, by name once, and made when its first file needs it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use darkslide_crypto::keys::CollectionKey;
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest, WrappedCollection};
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
    /// One at a time: two files of a new album must not make it twice.
    making: Semaphore,
}

impl Albums {
    /// None resolved yet.
    pub fn new() -> Self {
        Self { resolved: Mutex::default(), making: Semaphore::new(1) }
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
        Ok(find(catalog, owner, album).await?.map(|row| row.id))
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
        let _making = self.making.acquire().await.expect("the semaphore is never closed");
        if let Some(resolved) = self.cached(album) {
            return Ok(resolved);
        }
        let row = match find(catalog, session.account, album).await? {
            Some(row) => {
                catalog.link_album(&album.key, row.id).await?;
                row
            }
            None => make(session, catalog, patience, spans, &album.name, Some(&album.key)).await?,
        };
        let resolved = Arc::new(Album { id: row.id, key: collection_key(&session.keys, &row)? });
        self.cache().insert(album.key.clone(), Arc::clone(&resolved));
        Ok(resolved)
    }

    /// The collection of favourites, of which an account has one; made if need be.
    pub(super) async fn favourites(
        &self,
        session: &Session,
        catalog: &Catalog,
        patience: &Patience,
        spans: &SharedSpans,
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
            None => make(session, catalog, patience, spans, FAVOURITES, None).await?,
        };
        let resolved = Arc::new(Album { id: row.id, key: collection_key(&session.keys, &row)? });
        self.cache().insert(favourites.key, Arc::clone(&resolved));
        Ok(resolved)
    }

    fn cached(&self, album: &DeviceAlbum) -> Option<Arc<Album>> {
        self.cache().get(&album.key).cloned()
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

/// By link; a link to a deleted collection, or to somebody else's, counts as none. Otherwise by name.
async fn find(
    catalog: &Catalog,
    owner: AccountId,
    album: &DeviceAlbum,
) -> Result<Option<CollectionRow>, CatalogError> {
    match catalog.linked_collection(&album.key).await? {
        Some(row) if !row.deleted && row.owner == owner => Ok(Some(row)),
        _ => catalog.collection_named(owner, &album.name).await,
    }
}

/// Makes the collection of a device album and links it; or that of favourites, which is none's.
async fn make(
    session: &Session,
    catalog: &Catalog,
    patience: &Patience,
    spans: &SharedSpans,
    name: &str,
    album: Option<&DeviceAlbumKey>,
) -> Result<CollectionRow, AssetError> {
    let kind = album.map_or(CollectionType::Favorites, |_| CollectionType::Album);
    let (_, request) = new_collection(&session.keys, name, kind);
    let attempt = || async { Ok(create_or_find(session, catalog, &request).await?) };
    let WrappedCollection { collection, span } = patience.persist(attempt).await?;
    let row = open_collection(&session.keys, &collection).row;
    let is_told = span.is_some();
    let mut known = spans.lock().await;
    known.extend(span);
    catalog.record_album(&row, album, &mut known).await.inspect_err(|_| known.clear())?;
    drop(known);
    if !is_told {
        // What follows in it is known without reading the feed, if the cursor stands behind the album itself.
        patience.persist(|| async { Ok(feed::catch_up(session, catalog).await?) }).await?;
    }
    Ok(row)
}

/// Creating is not idempotent: when the answer was lost, the collection may be there all the same. It is known by
/// its wrapped key, which nobody else has.
async fn create_or_find(
    session: &Session,
    catalog: &Catalog,
    request: &CreateCollectionRequest,
) -> Result<WrappedCollection, crate::api::ApiFailure> {
    let failure = match session.api.create_collection(request).await {
        Ok(made) => return Ok(made),
        Err(failure) if failure.is_transient() => failure,
        Err(failure) => return Err(failure),
    };
    let cursor = catalog.cursor(Feed::Collections).await.unwrap_or_default();
    let listed = session.api.collections_since(cursor).await?;
    let mut same = listed.into_iter().filter(|known| known.encrypted_key == request.encrypted_key);
    same.next().map(|collection| WrappedCollection { collection, span: None }).ok_or(failure)
}
