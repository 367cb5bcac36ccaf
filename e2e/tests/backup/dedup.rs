//! What is not sent: unchanged files, content that the vault has, content that its owner deleted.

use crate::edits::{edit, taken};
use crate::scene::{Scene, clip, picture, settings};
use darkslide_client::backup::standing::Agent;
use darkslide_client::backup::{Memory, Settings, backup, explain};
use darkslide_client::catalog::{Catalog, Feed, FileFilter};
use darkslide_client::event::Events;
use darkslide_client::feed::{self, FeedSummary};
use darkslide_client::library::AlbumRule;
use darkslide_e2e::bitmap::bitmap;
use darkslide_e2e::proxy::Proxy;
use darkslide_protocol::trash::{EmptyTrashRequest, TrashRequest, TrashRequestItem};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

async fn album_names(scene: &Scene) -> Vec<String> {
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    scene.catalog.collections().await.unwrap().into_iter().map(|row| row.name).collect()
}

/// Moves everything that the vault has to the trash.
pub(crate) async fn trash_everything(scene: &Scene) {
    trash(scene, |_| true).await;
}

/// Moves what has such a title to the trash.
async fn trash(scene: &Scene, is_meant: impl Fn(&str) -> bool) {
    let rows = scene.vault().await;
    let mut items: Vec<TrashRequestItem> = rows
        .iter()
        .filter(|row| row.title.as_deref().is_some_and(&is_meant))
        .map(|row| TrashRequestItem { file_id: row.id, collection_id: row.collection, if_version: None })
        .collect();
    items.dedup_by_key(|item| item.file_id);
    scene.session.api.trash_files(&TrashRequest { items }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_sends_nothing_and_reads_nothing() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.write("2019/Paris/b.jpg", &picture(2, 70_000));
    scene.write("notes.txt", b"not a picture");
    let first = scene.back_up().await;
    assert_eq!((first.uploaded, first.linked, first.failed.len()), (2, 0, 0), "{first:?}");
    assert_eq!(first.not_media.files, 1, "{first:?}");
    assert!(first.bytes_sent > 75_000 && first.bytes_hashed == 75_000, "{first:?}");
    let second = scene.back_up().await;
    assert_eq!((second.unchanged, second.uploaded, second.linked), (2, 0, 0), "{second:?}");
    assert_eq!((second.bytes_sent, second.bytes_hashed, second.not_media.files), (0, 0, 1), "{second:?}");
    assert_eq!(scene.titles().await, ["a.jpg", "b.jpg"]);
    scene.verify_all(2).await;
}

/// Shows M3.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_links_and_sends_nothing() {
    let mut scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    scene.forget().await;
    let again = scene.back_up().await;
    assert_eq!((again.uploaded, again.linked, again.bytes_sent), (0, 1, 0), "{again:?}");
    assert_eq!(scene.titles().await, ["a.jpg"]);
}

/// Shows E10.
#[tokio::test(flavor = "multi_thread")]
async fn one_content_in_two_albums_is_sent_once() {
    let scene = Scene::new().await;
    for path in ["x/a.jpg", "x/copy of a.jpg", "y/b.jpg"] {
        scene.write(path, &picture(1, 50_000));
    }
    let report = scene.back_up_with(&settings(AlbumRule::PerFolder)).await.unwrap();
    assert_eq!((report.uploaded, report.linked), (1, 2), "{report:?}");
    assert!(report.bytes_sent < 60_000, "{report:?}");
    let rows = scene.vault().await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0].id, rows[1].id);
    assert_eq!(album_names(&scene).await, ["x", "y"]);
    scene.verify_all(1).await;
}

