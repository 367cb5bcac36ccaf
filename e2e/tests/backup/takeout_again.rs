//! Google Takeout: what is there twice counts once, and what comes later is put right.

use crate::dedup::trash_everything;
use crate::scene::{Scene, picture};
use crate::takeout::{
    NOW, Pack, SECONDS, YEAR, albums, check_that_nothing_is_left, counts, imported, listed, of_name, opened,
    sidecar, video,
};
use darkslide_client::takeout::Unmatched;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Pictures and their sidecars, one of them in an album.
fn export() -> Pack {
    let loved = json!({
        "title": "b.jpg", "photoTakenTime": { "timestamp": (SECONDS + 1).to_string() }, "favorited": true,
    });
    Pack::default()
        .file(&format!("{YEAR}/a.jpg"), picture(1, 90_000))
        .json(&format!("{YEAR}/a.jpg.supplemental-metadata.json"), &sidecar("a.jpg", SECONDS))
        .file("Takeout/Google Photos/Paris/b.jpg", picture(2, 5000))
        .json("Takeout/Google Photos/Paris/b.jpg.json", &loved)
        .album("Takeout/Google Photos/Paris", "Paris, Mai")
        .file(&format!("{YEAR}/gone.jpg"), picture(3, 5000))
        .json(&format!("{YEAR}/gone.jpg.json"), &json!({ "photoTakenTime": {}, "trashed": true }))
}

/// What an export of [`export`] becomes.
async fn is_whole(scene: &Scene) {
    let files = listed(scene).await;
    assert_eq!(files.len(), 2, "{files:#?}");
    assert_eq!(of_name(&files, "a.jpg"), [(albums(&["Google Photos"]), SECONDS)]);
    assert_eq!(of_name(&files, "b.jpg"), [(albums(&["Favorites", "Paris, Mai"]), SECONDS + 1)]);
}

fn unpack(pack: &Pack, folder: &Path) {
    for (path, bytes) in pack.contents() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Once, no sidecar was found for any picture.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_there_twice_counts_once() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let pack = export();
    let first = pack.zip(&path("1.zip"));
    fs::copy(&first, path("1 (1).zip")).unwrap();
    fs::create_dir(path("unpacked")).unwrap();
    unpack(&pack, &path("unpacked"));
    let paths = [path("1 (1).zip"), first.clone(), path("unpacked")];

    let preview = opened(&paths).await.preview(&scene.catalog, NOW).await.unwrap();
    assert_eq!((preview.files.len(), preview.there_twice), (2, 6), "{preview:#?}");
    assert!(preview.files.iter().all(|file| file.sidecar.is_some()), "{preview:#?}");

    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (2, 0, 0, 1, 0), "{report:#?}");
    assert_eq!((&report.unmatched, report.there_twice), (&Unmatched::default(), 6), "{report:#?}");
    is_whole(&scene).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
    let once = imported(&scene, &[first]).await;
    assert_eq!((once.backup.bytes_sent, once.there_twice), (0, 0), "{once:#?}");
    is_whole(&scene).await;
}

/// What was dealt with is what stands for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_comes_later_is_not_read() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let first = export().zip(&folder.path().join("1.zip"));
    imported(&scene, std::slice::from_ref(&first)).await;
    let copy = folder.path().join("1 (1).zip");
    fs::copy(&first, &copy).unwrap();
    let report = imported(&scene, &[copy, first]).await;
    assert_eq!((report.backup.bytes_sent, report.there_twice), (0, 3), "{report:#?}");
    is_whole(&scene).await;
}

