//! Thumbnails follow the originals: what is interrupted is made by the next run, and what cannot be made is said.

use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::Settings;
use darkslide_client::catalog::{AssetRow, FileRow, Spans, UploadedRows};
use darkslide_client::download::{Source, download_thumbnail};
use darkslide_client::event::{Event, Events, Outcome};
use darkslide_client::keys::{collection_key, file_key, stream_header};
use darkslide_client::library::{AlbumRule, raw};
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_e2e::bitmap::bitmap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

impl Scene {
    /// The JPEG that stands for a file in the vault.
    async fn thumbnail(&self, row: &FileRow) -> Vec<u8> {
        let collection = self.catalog.collection(row.collection).await.unwrap().unwrap();
        let key = file_key(&collection_key(&self.session.keys, &collection).unwrap(), row).unwrap();
        let header = stream_header(&row.thumbnail_header).unwrap();
        download_thumbnail(&self.session.api, &Source { file: row.id, key: &key, header }).await.unwrap()
    }

    async fn due(&self) -> usize {
        self.catalog.thumbnails_due(0, 1000).await.unwrap().len()
    }
}

/// What stands in for a thumbnail that is not there yet: the shortest that any file of the vault has.
async fn placeholder(scene: &Scene) -> Vec<u8> {
    scene.write("never.jpg", &picture(9, 2000));
    let off = Settings { thumbnailer: Thumbnailer::off(), ..settings(AlbumRule::PerRoot) };
    assert_eq!(scene.back_up_with(&off).await.unwrap().placeholders, 1);
    let row = scene.vault().await.into_iter().find(|row| row.title.as_deref() == Some("never.jpg")).unwrap();
    scene.thumbnail(&row).await
}

