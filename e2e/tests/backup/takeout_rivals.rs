//! Google Takeout: where two things are said of one picture, or one name is that of two.

use crate::edits::taken;
use crate::scene::{Scene, picture};
use crate::takeout::{
    NOW, Pack, SECONDS, YEAR, albums, caption, check_that_nothing_is_left, counts, imported, listed, of_name,
    opened, sidecar, video,
};
use darkslide_client::takeout::Unmatched;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Once, what was said of the video was lost, whatever it was.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_of_a_video_is_lost_in_a_live_photo() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let of_video = |name: &str, seconds: i64| {
        json!({
            "title": format!("{name}.MP4"), "description": "the wedding", "favorited": true,
            "photoTakenTime": { "timestamp": seconds.to_string() },
        })
    };
    // Two at Google, of which one date would be lost; and two of one moment.
    let add = |pack: Pack, (name, seed, seconds): (&str, u8, i64)| {
        let place = format!("{YEAR}/{name}");
        let mut video = video();
        video.push(seed);
        pack.file(&format!("{place}.JPG"), picture(seed, 5000))
            .json(&format!("{place}.JPG.json"), &sidecar(&format!("{name}.JPG"), SECONDS))
            .file(&format!("{place}.MP4"), video)
            .json(&format!("{place}.MP4.json"), &of_video(name, seconds))
    };
    let pack =
        [("apart", 1, SECONDS + 9_000_000), ("one", 2, SECONDS + 20)].into_iter().fold(Pack::default(), add);
    let paths = [pack.zip(&folder.path().join("1.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (3, 0, 0, 0, 0), "{report:#?}");
    let files = listed(&scene).await;
    let (plain, loved) = (albums(&["Google Photos"]), albums(&["Favorites", "Google Photos"]));
    assert_eq!(of_name(&files, "apart.JPG"), [(plain, SECONDS)]);
    assert_eq!(of_name(&files, "apart.MP4"), [(loved.clone(), SECONDS + 9_000_000)]);
    assert_eq!(of_name(&files, "one.JPG"), [(loved, SECONDS)]);
    let rows = scene.vault().await;
    let captions: BTreeSet<_> =
        rows.iter().map(|row| (row.title.as_deref().unwrap(), row.kind, caption(row))).collect();
    let wedding = || Some("the wedding".to_owned());
    assert_eq!(
        captions,
        [("apart.JPG", 0, None), ("apart.MP4", 1, wedding()), ("one.JPG", 2, wedding())].into()
    );
    scene.verify_all(3).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Puts other bytes in the place of names, which no writer of archives would take.
fn rename(path: PathBuf, names: &[(&str, &[u8])]) -> PathBuf {
    let mut bytes = std::fs::read(&path).unwrap();
    for (from, to) in names {
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty() && from.len() == to.len());
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The dates of all files, in seconds.
async fn dates(scene: &Scene) -> Vec<i64> {
    let mut dates: Vec<i64> = listed(scene).await.iter().map(|file| file.taken / 1_000_000).collect();
    dates.sort_unstable();
    dates
}

/// Two pictures whose names differ in a byte that is no UTF-8, and their sidecars.
fn pictures_of_latin_names() -> Pack {
    let said = |seconds: i64| json!({ "photoTakenTime": { "timestamp": seconds.to_string() } });
    Pack::default()
        .stored(&format!("{YEAR}/caf1.jpg"), picture(1, 5000))
        .stored(&format!("{YEAR}/caf2.jpg"), picture(2, 5000))
        .stored(&format!("{YEAR}/caf1.jpg.json"), said(SECONDS).to_string().into_bytes())
        .stored(&format!("{YEAR}/caf2.jpg.json"), said(SECONDS + 86_400).to_string().into_bytes())
}

const LATIN: [(&str, &[u8]); 2] = [("caf1", b"caf\xe8"), ("caf2", b"caf\xe9")];

/// Once, the second of them failed in every import.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_whose_names_are_no_utf8_are_two() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let paths = [rename(pictures_of_latin_names().zip(&folder.path().join("1.zip")), &LATIN)];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (2, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(report.unmatched, Unmatched::default());
    assert_eq!(dates(&scene).await, [SECONDS, SECONDS + 86_400]);
    let raw: BTreeSet<String> = scene.vault().await.iter().map(raw_title).collect();
    assert_eq!(raw, ["caf%E8.jpg".to_owned(), "caf%E9.jpg".to_owned()].into());
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

fn raw_title(row: &darkslide_client::catalog::FileRow) -> String {
    let metadata: Value = serde_json::from_str(row.metadata.as_ref().unwrap()).unwrap();
    metadata["darkslide"]["rawTitle"].as_str().unwrap().to_owned()
}

/// Once, both had the date of one sidecar.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn unpacked_pictures_whose_names_are_no_utf8_have_each_its_sidecar() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let year = folder.path().join(YEAR);
    std::fs::create_dir_all(&year).unwrap();
    for (path, bytes) in pictures_of_latin_names().contents() {
        let name = path.rsplit('/').next().unwrap().as_bytes();
        let (_, begin) = LATIN.iter().find(|(from, _)| name.starts_with(from.as_bytes())).unwrap();
        let name = [*begin, &name[begin.len()..]].concat();
        std::fs::write(year.join(std::ffi::OsStr::from_bytes(&name)), bytes).unwrap();
    }
    let paths = [folder.path().to_owned()];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (2, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(report.unmatched, Unmatched::default());
    assert_eq!(dates(&scene).await, [SECONDS, SECONDS + 86_400]);
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Once, both had the date of one sidecar here, too.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn unpacked_pictures_of_one_name_in_two_spellings_have_each_its_sidecar() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let year = folder.path().join(YEAR);
    std::fs::create_dir_all(&year).unwrap();
    for (seed, name) in [(1, "caf\u{e9}.jpg"), (2, "cafe\u{301}.jpg")] {
        std::fs::write(year.join(name), picture(seed, 5000)).unwrap();
        let said = sidecar("caf\u{e9}.jpg", SECONDS + i64::from(seed));
        std::fs::write(year.join(format!("{name}.json")), said.to_string()).unwrap();
    }
    // Of these only one has a sidecar: the one that is spelled like it.
    std::fs::write(year.join("\u{e9}.jpg"), picture(3, 5000)).unwrap();
    std::fs::write(year.join("e\u{301}.jpg"), picture(4, 5000)).unwrap();
    let told = |name: &str| std::fs::write(year.join(name), sidecar("\u{e9}.jpg", SECONDS + 3).to_string());
    told("\u{e9}.jpg.json").unwrap();
    let paths = [folder.path().to_owned()];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (4, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(report.unmatched.without_sidecar.len(), 1, "{report:#?}");
    let dates = dates(&scene).await;
    assert_eq!(dates[..3], [SECONDS + 1, SECONDS + 2, SECONDS + 3]);
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Once, the second of two pictures was never imported, and the second of two equal ones failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_with_two_entries_of_one_name_goes_in_whole() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let pack = Pack::default()
        .file(&format!("{YEAR}/dd1.jpg"), picture(1, 5000))
        .file(&format!("{YEAR}/dd2.jpg"), picture(2, 5000))
        .json(&format!("{YEAR}/dd1.jpg.json"), &sidecar("dd.jpg", SECONDS))
        .file(&format!("{YEAR}/ee1.jpg"), picture(3, 5000))
        .file(&format!("{YEAR}/ee2.jpg"), picture(3, 5000))
        .json(&format!("{YEAR}/ee1.jpg.json"), &sidecar("eee.jpg", SECONDS + 1))
        .json(&format!("{YEAR}/ee2.jpg.json"), &sidecar("eee.jpg", SECONDS + 1))
        .file("Takeout/Google Photos/Paris/ff1.jpg", picture(4, 5000))
        .file("Takeout/Google Photos/Paris/ff2.jpg", picture(5, 5000))
        .album("Takeout/Google Photos/Paris", "Paris");
    let same: [(&str, &[u8]); 6] = [
        ("dd1", b"ddd"),
        ("dd2", b"ddd"),
        ("ee1", b"eee"),
        ("ee2", b"eee"),
        ("ff1", b"fff"),
        ("ff2", b"fff"),
    ];
    let paths = [rename(pack.zip(&folder.path().join("1.zip")), &same)];
    let preview = opened(&paths).await.preview(&scene.catalog, NOW).await.unwrap();
    assert_eq!((preview.files.len(), preview.failed.len(), preview.there_twice), (5, 0, 1), "{preview:#?}");
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (5, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(report.there_twice, 1, "{report:#?}");
    // Whose the one sidecar is cannot be told.
    assert_eq!(report.unmatched.without_sidecar.len(), 4, "{report:#?}");
    assert_eq!(report.unmatched.sidecars_without_media.len(), 1, "{report:#?}");
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "eee.jpg"), [(albums(&["Google Photos"]), SECONDS + 1)]);
    let in_albums = |name| of_name(&files, name).into_iter().map(|(albums, _)| albums).collect::<Vec<_>>();
    assert_eq!(in_albums("ddd.jpg"), [albums(&["Google Photos"]), albums(&["Google Photos"])]);
    assert_eq!(in_albums("fff.jpg"), [albums(&["Paris"]), albums(&["Paris"])]);
    scene.verify_all(5).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Once, the date of the last was shown: as if its owner had corrected the first.
#[tokio::test(flavor = "multi_thread")]
async fn of_equal_pictures_the_first_says_when_it_was_taken() {
    // As the picture says.
    const TAKEN: i64 = 1_563_639_438;
    const LATER: &str = "Takeout/Google Photos/Photos from 2024";
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let pictures = |place: &str, by: i64| {
        Pack::default()
            .file(&format!("{place}/a.jpg"), picture(1, 5000))
            .json(&format!("{place}/a.jpg.json"), &sidecar("a.jpg", SECONDS + by))
            // It says of itself when it was taken, and so does the first sidecar.
            .file(&format!("{place}/b.jpg"), taken(18, 2))
            .json(&format!("{place}/b.jpg.json"), &sidecar("b.jpg", TAKEN + by))
    };
    let both = [pictures(YEAR, 0).zip(&path("1.zip")), pictures(LATER, 9_000_000).zip(&path("2.zip"))];
    let report = imported(&scene, &both).await;
    assert_eq!(counts(&report.backup), (2, 2, 0, 0, 0), "{report:#?}");
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "a.jpg"), [(albums(&["Google Photos"]), SECONDS)]);
    assert_eq!(of_name(&files, "b.jpg"), [(albums(&["Google Photos"]), TAKEN)]);
    // One that comes later finds them in the vault.
    let last = pictures("Takeout/Google Photos/Photos from 2025", 90_000_000).zip(&path("3.zip"));
    let report = imported(&scene, &[last]).await;
    assert_eq!(counts(&report.backup), (0, 2, 0, 0, 0), "{report:#?}");
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "a.jpg"), [(albums(&["Google Photos"]), SECONDS)]);
    assert_eq!(of_name(&files, "b.jpg"), [(albums(&["Google Photos"]), TAKEN)]);
    // What a later export says of the same pictures is a correction.
    let corrected = pictures(YEAR, 9_500_000).zip(&path("4.zip"));
    let report = imported(&scene, &[corrected]).await;
    assert_eq!(counts(&report.backup), (0, 2, 0, 0, 0), "{report:#?}");
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "a.jpg"), [(albums(&["Google Photos"]), SECONDS + 9_500_000)]);
    assert_eq!(of_name(&files, "b.jpg"), [(albums(&["Google Photos"]), TAKEN + 9_500_000)]);
}

/// Once, a picture took the file of the album for its sidecar, or had none.
#[tokio::test(flavor = "multi_thread")]
async fn a_title_without_an_extension_is_that_of_the_picture() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let paris = "Takeout/Google Photos/Paris";
    let pack = Pack::default()
        .file(&format!("{YEAR}/Untitled.jpg"), picture(1, 5000))
        .json(&format!("{YEAR}/Untitled.json"), &sidecar("Untitled", SECONDS))
        .file(&format!("{paris}/Metadaten.jpg"), picture(2, 5000))
        .album(paris, "Paris, Mai");
    let paths = [pack.zip(&folder.path().join("1.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (2, 0, 0, 0, 0), "{report:#?}");
    assert_eq!(report.unmatched.without_sidecar.len(), 1, "{report:#?}");
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "Untitled.jpg"), [(albums(&["Google Photos"]), SECONDS)]);
    assert_eq!(of_name(&files, "Metadaten.jpg")[0].0, albums(&["Paris, Mai"]));
    check_that_nothing_is_left(&scene, &paths, &report).await;
}
