//! What every library promises, tried on all that there are: a simulated phone and a folder tree.

use crate::tree::{Tree, settled};
use darkslide_client::library::device::{AssetId, Locality};
use darkslide_client::library::{Library, LibraryChanges, LibraryError, Part};
use darkslide_crypto::ContentHash;
use darkslide_e2e::phone::Phone;
use darkslide_e2e::phone::home::Home;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whoever changes what is in a library.
trait Owner {
    fn library(&self) -> Arc<dyn Library>;
    /// Adds a picture; gives its id.
    fn add(&self) -> AssetId;
    fn edit(&self, asset: &AssetId);
    fn remove(&self, asset: &AssetId);
    /// The content of a picture, as it is now.
    fn content(&self, asset: &AssetId) -> String;
    /// Lets the library hear that something changed, where the system does not.
    fn tell(&self) {}
}

impl Owner for Phone {
    fn library(&self) -> Arc<dyn Library> {
        Self::library(self)
    }

    fn add(&self) -> AssetId {
        self.take(1, 3000).remove(0)
    }

    fn edit(&self, asset: &AssetId) {
        Self::edit(self, asset, 3500);
    }

    fn remove(&self, asset: &AssetId) {
        self.delete(std::slice::from_ref(asset));
    }

    fn content(&self, asset: &AssetId) -> String {
        self.content_of(asset)
    }

    fn tell(&self) {
        self.tell_changes();
    }
}

impl Tree {
    fn path_of(&self, asset: &AssetId) -> PathBuf {
        self.root().join(String::from_utf8(asset.0.clone()).unwrap())
    }
}

impl Owner for Tree {
    fn library(&self) -> Arc<dyn Library> {
        Arc::clone(&self.library) as Arc<dyn Library>
    }

    fn add(&self) -> AssetId {
        let bytes = self.picture();
        let folder = if bytes.len().is_multiple_of(2) { "2024" } else { "2024/a trip" };
        self.write(&format!("{folder}/IMG_{}.jpg", bytes.len()), &bytes)
    }

    fn edit(&self, asset: &AssetId) {
        std::fs::write(self.path_of(asset), self.picture()).unwrap();
    }

    fn remove(&self, asset: &AssetId) {
        std::fs::remove_file(self.path_of(asset)).unwrap();
    }

    fn content(&self, asset: &AssetId) -> String {
        ContentHash::of(&std::fs::read(self.path_of(asset)).unwrap()).to_string()
    }
}

/// Plays the same on every library.
async fn on_all(play: impl AsyncFn(&dyn Owner)) {
    play(&Tree::new(settled()).await).await;
    let home = Home::new().await;
    play(&Phone::new(&home, "phone").await).await;
}

fn ids(assets: &[&AssetId]) -> BTreeSet<AssetId> {
    assets.iter().map(|id| (*id).clone()).collect()
}

