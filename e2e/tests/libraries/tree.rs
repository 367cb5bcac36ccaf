//! A folder tree, and the library that it is.

use darkslide_client::catalog::Catalog;
use darkslide_client::library::device::AssetId;
use darkslide_client::library::folder_library::{FolderLibrary, FolderSettings};
use darkslide_client::library::raw;
use darkslide_client::thumbnail::Thumbnailer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Tree {
    pub(crate) catalog: Catalog,
    pub(crate) library: Arc<FolderLibrary>,
    folder: tempfile::TempDir,
    next: AtomicU32,
}

/// Nobody writes meanwhile.
pub(crate) fn settled() -> FolderSettings {
    FolderSettings { settling: None, thumbnailer: Thumbnailer::without_tools(), ..FolderSettings::default() }
}

impl Tree {
    pub(crate) async fn new(settings: FolderSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("Pictures")).unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let library = opened(&catalog, folder.path(), settings);
        Self { catalog, library, folder, next: AtomicU32::new(1) }
    }

    /// The program ends and begins again: what was in memory is gone.
    pub(crate) fn restart(&mut self, settings: FolderSettings) {
        self.library = opened(&self.catalog, self.folder.path(), settings);
    }

    /// The folder that is the root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("Pictures")
    }

    /// A folder of its own for copies of originals, which a tree needs none of.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Writes a file below the root.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> AssetId {
        let whole = self.root().join(path);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        std::fs::write(whole, bytes).unwrap();
        AssetId(raw(Path::new(path)))
    }

    /// Bytes that begin like a JPEG, other ones each time.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        [&[0xff, 0xd8, 0xff, 0xe0][..], &number.to_le_bytes(), &vec![7; 2000 + number as usize]].concat()
    }
}

fn opened(catalog: &Catalog, folder: &Path, settings: FolderSettings) -> Arc<FolderLibrary> {
    Arc::new(FolderLibrary::new(catalog.clone(), "pictures", folder.join("Pictures"), settings))
}
