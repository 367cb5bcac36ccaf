//! What only a folder tree is asked: how much a look costs, what has settled, and whether the tree is there at all.

use crate::tree::{Tree, settled};
use darkslide_client::catalog::Catalog;
use darkslide_client::library::device::AssetId;
use darkslide_client::library::folder_library::FolderSettings;
use darkslide_client::library::settle::Settling;
use darkslide_client::library::{Library as _, LibraryChanges, LibraryError, Part};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

async fn changes(tree: &Tree, since: Option<&LibraryChanges>) -> LibraryChanges {
    tree.library.changes(since.map(|told| told.token.as_slice())).await.unwrap()
}

fn names(told: &LibraryChanges) -> Vec<String> {
    let mut names: Vec<_> =
        told.changed.iter().map(|asset| String::from_utf8_lossy(&asset.id.0).into_owned()).collect();
    names.sort();
    names
}

/// The catalog records what was told, as a run of the engine does.
async fn record(catalog: &Catalog, tree: &Tree, told: &LibraryChanges) {
    catalog.record_library(tree.library.id(), told, 1, 1).await.unwrap();
}

#[tokio::test]
async fn what_is_no_picture_or_is_ignored_is_not_told() {
    let tree = Tree::new(settled()).await;
    for path in ["a.jpg", "b/c.jpg", ".hidden/d.jpg", "@eaDir/e.jpg", "f.jpg.part"] {
        tree.write(path, &tree.picture());
    }
    tree.write("b/notes.txt", b"text");
    tree.write("text/only.txt", b"text");
    #[cfg(unix)]
    std::os::unix::fs::symlink(tree.root(), tree.root().join("loop")).unwrap();
    let told = changes(&tree, None).await;
    assert_eq!(names(&told), ["a.jpg", "b/c.jpg"]);
    let albums = tree.library.albums().await.unwrap();
    let albums: Vec<_> = albums.iter().map(|album| album.name.as_str()).collect();
    assert_eq!(albums, ["Pictures", "b"]);
}

/// Other bytes under the same `stat` are not seen, so nothing but that was asked of the file.
#[tokio::test]
async fn what_is_unchanged_is_not_looked_into() {
    let tree = Tree::new(settled()).await;
    let bytes = tree.picture();
    tree.write("a.jpg", &bytes);
    let first = changes(&tree, None).await;
    let path = tree.root().join("a.jpg");
    let modified = path.metadata().unwrap().modified().unwrap();
    fs::write(&path, "text".repeat(bytes.len()).split_at(bytes.len()).0).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let second = changes(&tree, Some(&first)).await;
    assert_eq!((second.changed.len(), second.gone.len(), second.is_everything), (0, 0, false));
    assert_eq!(second.token, first.token);
    assert_eq!(second.token.len(), 32, "however much there is");
}

#[tokio::test]
async fn a_file_is_told_when_it_has_settled() {
    let clock = Arc::new(Mutex::new(SystemTime::now()));
    let told_by = Arc::clone(&clock);
    let settings = FolderSettings {
        settling: Some(Settling::default()),
        now: Arc::new(move || *told_by.lock().unwrap()),
        ..settled()
    };
    let pass = |seconds| *clock.lock().unwrap() = SystemTime::now() + Duration::from_secs(seconds);
    let whole = |bytes: &[u8]| [bytes, &[0xff, 0xd9]].concat();
    let tree = Tree::new(settings).await;
    tree.write("a.jpg", &whole(&tree.picture()));
    let first = changes(&tree, None).await;
    assert_eq!(names(&first), [""; 0]);
    // An hour later it has settled, whole or not; and nobody needs a notice for that.
    pass(3600);
    tokio::time::timeout(Duration::from_mins(1), tree.library.changed()).await.expect("it has settled");
    let second = changes(&tree, Some(&first)).await;
    assert_eq!(names(&second), ["a.jpg"]);
    // While it is written to again, it stays what was told, and cannot be opened as that.
    pass(0);
    tree.write("a.jpg", &whole(&tree.picture()));
    let third = changes(&tree, Some(&second)).await;
    assert_eq!((third.changed.len(), third.gone.len()), (0, 0));
    let (id, nowhere) = (AssetId::new("a.jpg"), tree.cache());
    assert!(matches!(tree.library.open(&id, Part::Main, &nowhere).await, Err(LibraryError::Gone)));
    pass(3600);
    let fourth = changes(&tree, Some(&third)).await;
    assert_eq!(names(&fourth), ["a.jpg"]);
    assert_ne!(fourth.changed[0].fingerprint, second.changed[0].fingerprint);
}