/// Whether the vault is small enough for its contents to be kept in memory, or each is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_found_in_memory_and_in_the_catalog() {
    for memory in [Memory::USUAL, Memory::USUAL.with_marks(0)] {
        let scene = Scene::new().await;
        let settings = Settings { memory, ..settings(AlbumRule::PerFolder) };
        for (path, seed) in [("x/kept.jpg", 1), ("x/large.jpg", 2), ("x/deleted.jpg", 3)] {
            scene.write(path, &picture(seed, if seed == 2 { 1_000_000 } else { 9000 }));
        }
        let first = scene.back_up_with(&settings).await.unwrap();
        assert_eq!((first.uploaded, first.linked), (3, 0), "{first:?}");
        trash(&scene, |title| title == "deleted.jpg").await;
        // The same again elsewhere, and what is new twice.
        for (path, seed) in
            [("y/a.jpg", 1), ("y/b.jpg", 2), ("y/c.jpg", 3), ("y/d.jpg", 4), ("y/e.jpg", 4), ("z/f.jpg", 4)]
        {
            scene.write(path, &picture(seed, if seed == 2 { 1_000_000 } else { 9000 }));
        }
        let second = scene.back_up_with(&settings).await.unwrap();
        assert_eq!((second.uploaded, second.linked), (1, 4), "{memory:?}: {second:?}");
        assert!(second.bytes_sent < 20_000, "{memory:?}: {second:?}");
        assert!(!scene.titles().await.contains(&"c.jpg".to_owned()), "its owner deleted it");
        scene.verify_all(4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_album_is_filled_without_reading_a_byte() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.write("b.jpg", &picture(2, 5000));
    scene.back_up().await;
    let named = settings(AlbumRule::Named("Best of".into()));
    let report = scene.back_up_with(&named).await.unwrap();
    assert_eq!((report.linked, report.bytes_hashed, report.bytes_sent), (2, 0, 0), "{report:?}");
    assert_eq!(album_names(&scene).await, ["Best of", "Pictures"]);
    assert_eq!(scene.vault().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_found_by_name_and_then_by_id() {
    let mut scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    scene.forget().await;
    scene.write("b.jpg", &picture(2, 5000));
    scene.back_up().await;
    assert_eq!(album_names(&scene).await, ["Pictures"]);
    assert_eq!(scene.titles().await, ["a.jpg", "b.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_deleted_is_not_sent_again() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    trash_everything(&scene).await;
    // It stands there as it was; nobody is told that it is safe.
    let report = scene.back_up().await;
    assert_eq!((report.unchanged, report.skipped.len()), (0, 1), "{report:?}");
    // Touched, so that it is read again; it is the same device asset, which was there before the deletion.
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.linked, report.untrashed), (0, 0, 0), "{report:?}");
        assert!(report.skipped[0].reason.contains("you deleted it from the vault on"), "{report:?}");
    }
    assert!(
        explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string().contains("you deleted it")
    );
    assert_eq!(scene.titles().await, [""; 0]);
}

/// A device that knows nothing: what lay on its disk before the deletion was there before it, and what came after was brought back.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_deleted_is_not_sent_by_who_lost_its_catalog() {
    let mut scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.write("b.jpg", &picture(2, 5000));
    scene.back_up().await;
    trash_everything(&scene).await;
    scene.forget().await;
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.untrashed, report.skipped.len()), (0, 0, 2), "{report:?}");
    }
    assert!(
        explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string().contains("you deleted it")
    );
    // A copy keeps the time of its modification, and arrives when it arrives.
    let modified = path.metadata().unwrap().modified().unwrap();
    let again = scene.write("saved again.jpg", &picture(1, 5000));
    std::fs::File::options().append(true).open(&again).unwrap().set_modified(modified).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.untrashed, report.uploaded), (1, 0), "{report:?}");
}

