//! Google Takeout: several archives go in as one, with dates, places, albums and Live Photos, and nothing is sent twice.

use crate::corpus::corpus;
use crate::interrupted::{drain, moved};
use crate::scene::{Scene, copy_tree, picture, settings};
use darkslide_client::backup::{BackupReport, import};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::library::AlbumRule;
use darkslide_client::list::{FileEntry, ListFilter, list_files};
use darkslide_client::takeout::{Export, ImportOptions, ImportReport};
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_crypto::stream::ciphertext_len;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use zip::CompressionMethod::{self, Deflated, Stored};
use zip::write::{SimpleFileOptions, ZipWriter};

pub(crate) const YEAR: &str = "Takeout/Google Photos/Photos from 2023";

/// 2023-11-14T22:13:20Z.
pub(crate) const SECONDS: i64 = 1_700_000_000;

/// 2027-01-15T08:00:00Z, in µs.
pub(crate) const NOW: i64 = 1_800_000_000_000_000;

/// Files for one archive.
#[derive(Default)]
pub(crate) struct Pack {
    files: Vec<(String, CompressionMethod, Vec<u8>)>,
}

impl Pack {
    pub(crate) fn file(mut self, path: &str, bytes: Vec<u8>) -> Self {
        self.files.push((path.to_owned(), Deflated, bytes));
        self
    }

    pub(crate) fn stored(mut self, path: &str, bytes: Vec<u8>) -> Self {
        self.files.push((path.to_owned(), Stored, bytes));
        self
    }

    pub(crate) fn json(self, path: &str, value: &Value) -> Self {
        self.file(path, value.to_string().into_bytes())
    }

    pub(crate) fn album(self, folder: &str, title: &str) -> Self {
        self.json(&format!("{folder}/Metadaten.json"), &json!({ "title": title, "access": "protected" }))
    }

    /// Paths and bytes.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, _, bytes)| (path.as_str(), bytes.as_slice()))
    }

    pub(crate) fn zip(&self, path: &Path) -> PathBuf {
        let mut writer = ZipWriter::new(std::fs::File::create(path).unwrap());
        for (name, method, bytes) in &self.files {
            writer
                .start_file(name, SimpleFileOptions::default().compression_method(*method).large_file(true))
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        path.to_owned()
    }
}

pub(crate) fn sidecar(title: &str, seconds: i64) -> Value {
    json!({ "title": title, "photoTakenTime": { "timestamp": seconds.to_string() } })
}

pub(crate) async fn opened(paths: &[PathBuf]) -> Export {
    let paths = paths.to_vec();
    let opening = move || Export::open(&paths, &ImportOptions::default(), &Events::silent());
    tokio::task::spawn_blocking(opening).await.unwrap()
}

async fn run(scene: &Scene, paths: &[PathBuf], events: &Events, stop: &CancellationToken) -> ImportReport {
    let settings = settings(AlbumRule::PerRoot);
    let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
    import(session, catalog, opened(paths).await, &settings, events, stop).await.unwrap()
}

pub(crate) async fn imported(scene: &Scene, paths: &[PathBuf]) -> ImportReport {
    run(scene, paths, &Events::silent(), &CancellationToken::new()).await
}

/// Once, a preview said that a picture was taken in the year 5138, which the import would not have believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_no_date_that_the_import_does_not_believe() {
    let scene = Scene::new().await;
    let path = scene.pictures().join("1.zip");
    let pack = [("a.jpg", SECONDS), ("b.jpg", 100_000_000_000), ("c.jpg", -9_000_000_000)].into_iter();
    let pack = pack.zip(1..).fold(Pack::default(), |pack, ((name, seconds), seed)| {
        pack.file(&format!("{YEAR}/{name}"), picture(seed, 5000))
            .json(&format!("{YEAR}/{name}.json"), &sidecar(name, seconds))
    });
    pack.zip(&path);
    let preview = opened(&[path]).await.preview(&scene.catalog, NOW).await.unwrap();
    let told: Vec<_> =
        preview.files.iter().map(|file| (file.sidecar.is_some(), file.taken.as_deref())).collect();
    assert_eq!(told, [(true, Some("2023-11-14T22:13:20Z")), (true, None), (true, None)]);
}

