//! What is known to be damaged on the server is sent again by whoever has it, and is the same file then.

use crate::edits::taken;
use crate::freeing::candidates;
use crate::scene::{Scene, picture};
use darkslide_client::FileId;
use darkslide_client::backup::explain;
use darkslide_client::backup::explain::explain_file;
use darkslide_client::backup::standing::{Agent, Cause, Next, Standing};
use darkslide_client::catalog::{AssetRow, AssetState, FileRow, LookedAt, Part};
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::receipt::{ReceiptSummary, ask_for_receipts};
use darkslide_client::verify::{VerifyScope, VerifySummary, verify};
use darkslide_client::versions::list_versions;
use darkslide_e2e::bitmap::bitmap;
use darkslide_e2e::damage::{Object, flip, forge, lose};
use std::os::unix::ffi::OsStrExt as _;

impl Scene {
    async fn verified(&self) -> VerifySummary {
        feed::pull(&self.session, &self.catalog).await.unwrap();
        let scope = VerifyScope::Everything;
        verify(&self.session, &self.catalog, scope, &Events::silent()).await.unwrap()
    }

    async fn said_by_server(&self) -> ReceiptSummary {
        feed::pull(&self.session, &self.catalog).await.unwrap();
        let scope = VerifyScope::Everything;
        ask_for_receipts(&self.session, &self.catalog, scope, &Events::silent()).await.unwrap().unwrap()
    }

    async fn file(&self, name: &str) -> FileRow {
        self.vault().await.into_iter().find(|row| row.title.as_deref() == Some(name)).unwrap()
    }

    /// The files that are known to be damaged, and whether they are here.
    async fn known(&self) -> Vec<(FileId, Part, bool)> {
        let known = self.catalog.damaged_files().await.unwrap();
        known.into_iter().map(|known| (known.file, known.part, known.is_here)).collect()
    }

    /// Backs up, and nothing is sent, read or wrong.
    async fn nothing_is_done(&self) {
        let report = self.back_up().await;
        assert_eq!((report.bytes_sent, report.bytes_hashed, report.failed.len()), (0, 0, 0), "{report:?}");
    }
}

/// What is said of a file, and where it is: all but its bytes, and its version.
fn said(row: &FileRow) -> FileRow {
    let same = |header: &str| darkslide_protocol::Opaque(header.into());
    FileRow {
        object_header: same(""),
        thumbnail_header: same(""),
        version: darkslide_protocol::Version(0),
        ..row.clone()
    }
}

/// Small ones that go together, and one that goes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_download_finds_damaged_is_sent_again_as_the_same_file() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.write("b.jpg", &picture(2, 5000));
    scene.write("large.jpg", &picture(3, 9 << 20));
    scene.back_up().await;
    let before = scene.vault().await;
    let (small, large) = (scene.file("a.jpg").await.id, scene.file("large.jpg").await.id);
    for file in [small, large] {
        flip(&scene.server, file, Object::Original).await;
    }
    let found = scene.verified().await;
    assert_eq!((found.intact, found.failed.len()), (1, 2), "{:?}", found.failed);
    let mut known = scene.known().await;
    known.sort_by_key(|(file, ..)| *file);
    assert_eq!(known, [(small, Part::Original, true), (large, Part::Original, true)]);
    let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap();
    assert!(
        matches!(told, Standing::Pending { cause: Cause::Damaged { .. }, next: Next::Nothing }),
        "{told}"
    );
    let told = explain_file(&scene.catalog, small).await.unwrap().unwrap();
    assert!(told.ends_with("It is damaged on the server; it is sent again by the next backup."), "{told}");

    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended, report.linked, report.failed.len()), (2, 2, 0, 0));
    assert_eq!(report.unchanged, 1, "{report:?}");
    scene.verify_all(3).await;
    let summary = scene.said_by_server().await;
    assert_eq!((summary.vouched_for, summary.failed.len()), (3, 0), "{:?}", summary.failed);
    assert_eq!(scene.known().await, []);
    let after = scene.vault().await;
    let all_said = |rows: &[FileRow]| rows.iter().map(said).collect::<Vec<_>>();
    assert_eq!(all_said(&after), all_said(&before), "the same files, of which the same is said");
    for file in [small, large] {
        let versions = list_versions(&scene.session, &scene.catalog, file).await.unwrap();
        assert!(versions.is_empty(), "what was damaged is no earlier version: {versions:?}");
    }
    let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap();
    assert!(matches!(told, Standing::Safe { .. }), "{told}");
    scene.nothing_is_done().await;
}