fn is_marked(row: &FileRow) -> bool {
    row.public_metadata.as_deref().is_some_and(|text| text.contains(r#""noThumb":true"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_run_leaves_due_the_next_one_makes() {
    const PICTURES: u8 = 12;
    let scene = Scene::new().await;
    let placeholder = placeholder(&scene).await;
    for number in 0..PICTURES {
        scene.write(&format!("{number:02}.bmp"), &bitmap(120, 100 + number));
    }
    let (events, mut told) = Events::channel();
    let stop = CancellationToken::new();
    let stopping = tokio::spawn({
        let stop = stop.clone();
        async move {
            while let Some(event) = told.recv().await {
                if matches!(event, Event::Finished { outcome: Outcome::Uploaded, .. }) {
                    stop.cancel();
                }
            }
        }
    });
    let report = scene.run(&settings(AlbumRule::PerRoot), &events, &stop).await.unwrap();
    drop(events);
    stopping.await.unwrap();
    // Safe already, each with its thumbnail or with a note that it is due.
    let due = scene.catalog.thumbnails_due(0, 1000).await.unwrap();
    let vault = scene.vault().await;
    assert!(vault.len() as u64 > report.uploaded, "all that was told to be safe is there");
    for row in vault.iter().filter(|row| row.title.as_deref() != Some("never.jpg")) {
        let is_due = due.iter().any(|due| due.file == row.id);
        let has_one = scene.thumbnail(row).await != placeholder;
        assert!(is_due || has_one, "{:?} is forgotten", row.title);
        assert!(!is_marked(row));
    }

    let off = Settings { thumbnailer: Thumbnailer::off(), ..settings(AlbumRule::PerRoot) };
    scene.back_up_with(&off).await.unwrap();
    assert!(scene.due().await >= due.len(), "a run without thumbnails leaves what is due");
    let report = scene.back_up().await;
    assert_eq!((report.thumbnails_left, report.placeholders, scene.due().await), (0, 0, 0));
    for row in scene.vault().await {
        let title = row.title.clone().unwrap();
        let jpeg = scene.thumbnail(&row).await;
        // What went without a thumbnail on purpose stays so.
        if is_marked(&row) {
            assert_eq!(jpeg, placeholder, "{title}");
        } else {
            assert!(jpeg.starts_with(b"\xff\xd8\xff") && jpeg != placeholder, "{title}");
        }
    }
    scene.verify_all(u64::from(PICTURES) + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_decoder_reads_is_marked_as_other_clients_mark_it() {
    let scene = Scene::new().await;
    let placeholder = placeholder(&scene).await;
    scene.write("torn.jpg", &picture(1, 50_000));
    scene.write("film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42\0\0\0\x08free");
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.placeholders, report.thumbnails_left), (2, 2, 0), "{report:?}");
    for row in scene.vault().await {
        assert!(is_marked(&row), "{:?}", row.title);
        assert_eq!(scene.thumbnail(&row).await, placeholder);
    }
    assert_eq!(scene.due().await, 0);
}

/// A file that was sent, and of which a killed run left the thumbnail due.
async fn sent_and_due(scene: &Scene, name: &str, root: &Path) -> FileRow {
    let off = Settings { thumbnailer: Thumbnailer::off(), ..settings(AlbumRule::PerRoot) };
    scene.back_up_with(&off).await.unwrap();
    let asset = scene.catalog.asset(&raw(&scene.pictures()), name.as_bytes()).await.unwrap().unwrap();
    let asset = AssetRow { root: raw(root), ..asset };
    let [file] = scene.catalog.memberships(asset.file.unwrap()).await.unwrap().try_into().unwrap();
    let thumbnails_due = [(file.id, file.object_header.clone())].into();
    let rows = UploadedRows { files: vec![file.clone()], assets: vec![asset], thumbnails_due };
    scene.catalog.record_uploads(&rows, &mut Spans::default()).await.unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_is_never_made_of_another_content() {
    let scene = Scene::new().await;
    let path = scene.write("a.bmp", &bitmap(12, 1));
    let sent = sent_and_due(&scene, "a.bmp", &scene.pictures()).await;
    let before = scene.thumbnail(&sent).await;
    std::fs::write(&path, bitmap(12, 2)).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.thumbnails_left), (1, 0));
    for row in scene.vault().await {
        assert_eq!(scene.thumbnail(&row).await == before, row.id == sent.id);
        assert_eq!(is_marked(&row), row.id == sent.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_waits_for_the_disk_that_its_picture_is_on() {
    let scene = Scene::new().await;
    scene.write("other.bmp", &bitmap(12, 2));
    let copy = scene.write("a.bmp", &bitmap(12, 1));
    sent_and_due(&scene, "a.bmp", Path::new("/no/such/disk")).await;
    std::fs::remove_file(copy).unwrap();
    assert_eq!(scene.back_up().await.thumbnails_left, 1);
    assert_eq!(scene.due().await, 1);
}

/// Once, it had none for ever: it was taken for deleted, or waited for a folder that was gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_before_its_thumbnail_is_made_has_one() {
    for (from, moved, to) in [
        ("a.bmp", ("a.bmp", "b.bmp"), "b.bmp"),
        ("a.bmp", ("a.bmp", "deep/a.bmp"), "deep/a.bmp"),
        ("trip/a.bmp", ("trip", "journey"), "journey/a.bmp"),
    ] {
        let scene = Scene::new().await;
        scene.write("other.bmp", &bitmap(12, 9));
        scene.write("deep/other.bmp", &bitmap(12, 8));
        scene.write(from, &bitmap(12, 1));
        let sent = sent_and_due(&scene, from, &scene.pictures()).await;
        let before = scene.thumbnail(&sent).await;
        let path = |name: &str| scene.pictures().join(name);
        std::fs::rename(path(moved.0), path(moved.1)).unwrap();
        let report = scene.back_up().await;
        assert_eq!(
            (report.uploaded, report.thumbnails_left, report.placeholders),
            (0, 0, 0),
            "{to}: {report:?}"
        );
        let row = scene.vault().await.into_iter().find(|row| row.id == sent.id).unwrap();
        assert_ne!(scene.thumbnail(&row).await, before, "{to}");
        assert!(scene.catalog.asset(&raw(&scene.pictures()), to.as_bytes()).await.unwrap().is_some());
    }
}