/// Whoever downloads a damaged archive again need not know which of the two is whole.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_damaged_archive_and_its_second_download_the_whole_one_is_taken() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let pack = Pack::default()
        .stored(&format!("{YEAR}/a.jpg"), picture(1, 90_000))
        .stored(&format!("{YEAR}/a.jpg.json"), sidecar("a.jpg", SECONDS).to_string().into_bytes());
    let mut damaged = fs::read(pack.zip(&path("2.zip"))).unwrap();
    for content in [picture(1, 90_000), sidecar("a.jpg", SECONDS).to_string().into_bytes()] {
        let at = damaged.windows(content.len()).position(|window| window == content).unwrap();
        damaged[at + content.len() - 1] ^= 1;
    }
    fs::write(path("1.zip"), damaged).unwrap();
    let paths = [path("1.zip"), path("2.zip")];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (0, 0, 0, 0, 1), "{report:#?}");
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (1, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(of_name(&listed(&scene).await, "a.jpg"), [(albums(&["Google Photos"]), SECONDS)]);
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Two exports, between which the same name went to another picture, and what is said of one picture changed.
#[tokio::test(flavor = "multi_thread")]
async fn of_sidecars_of_one_name_each_picture_has_its_own() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let pack = |seed: u8| {
        let seconds = SECONDS + i64::from(seed);
        Pack::default()
            .file(&format!("{YEAR}/a.jpg"), picture(seed, 5000))
            .json(&format!("{YEAR}/a.jpg.json"), &sidecar("a.jpg", seconds))
            .file(&format!("{YEAR}/same.jpg"), picture(9, 5000))
            .json(&format!("{YEAR}/same.jpg.json"), &sidecar("same.jpg", seconds))
    };
    let paths = [pack(1).zip(&folder.path().join("1.zip")), pack(2).zip(&folder.path().join("2.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (3, 0, 0, 0, 0), "{report:#?}");
    assert_eq!((&report.unmatched, report.there_twice), (&Unmatched::default(), 1), "{report:#?}");
    let files = listed(&scene).await;
    let mut dates: Vec<i64> = of_name(&files, "a.jpg").into_iter().map(|(_, seconds)| seconds).collect();
    dates.sort_unstable();
    assert_eq!(dates, [SECONDS + 1, SECONDS + 2]);
    assert_eq!(of_name(&files, "same.jpg"), [(albums(&["Google Photos"]), SECONDS + 1)]);
    check_that_nothing_is_left(&scene, &paths, &report).await;

    // Whose they are cannot be told where the pictures are in other archives.
    let scene = Scene::new().await;
    let apart = [1, 2].into_iter().flat_map(|seed| {
        let picture = Pack::default().file(&format!("{YEAR}/a.jpg"), picture(seed, 5000));
        let said = sidecar("a.jpg", SECONDS + i64::from(seed));
        let told = Pack::default().json(&format!("{YEAR}/a.jpg.json"), &said);
        [
            picture.zip(&folder.path().join(format!("{seed}a.zip"))),
            told.zip(&folder.path().join(format!("{seed}b.zip"))),
        ]
    });
    let report = imported(&scene, &apart.collect::<Vec<_>>()).await;
    assert_eq!(report.unmatched.without_sidecar.len(), 2, "{report:#?}");
    assert_eq!(report.unmatched.sidecars_without_media.len(), 2, "{report:#?}");
}

/// Once, they stayed two files.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_photo_whose_other_half_comes_later_is_joined() {
    for first in [0, 1] {
        let scene = Scene::new().await;
        let folder = tempfile::tempdir().unwrap();
        let still = Pack::default()
            .file(&format!("{YEAR}/IMG_1.JPG"), picture(1, 5000))
            .json(&format!("{YEAR}/IMG_1.JPG.json"), &sidecar("IMG_1.JPG", SECONDS));
        let motion = Pack::default().stored(&format!("{YEAR}/IMG_1.MP4"), video());
        let paths = [still.zip(&folder.path().join("1.zip")), motion.zip(&folder.path().join("2.zip"))];
        imported(&scene, &paths[first..=first]).await;
        let before = scene.vault().await.remove(0);
        let report = imported(&scene, &paths).await;
        assert_eq!(counts(&report.backup), (1, 0, 0, 0, 0), "{report:#?}");
        let after = scene.vault().await;
        assert_eq!(after.len(), 1, "{first}: {after:#?}");
        assert_eq!((after[0].id, after[0].kind), (before.id, 2));
        assert_eq!(of_name(&listed(&scene).await, "IMG_1.JPG"), [(albums(&["Google Photos"]), SECONDS)]);
        scene.verify_all(1).await;
        check_that_nothing_is_left(&scene, &paths, &report).await;
    }
}

/// As the guide says: what the album relies on stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_is_in_an_album_stays_beside_its_live_photo() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let album = "Takeout/Google Photos/Paris";
    let still = [YEAR, album].into_iter().fold(Pack::default().album(album, "Paris"), |pack, folder| {
        pack.file(&format!("{folder}/IMG_1.JPG"), picture(1, 5000))
            .json(&format!("{folder}/IMG_1.JPG.json"), &sidecar("IMG_1.JPG", SECONDS))
    });
    let motion = [YEAR, album]
        .into_iter()
        .fold(Pack::default(), |pack, folder| pack.stored(&format!("{folder}/IMG_1.MP4"), video()));
    let paths = [still.zip(&folder.path().join("1.zip")), motion.zip(&folder.path().join("2.zip"))];
    imported(&scene, &paths[..1]).await;
    let report = imported(&scene, &paths).await;
    let mut kinds: Vec<_> = scene.vault().await.iter().map(|row| (row.id, row.kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), [0, 2], "{report:#?}");
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Once, an export brought back what had been backed up from a folder, or imported from another export, and was deleted since.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_from_the_vault_is_not_brought_back_by_an_export() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 90_000));
    scene.back_up().await;
    trash_everything(&scene).await;
    let folder = tempfile::tempdir().unwrap();
    let zip = export().zip(&folder.path().join("1.zip"));
    let report = imported(&scene, &[zip]).await.backup;
    assert_eq!((counts(&report), report.untrashed), ((1, 0, 0, 2, 0), 0), "{report:#?}");
    assert!(report.skipped.iter().any(|named| named.reason.contains("you deleted it")), "{report:#?}");
    let names: BTreeSet<String> = scene.titles().await.into_iter().collect();
    assert_eq!(names, ["b.jpg".to_owned()].into());

    trash_everything(&scene).await;
    // Another export of the same, whose files have other times.
    let unpacked = folder.path().join("unpacked");
    unpack(&export(), &unpacked);
    let report = imported(&scene, &[unpacked]).await.backup;
    assert_eq!((counts(&report), report.untrashed), ((0, 0, 0, 3, 0), 0), "{report:#?}");
    assert_eq!(scene.titles().await, [""; 0]);
}