/// Another device edits a picture, and the owner deletes it: this device has it as it was before, backed up as that file.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_device_edited_and_its_owner_deleted_stays_deleted() {
    let mut scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    let here = scene.catalog.clone();
    scene.forget().await;
    scene.back_up().await;
    let aside = path.with_file_name("aside.tmp");
    std::fs::copy(&path, &aside).unwrap();
    std::fs::rename(&path, scene.pictures().with_file_name("here.jpg")).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 1, "one file, edited");
    trash_everything(&scene).await;
    // Here it is as it was.
    std::fs::rename(scene.pictures().with_file_name("here.jpg"), &path).unwrap();
    scene.catalog = here;
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.skipped.len(), report.bytes_sent), (0, 1, 0), "{report:?}");
    }
    let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string();
    assert!(told.contains("you deleted it from the vault"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_brings_back_comes_out_of_the_trash() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    trash_everything(&scene).await;
    scene.write("from the old phone/a.jpg", &picture(1, 5000));
    scene.write("from the old phone/again.jpg", &picture(1, 5000));
    let report = scene.back_up().await;
    assert_eq!((report.untrashed, report.linked, report.uploaded), (1, 1, 0), "{report:?}");
    assert_eq!(report.bytes_sent, 0);
    assert_eq!(scene.titles().await, ["a.jpg"]);
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_is_sent_anew_only_when_it_is_brought_back() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    trash_everything(&scene).await;
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let last_updated_at = scene.catalog.cursor(Feed::Trash).await.unwrap();
    scene.session.api.empty_trash(&EmptyTrashRequest { last_updated_at }).await.unwrap();
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.skipped.len(), report.uploaded), (1, 0), "{report:?}");
    scene.write("brought back.jpg", &picture(1, 5000));
    let report = scene.back_up().await;
    assert_eq!((report.skipped.len(), report.uploaded), (1, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_of_its_album_stays_out() {
    let mut scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    scene.back_up_with(&settings(AlbumRule::Named("Other".into()))).await.unwrap();
    let row =
        scene.vault().await.into_iter().map(|row| (row.collection, row)).min_by_key(|(id, _)| *id).unwrap().1;
    let other = scene.vault().await.into_iter().map(|row| row.collection).max().unwrap();
    move_between(&scene, &row, other).await;
    scene.forget().await;
    let report = scene.back_up().await;
    assert_eq!((report.linked, report.uploaded), (1, 0), "{report:?}");
    let rows = scene.vault().await;
    assert_eq!(rows.iter().map(|row| row.collection).collect::<Vec<_>>(), [other]);
}

/// Owners take files out of albums by moving them to another one.
async fn move_between(
    scene: &Scene,
    row: &darkslide_client::catalog::FileRow,
    to: darkslide_protocol::CollectionId,
) {
    use darkslide_client::keys::{collection_key, file_key, wrap_file_key};
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let key_of = async |id| {
        let row = scene.catalog.collection(id).await.unwrap().unwrap();
        collection_key(&scene.session.keys, &row).unwrap()
    };
    let key = file_key(&key_of(row.collection).await, row).unwrap();
    let request = darkslide_protocol::collection::MoveFilesRequest {
        from_collection_id: row.collection,
        to_collection_id: to,
        files: vec![wrap_file_key(&key_of(to).await, row.id, &key)],
    };
    scene.session.api.move_files(&request).await.unwrap();
}

/// Pictures, their thumbnails, new albums and a film: what a run made it knows, and the feed tells only what others made.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_made_is_not_read_again() {
    let scene = Scene::new().await;
    for number in 0..12 {
        scene.write(&format!("{}/{number}.bmp", number % 3), &bitmap(20, number));
    }
    let film = [&b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..], &picture(7, 5_000_000)].concat();
    scene.write("1/film.mp4", &film);
    let report = scene.back_up_with(&settings(AlbumRule::PerFolder)).await.unwrap();
    assert_eq!((report.uploaded, report.thumbnails_left), (13, 0));
    let known = scene.catalog.files(&FileFilter::default()).await.unwrap();
    assert_eq!(known, scene.vault().await);
    let summary = feed::pull(&scene.session, &scene.catalog).await.unwrap();
    assert_eq!(summary, FeedSummary::default());
    trash_everything(&scene).await;
    let summary = feed::pull(&scene.session, &scene.catalog).await.unwrap();
    assert_eq!((summary.files, summary.trash), (13, 13));
}

/// They are made side by side, and each once: also where folders of two roots have one name.
#[tokio::test(flavor = "multi_thread")]
async fn many_new_albums_are_made_once_each() {
    let scene = Scene::new().await;
    let mut expected = std::collections::BTreeSet::new();
    for number in 0..120_u8 {
        let (root, folder) = (["one", "two"][usize::from(number % 2)], number / 4);
        scene.write(&format!("{root}/album {folder}/{number}.jpg"), &picture(number, 30_000));
        expected.insert(format!("album {folder}"));
    }
    let roots = ["one", "two"].map(|root| scene.pictures().join(root));
    let (events, stop) = (Events::silent(), CancellationToken::new());
    let settings = settings(AlbumRule::PerFolder);
    let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
    let report = backup(session, catalog, &roots, &settings, &events, &stop).await.unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (120, 0), "{report:?}");
    let names = album_names(&scene).await;
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    scene.verify_all(120).await;
}