/// All that went in one request lies in one blob.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_lost_is_sent_again_with_a_thumbnail() {
    let scene = Scene::new().await;
    scene.write("a.bmp", &bitmap(120, 7));
    scene.write("b.bmp", &bitmap(120, 90));
    scene.back_up().await;
    let before = scene.vault().await;
    for row in &before {
        // They may lie together.
        if scene.said_by_server().await.failed.len() < 2 {
            lose(&scene.server, row.id).await;
        }
        flip(&scene.server, row.id, Object::Thumbnail).await;
    }
    let summary = scene.said_by_server().await;
    assert_eq!((summary.vouched_for, summary.failed.len()), (0, 2), "{:?}", summary.failed);
    assert_eq!(scene.known().await.len(), 2);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended, report.failed.len()), (2, 2, 0), "{report:?}");
    assert_eq!((report.thumbnails_left, report.placeholders), (0, 0), "{report:?}");
    scene.verify_all(2).await;
    assert_eq!(scene.said_by_server().await.vouched_for, 2);
    let after = scene.vault().await;
    assert!(after.iter().zip(&before).all(|(after, before)| after.id == before.id));
    let sizes = |rows: &[FileRow]| rows.iter().map(|row| row.thumbnail_size).collect::<Vec<_>>();
    assert_eq!(sizes(&after), sizes(&before), "no placeholder stays");
    scene.nothing_is_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_that_alone_is_damaged_is_made_again() {
    let scene = Scene::new().await;
    scene.write("a.bmp", &bitmap(120, 7));
    scene.back_up().await;
    let before = scene.file("a.bmp").await;
    flip(&scene.server, before.id, Object::Thumbnail).await;
    assert_eq!(scene.verified().await.failed.len(), 1);
    assert_eq!(scene.known().await, [(before.id, Part::Thumbnail, true)]);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.bytes_hashed, report.thumbnails_left), (0, 0, 0), "{report:?}");
    scene.verify_all(1).await;
    let after = scene.file("a.bmp").await;
    assert_eq!((&after.object_header, scene.known().await), (&before.object_header, Vec::new()));
    assert_eq!(scene.said_by_server().await.vouched_for, 1);
    scene.nothing_is_done().await;
}

/// Whoever does not have it sends nothing, and goes on saying so; whoever has it, mends it for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_does_not_have_it_sends_nothing() {
    let mut scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let file = scene.file("a.jpg").await.id;
    flip(&scene.server, file, Object::Original).await;
    let here = scene.catalog.clone();
    scene.forget().await;
    let elsewhere = scene.catalog.clone();
    let bag = tempfile::tempdir().unwrap();
    let away = bag.path().join("a.jpg");
    std::fs::copy(&path, &away).unwrap();
    std::fs::remove_file(&path).unwrap();
    scene.write("other.jpg", &picture(2, 5000));
    assert_eq!(scene.verified().await.failed.len(), 1);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended), (1, 0), "{report:?}");
    assert_eq!(scene.known().await, [(file, Part::Original, false)]);
    let told = explain_file(&scene.catalog, file).await.unwrap().unwrap();
    assert!(told.contains("whoever still has it sends it again"), "{told}");
    scene.nothing_is_done().await;

    std::fs::copy(&away, &path).unwrap();
    scene.catalog = here;
    scene.said_by_server().await;
    assert_eq!(scene.known().await, [(file, Part::Original, true)]);
    assert_eq!(scene.back_up().await.mended, 1);
    scene.catalog = elsewhere;
    scene.verify_all(2).await;
    assert_eq!(scene.known().await, []);
}

/// Two catalogs of one folder: the second knows of the damage, and not of what mended it, as one that was killed right after the commit.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mended_and_not_recorded_is_not_sent_again() {
    let mut scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let first = scene.catalog.clone();
    scene.forget().await;
    scene.back_up().await;
    let file = scene.file("a.jpg").await.id;
    flip(&scene.server, file, Object::Original).await;
    scene.verified().await;
    let killed = std::mem::replace(&mut scene.catalog, first);
    scene.verified().await;
    assert_eq!(scene.back_up().await.mended, 1);
    scene.catalog = killed;
    assert_eq!(scene.known().await.len(), 1);
    scene.nothing_is_done().await;
    assert_eq!(scene.known().await, []);
    scene.verify_all(1).await;
}

/// What lies here looks as it did, and is something else: it is no replacement, and nothing is lost of it either.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_the_same_to_the_last_byte_replaces_what_is_damaged() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let before = scene.file("a.jpg").await;
    let modified = path.metadata().unwrap().modified().unwrap();
    std::fs::write(&path, picture(2, 5000)).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    flip(&scene.server, before.id, Object::Original).await;
    assert_eq!(scene.verified().await.failed.len(), 1);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended), (1, 0), "{report:?}");
    let vault = scene.vault().await;
    let damaged = vault.iter().find(|row| row.id == before.id).unwrap();
    assert_eq!((vault.len(), &damaged.object_header), (2, &before.object_header));
    assert_eq!(scene.known().await, [(before.id, Part::Original, false)]);
    scene.nothing_is_done().await;
}

