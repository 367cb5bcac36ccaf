//! Restoring: names, times and bytes as they were; nothing replaced; interrupted anywhere, completed by the next run.

use crate::world::{BrokenLine, Person, Picture, World, contents, flip};
use darkslide_client::albums::{add_to_album, create_album};
use darkslide_client::event::Events;
use darkslide_client::restore::{RestoreError, RestoreScope, RestoreSummary, restore};
use darkslide_client::session::Session;
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_crypto::ContentHash;
use darkslide_media::live_container::{Content, LiveContainer};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

async fn restored_by(session: &Session, ada: &Person, target: &Path) -> RestoreSummary {
    restore(session, &ada.catalog, &RestoreScope::Everything, target, &Events::silent()).await.unwrap()
}

async fn restored(ada: &Person, target: &Path) -> RestoreSummary {
    restored_by(&ada.session, ada, target).await
}

fn map(files: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

fn modified(path: PathBuf) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn at(seconds: u64, nanos: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_times_and_bytes_come_back_once() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let big = Picture::new("Ölberg ☀.jpg", 9 * 1024 * 1024);
    let empty = Picture::new("empty.jpg", 0);
    let deep = Picture::new("deep.jpg", 10)
        .with("darkslide", json!({"folder": "2019/Paris", "modificationTimeNanos": 987_654_321}));
    let file = ada.put(&ada.album, &big).await;
    ada.put(&ada.album, &empty).await;
    ada.put(&ada.album, &deep).await;
    ada.pull().await;
    let best = create_album(&ada.session, &ada.catalog, "Best").await.unwrap();
    add_to_album(&ada.session, &ada.catalog, &best, &[file]).await.unwrap();

    let target = world.folder.path().join("restored");
    let summary = restored(&ada, &target).await;
    assert_eq!((summary.restored, summary.already_there, summary.failed.len()), (4, 0, 0), "{summary:?}");
    let expected = map(&[
        ("Best/Ölberg ☀.jpg", &big.content),
        ("Holidays/Ölberg ☀.jpg", &big.content),
        ("Holidays/empty.jpg", b""),
        ("Holidays/2019/Paris/deep.jpg", &deep.content),
    ]);
    assert_eq!(contents(&target), expected);
    for place in ["Best/Ölberg ☀.jpg", "Holidays/Ölberg ☀.jpg", "Holidays/empty.jpg"] {
        assert_eq!(modified(target.join(place)), at(1_600_000_001, 234_567_000), "{place}");
    }
    assert_eq!(modified(target.join("Holidays/2019/Paris/deep.jpg")), at(1_600_000_001, 987_654_321));

    let again = restored(&ada, &target).await;
    assert_eq!((again.restored, again.already_there, again.bytes), (0, 4, 0), "{again:?}");
    assert_eq!(contents(&target), expected);

    let alone = world.folder.path().join("alone");
    let scope = RestoreScope::Files(vec![file]);
    restore(&ada.session, &ada.catalog, &scope, &alone, &Events::silent()).await.unwrap();
    assert_eq!(contents(&alone), map(&[("Ölberg ☀.jpg", &big.content)]));
    let scope = RestoreScope::Collections(vec![best.id]);
    let album = world.folder.path().join("album");
    restore(&ada.session, &ada.catalog, &scope, &album, &Events::silent()).await.unwrap();
    assert_eq!(contents(&album), map(&[("Best/Ölberg ☀.jpg", &big.content)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_different_file_of_the_same_name_is_never_replaced() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let first = Picture::new("a.jpg", 100);
    let mut second = Picture::new("b.jpg", 100);
    second.metadata["title"] = json!("a.jpg");
    ada.put(&ada.album, &first).await;
    ada.put(&ada.album, &second).await;
    ada.pull().await;
    let target = world.folder.path().join("restored");
    let album = target.join("Holidays");
    fs::create_dir_all(album.join("a (1).jpg")).unwrap();
    fs::write(album.join("a.jpg"), b"somebody's own picture").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", album.join("a (2).jpg")).unwrap();

    let summary = restored(&ada, &target).await;
    assert_eq!((summary.restored, summary.renamed.len(), summary.failed.len()), (2, 2, 0), "{summary:?}");
    assert_eq!(fs::read(album.join("a.jpg")).unwrap(), b"somebody's own picture");
    assert!(album.join("a (1).jpg").is_dir());
    let mut both: Vec<Vec<u8>> =
        summary.renamed.iter().map(|renamed| fs::read(&renamed.path).unwrap()).collect();
    both.sort();
    let mut expected = vec![first.content, second.content];
    expected.sort();
    assert_eq!(both, expected);
    let again = restored(&ada, &target).await;
    assert_eq!((again.restored, again.already_there), (0, 2), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_photo_comes_back_as_its_two_files() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let (image, video) = (b"the still".as_slice(), b"the moving part".as_slice());
    let layout =
        LiveContainer::new("HEIC", Content::of(image).unwrap(), "MOV", Content::of(video).unwrap()).unwrap();
    let mut live = Picture::new("IMG_1.HEIC", 0);
    layout.stream(image, video).read_to_end(&mut live.content).unwrap();
    let hash = format!("{}:{}", ContentHash::of(image), ContentHash::of(video));
    let live = live.with("hash", json!(hash)).with("fileType", json!(2));
    let named = json!({"videoTitle": "IMG_E1.MOV", "videoModificationTime": 1_500_000_000_000_001_i64});
    ada.put(&ada.album, &live).await;
    let other = create_album(&ada.session, &ada.catalog, "Named").await.unwrap();
    let live = Picture { ..live }.with("darkslide", named);
    ada.put(&other, &live).await;
    ada.pull().await;

    let target = world.folder.path().join("restored");
    let summary = restored(&ada, &target).await;
    assert_eq!((summary.restored, summary.failed.len()), (2, 0), "{summary:?}");
    let expected = map(&[
        ("Holidays/IMG_1.HEIC", image),
        ("Holidays/IMG_1.MOV", video),
        ("Named/IMG_1.HEIC", image),
        ("Named/IMG_E1.MOV", video),
    ]);
    assert_eq!(contents(&target), expected);
    assert_eq!(modified(target.join("Named/IMG_E1.MOV")), at(1_500_000_000, 1_000));
    assert_eq!(modified(target.join("Named/IMG_1.HEIC")), at(1_600_000_001, 234_567_000));

    // One half lost: the next run brings it back beside the other.
    fs::remove_file(target.join("Holidays/IMG_1.MOV")).unwrap();
    let again = restored(&ada, &target).await;
    assert_eq!((again.restored, again.already_there), (1, 1), "{again:?}");
    assert_eq!(contents(&target), expected);
    let summary = verify(&ada.session, &ada.catalog, VerifyScope::Everything, &Events::silent()).await;
    assert_eq!(summary.unwrap().intact, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named_and_leave_nothing_behind() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let whole = Picture::new("whole.jpg", 100);
    ada.put(&ada.album, &whole).await;
    ada.put(&ada.album, &Picture::new("victim.jpg", 5 * 1024 * 1024)).await;
    ada.pull().await;
    flip(&world.object_of_length(5 * 1024 * 1024 + 34), (4 << 20) + 100);
    let target = world.folder.path().join("restored");
    let summary = restored(&ada, &target).await;
    assert_eq!((summary.restored, summary.failed.len()), (1, 1), "{summary:?}");
    assert_eq!(
        (summary.failed[0].name.as_deref(), summary.failed[0].problem),
        (Some("victim.jpg"), "altered")
    );
    assert_eq!(contents(&target), map(&[("Holidays/whole.jpg", &whole.content)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_delays_and_damages_nothing() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let big = Picture::new("big.jpg", 20 * 1024 * 1024);
    ada.put(&ada.album, &big).await;
    ada.pull().await;
    let line = BrokenLine::start(world.address, 1_500_000, 9).await;
    let target = world.folder.path().join("restored");
    let summary = restored_by(&ada.over(line.address), &ada, &target).await;
    assert_eq!((summary.restored, summary.failed.len()), (1, 0), "{summary:?}");
    assert_eq!(line.breaks_left.load(Ordering::SeqCst), 0, "the line should have broken");
    assert!(contents(&target)["Holidays/big.jpg"] == big.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_completed_by_the_next() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let pictures: Vec<Picture> =
        (0..12).map(|number| Picture::new(&format!("{number:02}.jpg"), 3 * 1024 * 1024)).collect();
    for picture in &pictures {
        ada.put(&ada.album, picture).await;
    }
    ada.pull().await;
    let target = world.folder.path().join("restored");
    let album = target.join("Holidays");
    fs::create_dir_all(&album).unwrap();
    let leftover = album.join(".darkslide-restore-abc.partial");
    fs::write(&leftover, b"what a killed run leaves").unwrap();
    let (events, mut told) = Events::channel();
    let run = restore(&ada.session, &ada.catalog, &RestoreScope::Everything, &target, &events);
    // Dropped after the third file, as Ctrl-C would.
    tokio::select! {
        _ = run => panic!("it should not get that far"),
        () = async {
            let mut finished = 0;
            while finished < 3 {
                let event = told.recv().await.unwrap();
                finished += usize::from(matches!(event, darkslide_client::event::Event::Finished { .. }));
            }
        } => {}
    }
    let summary = restored(&ada, &target).await;
    assert!(summary.already_there >= 3 && summary.failed.is_empty(), "{summary:?}");
    assert_eq!(summary.already_there + summary.restored, 12);
    assert!(!leftover.exists());
    let there = contents(&target);
    assert_eq!(there.len(), 12, "{:?}", there.keys());
    for picture in &pictures {
        let title = picture.metadata["title"].as_str().unwrap();
        assert!(there[&format!("Holidays/{title}")] == picture.content);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_into_one_folder_do_not_meet() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let target = world.folder.path().join("restored");
    fs::create_dir(&target).unwrap();
    let other = fs::File::open(&target).unwrap();
    other.lock().unwrap();
    let scope = RestoreScope::Everything;
    let refused = restore(&ada.session, &ada.catalog, &scope, &target, &Events::silent()).await;
    assert!(matches!(refused, Err(RestoreError::Busy(_))), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_made_stops_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let deep =
        |name: &str, folder: &str| Picture::new(name, 10).with("darkslide", json!({ "folder": folder }));
    ada.put(&ada.album, &deep("a.jpg", "taken/Paris")).await;
    let other = deep("b.jpg", "free/Rome");
    ada.put(&ada.album, &other).await;
    ada.pull().await;
    let target = world.folder.path().join("restored");
    fs::create_dir_all(target.join("Holidays")).unwrap();
    fs::write(target.join("Holidays/taken"), "a file of this name").unwrap();
    let summary = restored(&ada, &target).await;
    assert_eq!((summary.restored, summary.failed.len()), (1, 1), "{summary:?}");
    assert_eq!(summary.failed[0].name.as_deref(), Some("a.jpg"));
    let expected =
        map(&[("Holidays/taken", b"a file of this name"), ("Holidays/free/Rome/b.jpg", &other.content)]);
    assert_eq!(contents(&target), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_files_have_the_rights_that_new_files_have() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start().await;
    let ada = world.person("ada").await;
    ada.put(&ada.album, &Picture::new("a.jpg", 100)).await;
    ada.pull().await;
    let target = world.folder.path().join("restored");
    restored(&ada, &target).await;
    fs::write(target.join("new"), b"").unwrap();
    let mode = |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode();
    assert_eq!(mode("Holidays/a.jpg"), mode("new"));
}