/// What a device sees that was never here.
pub(crate) async fn listed(scene: &Scene) -> Vec<FileEntry> {
    let elsewhere = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&elsewhere.path().join("catalog.db")).await.unwrap();
    feed::pull(&scene.session, &catalog).await.unwrap();
    list_files(&scene.session, &catalog, &ListFilter::default()).await.unwrap()
}

/// The albums and the date, in seconds, of the files of this name; the albums in order.
pub(crate) fn of_name(files: &[FileEntry], name: &str) -> Vec<(Vec<String>, i64)> {
    let named = files.iter().filter(|file| file.name.as_deref() == Some(name));
    named
        .map(|file| {
            let mut albums = file.albums.clone();
            albums.sort();
            (albums, file.taken / 1_000_000)
        })
        .collect()
}

pub(crate) fn albums(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn counts(report: &BackupReport) -> (u64, u64, u64, usize, usize) {
    (report.uploaded, report.linked, report.unchanged, report.skipped.len(), report.failed.len())
}

/// Nothing is sent, nothing is read.
pub(crate) async fn check_that_nothing_is_left(scene: &Scene, paths: &[PathBuf], first: &ImportReport) {
    let again = imported(scene, paths).await;
    assert_eq!((again.backup.bytes_sent, again.backup.bytes_hashed), (0, 0), "{again:#?}");
    assert_eq!(again.backup.unchanged, first.backup.uploaded + first.backup.linked, "{again:#?}");
    assert_eq!(again.backup.not_media, first.backup.not_media);
    assert_eq!((&again.backup.skipped, &again.unmatched), (&first.backup.skipped, &first.unmatched));
}

/// The file names at the ends of some paths.
pub(crate) fn ends(paths: &[String]) -> Vec<&str> {
    let mut ends: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    ends.sort_unstable();
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_export_goes_in_whole() {
    let Some(corpus) = corpus() else { return };
    let scene = Scene::new().await;
    let archives = ["takeout-20260101T010101Z-001.zip", "takeout-20260101T010101Z-002.zip"];
    let paths = archives.map(|name| corpus.join("takeout").join(name));
    let report = imported(&scene, &paths).await;
    // Thirteen contents, six further copies of some, one in Google's trash.
    assert_eq!(counts(&report.backup), (13, 6, 0, 1, 0), "{report:#?}");
    assert_eq!(ends(&report.unmatched.without_sidecar), ["IMG_3479.JPG", "NOJSON.jpg"]);
    assert_eq!(ends(&report.unmatched.sidecars_without_media), ["ORPHAN.jpg.json"]);
    assert_eq!(report.unmatched.other_json.len(), 3, "{report:#?}");
    assert_eq!(report.backup.not_media.files, 1, "{report:#?}");
    scene.verify_all(13).await;
    let files = listed(&scene).await;
    let live: Vec<_> = files.iter().filter(|file| file.name.as_deref() == Some("IMG_0500.HEIC")).collect();
    assert_eq!((live.len(), live[0].taken), (1, 1_741_000_000_000_000));
    assert_eq!(serde_json::to_value(live[0].kind).unwrap(), "livePhoto");
    assert!(of_name(&files, "IMG_0500.MP4").is_empty());
    // Every picture shows the date that it had at Google, whichever of several copies came first.
    for (names, expected) in [
        (&["IMG_1000.jpg", "NOJSON.jpg"][..], &[1_696_573_800][..]),
        (&["IMG_2000.jpg"], &[1_735_689_600]),
        (&["PXL_20231006_063000139.PORTRAIT-01.COVER-a-.jpg"], &[1_696_573_800]),
        (&["IMG_20250101_123456789_HDR~2.jpg"], &[1_735_734_896]),
        (&["IMG_3479.JPG"], &[1_690_000_000]),
        (&["IMG_3479(1).JPG"], &[1_690_000_100]),
        (&["IMG_3480(1).JPG"], &[1_740_000_000]),
        (&["PXL_20230405_090123740.jpg"], &[1_680_685_283]),
        (&["PXL_20230405_090123740-edited.jpg", "FAKE.HEIC"], &[1_680_685_283, 1_700_000_004]),
        (&["PXL_20230405_090123740-modifié.jpg", "scan.jpg"], &[1_680_685_283, -467_251_200]),
        (&["ARCH.jpg", "PARTNER.jpg"], &[1_700_000_001, 1_700_000_002]),
        (&["a_b_c_.jpg"], &[1_700_000_003]),
    ] {
        let found: Vec<_> = names.iter().flat_map(|name| of_name(&files, name)).collect();
        assert!(found.len() == 1 && expected.contains(&found[0].1), "{names:?}: {found:?}");
    }
    let renamed = files.iter().find(|file| file.name.as_deref() == Some("a_b_c_.jpg")).unwrap();
    assert_eq!(renamed.edited_name.as_deref(), Some("a/b:c?'.jpg"));
    let with_an_album =
        |name| files.iter().filter(|file| file.albums.iter().any(|album| album == name)).count();
    assert_eq!(with_an_album("Voyage à Tōkyō 🗼"), 1);
    assert_eq!(with_an_album("Sans titre(9)"), 1);
    assert_eq!(with_an_album("Google Photos"), 13);
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sidecars_say_is_kept() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let told = json!({
        "title": "a&b.jpg", "description": "one\ntwo", "photoTakenTime": { "timestamp": SECONDS.to_string() },
        "geoData": { "latitude": 48.5, "longitude": 2.25 }, "archived": true, "favorited": true, "url": "https://photos.google.com/x",
    });
    let first = Pack::default()
        .file(&format!("{YEAR}/a_b.jpg"), picture(1, 5000))
        .json(&format!("{YEAR}/clip.mp4.json"), &sidecar("clip.mp4", -1))
        .file("Takeout/Google Photos/Paris/a_b.jpg", picture(1, 5000))
        .file(&format!("{YEAR}/gone.jpg"), picture(3, 5000))
        .json(&format!("{YEAR}/gone.jpg.json"), &json!({ "photoTakenTime": {}, "trashed": true }));
    let second = Pack::default()
        .json(&format!("{YEAR}/a_b.jpg.supplemental-metadata.json"), &told)
        .json("Takeout/Google Photos/Paris/a_b.jpg.supplemental-meta.json", &told)
        .album("Takeout/Google Photos/Paris", "Paris, Mai")
        .album(YEAR, "Photos from 2023")
        .file(&format!("{YEAR}/clip.mp4"), b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec())
        .file(&format!("{YEAR}/a_b-bearbeitet.jpg"), picture(2, 6000));
    let paths = [first.zip(&folder.path().join("1.zip")), second.zip(&folder.path().join("2.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (3, 1, 0, 1, 0), "{report:#?}");
    assert_eq!(report.unmatched, darkslide_client::takeout::Unmatched::default());
    let files = listed(&scene).await;
    let both = albums(&["Favorites", "Google Photos", "Paris, Mai"]);
    assert_eq!(of_name(&files, "a_b.jpg"), [(both, SECONDS)]);
    // To Google the original and its edited copy are one.
    let edited = albums(&["Favorites", "Google Photos"]);
    assert_eq!(of_name(&files, "a_b-bearbeitet.jpg"), [(edited, SECONDS)]);
    assert_eq!(of_name(&files, "clip.mp4"), [(albums(&["Google Photos"]), -1)]);
    let row = scene.vault().await.into_iter().find(|row| row.title.as_deref() == Some("a_b.jpg")).unwrap();
    let parsed = |text: &Option<String>| serde_json::from_str::<Value>(text.as_ref().unwrap()).unwrap();
    let (metadata, public, private) =
        (parsed(&row.metadata), parsed(&row.public_metadata), parsed(&row.private_metadata));
    assert_eq!((&metadata["latitude"], &metadata["longitude"]), (&json!(48.5), &json!(2.25)));
    assert_eq!((&public["caption"], &public["editedName"]), (&json!("one\ntwo"), &json!("a&b.jpg")));
    assert_eq!(private["visibility"], json!(1));
    scene.verify_all(3).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

/// Once, it was whoever was hashed first, or asked last.
#[tokio::test(flavor = "multi_thread")]
async fn of_equal_pictures_the_first_with_something_to_say_is_heard() {
    const PICTURES: u8 = 12;
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut packs = [Pack::default(), Pack::default(), Pack::default()];
    for number in 0..PICTURES {
        for (pack, album) in packs.iter_mut().zip(["C", "A", "B"]) {
            let place = format!("Takeout/Google Photos/{album}/{number}.jpg");
            let mut told = sidecar(&format!("{number}.jpg"), SECONDS);
            if album != "A" {
                told["description"] = album.into();
            }
            // Too large to go in one group.
            *pack = std::mem::take(pack)
                .file(&place, picture(number, 300_000))
                .json(&format!("{place}.json"), &told);
        }
    }
    let at = |number: usize| folder.path().join(format!("{number}.zip"));
    let paths: Vec<_> = packs.iter().enumerate().map(|(number, pack)| pack.zip(&at(number))).collect();
    let report = imported(&scene, &paths).await;
    assert_eq!((report.backup.uploaded, report.backup.linked), (12, 24), "{report:#?}");
    let vault = scene.vault().await;
    let captions: std::collections::BTreeSet<_> = vault.iter().map(caption).collect();
    assert_eq!(captions, [Some("B".to_owned())].into(), "A says nothing, and C comes later");
}

pub(crate) fn caption(row: &darkslide_client::catalog::FileRow) -> Option<String> {
    let public: Value = serde_json::from_str(row.public_metadata.as_ref()?).ok()?;
    Some(public["caption"].as_str()?.to_owned())
}

/// A video that is short enough for a Live Photo, as far as can be told: it does not say how long it is.
pub(crate) fn video() -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    bytes.extend(picture(9, 3000));
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_photo_in_two_archives_is_one_file() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let still = Pack::default().file(&format!("{YEAR}/IMG_1.JPG"), picture(1, 5000));
    let rest = Pack::default()
        .stored(&format!("{YEAR}/IMG_1.MP4"), video())
        .json(&format!("{YEAR}/IMG_1.JPG.json"), &sidecar("IMG_1.JPG", SECONDS));
    let paths = [still.zip(&folder.path().join("1.zip")), rest.zip(&folder.path().join("2.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (1, 0, 0, 0, 0), "{report:#?}");
    let rows = scene.vault().await;
    assert_eq!((rows.len(), rows[0].kind, rows[0].taken), (1, 2, SECONDS * 1_000_000));
    let metadata: Value = serde_json::from_str(rows[0].metadata.as_ref().unwrap()).unwrap();
    assert_eq!(metadata["darkslide"]["videoTitle"], "IMG_1.MP4");
    scene.verify_all(1).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_be_read_stops_no_other() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let whole = Pack::default()
        .file(&format!("{YEAR}/a.jpg"), picture(1, 5000))
        .stored(&format!("{YEAR}/b.jpg"), picture(2, 50_000))
        .file("../../../../etc/c.jpg", picture(3, 5000))
        .file("Takeout/archive_browser.html", b"<html>".to_vec())
        .zip(&folder.path().join("1.zip"));
    let mut bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("2.zip");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let at = bytes.windows(1000).position(|window| window == &picture(2, 50_000)[40_000..41_000]).unwrap();
    bytes[at] ^= 1;
    let damaged = folder.path().join("3.zip");
    std::fs::write(&damaged, &bytes).unwrap();
    let gone = folder.path().join("gone.zip");
    let report = imported(&scene, &[cut.clone(), gone.clone(), damaged.clone()]).await;
    assert_eq!((report.backup.uploaded, report.backup.linked), (2, 0), "{report:#?}");
    let mut failed: Vec<&str> = report.backup.failed.iter().map(|named| named.path.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed.len(), 3, "{report:#?}");
    assert!(
        failed[0] == cut.to_str().unwrap()
            && failed[1].ends_with("3.zip/Takeout/Google Photos/Photos from 2023/b.jpg")
    );
    assert_eq!(failed[2], gone.to_str().unwrap());
    assert!(!report.backup.is_complete());
    // The intact archive has what the damaged one has not.
    let report = imported(&scene, &[cut, gone, damaged, whole]).await;
    assert_eq!((report.backup.uploaded, report.backup.linked, report.backup.failed.len()), (1, 0, 2));
    scene.verify_all(3).await;
    assert!(!folder.path().join("etc").exists());
}

const NO_JSON: &str = "a sidecar that is no JSON; download its archive again";

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_sidecar_is_told_and_read_again_when_it_is_whole() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.zip");
    let told = sidecar("a.jpg", SECONDS).to_string().into_bytes();
    let pack = |other: &str| {
        Pack::default()
            .file(&format!("{YEAR}/a.jpg"), picture(1, 5000))
            .stored(&format!("{YEAR}/a.jpg.json"), told.clone())
            .file(&format!("{YEAR}/b.jpg"), picture(2, 5000))
            .file(&format!("{YEAR}/b-edited.jpg"), picture(3, 5000))
            .file(&format!("{YEAR}/b.jpg.json"), other.as_bytes().to_vec())
            .zip(&path);
        std::fs::read(&path).unwrap()
    };
    let whole = pack(&sidecar("b.jpg", SECONDS).to_string());
    let mut damaged = pack("{ \"title\": ");
    let at = damaged.windows(told.len()).position(|window| window == told).unwrap();
    damaged[at + 1] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let paths = [path];
    let mut becomes = (3, 0, 0, 0, 2);
    for _ in 0..2 {
        let preview = opened(&paths).await.preview(&scene.catalog, NOW).await.unwrap();
        let report = imported(&scene, &paths).await;
        assert_eq!(counts(&report.backup), becomes, "{report:#?}");
        for failed in [&preview.failed, &report.backup.failed] {
            let failed: Vec<String> = failed.iter().map(|named| named.path.clone()).collect();
            assert_eq!(ends(&failed), ["a.jpg.json", "b.jpg.json"]);
            assert!(failed.iter().all(|path| path.contains("1.zip/Takeout/")), "{failed:?}");
        }
        // Once, they were told that their disk may be failing.
        for failed in preview.failed.iter().chain(&report.backup.failed) {
            let is_damage = failed.path.ends_with("a.jpg.json");
            let what = if is_damage { "the archive is damaged here; download it again" } else { NO_JSON };
            assert_eq!(failed.reason, format!("it cannot be read: {what}"));
        }
        becomes = (0, 3, 0, 0, 2);
    }
    std::fs::write(&paths[0], whole).unwrap();
    let report = imported(&scene, &paths).await;
    assert_eq!((counts(&report.backup), report.backup.bytes_sent), ((0, 3, 0, 0, 0), 0), "{report:#?}");
    let files = listed(&scene).await;
    for name in ["a.jpg", "b.jpg", "b-edited.jpg"] {
        assert_eq!(of_name(&files, name), [(albums(&["Google Photos"]), SECONDS)]);
    }
    check_that_nothing_is_left(&scene, &paths, &report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn favourites_of_an_import_that_was_stopped_come_with_the_next() {
    const PICTURES: u8 = 40;
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut pack = Pack::default();
    for number in 0..PICTURES {
        let mut told = sidecar(&format!("{number}.jpg"), SECONDS);
        told["favorited"] = true.into();
        pack = pack
            .file(&format!("{YEAR}/{number}.jpg"), picture(number, 5000))
            .json(&format!("{YEAR}/{number}.jpg.json"), &told);
    }
    let paths = [pack.zip(&folder.path().join("1.zip"))];
    let (events, mut heard) = Events::channel();
    let stop = CancellationToken::new();
    let stopping = {
        let stop = stop.clone();
        tokio::spawn(async move {
            // They are in the vault, and in no favourites yet.
            moved(&mut heard, 1).await;
            stop.cancel();
            drain(heard).await;
        })
    };
    let first = run(&scene, &paths, &events, &stop).await;
    drop(events);
    stopping.await.unwrap();
    assert!(first.backup.interrupted.is_some(), "{first:#?}");
    let second = imported(&scene, &paths).await;
    assert!(second.backup.is_complete(), "{second:#?}");
    let files = listed(&scene).await;
    let are_favourites = |file: &FileEntry| file.albums.iter().any(|album| album == "Favorites");
    assert_eq!(
        (files.len(), files.iter().filter(|file| are_favourites(file)).count()),
        (PICTURES.into(), PICTURES.into())
    );
    let third = imported(&scene, &paths).await;
    assert_eq!(counts(&third.backup), (0, 0, PICTURES.into(), 0, 0), "{third:#?}");
    assert_eq!((third.backup.bytes_sent, third.backup.bytes_hashed), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vault_has_is_linked_whichever_way_it_came() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    scene.write("a.jpg", &picture(1, 5000));
    assert_eq!(scene.back_up().await.uploaded, 1);
    let archive = Pack::default()
        .file(&format!("{YEAR}/a.jpg"), picture(1, 5000))
        .file("Takeout/Google Photos/Paris/a.jpg", picture(1, 5000))
        .album("Takeout/Google Photos/Paris", "Paris");
    let path = archive.zip(&folder.path().join("1.zip"));
    let report = imported(&scene, std::slice::from_ref(&path)).await;
    assert_eq!(counts(&report.backup), (0, 2, 0, 0, 0), "{report:#?}");
    assert_eq!(report.backup.bytes_sent, 0);
    let files = listed(&scene).await;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].albums.len(), 3, "{files:?}");
    // Unpacked, it is the same once more.
    let unpacked = folder.path().join("unpacked");
    for (name, _, bytes) in &archive.files {
        let to = unpacked.join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    let report = imported(&scene, std::slice::from_ref(&unpacked)).await;
    assert_eq!(counts(&report.backup), (0, 2, 0, 0, 0), "{report:#?}");
    assert_eq!(listed(&scene).await[0].albums.len(), 3);
    // So it is where archives lie in a folder.
    copy_tree(&path, &folder.path().join("unpacked/2.zip"));
    let report = imported(&scene, &[unpacked]).await;
    assert_eq!((counts(&report.backup), report.there_twice), ((0, 0, 2, 0, 0), 2), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_there_before_gets_what_it_lacks() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    scene.write("a.jpg", &picture(1, 5000));
    assert_eq!(scene.back_up().await.uploaded, 1);
    let told = json!({
        "title": "a.jpg", "description": "a caption", "photoTakenTime": { "timestamp": SECONDS.to_string() },
        "geoData": { "latitude": 48.5, "longitude": 2.25 }, "favorited": true, "archived": true,
    });
    let pack = Pack::default()
        .file(&format!("{YEAR}/a.jpg"), picture(1, 5000))
        .file(&format!("{YEAR}/b.jpg"), picture(2, 5000));
    let first = pack.zip(&folder.path().join("1.zip"));
    let report = imported(&scene, std::slice::from_ref(&first)).await;
    assert_eq!(counts(&report.backup), (1, 1, 0, 0, 0), "{report:#?}");
    // The sidecars come with an archive that comes later.
    let second = Pack::default()
        .json(&format!("{YEAR}/a.jpg.json"), &told)
        .json(
            &format!("{YEAR}/b.jpg.json"),
            &json!({ "photoTakenTime": { "timestamp": "5" }, "favorited": true }),
        )
        .zip(&folder.path().join("2.zip"));
    let paths = [first, second];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (0, 2, 0, 0, 0), "{report:#?}");
    assert_eq!(report.backup.bytes_sent, 0);
    let files = listed(&scene).await;
    assert_eq!(of_name(&files, "b.jpg"), [(albums(&["Favorites", "Google Photos"]), 5)]);
    assert_eq!(of_name(&files, "a.jpg"), [(albums(&["Favorites", "Google Photos", "Pictures"]), SECONDS)]);
    let row = scene.vault().await.into_iter().find(|row| row.title.as_deref() == Some("a.jpg")).unwrap();
    let public: Value = serde_json::from_str(row.public_metadata.as_ref().unwrap()).unwrap();
    assert_eq!(
        (&public["caption"], &public["lat"], &public["long"]),
        (&json!("a caption"), &json!(48.5), &json!(2.25))
    );
    // What is archived there is not thereby archived here.
    assert!(!row.private_metadata.unwrap_or_default().contains("visibility"));
    let again = imported(&scene, &paths).await;
    assert_eq!(counts(&again.backup), (0, 0, 2, 0, 0), "{again:#?}");
    assert_eq!((again.backup.bytes_sent, again.backup.bytes_hashed), (0, 0));
}

/// Three whole parts and a short one.
const LARGE: usize = 64_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_vanished_goes_on() {
    for method in [Stored, Deflated] {
        let scene = Scene::new().await;
        let folder = tempfile::tempdir().unwrap();
        let mut pack =
            Pack::default().json(&format!("{YEAR}/large.jpg.json"), &sidecar("large.jpg", SECONDS));
        pack.files.push((format!("{YEAR}/large.jpg"), method, picture(1, LARGE)));
        let paths = [pack.zip(&folder.path().join("1.zip"))];
        let (events, mut told) = Events::channel();
        let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
        let export = opened(&paths).await;
        let running = tokio::spawn(async move {
            let settings = settings(AlbumRule::PerRoot);
            import(session, catalog, export, &settings, &events, &CancellationToken::new()).await
        });
        moved(&mut told, 40_000_000).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        drain(told).await;
        let report = imported(&scene, &paths).await;
        assert_eq!(counts(&report.backup), (1, 0, 0, 0, 0), "{report:#?}");
        let left = ciphertext_len(LARGE as u64).unwrap() - 20_000_000;
        assert!(report.backup.bytes_sent < left, "{method}: {report:#?}");
        assert_eq!(listed(&scene).await[0].taken, SECONDS * 1_000_000);
        scene.verify_all(1).await;
        check_that_nothing_is_left(&scene, &paths, &report).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_are_made_of_entries() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let bitmap = darkslide_e2e::bitmap::bitmap(64, 1);
    let paths = [Pack::default()
        .file(&format!("{YEAR}/a.bmp"), bitmap)
        .stored(&format!("{YEAR}/b.bmp"), darkslide_e2e::bitmap::bitmap(64, 2))
        .zip(&folder.path().join("1.zip"))];
    let settings = darkslide_client::backup::Settings {
        thumbnailer: Thumbnailer::without_tools(),
        ..settings(AlbumRule::PerRoot)
    };
    let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
    let stop = CancellationToken::new();
    let report =
        import(session, catalog, opened(&paths).await, &settings, &Events::silent(), &stop).await.unwrap();
    assert_eq!(counts(&report.backup), (2, 0, 0, 0, 0), "{report:#?}");
    assert_eq!((report.backup.placeholders, report.backup.thumbnails_left), (0, 0), "{report:#?}");
    scene.verify_all(2).await;
}