/// Nobody gives notice of that.
#[tokio::test]
async fn that_a_file_has_settled_is_news() {
    let settling =
        Settling { photos: Duration::from_millis(500), incomplete: Duration::ZERO, ..Settling::default() };
    let tree = Tree::new(FolderSettings { settling: Some(settling), ..settled() }).await;
    tree.write("a.jpg", &tree.picture());
    let mut told = changes(&tree, None).await;
    while names(&told).is_empty() {
        tokio::time::timeout(Duration::from_mins(1), tree.library.changed()).await.expect("it settles");
        told = changes(&tree, Some(&told)).await;
    }
}

/// Rights count for this thread, and for those that it begins, even where the system's administrator runs it.
#[cfg(target_os = "linux")]
fn obey_rights() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, sets).unwrap();
}

/// What lies in a folder that may not be read is unknown, which is not the same as gone.
#[cfg(unix)]
#[tokio::test]
async fn what_may_not_be_read_is_not_gone() {
    use std::os::unix::fs::PermissionsExt as _;
    // Before there are other threads.
    #[cfg(target_os = "linux")]
    obey_rights();
    let tree = Tree::new(settled()).await;
    tree.write("a/1.jpg", &tree.picture());
    tree.write("2.jpg", &tree.picture());
    let first = changes(&tree, None).await;
    let (folder, file) = (tree.root().join("a"), tree.root().join("3.jpg"));
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&folder, 0);
    folder.read_dir().unwrap_err();
    tree.write("3.jpg", &tree.picture());
    allow(&file, 0);
    let second = changes(&tree, Some(&first)).await;
    assert_eq!((names(&second), second.gone.len()), (vec!["3.jpg".to_owned()], 0), "who opens it says why");
    allow(&folder, 0o700);
    allow(&file, 0o600);
    let third = changes(&tree, Some(&second)).await;
    assert_eq!((third.changed.len(), third.gone.len()), (0, 0));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(changes(&tree, Some(&third)).await.gone, [AssetId::new("a/1.jpg")]);
}

/// A disk that is not mounted leaves nothing behind, or an empty folder; in this process, and in the next.
#[tokio::test]
async fn a_root_that_is_not_itself_is_an_error() {
    let mut tree = Tree::new(settled()).await;
    assert_eq!(names(&changes(&tree, None).await), [""; 0], "an empty tree is one");
    tree.write("a/1.jpg", &tree.picture());
    let told = changes(&tree, None).await;
    record(&tree.catalog, &tree, &told).await;
    let away = tree.root().with_file_name("away");
    for is_new_process in [false, true] {
        if is_new_process {
            tree.restart(settled());
        }
        fs::rename(tree.root(), &away).unwrap();
        for since in [None, Some(told.token.as_slice())] {
            let error = tree.library.changes(since).await.unwrap_err();
            assert!(matches!(error, LibraryError::Read(_)), "{error}");
        }
        fs::create_dir(tree.root()).unwrap();
        for since in [None, Some(told.token.as_slice())] {
            let error = tree.library.changes(since).await.unwrap_err();
            assert!(error.to_string().contains("may not be mounted"), "{error}");
        }
        fs::remove_dir(tree.root()).unwrap();
        fs::rename(&away, tree.root()).unwrap();
        let back = changes(&tree, Some(&told)).await;
        assert_eq!((back.gone.len(), back.is_everything), (0, is_new_process));
    }
}

/// What comes back under its old name is there, and not gone.
#[tokio::test]
async fn what_comes_back_is_not_gone() {
    let tree = Tree::new(settled()).await;
    let bytes = tree.picture();
    tree.write("a.jpg", &bytes);
    tree.write("b.jpg", &tree.picture());
    let first = changes(&tree, None).await;
    fs::remove_file(tree.root().join("a.jpg")).unwrap();
    let second = changes(&tree, Some(&first)).await;
    assert_eq!(second.gone, [AssetId::new("a.jpg")]);
    tree.write("a.jpg", &bytes);
    for since in [&first, &second] {
        let told = changes(&tree, Some(since)).await;
        assert_eq!((names(&told), told.gone.len()), (vec!["a.jpg".to_owned()], 0));
    }
}