/// Another copy of the picture, that no run has seen, is as good; it goes where it belongs as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_new_here_mends_it_too() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let file = scene.file("a.jpg").await.id;
    flip(&scene.server, file, Object::Original).await;
    scene.said_by_server().await;
    std::fs::remove_file(path).unwrap();
    scene.write("trip/copy.jpg", &picture(1, 5000));
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended), (1, 1), "{report:?}");
    let vault = scene.vault().await;
    assert_eq!(
        vault.iter().map(|row| (row.id, row.title.as_deref())).collect::<Vec<_>>(),
        [(file, Some("a.jpg"))]
    );
    scene.verify_all(1).await;
    scene.nothing_is_done().await;
}

/// Whoever runs the server brought it back: the server is asked before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_again_is_not_sent() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let file = scene.file("a.jpg").await.id;
    flip(&scene.server, file, Object::Original).await;
    assert_eq!(scene.said_by_server().await.failed.len(), 1);
    flip(&scene.server, file, Object::Original).await;
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended, report.bytes_sent), (0, 0, 0), "{report:?}");
    assert_eq!(scene.known().await, []);
    scene.nothing_is_done().await;
}

/// However whole the server says that it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_download_found_damaged_stays_here_until_it_was_sent_again() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let row = scene.file("a.jpg").await;
    forge(&scene.server, row.id).await;
    assert_eq!(scene.verified().await.failed.len(), 1);
    assert_eq!(scene.said_by_server().await.vouched_for, 1);
    assert_eq!(candidates(&scene).await, []);
    assert_eq!(scene.known().await.len(), 1);
    assert_eq!(scene.back_up().await.mended, 1);
    assert_eq!(candidates(&scene).await.len(), 1);
    // A receipt says of what is damaged that it is, too.
    flip(&scene.server, row.id, Object::Original).await;
    assert_eq!(candidates(&scene).await, []);
    assert_eq!(scene.known().await, [(row.id, Part::Original, true)]);
    assert!(path.exists());
    assert_eq!(scene.back_up().await.mended, 1);
    assert_eq!(candidates(&scene).await.len(), 1);
}

/// The line had made something else of it, and everything that was looked at over it was sent again.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_download_finds_whole_is_not_sent() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    let row = scene.file("a.jpg").await;
    let found = LookedAt {
        file: row.id,
        object_header: row.object_header.clone(),
        thumbnail_header: row.thumbnail_header.clone(),
        damage: Some((Part::Original, "altered")),
    };
    scene.catalog.record_looked_at(&[found], 1).await.unwrap();
    assert_eq!(scene.said_by_server().await.vouched_for, 1);
    assert_eq!((scene.known().await.len(), candidates(&scene).await.len()), (1, 0));
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.mended, report.bytes_sent), (0, 0, 0), "{report:?}");
    assert_eq!((scene.known().await.len(), candidates(&scene).await.len()), (0, 1));
    scene.nothing_is_done().await;
}

/// It replaces bytes, and adds none. Also where there had been no room for it before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_mended_in_a_full_vault() {
    for was_refused in [false, true] {
        let scene = Scene::new().await;
        let paths = [("a.jpg", 5000), ("b.jpg", 9 << 20), ("c.jpg", 5 << 20)];
        for (seed, (path, length)) in (1..).zip(paths) {
            scene.write(path, &picture(seed, length));
        }
        scene.back_up().await;
        for path in ["a.jpg", "b.jpg"] {
            flip(&scene.server, scene.file(path).await.id, Object::Original).await;
        }
        assert_eq!(scene.said_by_server().await.failed.len(), 2);
        scene.set_quota(1).await;
        if was_refused {
            let root = scene.pictures().as_os_str().as_bytes().to_vec();
            for path in ["a.jpg", "b.jpg"] {
                let row = scene.catalog.asset(&root, path.as_bytes()).await.unwrap().unwrap();
                let row = AssetRow { state: AssetState::NoRoom, ..row };
                scene.catalog.put_asset(&row).await.unwrap();
            }
        }
        scene.write("new.jpg", &picture(9, 5000));
        let report = scene.back_up().await;
        assert_eq!((report.mended, report.without_room, report.failed.len()), (2, 1, 0), "{report:?}");
        scene.verify_all(3).await;
        assert_eq!(scene.said_by_server().await.vouched_for, 3);
        assert_eq!(scene.known().await, []);
        assert_eq!(scene.titles().await, ["a.jpg", "b.jpg", "c.jpg"]);
    }
}