/// Asserts what was told.
fn check(told: &LibraryChanges, changed: &[&AssetId], gone: &[&AssetId], is_everything: bool) {
    let told_ids: BTreeSet<_> = told.changed.iter().map(|asset| asset.id.clone()).collect();
    assert_eq!(told.changed.len(), told_ids.len(), "each once");
    assert_eq!(told_ids, ids(changed));
    assert_eq!((told.gone.iter().cloned().collect(), told.gone.len()), (ids(gone), gone.len()));
    assert_eq!(told.is_everything, is_everything);
    assert!(!told.token.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_told_once() {
    on_all(async |owner| {
        let library = owner.library();
        let [kept, edited, removed] = [(); 3].map(|()| owner.add());
        let first = library.changes(None).await.unwrap();
        check(&first, &[&kept, &edited, &removed], &[], true);
        let second = library.changes(Some(&first.token)).await.unwrap();
        check(&second, &[], &[], false);
        owner.edit(&edited);
        owner.remove(&removed);
        let added = owner.add();
        let third = library.changes(Some(&second.token)).await.unwrap();
        check(&third, &[&edited, &added], &[&removed], false);
        let print = |told: &LibraryChanges| {
            told.changed.iter().find(|asset| asset.id == edited).map(|asset| asset.fingerprint)
        };
        assert_ne!(print(&first), print(&third));
        check(&library.changes(Some(&third.token)).await.unwrap(), &[], &[], false);
        // Whoever did not hear of it, such as one who was killed, is told once more.
        let again = library.changes(Some(&first.token)).await.unwrap();
        check(&again, &[&edited, &added], &[&removed], false);
        check(&library.changes(Some(&again.token)).await.unwrap(), &[], &[], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_means_everything() {
    on_all(async |owner| {
        let library = owner.library();
        let assets = [owner.add(), owner.add()];
        let told = library.changes(None).await.unwrap();
        let other = told.token.iter().map(|byte| !byte).collect::<Vec<_>>();
        let longer = [told.token.as_slice(), b"more"].concat();
        for unknown in [b"".as_slice(), b"a token", &other, &longer] {
            let told = library.changes(Some(unknown)).await.unwrap();
            check(&told, &[&assets[0], &assets[1]], &[], true);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_opened_is_what_was_told_or_the_next_look_says_so() {
    on_all(async |owner| {
        let library = owner.library();
        let [picture, removed, nobody] = [owner.add(), owner.add(), AssetId::new("nobody")];
        let told = library.changes(None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let open = async |asset: &AssetId| {
            let opened = library.open(asset, Part::Main, &copy).await;
            opened.map(|path| path.unwrap_or_else(|| copy.clone()))
        };
        let content = |path: &Path| ContentHash::of(&std::fs::read(path).unwrap()).to_string();
        assert_eq!(library.locality(&picture).await.unwrap(), Locality::Here);
        assert_eq!(content(&open(&picture).await.unwrap()), owner.content(&picture));
        assert!(matches!(open(&nobody).await, Err(LibraryError::Gone)));
        assert!(matches!(library.locality(&nobody).await, Err(LibraryError::Gone)));
        owner.remove(&removed);
        assert!(matches!(open(&removed).await, Err(LibraryError::Gone)));
        owner.edit(&picture);
        match open(&picture).await {
            Ok(path) => assert_eq!(content(&path), owner.content(&picture)),
            Err(error) => assert!(matches!(error, LibraryError::Gone), "{error}"),
        }
        check(&library.changes(Some(&told.token)).await.unwrap(), &[&picture], &[&removed], false);
        assert_eq!(content(&open(&picture).await.unwrap()), owner.content(&picture));
        assert!(matches!(library.locality(&removed).await, Err(LibraryError::Gone)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_of_assets_are_albums() {
    on_all(async |owner| {
        let library = owner.library();
        for _ in 0..4 {
            owner.add();
        }
        let albums = library.albums().await.unwrap();
        let keys: BTreeSet<_> = albums.iter().map(|album| album.key.clone()).collect();
        assert_eq!(keys.len(), albums.len(), "each once");
        assert!(albums.iter().all(|album| album.key.root == library.id() && !album.name.is_empty()));
        for asset in library.changes(None).await.unwrap().changed {
            assert!(!asset.albums.is_empty() && asset.albums.is_subset(&keys), "{asset:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_changes_hears_of_them() {
    /// As long as a busy machine may take.
    const LONG: Duration = Duration::from_mins(1);
    on_all(async |owner| {
        let library = owner.library();
        let picture = owner.add();
        tokio::time::timeout(LONG, library.changed()).await.expect("nothing was told yet");
        library.changes(None).await.unwrap();
        let moment = Duration::from_millis(100);
        assert!(tokio::time::timeout(moment, library.changed()).await.is_err(), "nothing changed");
        for is_edited in [false, true] {
            if is_edited {
                owner.edit(&picture);
            } else {
                owner.add();
            }
            owner.tell();
            tokio::time::timeout(LONG, library.changed()).await.expect("something changed");
            library.changes(None).await.unwrap();
        }
        owner.remove(&picture);
        owner.tell();
        tokio::time::timeout(LONG, library.changed()).await.expect("something is gone");
    })
    .await;
}