/// Once, the same computer after its catalog was lost, or another that had the pictures too, sent again what was purged.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_stays_deleted_where_nothing_is_known_of_it() {
    let mut scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.write("b.jpg", &picture(2, 6000));
    scene.write("large.jpg", &picture(3, 5_000_000));
    scene.back_up().await;
    trash_everything(&scene).await;
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let last_updated_at = scene.catalog.cursor(Feed::Trash).await.unwrap();
    scene.session.api.empty_trash(&EmptyTrashRequest { last_updated_at }).await.unwrap();
    scene.forget().await;
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.skipped.len(), report.uploaded, report.failed.len()), (3, 0, 0), "{report:?}");
        assert!(report.skipped[0].reason.contains("you deleted it from the vault on"), "{report:?}");
    }
    assert_eq!(scene.titles().await, [""; 0]);
    // What is new, and what is brought back.
    scene.forget().await;
    scene.write("new.jpg", &picture(4, 5000));
    scene.write("brought back.jpg", &picture(1, 5000));
    let report = scene.back_up().await;
    assert_eq!((report.skipped.len(), report.uploaded), (3, 2), "{report:?}");
    assert_eq!(scene.titles().await, ["brought back.jpg", "new.jpg"]);
}

async fn purge_everything(scene: &Scene) {
    trash_everything(scene).await;
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let last_updated_at = scene.catalog.cursor(Feed::Trash).await.unwrap();
    scene.session.api.empty_trash(&EmptyTrashRequest { last_updated_at }).await.unwrap();
}

/// Once, of two copies only the first was asked for, and the other was sent.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_stays_deleted_however_often_it_is_here() {
    let mut scene = Scene::new().await;
    // A still that is alone as well as in a Live Photo, and copies in two folders and among many.
    scene.write("x/a.jpg", &picture(1, 5000));
    scene.write("x/a.mov", &clip(2));
    scene.write("x/b.jpg", &picture(1, 5000));
    for number in 10..90 {
        let folder = if number < 50 { "y" } else { "z" };
        scene.write(&format!("{folder}/{number}.jpg"), &picture(number, 3000));
    }
    for folder in ["w", "y", "z"] {
        scene.write(&format!("{folder}/copy.jpg"), &picture(3, 3000));
        scene.write(&format!("{folder}/large.jpg"), &picture(4, 6_000_000));
    }
    scene.back_up().await;
    purge_everything(&scene).await;
    for _ in 0..2 {
        scene.forget().await;
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.linked, report.failed.len()), (0, 0, 0), "{report:?}");
    }
    assert_eq!(scene.titles().await, [""; 0]);
}

/// Once, what this device had met, and had not sent for want of room, was not asked for.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_found_no_room_here_and_was_purged_elsewhere_stays_deleted() {
    let mut scene = Scene::new().await;
    scene.write("first.jpg", &picture(2, 5000));
    scene.back_up().await;
    scene.set_quota(1).await;
    scene.write("a.jpg", &picture(1, 5000));
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.without_room), (0, 1), "{report:?}");
    }
    scene.set_quota(100_000_000).await;
    let here = scene.catalog.clone();
    scene.forget().await;
    assert_eq!(scene.back_up().await.uploaded, 1);
    purge_everything(&scene).await;
    scene.catalog = here;
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.skipped.len()), (0, 2), "{report:?}");
    }
    assert_eq!(scene.titles().await, [""; 0]);
}

/// Neither knows of the other when it sends: both commits are under way when the first is let through.
#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_race_with_one_picture_end_with_one_file_in_both_albums() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 200_000));
    let device = tempfile::tempdir().unwrap();
    let camera = device.path().join("Camera");
    std::fs::create_dir(&camera).unwrap();
    std::fs::write(camera.join("b.jpg"), picture(1, 200_000)).unwrap();
    let other = Catalog::open(&device.path().join("catalog.db")).await.unwrap();
    let mut proxies = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for (catalog, root) in [(scene.catalog.clone(), scene.pictures()), (other, camera)] {
        let proxy = Proxy::holding(&scene.server.base(), 100_000).await;
        let session = scene.through(&proxy.base());
        proxies.push(proxy);
        running.spawn(async move {
            let settings = settings(AlbumRule::PerRoot);
            backup(session, catalog, &[root], &settings, &Events::silent(), &CancellationToken::new()).await
        });
    }
    while proxies.iter().any(|proxy| proxy.bytes_up() < 100_000) {
        tokio::task::yield_now().await;
    }
    proxies.iter().for_each(Proxy::release);
    let reports = running.join_all().await.into_iter().map(Result::unwrap);
    let mut told: Vec<_> =
        reports.map(|report| (report.uploaded, report.linked, report.failed.len())).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, 1, 0), (1, 0, 0)]);
    let memberships = scene.vault().await;
    assert_eq!((memberships.len(), memberships[0].id), (2, memberships[1].id));
    assert_ne!(memberships[0].collection, memberships[1].collection);
    scene.verify_all(1).await;
}
